package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/verify"
)

// A held firewall is what a driver says.
type heldFirewall struct {
	firewall.Driver
	loaded firewall.Rules
	kept   bool
	err    error
}

func (f heldFirewall) Loaded(context.Context) (firewall.Rules, time.Time, error) {
	return f.loaded, time.Time{}, f.err
}
func (f heldFirewall) Kept(context.Context, firewall.Rules) (bool, error) { return f.kept, f.err }

// What was confirmed is looked at where it is loaded: flushed, or gone with the next
// boot, is a failure, and what cannot be read is not passed.
func TestOldClosedAtItsFirewall(t *testing.T) {
	t.Parallel()
	p := plan.Plan{Isolate: []plan.Step{
		{ID: "arm", Kind: plan.Arm, Ports: []uint16{25}},
		{ID: "confirm", Kind: plan.Confirm, Ports: []uint16{25}},
		{ID: "arm:2", Kind: plan.Arm, Ports: []uint16{465}},
		{ID: "confirm:2", Kind: plan.Confirm, Ports: []uint16{465}},
	}}
	st := state.NewStatus(p)
	if got := closedForGood(p, st); len(got) > 0 || len(closedForGood(p, nil)) > 0 {
		t.Errorf("nothing was confirmed: %v", got)
	}
	st.Isolation.Steps["confirm"] = state.StepRecord{Done: true}
	ports := closedForGood(p, st)
	if !slices.Equal(ports, []uint16{25}) {
		t.Fatalf("confirmed: %v", ports)
	}
	holds := firewall.Rules{Ports: []uint16{25, 465}, Lasting: []uint16{25}}
	for name, c := range map[string]struct {
		f    heldFirewall
		want plan.Severity
	}{
		"held":            {heldFirewall{loaded: holds, kept: true}, plan.Pass},
		"flushed":         {heldFirewall{kept: true}, plan.Fail},
		"only armed":      {heldFirewall{loaded: firewall.Rules{Ports: []uint16{25}}, kept: true}, plan.Fail},
		"until next boot": {heldFirewall{loaded: holds}, plan.Fail},
		"out of reach":    {heldFirewall{err: errors.New("ssh")}, plan.Unknown},
	} {
		s := &site{firewall: c.f, checker: &verify.Checker{Settings: verify.Settings{Now: time.Now}}}
		found := s.oldClosed(t.Context(), ports)
		if len(found) != 1 || found[0].Severity != c.want {
			t.Errorf("%s: %v, want %s", name, found, c.want)
		}
		if more := s.oldClosed(t.Context(), nil); len(more) > 0 {
			t.Errorf("%s: nothing was confirmed: %v", name, more)
		}
	}
}
