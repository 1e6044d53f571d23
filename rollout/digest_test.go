package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
)

func TestDigestKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	var found []plan.Finding
	for i := range 40 {
		found = append(found,
			plan.Finding{Check: "gw.cert", Target: fmt.Sprint(i), Severity: plan.Pass},
			plan.Finding{Check: "gw.ptr", Target: fmt.Sprint(i), Severity: plan.Warn})
	}
	found = append(found, plan.Finding{Check: "gw.recipient", Severity: plan.Pass}, plan.Finding{Check: "ns.sync", Severity: plan.Unknown}, plan.Finding{Check: "gw.null", Severity: plan.Fail})
	out := digest(found, time.Now())
	if plan.Judge(out) != plan.Fail || out[0].Check != "gw.null" || out[1].Check != "ns.sync" {
		t.Errorf("the worst does not come first: %+v", out[:2])
	}
	last := out[len(out)-1]
	if last.Severity != plan.Pass || last.Detail != "40 answers passed: gw.cert" {
		t.Errorf("what passed: %+v", last)
	}
	if len(out) != 44 || !strings.Contains(fmt.Sprint(out), "gw.recipient") {
		t.Errorf("%d findings", len(out))
	}
	var many []plan.Finding
	for i := range 100 {
		many = append(many,
			plan.Finding{Check: "gw.ptr", Target: fmt.Sprint(i), Severity: plan.Warn},
			plan.Finding{Check: "ns.sync", Target: fmt.Sprint(i), Severity: plan.Unknown})
	}
	for i := range 10 {
		many = append(many,
			plan.Finding{Check: "gw.recipient", Target: fmt.Sprint(i), Severity: plan.Pass},
			plan.Finding{Check: "gw.null", Target: fmt.Sprint(i), Severity: plan.Fail})
	}
	count := map[string]int{}
	out = digest(many, time.Now())
	for _, f := range out {
		count[f.Check]++
	}
	if count["gw.recipient"] != 10 || count["gw.null"] != 10 || count["ns.sync"] != 28 || count["gw.ptr"] != 0 || len(out) != maxDigest+1 {
		t.Errorf("%d findings: %v", len(out), count)
	}
	if last := out[len(out)-1]; last.Severity != plan.Unknown || !strings.HasPrefix(last.Detail, "172 more") {
		t.Errorf("what was cut: %+v", last)
	}
	many = nil
	for i := range 60 {
		many = append(many, plan.Finding{Check: "gw.unknown", Target: fmt.Sprint(i), Severity: plan.Pass})
	}
	if out := digest(append(many, plan.Finding{Check: "ns.sync", Severity: plan.Unknown}), time.Now()); len(out) != 61 || plan.Judge(out) != plan.Unknown {
		t.Errorf("more proofs than the bound: %d findings", len(out))
	}
	if out := digest(nil, time.Now()); len(out) != 0 || plan.Judge(out) != plan.Unknown {
		t.Errorf("out of nothing: %+v", out)
	}
}

// How long a message took by the old way is kept: nobody can ask that again.
func TestDigestKeepsTheOldWay(t *testing.T) {
	t.Parallel()
	for evidence, kept := range map[string]bool{"accepted in 20 ms": true, "": false} {
		if got := never(plan.Finding{Check: "old.source", Severity: plan.Pass, Evidence: evidence}); got != kept {
			t.Errorf("%q is kept: %v", evidence, got)
		}
	}
}
