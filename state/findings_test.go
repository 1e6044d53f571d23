package state

import (
	"fmt"
	"testing"

	"mxcutover/plan"
)

// TestFailuresStayInTheStatus: what did not fail makes room for the rest.
func TestFailuresStayInTheStatus(t *testing.T) {
	t.Parallel()
	one := func(check string, i int, s plan.Severity) plan.Finding {
		return plan.Finding{Check: check, Target: fmt.Sprint(i), Severity: s}
	}
	more := []plan.Finding{one("gw.null", 0, plan.Fail)} // worst first, as a preflight's come
	for i := range maxFindings + 10 {
		more = append(more, one("gw.recipient", i, plan.Pass))
	}
	have := mergeFindings(nil, more)
	if len(have) != maxFindings || have[0].Check != "gw.null" || have[1].Target != "11" {
		t.Errorf("%d findings, first %+v", len(have), have[:2])
	}
	for i := range maxFindings + 5 {
		have = mergeFindings(have, []plan.Finding{one("gw.cert", i, plan.Fail)})
	}
	if len(have) != maxFindings || have[0].Target != "5" {
		t.Errorf("%d failures, first %+v", len(have), have[0])
	}
}
