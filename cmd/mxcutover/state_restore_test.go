package main

import (
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// TestBeyondTellsOfAnExtension: what was written of domains that came into the plan
// after the backup was made is not passed over.
func TestBeyondTellsOfAnExtension(t *testing.T) {
	t.Parallel()
	old, gw := mxSet(t, 3600, "old.test."), mxSet(t, 60, "gw.test.")
	p := plan.Plan{Migration: "m", Waves: []plan.Wave{{Name: "pilot", Cutovers: []plan.Cutover{{Domain: "a.test.", Wave: "pilot"}}}}}
	snap := func(migration, domain string) state.Snapshot {
		return state.Snapshot{Migration: migration, Domain: domain, Step: "publish", Set: old, After: &gw}
	}
	snaps := []state.Snapshot{snap("m", "b.test."), snap("m", "a.test."), snap("m", "b.test."), snap("other", "c.test.")}
	if got := beyond(p, state.NewStatus(p), nil, snaps); len(got) != 1 || got[0] != "b.test." {
		t.Errorf("beyond the plan: %v, want b.test.", got)
	}
}

// TestSince tells a journal that was put back from a backup what was written
// since: all of it can be undone, from the first snapshot on; each domain is
// held; the old server counts as closed.
func TestSince(t *testing.T) {
	t.Parallel()
	old, low, gw := mxSet(t, 3600, "old.test."), mxSet(t, 60, "old.test."), mxSet(t, 60, "gw.test.")
	steps := []plan.Step{
		{ID: "lower-ttl", Kind: plan.LowerTTL, Change: &rrset.Change{Zone: "a.test.", Before: old, After: low}},
		{ID: "publish", Kind: plan.Publish, Change: &rrset.Change{Zone: "a.test.", Before: low, After: gw}},
	}
	p := plan.Plan{
		Migration: "m", Waves: []plan.Wave{{Name: "pilot", Cutovers: []plan.Cutover{{Domain: "a.test.", Wave: "pilot", Zone: "a.test.", Steps: steps}}}},
		Isolate: []plan.Step{{ID: "arm", Kind: plan.Arm, Ports: []uint16{25}}},
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	snap := func(step plan.Step, hours int) state.Snapshot {
		return state.Snapshot{
			At: at.Add(time.Duration(hours) * time.Hour), Migration: "m", Domain: "a.test.", Zone: "a.test.",
			Step: step.ID, Attempt: 1, Set: step.Change.Before, After: &step.Change.After,
		}
	}
	lower, publish := snap(steps[0], 1), snap(steps[1], 2)
	for name, c := range map[string]struct {
		backup []state.Snapshot // of what the backup knows
		file   []state.Snapshot
		undo   int // how many steps can be undone
		held   bool
	}{
		"nothing was written since": {[]state.Snapshot{lower}, []state.Snapshot{lower}, 1, false},
		"published since":           {[]state.Snapshot{lower}, []state.Snapshot{lower, publish}, 2, true},
		"all of it since":           {nil, []state.Snapshot{lower, publish}, 2, true},
		"another migration's": {nil, func() []state.Snapshot {
			other := lower
			other.Migration = "other"
			return []state.Snapshot{other}
		}(), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, known := state.NewStatus(p), map[string]bool{}
			seq := uint64(0)
			apply := func(events ...state.Event) {
				for _, ev := range events {
					seq++
					ev.Seq = seq
					st.Apply(ev)
				}
			}
			for _, x := range c.backup {
				known[madeBefore(x.Domain, x.Step, x.At, x.Set)] = true
				apply(retold([]state.Snapshot{x}, nil)...)
			}
			for _, events := range since(p, st, known, c.file) {
				apply(events...)
			}
			d := st.Domain("a.test.")
			if !st.Isolation.Closed {
				t.Error("the old server counts as open")
			}
			if len(d.Steps) != c.undo || (d.State == state.IsHeld) != c.held {
				t.Errorf("%d steps, state %s", len(d.Steps), d.State)
			}
			if r, ok := d.Steps["lower-ttl"]; ok && !r.Intent.Snapshot.Equal(old) {
				t.Errorf("it would be restored to %v", r.Intent.Snapshot)
			}
			if again := since(p, st, known, nil); len(again) != 0 {
				t.Errorf("told again: %v", again)
			}
		})
	}
}
