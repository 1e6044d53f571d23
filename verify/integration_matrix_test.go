//go:build integration

package verify_test

import (
	"slices"
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// ofTheirOwn are the checks that tests of their own show on real servers, good and
// broken: parity is asked about addresses, mail.real while mail passes, and
// cache.resolver before and after a change; mx.views needs two of them.
var ofTheirOwn = map[string]string{
	"parity": "TestIntegrationParity", "mail.real": "TestIntegrationRealMail", "cache.resolver": "TestIntegrationStaleAnswers", "mx.views": "TestIntegrationViews",
}

// TestIntegrationMatrixIsWhole wants each check to be shown on real servers where all
// is well and where something is not.
func TestIntegrationMatrixIsWhole(t *testing.T) {
	t.Parallel()
	rows := slices.Concat(rowsBIND(), rowsTLS())
	for _, s := range gatewaySites() {
		rows = append(rows, s.rows...)
	}
	for _, s := range mailSites() {
		if s.want == plan.Pass || len(s.checks) == 1 { // else it is not told which of them does not pass
			for _, id := range s.checks {
				rows = append(rows, realRow{check: id, want: s.want})
			}
		}
	}
	has := func(id string, good bool) bool {
		return slices.ContainsFunc(rows, func(k realRow) bool { return k.check == id && (k.want == plan.Pass) == good })
	}
	for _, k := range verify.Checks() {
		if ofTheirOwn[k.ID] == "" && (!has(k.ID, true) || !has(k.ID, false)) {
			t.Errorf("%s: shown on real servers where all is well: %v, and where not: %v", k.ID, has(k.ID, true), has(k.ID, false))
		}
	}
	for _, k := range rows {
		if !slices.ContainsFunc(verify.Checks(), func(c verify.Check) bool { return c.ID == k.check }) {
			t.Errorf("%s: there is no such check", k.check)
		}
	}
}
