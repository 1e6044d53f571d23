package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"mxcutover/firewall"
	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/verify"
)

// realWorld is what Actions reach in a lab.
func realWorld(t *testing.T) (*lab.World, World, plan.Cutover) {
	t.Helper()
	w, err := lab.Start(t.Context(), lab.Options{Domains: []lab.Domain{{Name: "choir.test"}}, SenderRate: -1, SpamRate: -1, Lag: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	f := w.Facts()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(f.Key.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := providers.Open("rfc2136", func(into any) error {
		text := fmt.Sprintf("server: %q\nkey_name: %s\nkey_alg: %s\nkey: {file: %q}\n", fmt.Sprintf("%s:%d", f.NS1, f.DNSPort), f.Key.Name, f.Key.Algorithm, key)
		return yaml.UnmarshalWithOptions([]byte(text), into, yaml.Strict())
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := verify.New(verify.Settings{
		OldHosts: []string{"mail.old.test."}, OldAddresses: []netip.Addr{f.Old.Addr}, DNSPort: f.DNSPort, SMTPPort: f.SMTPPort,
		Resolvers: []verify.Resolver{{View: "public", Addr: netip.AddrPortFrom(f.Resolver, f.DNSPort)}},
		Vantages:  []verify.Vantage{{Name: "outside", Source: f.Vantage}}, From: f.ProbeFrom, Connect: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d, err := firewall.Open("lab", firewall.Settings{Socket: f.Firewall})
	if err != nil {
		t.Fatal(err)
	}
	world := World{
		Providers: map[string]providers.Provider{"lab": p}, Checker: c, Firewall: d, Trust: []netip.Prefix{netip.PrefixFrom(f.Gateways[0].Addr, 32)},
		Policy: Policy{SyncWait: 300 * time.Millisecond, PollEvery: 50 * time.Millisecond}.withDefaults(),
	}
	mx, err := rrset.New("choir.test.", "MX", 5, "10 mail.old.test.")
	if err != nil {
		t.Fatal(err)
	}
	pl, err := plan.Make(plan.Inventory{Domains: []plan.Domain{{Name: "choir.test.", Zone: "choir.test.", Provider: "lab", MX: mx, PointsTo: plan.ToOld}}},
		plan.Settings{Planned: []rrset.MX{{Preference: 10, Host: "gw1.gw.test."}}, First: 1, Max: 1, LowTTL: 1})
	if err != nil {
		t.Fatal(err)
	}
	return w, world, pl.Waves[0].Cutovers[0]
}

func turnOf(t *testing.T, c plan.Cutover, k plan.Kind) Turn {
	t.Helper()
	s, ok := c.Step(k)
	if !ok {
		t.Fatalf("no step %s", k)
	}
	return Turn{Cutover: c, Step: s, Clock: SystemClock(), Observe: unheard, Idle: func(wait func() error) error { return wait() }, Domain: state.DomainStatus{Domain: c.Domain, Steps: map[string]state.StepRecord{}}}
}

func unheard(context.Context, time.Time, ...plan.Finding) error { return nil }

// TestDisagreementIsHeld shows P1: while a secondary serves something else than
// the provider, nothing is journaled as a snapshot and nothing is written.
func TestDisagreementIsHeld(t *testing.T) {
	t.Parallel()
	w, world, c := realWorld(t)
	a := world.Actions()[plan.LowerTTL]
	i, err := a.Prepare(t.Context(), turnOf(t, c, plan.LowerTTL))
	if err != nil || i.Snapshot == nil || i.Snapshot.TTL != 5 || len(i.Served) != 2 {
		t.Fatalf("all agree: %+v, %v", i, err)
	}
	w.Freeze()
	for _, ttl := range []uint32{9, 5} { // the secondary keeps TTL 9, the primary goes back
		if err := w.Edit("choir.test", "choir.test", "MX", ttl, "10 mail.old.test."); err != nil {
			t.Fatal(err)
		}
		if ttl == 9 {
			w.Thaw()
			waitFor(t, func() bool {
				served, _ := world.Checker.Served(t.Context(), "choir.test.", "choir.test.", "MX")
				for _, s := range served {
					if s.TTL != 9 {
						return false
					}
				}
				return len(served) == 2
			})
			w.Freeze()
		}
	}
	var held *Held
	if i, err := a.Prepare(t.Context(), turnOf(t, c, plan.LowerTTL)); !errors.As(err, &held) || !strings.Contains(held.Reason, "do not agree") {
		t.Errorf("a secondary disagrees: %+v, %v", i, err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("not in time")
		}
	}
}

// TestNoWayBackToAClosedServer shows P8 at the write itself: the MX is not
// pointed back to an old server that does not greet.
func TestNoWayBackToAClosedServer(t *testing.T) {
	t.Parallel()
	w, world, c := realWorld(t)
	turn := turnOf(t, c, plan.Publish)
	// The server clamped the low TTL to 5: not what the plan expects is restored,
	// but what was there.
	clamped := turn.Step.Change.Before.WithTTL(5)
	turn.Domain.Steps["lower-ttl"] = state.StepRecord{Done: true, Got: &clamped}
	a := world.Actions()[plan.Publish]
	i, err := a.Prepare(t.Context(), turn)
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.Do(t.Context(), turn, i)
	if err != nil || out.Got == nil {
		t.Fatalf("publish: %+v, %v", out, err)
	}
	turn.Domain.Steps["publish"] = state.StepRecord{Intent: i, Done: true, Got: out.Got}
	port := w.Facts().SMTPPort
	if err := world.Firewall.Apply(t.Context(), firewall.Rules{Ports: []uint16{port}, Trust: world.Trust}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	var held *Held
	if _, err := a.Undo(t.Context(), turn, i); !errors.As(err, &held) || !strings.Contains(held.Reason, "not proven open") {
		t.Errorf("undo while closed: %v", err)
	}
	now, err := providers.Read(t.Context(), world.Providers["lab"], "choir.test.", "choir.test.", "MX")
	if err != nil || !now.Equal(*out.Got) {
		t.Errorf("the MX was pointed back: %v, %v", now, err)
	}
	if found, err := world.Lift(t.Context(), Turn{}); err != nil || plan.Judge(found) != plan.Pass {
		t.Fatalf("lift: %v, %v", found, err)
	}
	if _, err := a.Undo(t.Context(), turn, i); err != nil {
		t.Errorf("undo: %v", err)
	}
	now, err = providers.Read(t.Context(), world.Providers["lab"], "choir.test.", "choir.test.", "MX")
	if err != nil || !now.Equal(*i.Snapshot) {
		t.Errorf("restored %v, %v; want %v (P6)", now, err, i.Snapshot)
	}
	if _, err := a.Undo(t.Context(), turn, i); err != nil {
		t.Errorf("undo again: %v", err)
	}
}
