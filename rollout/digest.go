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

// maxDigest bounds the findings of one preflight in the journal, but for failures
// and proofs, which are never cut.
const maxDigest = 48

// digest is what the journal keeps of a preflight: all that did not pass, worst
// first, the proofs, and in one finding the names of the checks that passed. Where
// that is too much, warnings go first, then what is unknown of other checks. Ten
// thousand domains have the same gateway's certificate in common; its dozens of
// answers are no news of each of them.
func digest(found []plan.Finding, now time.Time) []plan.Finding {
	room := maxDigest
	for _, f := range found {
		if never(f) {
			room--
		}
	}
	var out, cut []plan.Finding
	for _, s := range []plan.Severity{plan.Fail, plan.Unknown, plan.Warn, plan.Pass} {
		for _, f := range found {
			switch {
			case f.Severity != s:
			case never(f):
				out = append(out, f)
			case s == plan.Pass: // one finding for all, below
			case room > 0:
				room--
				out = append(out, f)
			default:
				cut = append(cut, f)
			}
		}
	}
	if len(cut) > 0 {
		out = append(out, plan.Finding{
			Check: string(plan.Preflight), Target: cut[0].Target, Severity: cut[0].Severity, At: now,
			Detail: fmt.Sprintf("%d more findings, none failed and none a proof; mxcutover preflight shows all", len(cut)),
		})
	}
	var passed []string
	n := 0
	for _, f := range found {
		if f.Severity != plan.Pass || never(f) {
			continue
		}
		n++
		if !slices.Contains(passed, f.Check) {
			passed = append(passed, f.Check)
		}
	}
	if n > 0 {
		out = append(out, plan.Finding{
			Check: string(plan.Preflight), Target: found[0].Target, Severity: plan.Pass, At: now,
			Detail: fmt.Sprintf("%d answers passed: %s", n, strings.Join(passed, ", ")),
		})
	}
	return out
}

// never is a finding cut: a failure, an answer of a proof, or how long a message took
// by the old way, which cannot be asked any more when the old server is closed.
func never(f plan.Finding) bool {
	return f.Severity == plan.Fail || slices.Contains(proofs, f.Check) || f.Check == "old.source" && f.Evidence != ""
}
