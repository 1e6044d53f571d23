package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
)

// proofs are the checks of which every answer is journaled: a domain's MX moves
// on the strength of them (P3).
var proofs = []string{"gw.connect", "gw.recipient", "gw.unknown", "probe.arrival"}

// maxDigest bounds the findings of one preflight in the journal; the status keeps
// no more than that of a domain.
const maxDigest = 48

// digest is what the journal keeps of a preflight: all that did not pass, worst
// first, the proofs, and in one finding the names of the checks that passed. Ten
// thousand domains have the same gateway's certificate in common; its dozens of
// answers are no news of each of them.
func digest(found []plan.Finding, now time.Time) []plan.Finding {
	var out []plan.Finding
	for _, s := range []plan.Severity{plan.Fail, plan.Unknown, plan.Warn} {
		for _, f := range found {
			if f.Severity == s {
				out = append(out, f)
			}
		}
	}
	var passed []string
	n := 0
	for _, f := range found {
		switch {
		case f.Severity != plan.Pass:
		case slices.Contains(proofs, f.Check):
			out = append(out, f)
		default:
			n++
			if !slices.Contains(passed, f.Check) {
				passed = append(passed, f.Check)
			}
		}
	}
	if more := len(out) - maxDigest; more > 0 {
		out = append(out[:maxDigest:maxDigest], plan.Finding{
			Check: string(plan.Preflight), Severity: out[maxDigest].Severity, At: now,
			Detail: fmt.Sprintf("%d more findings, no worse than the last; mxcutover preflight shows all", more),
		})
	}
	if n > 0 {
		out = append(out, plan.Finding{
			Check: string(plan.Preflight), Target: found[0].Target, Severity: plan.Pass, At: now,
			Detail: fmt.Sprintf("%d answers passed: %s", n, strings.Join(passed, ", ")),
		})
	}
	return out
}
