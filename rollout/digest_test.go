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
		many = append(many, plan.Finding{Check: "gw.recipient", Target: fmt.Sprint(i), Severity: plan.Unknown})
	}
	if out := digest(many, time.Now()); len(out) != maxDigest+1 || out[maxDigest].Severity != plan.Unknown || !strings.HasPrefix(out[maxDigest].Detail, "52 more") {
		t.Errorf("%d findings, the last %+v", len(out), out[len(out)-1])
	}
	if out := digest(nil, time.Now()); len(out) != 0 || plan.Judge(out) != plan.Unknown {
		t.Errorf("out of nothing: %+v", out)
	}
}
