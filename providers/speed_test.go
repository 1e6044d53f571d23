//go:build bench

package providers

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/rrset"
)

const (
	speedZones  = 1000
	speedRounds = 5
)

// A contender moves the MX of all zones from one host to another, and tells why
// it cannot be had.
type contender struct {
	name    string
	missing string
	move    func(t *testing.T, from, to rrset.MX)
}

// TestSpeedUpdates changes one MX in each of 1000 zones of one BIND, by each
// contender in turn, and prints medians and ratios. What is missing is named.
func TestSpeedUpdates(t *testing.T) {
	for program, from := range map[string]string{"/usr/sbin/named": "bind9", "/usr/bin/named-checkconf": "bind9-utils"} {
		if _, err := os.Stat(program); err != nil {
			fmt.Printf("RFC 2136 on BIND: missing: %s (install %s)\n", program, from)
			return
		}
	}
	zones := map[string]string{}
	var names []string
	for i := range speedZones {
		names = append(names, fmt.Sprintf("z%d.test.", i))
		zones[names[i]] = "$TTL 300\n@ SOA ns.example.net. h.example.net. 1 3600 600 86400 300\n@ NS ns.example.net.\n@ MX 10 a.example.net.\n"
	}
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	b, err := site.StartBIND(t.Context(), site.BINDOptions{
		Dir: t.TempDir(), Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), Zones: zones, Silent: true,
	})
	if err != nil {
		t.Fatalf("missing: BIND: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	p := bed{b.Addr.String(), b.Key.Name, b.Key.Secret}.open(t)
	all := []contender{
		{name: "mxcutover", move: func(t *testing.T, from, to rrset.MX) { moveAll(t, p, names, from, to) }},
		{name: "nsupdate", missing: lacking("nsupdate"), move: func(t *testing.T, _, to rrset.MX) { nsupdateAll(t, b, names, to) }},
		{name: "dnscontrol", missing: lacking("dnscontrol"), move: func(t *testing.T, _, to rrset.MX) { dnscontrolAll(t, b, names, to) }},
	}
	took := map[string][]time.Duration{}
	from, to := rrset.MX{Preference: 10, Host: "a.example.net."}, rrset.MX{Preference: 10, Host: "b.example.net."}
	for range speedRounds {
		for _, c := range all {
			if c.missing != "" {
				continue
			}
			start := time.Now()
			c.move(t, from, to)
			took[c.name] = append(took[c.name], time.Since(start))
			for _, name := range []string{names[0], names[speedZones-1]} {
				if got, err := Read(t.Context(), p, name, name, "MX"); err != nil || !slices.Equal(got.Data, []string{to.String()}) {
					t.Fatalf("%s: %s has %v, %v after its turn; want %s", c.name, name, got, err, to)
				}
			}
			from, to = to, from
		}
	}
	rate := func(name string) float64 {
		slices.Sort(took[name])
		return speedZones / took[name][len(took[name])/2].Seconds()
	}
	fmt.Printf("RFC 2136: one MX in each of %d zones of one BIND, TSIG, medians of %d rounds\n", speedZones, speedRounds)
	for _, c := range all {
		switch {
		case c.missing != "":
			fmt.Printf("  %-12s missing: %s\n", c.name, c.missing)
		default:
			fmt.Printf("  %-12s %6.0f changes/s   ours is %.2f times as fast\n", c.name, rate(c.name), rate("mxcutover")/rate(c.name))
		}
	}
}

func lacking(program string) string {
	if _, err := exec.LookPath(program); err != nil {
		return "no such program here"
	}
	return ""
}

// moveAll is what the engine does, many domains at once.
func moveAll(t *testing.T, p Provider, names []string, from, to rrset.MX) {
	t.Helper()
	next := make(chan string)
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for name := range next {
				c := rrset.Change{Zone: name, Before: must(rrset.New(name, "MX", 300, from.String())), After: must(rrset.New(name, "MX", 300, to.String()))}
				if r, err := Replace(t.Context(), p, c); err != nil || !r.Written {
					t.Errorf("%s: %+v, %v", name, r, err)
				}
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	group.Wait()
}

// nsupdateAll has no prerequisites and reads nothing back.
func nsupdateAll(t *testing.T, b *site.BIND, names []string, to rrset.MX) {
	t.Helper()
	var in strings.Builder
	fmt.Fprintf(&in, "server %s %d\n", b.Addr.Addr(), b.Addr.Port())
	for _, name := range names {
		fmt.Fprintf(&in, "zone %s\nupdate delete %s MX\nupdate add %s 300 MX %s\nsend\n", name, name, name, to)
	}
	cmd := exec.CommandContext(t.Context(), "nsupdate", "-y", "hmac-sha256:"+b.Key.Name+":"+b.Key.Secret)
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v: %s", err, out)
	}
}

// dnscontrolAll pushes by its provider AXFRDDNS; see
// https://docs.dnscontrol.org/provider/axfrddns.
func dnscontrolAll(t *testing.T, b *site.BIND, names []string, to rrset.MX) {
	t.Helper()
	dir := t.TempDir()
	key := "hmac-sha256:" + b.Key.Name + ":" + b.Key.Secret
	creds := fmt.Sprintf(`{"bind": {"TYPE": "AXFRDDNS", "master": %q, "transfer-key": %q, "update-key": %q}}`, b.Addr, key, key)
	var conf strings.Builder
	conf.WriteString("var REG = NewRegistrar('none');\nvar DSP = NewDnsProvider('bind', {'default_ns': ['ns.example.net.']});\n")
	for _, name := range names {
		fmt.Fprintf(&conf, "D('%s', REG, DnsProvider(DSP), DefaultTTL(300), MX('@', %d, '%s'));\n", strings.TrimSuffix(name, "."), to.Preference, to.Host)
	}
	for name, text := range map[string]string{"creds.json": creds, "dnsconfig.js": conf.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "dnscontrol", "push")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dnscontrol: %v: %s", err, out[max(0, len(out)-2000):])
	}
}
