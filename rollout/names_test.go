package rollout

import (
	"slices"
	"testing"

	"mxcutover/plan"
)

// TestNamesOfOtherViewsAreAskedToo: a name that another view alone has has no zone whose
// servers could be asked in the view in which domains move.
func TestNamesOfOtherViewsAreAskedToo(t *testing.T) {
	t.Parallel()
	p := &plan.Plan{
		Waves: []plan.Wave{{Cutovers: []plan.Cutover{{Domain: "a.test.", Zone: "a.test."}}}},
		Left: []plan.Left{
			{Domain: "b.test.", Zone: "b.test."}, {Domain: "lan.test.", Zone: "lan.test.", Provider: "inside", View: "inside"}, {Domain: "foreign.test."},
		},
	}
	want := []name{{"a.test.", "a.test."}, {"b.test.", "b.test."}, {"lan.test.", ""}, {"foreign.test.", ""}}
	if got := names(p); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
