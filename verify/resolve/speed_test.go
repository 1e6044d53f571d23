//go:build bench

package resolve_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/verify/resolve"
)

const (
	speedNames  = 100_000
	speedRounds = 3
	speedDig    = 10_000 // names that dig is asked for; its rate is the same for more
	speedZone   = "speed.test."
	askers      = 2000
)

// authority is a name server that the benchmark asks.
type authority struct {
	name string
	addr netip.AddrPort
	stop func() error
}

// TestSpeedQuestions asks one authoritative server for MX and SOA of 100,000
// names: ours, dnsperf and dig -f in turn, and prints medians and ratios. Ours
// checks each reply, and reads it; what is missing is named.
func TestSpeedQuestions(t *testing.T) {
	a, err := startAuthority(t)
	if err != nil {
		t.Fatalf("missing: %v", err)
	}
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Error(err)
		}
	})
	questions := filepath.Join(t.TempDir(), "questions")
	writeQuestions(t, questions, speedNames, "%s MX\n%s SOA\n")
	digs := filepath.Join(t.TempDir(), "dig")
	writeQuestions(t, digs, speedDig, "%s MX\n%s SOA\n")
	rates := map[string][]float64{}
	for range speedRounds {
		rates["mxcutover"] = append(rates["mxcutover"], ours(t, a))
		for name, run := range map[string]func(*testing.T, authority, string) float64{"dnsperf": dnsperf, "dig -f": dig} {
			if _, err := exec.LookPath(strings.Fields(name)[0]); err == nil {
				rates[name] = append(rates[name], run(t, a, map[string]string{"dnsperf": questions, "dig -f": digs}[name]))
			}
		}
	}
	fmt.Printf("MX and SOA of %d names at one %s, medians of %d rounds\n", speedNames, a.name, speedRounds)
	median := func(name string) float64 {
		slices.Sort(rates[name])
		return rates[name][len(rates[name])/2]
	}
	for _, name := range []string{"mxcutover", "dnsperf", "dig -f"} {
		if len(rates[name]) == 0 {
			fmt.Printf("  %-10s missing: no such program here\n", name)
			continue
		}
		fmt.Printf("  %-10s %8.0f questions/s   ours is %.2f times as fast\n", name, median(name), median("mxcutover")/median(name))
	}
}

// startAuthority starts NSD, or else Knot, or BIND.
func startAuthority(t *testing.T) (a authority, err error) {
	port, err := site.FreePort()
	if err != nil {
		return a, err
	}
	a.addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	var zone strings.Builder
	zone.WriteString("$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n")
	for i := range speedNames {
		fmt.Fprintf(&zone, "d%d MX 10 mx%d.example.net.\n", i, i%7)
	}
	zones := map[string]string{speedZone: zone.String()}
	ctx := context.WithoutCancel(t.Context())
	if _, err := os.Stat("/usr/sbin/nsd"); err == nil {
		n, err := site.StartNSD(ctx, site.NSDOptions{Dir: t.TempDir(), Addr: a.addr, Zones: zones})
		if err == nil {
			a.name, a.stop = "NSD", n.Stop
		}
		return a, err
	}
	fmt.Println("missing: nsd")
	if _, err := os.Stat("/usr/sbin/knotd"); err == nil {
		k, err := site.StartKnot(ctx, site.KnotOptions{Dir: t.TempDir(), Addr: a.addr, Zones: zones})
		if err == nil {
			a.name, a.stop = "Knot DNS", k.Stop
		}
		return a, err
	}
	fmt.Println("missing: knot")
	b, err := site.StartBIND(ctx, site.BINDOptions{Dir: t.TempDir(), Addr: a.addr, Zones: zones, Silent: true})
	if err == nil {
		a.name, a.stop = "BIND", b.Stop
	}
	return a, err
}

func writeQuestions(t *testing.T, path string, names int, format string) {
	t.Helper()
	var b bytes.Buffer
	for i := range names {
		name := fmt.Sprintf("d%d.%s", i, speedZone)
		fmt.Fprintf(&b, format, name, name)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ours asks as checks and the inventory do, and holds each answer to what the
// zone has.
func ours(t *testing.T, a authority) float64 {
	t.Helper()
	c := resolve.New(resolve.Settings{Rate: -1})
	defer c.Close()
	var next, answered atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range askers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= 2*speedNames {
					return
				}
				name, typ := "d"+strconv.FormatInt(i/2, 10)+"."+speedZone, "MX"
				if i%2 == 1 {
					typ = "SOA"
				}
				got, err := c.Ask(t.Context(), a.addr, name, typ, false)
				switch {
				case err != nil:
					t.Error(err)
				case typ == "MX" && (len(got.Set.Data) != 1 || got.Set.Data[0] != "10 mx"+strconv.FormatInt(i/2%7, 10)+".example.net."):
					t.Errorf("%s: %+v", name, got)
				case typ == "SOA" && (!got.Set.Absent() || got.Serial != 1 || got.Negative != 300):
					t.Errorf("%s: %+v", name, got)
				default:
					answered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := answered.Load(); n != 2*speedNames {
		t.Errorf("%d of %d questions were answered", n, 2*speedNames)
	}
	return 2 * speedNames / time.Since(start).Seconds()
}

var dnsperfSays = regexp.MustCompile(`Queries completed:\s+(\d+).*(?s:.*)Queries per second:\s+([0-9.]+)`)

func dnsperf(t *testing.T, a authority, questions string) float64 {
	t.Helper()
	out, err := exec.Command("dnsperf", "-s", a.addr.Addr().String(), "-p", fmt.Sprint(a.addr.Port()), "-d", questions, "-n", "1",
		"-c", "4", "-T", "2", "-q", "1000", "-e").CombinedOutput()
	m := dnsperfSays.FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("dnsperf: %v: %s", err, out)
	}
	if n, _ := strconv.Atoi(string(m[1])); n < 2*speedNames*99/100 {
		t.Errorf("dnsperf: %s of %d were answered", m[1], 2*speedNames)
	}
	rate, _ := strconv.ParseFloat(string(m[2]), 64)
	return rate
}

func dig(t *testing.T, a authority, questions string) float64 {
	t.Helper()
	start := time.Now()
	out, err := exec.Command("dig", "@"+a.addr.Addr().String(), "-p", fmt.Sprint(a.addr.Port()), "+norecurse", "+noall", "+comments", "-f", questions).Output()
	took := time.Since(start)
	if n := bytes.Count(out, []byte("status: NOERROR")); err != nil || n != 2*speedDig {
		t.Fatalf("dig: %d of %d were answered, %v", n, 2*speedDig, err)
	}
	return 2 * speedDig / took.Seconds()
}
