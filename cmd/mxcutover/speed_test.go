//go:build bench

package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestSpeedInventory looks at many names in master files, and plans them: how long
// that takes and how much memory. MANY_NAMES is how many names, 300000 unless told;
// MANY_ZONES in how many zones, 30 unless told; MXCUTOVER another binary to measure;
// MANY_DIR where the set is kept, for a look at it.
func TestSpeedInventory(t *testing.T) {
	names, zones := numberOf(t, "MANY_NAMES", 300_000), numberOf(t, "MANY_ZONES", 30)
	bin := os.Getenv("MXCUTOVER")
	if bin == "" {
		bin = buildBinary(t)
	}
	dir := cmp.Or(os.Getenv("MANY_DIR"), t.TempDir())
	cfg := manyZones(t, dir, names, zones, resolverOf(t))
	fmt.Printf("%d names in %d zones of master files\n", names, zones)
	saved, planned := filepath.Join(dir, "last.json"), filepath.Join(dir, "plan.jsonl")
	for _, args := range [][]string{
		{"inventory"},
		{"inventory", "-o", "csv"},
		{"inventory", "-o", "json"},
		{"inventory", "--out", saved},
		{"inventory", "--diff", saved},
		{"inventory", "--explain", "n7.z0.example"},
		{"plan", "--no-companions", "--out", planned},
		{"plan", "show", planned},
		{"plan", "show", planned, "-o", "json"},
	} {
		c := exec.CommandContext(t.Context(), bin, append([]string{"-c", cfg}, args...)...)
		var words strings.Builder
		c.Stdout, c.Stderr = io.Discard, &words
		begun := time.Now()
		err := c.Run()
		took := time.Since(begun)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, words.String())
		}
		used := c.ProcessState.SysUsage().(*syscall.Rusage) //nolint:forcetypeassert // so it is on each system that we measure on
		cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		fmt.Printf("  %-42s %6.1f s, of processors %6.1f s, %5d MB resident, %6.0f bytes a name\n", strings.ReplaceAll(strings.Join(args, " "), dir+"/", ""),
			took.Seconds(), cpu.Seconds(), used.Maxrss>>10, float64(used.Maxrss<<10)/float64(names))
	}
}

func numberOf(t *testing.T, env string, unless int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(env), strconv.Itoa(unless)))
	if err != nil || n < 1 {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// manyZones writes zones, a traffic table and a configuration, line by line, since a
// program that is started counts the memory of the one that starts it for its own. Of
// a hundred names 92 have an MX, as most do the same one; 4 have two, 2 an address of
// the old server alone; one is led elsewhere, and one is a CNAME.
func manyZones(t *testing.T, dir string, names, zones int, resolver string) (cfg string) {
	t.Helper()
	write := func(name string, do func(w io.Writer)) string {
		t.Helper()
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(f)
		do(w)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for z := range zones {
		write(fmt.Sprintf("z%d.example.zone", z), func(w io.Writer) {
			fmt.Fprint(w, "$TTL 3600\n@ IN SOA ns1.infra.test. hostmaster.infra.test. 1 3600 600 86400 600\n@ IN NS ns1.infra.test.\n")
			for i := z; i < names; i += zones {
				switch i / zones % 100 {
				default:
					fmt.Fprintf(w, "n%d IN MX 10 mail.old.test.\n", i)
				case 20, 40, 60, 80:
					fmt.Fprintf(w, "n%d IN MX 10 mail.old.test.\nn%d IN MX 20 mx2.old.test.\n", i, i)
				case 30, 70:
					fmt.Fprintf(w, "n%d IN A 192.0.2.10\n", i)
				case 50:
					fmt.Fprintf(w, "n%d IN MX 10 mx.elsewhere.test.\n", i)
				case 90:
					fmt.Fprintf(w, "n%d IN CNAME n%d\n", i, z)
				}
			}
		})
	}
	write("traffic.txt", func(w io.Writer) {
		for i := 0; i < names; i += 3 {
			fmt.Fprintf(w, "n%d.z%d.example %d %d\n", i, i%zones, i%997, i%24)
		}
	})
	return write("mxcutover.yaml", func(w io.Writer) {
		host, port, err := net.SplitHostPort(resolver)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, `migration: many
old: {hosts: [mail.old.test], addresses: [192.0.2.10]}
mx: {records: [{preference: 10, host: gw1.gw.test}, {preference: 20, host: gw2.gw.test}]}
traffic: {table: traffic.txt}
waves: {max: 500}
resolvers: {public: [%q]}
ports: {dns: %s}
dns: {rate: 100000}
vantages: [{name: outside, source: %s}]
probe: {from: mxprobe@probe.test, recipients: {rewrite: mxprobe}, arrival: {maildir: mail}}
state: {path: many.db}
providers:
  files:
    kind: zonefile
    settings: {file: %q, reload: ["true"]}
    zones:
`, resolver, port, host, filepath.Join(dir, "{zone}.zone"))
		for z := range zones {
			fmt.Fprintf(w, "    - z%d.example\n", z)
		}
	})
}

// resolverOf knows the addresses of the hosts that the zones lead to.
func resolverOf(t *testing.T) (addr string) {
	t.Helper()
	at := map[string]string{
		"mail.old.test.": "192.0.2.10", "mx2.old.test.": "192.0.2.10", "gw1.gw.test.": "192.0.2.20", "gw2.gw.test.": "192.0.2.21", "mx.elsewhere.test.": "192.0.2.99",
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		name := strings.ToLower(q.Question[0].Name)
		if a, ok := at[name]; !ok {
			m.Rcode = dns.RcodeNameError
		} else if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(a)})
		}
		_ = w.WriteMsg(m) // asked again if it is lost
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		if err := s.ShutdownContext(context.Background()); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return conn.LocalAddr().String()
}
