package rollout

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/verify"
)

// A nodeChecker remembers the domains by which nodes are asked.
type nodeChecker struct {
	Checker
	asked *[]string
}

func (c nodeChecker) Nodes(_ context.Context, cut plan.Cutover, _ []netip.Prefix, _ verify.Callers) []plan.Finding {
	*c.asked = append(*c.asked, cut.Domain)
	return one("old.trust", cut.Domain, plan.Pass, "")
}

// TestEveryNodeIsAsked lets one domain in the middle of a wave have an MX host of its
// own: that node, too, must stay let in to the old server (P7).
func TestEveryNodeIsAsked(t *testing.T) {
	t.Parallel()
	to := func(name string, data ...string) plan.Cutover {
		set := rrset.Set{Name: name, Type: "MX", Data: data}
		return plan.Cutover{Domain: name, Steps: []plan.Step{{ID: string(plan.Publish), Kind: plan.Publish, Change: &rrset.Change{After: set}}}}
	}
	p := plan.Plan{Waves: []plan.Wave{{Name: "pilot", Cutovers: []plan.Cutover{to("a.test.", "10 gw1."), to("own.test.", "10 gw9."), to("waits.test.", "10 gw8.")}}}}
	st := state.NewStatus(p)
	for i := range st.Domains {
		if st.Domains[i].Domain != "waits.test." {
			st.Domains[i].State = state.Live
		}
	}
	var asked []string
	World{Checker: nodeChecker{asked: &asked}}.nodes(t.Context(), Turn{Plan: &p, View: func(f func(*state.Status)) { f(st) }}, nil)
	if want := []string{"a.test.", "own.test."}; !slices.Equal(asked, want) {
		t.Errorf("%v are asked, want %v", asked, want)
	}
}
