package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mxcutover/config"
	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rollout"
	"mxcutover/state"
)

// ownersWorld is a lab with its plan, and the Action that lowers a TTL there.
type ownersWorld struct {
	*lab.World
	site   *site
	plan   plan.Plan
	action rollout.Action
	seen   []plan.Finding
}

func newOwnersWorld(t *testing.T) *ownersWorld {
	t.Helper()
	w := startLab(t, lab.Options{Dir: t.TempDir(), SenderRate: -1, SpamRate: -1, Lag: 300 * time.Millisecond})
	path, err := w.WriteConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	o := &ownersWorld{World: w}
	if o.site, err = openSite(cfg); err != nil {
		t.Fatal(err)
	}
	if o.plan, err = o.site.makePlan(t.Context(), &streams{err: io.Discard}, time.Now()); err != nil {
		t.Fatal(err)
	}
	pol := policy(cfg)
	pol.SyncWait, pol.PollEvery = 3*time.Second, 50*time.Millisecond
	o.action = o.site.world(pol).Actions()[plan.LowerTTL]
	return o
}

// prepare begins to lower the TTL of a domain.
func (o *ownersWorld) prepare(t *testing.T, domain string) error {
	t.Helper()
	for _, c := range o.plan.Cutovers() {
		if c.Domain != domain {
			continue
		}
		step, ok := c.Step(plan.LowerTTL)
		if !ok {
			step, _ = c.Step(plan.Publish) // without an MX there is no TTL to lower
		}
		_, err := o.action.Prepare(t.Context(), rollout.Turn{
			Plan: &o.plan, Cutover: c, Step: step, Clock: rollout.SystemClock(), View: func(f func(*state.Status)) { f(&state.Status{}) },
			Observe: func(_ context.Context, _ time.Time, found ...plan.Finding) error {
				o.seen = append(o.seen, found...)
				return nil
			},
		})
		return err
	}
	t.Fatalf("the plan has no %s", domain)
	return nil
}

// scratches are the scratch records in a zone at its provider.
func (o *ownersWorld) scratches(t *testing.T, zone string) (out []string) {
	t.Helper()
	sets, err := providers.Zone(t.Context(), o.site.providers["lab"], zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		if strings.HasPrefix(s.Name, "_mxcutover-") {
			out = append(out, s.Name)
		}
	}
	return out
}

// A zone whose second name server is fed by somebody else is found before
// anything is changed; one with a single owner is proven to have it, and what a
// crash left there goes.
func TestTwoOwners(t *testing.T) {
	t.Parallel()
	o := newOwnersWorld(t)
	o.Split("bakery.test.")
	var held *rollout.Held
	for range 2 { // held, and asked again
		err := o.prepare(t, "bakery.test.")
		if !errors.As(err, &held) || !strings.Contains(err.Error(), "zone bakery.test may have two owners") || !strings.Contains(err.Error(), "it does not have the scratch record") {
			t.Fatalf("two owners: %v", err)
		}
		if left := o.scratches(t, "bakery.test."); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if _, _, err := providers.WriteScratch(t.Context(), o.site.providers["lab"], "choir.test.", o.plan.Migration, time.Now()); err != nil {
		t.Fatal(err)
	}
	if left := o.scratches(t, "choir.test."); len(left) != 1 {
		t.Fatalf("a crash leaves %v", left)
	}
	if err := o.prepare(t, "choir.test."); err != nil {
		t.Errorf("one owner: %v", err)
	}
	if left := o.scratches(t, "choir.test."); len(left) > 0 || len(o.seen) != 1 || o.seen[0].Check != "ns.owner" || o.seen[0].Severity != plan.Pass {
		t.Errorf("left %v; told %+v", left, o.seen)
	}
	if err := o.prepare(t, "lists.choir.test."); err != nil || len(o.seen) != 1 {
		t.Errorf("the zone's other domain: %v; told %+v", err, o.seen)
	}
}

// Under a wildcard nothing is written, and that is told.
func TestOwnersUnderWildcard(t *testing.T) {
	t.Parallel()
	o := newOwnersWorld(t)
	if err := o.Edit("garden.test.", "*.garden.test.", "TXT", 60, `"x"`); err != nil {
		t.Fatal(err)
	}
	if err := o.prepare(t, "garden.test."); err != nil {
		t.Error(err)
	}
	if len(o.seen) != 1 || o.seen[0].Severity != plan.Warn || !strings.Contains(o.seen[0].Detail, "wildcard") {
		t.Errorf("told %+v", o.seen)
	}
}
