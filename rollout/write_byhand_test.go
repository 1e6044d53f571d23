package rollout

import (
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

func byHand(w *sim) { w.hand = true }

// asksFor waits until a person is asked for the change of a step: of the TTL
// alone, or of the members. It gives what is told of it.
func (s *scene) asksFor(domain string, k plan.Kind) (found plan.Finding) {
	s.Helper()
	s.until("a person is asked", func(st *state.Status) bool {
		d := st.Domain(domain)
		for _, f := range d.Findings {
			ttl := strings.Contains(f.Evidence, "Only the TTL changes")
			if f.Check == plan.HandCheck && f.Severity == plan.Unknown && ttl == (k == plan.LowerTTL) {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

// does is a person who makes a domain's record so.
func (s *scene) does(domain string, to rrset.Set) {
	s.world(func(w *sim) { w.change(domain, to, false) })
}

func (s *scene) cut(domain string) plan.Cutover {
	s.Helper()
	c, ok := s.e.Journal.Status().Cutover(domain)
	if !ok {
		s.Fatalf("there is no %s", domain)
	}
	return c
}

// TestByHand lets a person make all changes of a domain, days later, in steps,
// and with another TTL. The wait is told once, outlasts restarts, and holds no
// other domain up.
func TestByHand(t *testing.T) {
	t.Parallel()
	play(t, setup{world: byHand, policy: func(p *Policy) { p.Concurrency = 1 }}, func(s *scene) {
		c := s.cut(first)
		before, after := c.Before(), c.After()
		f := s.asksFor(first, plan.LowerTTL)
		if !strings.Contains(f.Detail, "waiting for the customer to change d00.example MX") || !strings.Contains(f.Evidence, "Only the TTL changes, from 3600 to") {
			s.Errorf("told: %s\n%s", f.Detail, f.Evidence)
		}
		s.asksFor("d01.example.", plan.LowerTTL) // though one domain at most is worked on
		seq := s.e.Journal.Status().Seq
		time.Sleep(48 * time.Hour)
		if now := s.e.Journal.Status().Seq; now > seq+20 {
			s.Errorf("%d events in two days of waiting", now-seq)
		}
		s.stop()
		s.start(nil)
		s.asksFor(first, plan.LowerTTL)
		s.does(first, before.WithTTL(600)) // not what was asked for, and taken
		f = s.asksFor(first, plan.Publish)
		if !strings.Contains(f.Evidence, "There shall be, and no other MX") {
			s.Errorf("told: %s", f.Evidence)
		}
		both, err := rrset.New(first, "MX", 60, append(before.Data, after.Data...)...)
		if err != nil {
			s.Fatal(err)
		}
		s.does(first, both)
		time.Sleep(time.Hour)
		if d := s.e.Journal.Status().Domain(first); d.State == state.IsDrifted || d.State == state.IsHeld {
			s.Fatalf("half way it is %s: %s", d.State, d.Reason)
		}
		s.until("what is there is told", func(*state.Status) bool {
			return strings.Contains(s.asksFor(first, plan.Publish).Detail, "; there is ")
		})
		s.does(first, after)
		s.reaches(first, state.Live)
	})
}

// TestByHandStaysProven shows P3: while a person is waited for, the way through
// the gateway is proven anew each time that a preflight is too old.
func TestByHandStaysProven(t *testing.T) {
	t.Parallel()
	play(t, setup{world: byHand}, func(s *scene) {
		s.asksFor(first, plan.LowerTTL)
		s.does(first, s.cut(first).Before().WithTTL(60))
		s.asksFor(first, plan.Publish)
		time.Sleep(24 * time.Hour)
		s.world(func(w *sim) {
			if age := time.Since(w.oracle.preflight[first]); age > 2*time.Hour {
				s.Errorf("the preflight is %v old", age)
			}
		})
		s.does(first, s.cut(first).After())
		s.reaches(first, state.Live)
	})
}

// TestByHandBack holds and rolls back while a person is waited for: what was made
// is asked back, what was not is not.
func TestByHandBack(t *testing.T) {
	t.Parallel()
	play(t, setup{world: byHand}, func(s *scene) {
		c, target := s.cut(first), state.DomainTarget(first)
		s.asksFor(first, plan.LowerTTL)
		s.does(first, c.Before().WithTTL(60))
		s.asksFor(first, plan.Publish)
		s.do(state.Decision{Verb: state.Hold, Target: target})
		time.Sleep(time.Hour)
		if d := s.e.Journal.Status().Domain(first); !d.Paused {
			s.Errorf("on hold, it is %+v", d)
		}
		s.do(state.Decision{Verb: state.Resume, Target: target})
		s.asksFor(first, plan.Publish)
		s.rollback(target)
		f := s.asksFor(first, plan.LowerTTL)
		if !strings.Contains(f.Evidence, "There shall be, and no other MX at this name:\n    d00.example. 3600 IN MX") {
			s.Errorf("told: %s", f.Evidence)
		}
		s.does(first, c.Before().WithTTL(900)) // not the original
		time.Sleep(time.Hour)
		if d := s.e.Journal.Status().Domain(first); d.State != state.IsRollingBack {
			s.Fatalf("with another TTL it is %s: %s", d.State, d.Reason)
		}
		s.stop()
		s.start(nil)
		time.Sleep(time.Hour)
		if d := s.e.Journal.Status().Domain(first); d.State != state.IsRollingBack {
			s.Fatalf("with another TTL, after a restart, it is %s: %s", d.State, d.Reason)
		}
		s.does(first, c.Before())
		s.reaches(first, state.IsRolledBack)
		s.original(first)
	})
	play(t, setup{world: byHand}, func(s *scene) { // published, and taken back
		c := s.cut(first)
		s.asksFor(first, plan.LowerTTL)
		s.does(first, c.Before().WithTTL(60))
		s.asksFor(first, plan.Publish)
		s.does(first, c.After())
		s.reaches(first, state.Live)
		s.rollback(state.DomainTarget(first))
		s.asksFor(first, plan.Publish)
		s.does(first, c.Before().WithTTL(60))
		s.asksFor(first, plan.LowerTTL)
		s.does(first, c.Before())
		s.reaches(first, state.IsRolledBack)
		s.original(first)
	})
}
