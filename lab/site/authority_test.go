//go:build integration

package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// An authority is what the recipes of all authoritative servers can do.
type authority interface {
	Serial(ctx context.Context, zone string) (uint32, error)
	Kill() error
	Restart(ctx context.Context) error
	Stop() error
}

// setup is what all recipes are told.
type setup struct {
	addr  netip.AddrPort
	zones map[string]string
	key   Key
	extra string
}

var recipes = map[string]struct {
	start   func(context.Context, setup) (authority, error)
	process func(authority) *process
	broken  string // what says that a zone is broken
}{
	"BIND": {
		func(ctx context.Context, p setup) (authority, error) {
			return StartBIND(ctx, BINDOptions{Addr: p.addr, Zones: p.zones, Key: p.key, Extra: p.extra})
		},
		func(a authority) *process { return &a.(*BIND).process }, "named-checkconf",
	},
	"Knot": {
		func(ctx context.Context, p setup) (authority, error) {
			return StartKnot(ctx, KnotOptions{Addr: p.addr, Zones: p.zones, Key: p.key, Extra: strings.Fields(p.extra)})
		},
		func(a authority) *process { return &a.(*Knot).process }, "zone-check",
	},
	"PowerDNS": {
		func(ctx context.Context, p setup) (authority, error) {
			return StartPowerDNS(ctx, PowerDNSOptions{Addr: p.addr, Zones: p.zones, Key: p.key, Extra: p.extra})
		},
		func(a authority) *process { return &a.(*PowerDNS).process }, "pdnsutil",
	},
}

// up starts a server of each recipe with one zone, for a test of each.
func up(t *testing.T, test func(t *testing.T, p setup, a authority, proc *process)) {
	for name, r := range recipes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := setup{addr: loopback(t), zones: map[string]string{"z.test.": zoneText}, key: NewKey("somebody")}
			a, err := r.start(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := a.Stop(); err != nil {
					t.Error(err)
				}
			})
			test(t, p, a, r.process(a))
		})
	}
}

// nsupdate sends an update by another program.
func nsupdate(t *testing.T, p setup, lines string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "nsupdate", "-y", "hmac-sha256:"+p.key.Name+":"+p.key.Secret)
	c.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone z.test\n%s\nsend\n", p.addr.Addr(), p.addr.Port(), lines))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v: %s", err, out)
	}
}

// A killed server comes back with what it had, an update included.
func TestIntegrationKillAndRestart(t *testing.T) {
	t.Parallel()
	up(t, func(t *testing.T, p setup, a authority, _ *process) {
		nsupdate(t, p, "update add z.test 5 MX 20 mx.example.net.")
		was, err := a.Serial(t.Context(), "z.test.")
		if err != nil || was < 2 {
			t.Fatalf("serial %d, %v after an update", was, err)
		}
		if err := a.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Serial(t.Context(), "z.test."); err == nil {
			t.Error("it answers after it was killed")
		}
		if err := a.Kill(); err == nil || !strings.Contains(err.Error(), "had ended by itself") {
			t.Errorf("killed twice: %v", err)
		}
		if err := a.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if is, err := a.Serial(t.Context(), "z.test."); err != nil || is != was {
			t.Errorf("serial %d, %v after the restart, want %d", is, err, was)
		}
	})
}

func TestIntegrationStopLeavesNothing(t *testing.T) {
	t.Parallel()
	up(t, func(t *testing.T, p setup, a authority, proc *process) {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if proc.cmd.ProcessState == nil {
			t.Error("it was not waited for")
		}
		if _, err := os.Stat(proc.dir); !os.IsNotExist(err) {
			t.Errorf("the temporary folder: %v", err)
		}
		l, err := net.Listen("tcp", p.addr.String())
		if err != nil {
			t.Fatalf("the port is still in use: %v", err)
		}
		l.Close()
	})
}

// What a server says about a broken zone or setting is in the error, and nothing
// is left of it.
func TestIntegrationBrokenIsTold(t *testing.T) {
	t.Parallel()
	for name, r := range recipes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, text := range map[string]string{"no SOA": "$TTL 1\n@ NS ns.example.net.\n", "syntax": zoneText + "x MX ten mail.\n"} {
				a, err := r.start(t.Context(), setup{addr: loopback(t), zones: map[string]string{"broken.test.": text}})
				if err == nil {
					t.Errorf("%s: started: %v", what, a.Stop())
				} else if !strings.Contains(err.Error(), r.broken) || !strings.Contains(err.Error(), "broken.test") {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := r.start(t.Context(), setup{addr: loopback(t), zones: map[string]string{"z.test.": zoneText}, extra: "no-such-option:yes;"})
			if err == nil || !strings.Contains(err.Error(), "no-such-option") {
				t.Errorf("a broken option: %v", err)
			}
		})
	}
}

// The API of PowerDNS wants the key, and has the zones.
func TestIntegrationPowerDNSAPI(t *testing.T) {
	t.Parallel()
	p, err := StartPowerDNS(t.Context(), PowerDNSOptions{Addr: loopback(t), Zones: map[string]string{"z.test.": zoneText}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	for key, want := range map[string]int{p.APIKey: http.StatusOK, "wrong": http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/api/v1/servers/localhost/zones/z.test.", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var zone struct {
			Name   string
			Rrsets []struct{ Type string }
		}
		_ = json.NewDecoder(resp.Body).Decode(&zone) // a refusal has another shape
		resp.Body.Close()
		if resp.StatusCode != want || want == http.StatusOK && (zone.Name != "z.test." || len(zone.Rrsets) != 3) {
			t.Errorf("%s, zone %+v; want %d", resp.Status, zone, want)
		}
	}
}
