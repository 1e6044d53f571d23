package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/report"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/state"
)

// TestCompanionInALab plans a companion through the seam that finds them, shows
// it, and lets its Action write it to a name server and take it back.
func TestCompanionInALab(t *testing.T) {
	t.Parallel()
	o := newOwnersWorld(t)
	c := o.plan.Cutovers()[0]
	after, err := rrset.New("_mta-sts."+c.Domain, "TXT", 5, `"v=STSv1; id=2"`)
	if err != nil {
		t.Fatal(err)
	}
	where := holder(o.site.cfg, "")
	o.site.companions = func(_ context.Context, cut plan.Cutover) ([]plan.Companion, []plan.Finding) {
		if cut.Domain != c.Domain {
			return nil, nil
		}
		if _, _, ok := where("www.example.net."); ok {
			t.Error("example.net is no zone of ours")
		}
		zone, provider, ok := where(after.Name)
		if !ok || zone != c.Zone || provider != c.Provider {
			t.Errorf("%s is in %q at %q", after.Name, zone, provider)
		}
		change := rrset.Change{Zone: zone, Before: rrset.Set{Name: after.Name, Type: "TXT"}, After: after}
		return []plan.Companion{{Change: change, Provider: provider, Why: "RFC 8461 section 3.1"}},
			[]plan.Finding{{Check: "mta-sts.policy", Target: cut.Domain, Severity: plan.Warn, Detail: "testing"}}
	}
	p, err := o.site.makePlan(t.Context(), &streams{err: io.Discard}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var shown, asJSON bytes.Buffer
	if err := report.PlanJSON(&asJSON, p); err != nil {
		t.Fatal(err)
	}
	if err := (report.Printer{}).Plan(&shown, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RFC 8461 section 3.1", "id=2", "testing"} {
		if !strings.Contains(shown.String(), want) || !strings.Contains(asJSON.String(), want) {
			t.Errorf("%q is not shown:\n%s", want, shown.String())
		}
	}
	o.writeAndUndo(t, p, c.Domain, after)
}

// writeAndUndo carries out the first companion of a domain, and takes it back.
func (o *ownersWorld) writeAndUndo(t *testing.T, p plan.Plan, domain string, after rrset.Set) {
	t.Helper()
	for _, c := range p.Cutovers() {
		if c.Domain != domain {
			continue
		}
		step := c.Companions()[0]
		turn := rollout.Turn{
			Plan: &p, Cutover: c, Step: step, Clock: rollout.SystemClock(), View: func(f func(*state.Status)) { f(&state.Status{}) },
			Domain:  state.DomainStatus{Domain: domain, Steps: map[string]state.StepRecord{}},
			Observe: func(context.Context, time.Time, ...plan.Finding) error { return nil },
		}
		pol := policy(o.site.cfg)
		pol.SyncWait, pol.PollEvery = 10*time.Second, 50*time.Millisecond
		action := o.site.world(pol).Actions()[step.Kind]
		intent, err := action.Prepare(t.Context(), turn)
		if err != nil || intent.Snapshot == nil || !intent.Snapshot.Absent() || len(intent.Served) < 2 || intent.Provider != step.Provider {
			t.Fatalf("prepare: %+v, %v", intent, err)
		}
		out, err := action.Do(t.Context(), turn, intent)
		if err != nil || out.Got == nil || !out.Got.Equal(after) {
			t.Fatalf("do: %+v, %v", out, err)
		}
		turn.Domain.Steps[step.ID] = state.StepRecord{Intent: intent, Done: true, Got: out.Got}
		if out, err = action.Undo(t.Context(), turn, intent); err != nil || out.Caches < 5*time.Second {
			t.Fatalf("undo: %+v, %v", out, err)
		}
		now, err := providers.Read(t.Context(), o.site.providers[step.Provider], c.Zone, after.Name, "TXT")
		if err != nil || !now.Absent() {
			t.Errorf("it ends as %v, %v", now, err)
		}
		return
	}
	t.Fatalf("%s is not moved: %+v", domain, p.Left)
}
