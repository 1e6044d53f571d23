package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/bolt"
	"mxcutover/verify"
)

// dryDomains is how many domains the dry migration has.
var dryDomains = flag.Int("dry.domains", 500, "domains of the dry migration")

// A dry world answers at once and is always well: what is left is the engine's
// own work and the journal's.
type dry struct {
	mu   sync.Mutex
	sets map[string]rrset.Set
}

func (d *dry) GetRecords(context.Context, string) ([]libdns.Record, error) {
	return nil, errors.New("not used")
}

func (d *dry) Read(_ context.Context, _, name, _ string) (rrset.Set, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sets[name], nil
}

func (d *dry) Swap(_ context.Context, c rrset.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sets[c.After.Name].Equal(c.Before) {
		return &providers.DriftError{Expected: c.Before, Found: d.sets[c.After.Name]}
	}
	d.sets[c.After.Name] = c.After
	return nil
}

func pass(check, target string) []plan.Finding {
	return []plan.Finding{{Check: check, Target: target, Severity: plan.Pass}}
}

func (d *dry) Run(_ context.Context, _ verify.When, c plan.Cutover) []plan.Finding {
	return pass("probe.arrival", c.Domain)
}

func (d *dry) Only(_ context.Context, c plan.Cutover, checks ...string) []plan.Finding {
	return pass(checks[0], c.Domain)
}

func (d *dry) Served(ctx context.Context, zone, name, typ string) (map[string]rrset.Set, []plan.Finding) {
	s, _ := d.Read(ctx, zone, name, typ)
	return map[string]rrset.Set{"ns1.example. 192.0.2.53": s, "ns2.example. 192.0.2.54": s}, pass("ns.sync", name)
}

func (d *dry) Turn(context.Context, plan.Cutover) (time.Time, string) { return time.Time{}, "" }

func (d *dry) Expect(string, time.Time) {}

func (d *dry) NegativeTTL(context.Context, string) (uint32, error) { return 0, nil }

func (d *dry) LeadsToOld(context.Context, string, string) (bool, string, error) {
	return false, "", nil
}

func (d *dry) Routed(_ context.Context, c plan.Cutover) []plan.Finding {
	return pass("probe.arrival", c.Domain)
}

func (d *dry) RealMail(context.Context, plan.Cutover, time.Time) []plan.Finding { return nil }

func (d *dry) Returned(_ context.Context, c plan.Cutover, _ rrset.Set) []plan.Finding {
	return pass("probe.arrival", c.Domain)
}

func (d *dry) TrueSources(context.Context, []uint16, []netip.Prefix, verify.Callers) []plan.Finding {
	return nil
}

func (d *dry) Nodes(_ context.Context, c plan.Cutover, _ []netip.Prefix, _ verify.Callers) []plan.Finding {
	return pass("old.trust", c.Domain)
}
func (d *dry) Old() []netip.Addr                                      { return nil }
func (d *dry) OldMail(context.Context, verify.Closing) []plan.Finding { return pass("old.log", "old") }

func (d *dry) OldClosed(context.Context, uint16) []plan.Finding { return pass("old.closed", "old") }

func (d *dry) OldOpen(context.Context) []plan.Finding { return pass("old.open", "old") }

func (d *dry) BeforeHand(context.Context, verify.Handed) []plan.Finding {
	return pass("old.before", "old")
}

func (d *dry) HandShut(context.Context, verify.Handed) bool { return true }

func (d *dry) HandClosed(context.Context, verify.Handed) []plan.Finding {
	return pass("old.closed", "old")
}

func (d *dry) HandOpen(context.Context, verify.Handed) []plan.Finding { return pass("old.open", "old") }

func (d *dry) Apply(context.Context, firewall.Rules, time.Time) error { return nil }
func (d *dry) Loaded(context.Context) (firewall.Rules, time.Time, error) {
	return firewall.Rules{Ports: []uint16{25}, Lasting: []uint16{25}}, time.Time{}, nil
}
func (d *dry) Keep(context.Context, firewall.Rules) error              { return nil }
func (d *dry) Kept(context.Context, firewall.Rules) (bool, error)      { return true, nil }
func (d *dry) Seen(context.Context) (map[netip.AddrPort]uint64, error) { return nil, nil }

