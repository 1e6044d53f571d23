package verify

import (
	"context"
	"slices"

	"mxcutover/plan"
)

// A Check is one question. Its page is docs/checks/<ID>.md.
type Check struct {
	ID, Title, RFC string
	When           []When
	Run            func(context.Context, *Checker, When, plan.Cutover) ([]plan.Finding, error)

	// Advice: no answer holds no domain, since nothing depends on it.
	Advice bool

	// Lacks names what the configuration lacks for this check, "traffic.gateway_logs";
	// then it is not asked at all. nil: it is always asked.
	Lacks func(*Checker) string
}

// always are all times.
var always = []When{Before, During, After}

// Checks are all checks, in the order in which they run: what costs least comes
// first. Those of no time belong to no domain; see [Checker.OldClosed].
func Checks() []Check {
	return slices.Concat(dnsChecks(), policyChecks(), gatewayChecks(), parityChecks(), arrivalChecks(), mailChecks(), oldChecks())
}

// Advice tells whether a check may be without an answer and hold nothing up.
func Advice(id string) bool {
	return slices.ContainsFunc(Checks(), func(c Check) bool { return c.ID == id && c.Advice })
}

// asks tells whether the configuration has what a check needs.
func (k Check) asks(c *Checker) bool { return k.Lacks == nil || k.Lacks(c) == "" }

// NotAsked are the checks that the configuration leaves out, and what it lacks
// for each.
func (c *Checker) NotAsked() map[string]string {
	out := map[string]string{}
	for _, k := range Checks() {
		if !k.asks(c) {
			out[k.ID] = k.Lacks(c)
		}
	}
	return out
}
