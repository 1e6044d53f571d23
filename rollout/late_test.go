package rollout

import (
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// TestTakenUpAgainSettles rolls a domain back, and takes it up again when its wave and
// all others are live, while much is looked at: original TTLs come back all the same.
func TestTakenUpAgainSettles(t *testing.T) {
	t.Parallel()
	with := setup{
		plan:   func(_ *plan.Inventory, set *plan.Settings) { set.Ports, set.Gate.Approve = nil, plan.Auto },
		policy: func(p *Policy) { p.WatchEvery = 10 * time.Second }, // so that there is never a quiet minute
	}
	play(t, with, func(s *scene) {
		s.reaches(first, state.Live)
		target := state.DomainTarget(first)
		s.rollback(target)
		s.reaches(first, state.IsRolledBack)
		s.until("all others are live", func(st *state.Status) bool {
			for _, w := range st.Waves {
				if w.State != state.Live {
					return false
				}
			}
			return true
		})
		s.do(state.Decision{Verb: state.Retry, Target: target})
		s.until("original TTLs are back", func(st *state.Status) bool { return st.Over })
	})
}