// dryPlan moves n domains, with TTLs of zero so that nothing is waited for.
func dryPlan(t *testing.T, d *dry, n int) plan.Plan {
	t.Helper()
	var inv plan.Inventory
	for i := range n {
		name := fmt.Sprintf("d%07d.example.", i)
		mx := rrset.Set{Name: name, Type: "MX", Data: []string{"10 mail.old.test."}}
		d.sets[name] = mx
		inv.Domains = append(inv.Domains, plan.Domain{Name: name, Zone: name, Provider: "dry", MX: mx, PointsTo: plan.ToOld})
	}
	p, err := plan.Make(inv, plan.Settings{
		Migration: "dry", Planned: []rrset.MX{{Preference: 10, Host: "gw1.example."}, {Preference: 20, Host: "gw2.example."}},
		First: 3, Growth: 4, Max: 500, Gate: plan.Gate{Approve: plan.Auto, Failures: 1, Shared: 3}, Ports: []uint16{25},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDryMigration walks many domains all the way, over the real journal, and
// tells what that took, and what status and a restart take afterwards. See
// docs/operations.md for what was measured with: -dry.domains 100000
func TestDryMigration(t *testing.T) {
	t.Parallel()
	d := &dry{sets: map[string]rrset.Set{}}
	p := dryPlan(t, d, *dryDomains)
	path := filepath.Join(t.TempDir(), "dry.db")
	took := func(what string, f func()) {
		begun := time.Now()
		f()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%-10s %8v, heap %d MB, from the system %d MB", what, time.Since(begun).Round(time.Millisecond), m.HeapAlloc>>20, m.Sys>>20)
	}
	var events uint64
	took("migration", func() {
		store, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := state.Create(t.Context(), store, p, state.Options{Snapshots: path + ".snapshots"})
		if err != nil {
			t.Fatal(err)
		}
		pol := rollout.Policy{PrepareAll: true, AutoApprove: true, Concurrency: 64, ProbeEvery: time.Millisecond, PollEvery: time.Millisecond}
		w := rollout.World{
			Providers: map[string]providers.Provider{"dry": d}, Checker: d, Firewall: d, Policy: pol, Writes: map[string]int{"dry": 64},
			Trust: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")},
		}
		e := rollout.New(rollout.Options{Journal: j, Actions: w.Actions(), Lift: w.Lift, Policy: pol, Clock: rollout.SystemClock()})
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := j.Status()
		if events = s.Seq; !s.Over {
			t.Error("it is not over")
		}
		if err := errors.Join(j.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
	})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d domains, %d events, journal %d MB", len(p.Cutovers()), events, info.Size()>>20)
	p, d.sets = plan.Plan{}, nil
	runtime.GC()
	took("status", func() {
		store, err := bolt.Open(path, bolt.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		s, ok, err := state.Look(t.Context(), store)
		if err := errors.Join(err, store.Close()); err != nil || !ok || len(s.Domains) != *dryDomains || s.Seq != events || !s.Over {
			t.Errorf("look: %v, %v", ok, err)
		}
	})
	runtime.GC()
	took("restart", func() {
		store, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := state.Open(t.Context(), store, state.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s := j.Status(); s.Seq != events || !s.Over {
			t.Errorf("event %d, over %v", s.Seq, s.Over)
		}
		if err := errors.Join(j.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// manyDomains is how many domains TestStatusOfMany looks at.
var manyDomains = flag.Int("many.domains", 2000, "domains that status is asked about")

// TestStatusOfMany makes a journal of many domains, two events each, and tells
// what status and a restart take.
func TestStatusOfMany(t *testing.T) {
	t.Parallel()
	d := &dry{sets: map[string]rrset.Set{}}
	p := dryPlan(t, d, *manyDomains)
	path := filepath.Join(t.TempDir(), "many.db")
	open := func(ro bool) *bolt.Store {
		store, err := bolt.Open(path, bolt.Options{ReadOnly: ro})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	took := func(what string, f func() *state.Status) {
		runtime.GC()
		begun := time.Now()
		if s := f(); len(s.Domains) != *manyDomains || s.Domains[*manyDomains-1].State != state.IsHeld {
			t.Errorf("%s: %d domains", what, len(s.Domains))
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%-8s %8v, heap %d MB", what, time.Since(begun).Round(time.Millisecond), m.HeapAlloc>>20)
	}
	took("made", func() *state.Status {
		store := open(false)
		j, err := state.Create(t.Context(), store, p, state.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var events []state.Event
		all := p.Cutovers()
		for i, c := range all {
			events = append(events,
				state.Event{Kind: state.Intended, Domain: c.Domain, Wave: c.Wave, Step: string(plan.Preflight), Intent: &state.Intent{Attempt: 1}},
				state.Event{Kind: state.Held, Domain: c.Domain, Wave: c.Wave, Reason: "it was held"})
			if len(events) >= 2000 || i == len(all)-1 {
				if err := j.Append(t.Context(), events...); err != nil {
					t.Fatal(err)
				}
				events = events[:0]
			}
		}
		s := j.Status()
		if err := errors.Join(j.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
		return s
	})
	p, d.sets = plan.Plan{}, nil
	took("status", func() *state.Status {
		store := open(true)
		s, ok, err := state.Look(t.Context(), store)
		if err := errors.Join(err, store.Close()); err != nil || !ok {
			t.Fatalf("look: %v, %v", ok, err)
		}
		return s
	})
	took("restart", func() *state.Status {
		store := open(false)
		j, err := state.Open(t.Context(), store, state.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := j.Status()
		if err := errors.Join(j.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
		return s
	})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d domains, file %d MB", *manyDomains, info.Size()>>20)
}
