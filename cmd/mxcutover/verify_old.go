package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
)

// closedForGood are the ports of the old server that were confirmed, by now: those of
// the sets that are done.
func closedForGood(p plan.Plan, st *state.Status) (ports []uint16) {
	if st == nil {
		return nil
	}
	for _, s := range p.Isolate {
		if s.Kind == plan.Arm && st.Isolation.Steps[s.Of(plan.Confirm)].Done {
			ports = append(ports, s.Ports...)
		}
	}
	return ports
}

// stillClosed asks whether what was confirmed is as it should be still. What a person
// loaded is seen from outside alone.
func (s *site) stillClosed(ctx context.Context, p plan.Plan, st *state.Status) []plan.Finding {
	ports := closedForGood(p, st)
	if len(ports) == 0 || !s.byHand() {
		return s.oldClosed(ctx, ports)
	}
	return s.world(policy(s.cfg)).HandLook(ctx, &p, st, ports)
}

// oldClosed asks whether the old server's ports are closed still: from outside, and at
// its firewall, whose rules another tool may have flushed, or a boot forgotten.
func (s *site) oldClosed(ctx context.Context, ports []uint16) (found []plan.Finding) {
	for _, port := range ports {
		found = append(found, s.checker.OldClosed(ctx, port)...)
	}
	if s.firewall == nil || len(ports) == 0 {
		return found
	}
	f := plan.Finding{Check: "old.closed", Target: "firewall", Severity: plan.Pass, At: time.Now()}
	f.Detail = fmt.Sprintf("holds ports %v, now and after the next boot", ports)
	loaded, _, err := s.firewall.Loaded(ctx)
	kept := false
	if err == nil && loaded.Holds(ports) {
		r := firewall.Rules{Ports: loaded.Lasting, Trust: loaded.Trust, Action: loaded.Action}
		kept, err = s.firewall.Kept(ctx, r.Confirmed())
	}
	switch {
	case err != nil:
		f.Severity, f.Detail = plan.Unknown, "could not check: "+err.Error()
	case !loaded.Holds(ports):
		f.Severity = plan.Fail
		f.Detail = fmt.Sprintf("ports %v were confirmed, and it holds %v: somebody else has changed its rules; see mxcutover isolate show", ports, slices.Clone(loaded.Lasting))
	case !kept:
		f.Severity, f.Detail = plan.Fail, "it is closed, and the next boot would open it: the boot file or its unit is not as it was written"
	}
	return append(found, f)
}
