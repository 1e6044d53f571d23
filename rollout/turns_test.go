package rollout

import (
	"slices"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// A domain that waits for its turn to be asked about takes no place in its wave: what
// is proven moves meanwhile, while its proof counts. It is told until when it waits, and
// nothing of it is asked before.
func TestWaitingForATurnHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const other = "d01.example."
	var due time.Time
	with := setup{policy: func(p *Policy) { p.Concurrency = 1 }, world: func(w *sim) {
		due = time.Now().Add(48 * time.Hour)
		w.turn = func(domain string) time.Time {
			if domain == first {
				return due
			}
			return time.Time{}
		}
	}}
	play(t, with, func(s *scene) {
		s.reaches(other, state.Live)
		if !time.Now().Before(due) {
			s.Errorf("%s waited for the turn of %s", other, first)
		}
		d := s.e.Journal.Status().Domain(first)
		if !slices.ContainsFunc(d.Findings, func(f plan.Finding) bool {
			return f.Check == "gw.unknown" && f.Severity == plan.Warn && f.Detail == "it waits for its turn"
		}) || !d.Until.Equal(due) {
			s.Errorf("that it waits until %s is not told: until %s, %v", due, d.Until, d.Findings)
		}
		s.world(func(w *sim) {
			if at, asked := w.oracle.preflight[first]; asked {
				s.Errorf("asked about at %s, before its turn at %s", at, due)
			}
		})
		s.reaches(first, state.Live)
	})
}
