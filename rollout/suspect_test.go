package rollout

import (
	"strings"
	"testing"
	"time"

	"mxcutover/state"
)

// TestWrittenElsewhere lets a provider write where no name server looks. It is
// found by asking them, told in the status, and not written to again; what was
// written is taken back all the same; and it is trusted again once what it wrote
// is served.
func TestWrittenElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := func(w *sim) { w.guarded, w.elsewhere = true, true }
	one := func(p *Policy) { p.Concurrency, p.PrepareAll = 1, false }
	const others = "d01.example."
	t.Run("and taken back", func(t *testing.T) {
		t.Parallel()
		play(t, setup{world: elsewhere, policy: one}, func(s *scene) {
			d := s.reaches(first, state.IsHeld)
			if !strings.Contains(d.Reason, "all of them still serve what was there before, so nothing more is written through play") {
				s.Errorf("reason: %s", d.Reason)
			}
			if d := s.reaches(others, state.IsHeld); !strings.Contains(d.Reason, "nothing more is written through this provider in this run") || !strings.Contains(d.Reason, "and its name servers serve 10 mail.old.test.") || len(s.past(others)) > 1 {
				s.Errorf("reason: %s; %d versions", d.Reason, len(s.past(others)))
			}
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsRolledBack)
			s.original(first)
		})
	})
	t.Run("and late", func(t *testing.T) {
		t.Parallel()
		play(t, setup{world: elsewhere, policy: one}, func(s *scene) {
			s.reaches(first, state.IsHeld)
			s.reaches(others, state.IsHeld)
			s.world(func(w *sim) { w.elsewhere = false })
			s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
			s.reaches(first, state.Live)
			s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(others)})
			s.reaches(others, state.Live)
			time.Sleep(time.Minute)
		})
	})
}
