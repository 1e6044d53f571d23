package rollout

import (
	"strings"
	"testing"
	"time"

	"mxcutover/state"
)

// TestLateWrite lets a write come late, after the domain was asked to go back:
// no rollback is final before that can no longer happen.
func TestLateWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kill bool
		late time.Duration
	}{
		"in time": {false, 25 * time.Second}, "engine killed": {true, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.reaches(first, state.Waited)
				s.world(func(w *sim) { w.faults[0] = fault{"late", c.late} })
				if c.kill {
					s.world(func(w *sim) { w.dieLate = first })
				}
				for writes := s.writes(); s.writes() == writes || s.dying(); {
					time.Sleep(time.Second)
				}
				s.world(func(w *sim) { w.faults = map[int]fault{} })
				if c.kill { // in the middle of the write, which no outcome tells of
					s.stop()
					s.start(nil)
				}
				s.rollback(state.DomainTarget(first))
				s.reaches(first, state.IsRolledBack)
				time.Sleep(time.Hour)
				s.original(first)
			})
		})
	}
}

// TestLateForEver lets a write come hours after the rollback was declared done.
// It is noticed, and told.
func TestLateForEver(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.reaches(first, state.Live)
		moved := s.set(first)
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		time.Sleep(3 * time.Hour)
		s.w.mu.Lock()
		s.w.change(first, moved, false)
		s.w.mu.Unlock()
		if d := s.reaches(first, state.IsDrifted); !strings.Contains(d.Reason, "gateway") {
			s.Errorf("reason: %s", d.Reason)
		}
	})
}

// TestUnfinishedWrite lets a provider write and not make it known. That is done
// before the step is, forward and back, though the record is as it should be.
func TestUnfinishedWrite(t *testing.T) {
	t.Parallel()
	owed := func(s *scene) (yes bool) {
		s.world(func(w *sim) { yes = w.owed })
		return yes
	}
	unfinished := func(on bool) func(w *sim) {
		return func(w *sim) {
			w.faults = map[int]fault{}
			if on {
				w.faults[0] = fault{Kind: "unfinished"}
			}
		}
	}
	t.Run("forward", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.reaches(first, state.Waited)
			s.world(unfinished(true))
			if d := s.reaches(first, state.IsHeld); !strings.Contains(d.Reason, "could not be carried out") || !owed(s) {
				s.Errorf("held: %+v", d)
			}
			s.world(unfinished(false))
			s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
			s.reaches(first, from(state.Published)...)
			if owed(s) {
				s.Error("published, and not made known")
			}
		})
	})
	t.Run("back", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.reaches(first, state.Live)
			s.world(unfinished(true))
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsHeld)
			s.world(unfinished(false))
			s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
			s.until("it is made known", func(*state.Status) bool { return !owed(s) })
			s.reaches(first, state.IsRolledBack)
			s.original(first)
		})
	})
}

// TestProviderFaults lets the provider do what providers do. The domain goes on,
// at once or when a person says so, and ends live.
func TestProviderFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fault
		lasts time.Duration // how long it lasts
		state state.Phase   // it comes to that in between; "" = it goes on by itself
		words string
	}{
		"times out after it applied": {fault{"timeout", 0}, time.Minute, "", ""},
		"applies late":               {fault{"late", 20 * time.Second}, time.Minute, "", ""},
		"ignores once":               {fault{"ignored", 0}, 30 * time.Second, "", ""},
		"ignores for ever":           {fault{"ignored", 0}, time.Hour, state.IsHeld, "reported success and did something else"},
		"throttles for five minutes": {fault{"throttled", 0}, 5 * time.Minute, "", ""},
		"throttles for an hour":      {fault{"throttled", 0}, time.Hour, state.IsHeld, "could not be carried out"},
		"has lost our credentials":   {fault{"refused", 0}, time.Hour, state.IsHeld, "could not be carried out"},
		"answers old for a minute":   {fault{"stale", 0}, time.Minute, "", ""},
		"is slow":                    {fault{"stalled", 25 * time.Second}, time.Hour, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.reaches(first, state.Waited)
				s.world(func(w *sim) { w.faults[0] = c.fault })
				if c.fault.Kind == "stale" {
					s.world(func(w *sim) { w.faults = map[int]fault{} })
					s.world(func(w *sim) { w.director.staleOnWrite = true })
				}
				for writes := s.writes(); s.writes() == writes; {
					time.Sleep(time.Second)
				}
				time.Sleep(c.lasts)
				if c.state != "" {
					if d := s.reaches(first, c.state); !strings.Contains(d.Reason, c.words) {
						s.Errorf("reason: %s", d.Reason)
					}
				}
				s.world(func(w *sim) { w.faults = map[int]fault{} })
				if c.state != "" {
					s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
				}
				s.reaches(first, state.Live)
			})
		})
	}
}

// TestSettleIsInsistedUpon lets the provider ignore the original TTL again and
// again. It held that TTL before, so it is not one that it would not hold: a
// person decides.
func TestSettleIsInsistedUpon(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		drift   state.Drift
		ignores bool // for ever
		ttl     uint32
	}{
		"written after all": {"", false, 3600},
		"left so":           {state.Adopt, true, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.isolate()
				s.world(func(w *sim) { w.faults[0] = fault{"ignored", 0} })
				if d := s.reaches(first, state.IsHeld); !strings.Contains(d.Reason, "keeps 300 s") {
					s.Errorf("reason: %s", d.Reason)
				}
				if !c.ignores {
					s.world(func(w *sim) { w.faults = map[int]fault{} })
				}
				s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first), Drift: c.drift})
				s.reaches(first, state.Settled)
				if got := s.set(first); got.TTL != c.ttl {
					s.Errorf("ends with TTL %d, want %d", got.TTL, c.ttl)
				}
			})
		})
	}
}

// TestDriftChoices changes a record behind the engine's back, on the way forward
// and on the way back: it is not written until a person chooses, and then as
// they choose.
func TestDriftChoices(t *testing.T) {
	t.Parallel()
	target := state.DomainTarget(first)
	choose := func(s *scene, v state.Verb, drift state.Drift) {
		s.world(func(w *sim) { w.oracle.forced[first] = drift == state.Force || drift == state.Adopt })
		s.do(state.Decision{Verb: v, Target: target, Drift: drift, Confirm: state.ConfirmName(target)})
	}
	t.Run("from the start, adopt", func(t *testing.T) {
		t.Parallel()
		play(t, setup{world: func(w *sim) {
			set := w.records[first].past[0].set
			set.Data = []string{"10 mail.other.test."}
			w.change(first, set, true)
		}}, func(s *scene) {
			s.reaches(first, state.IsDrifted)
			choose(s, state.Retry, state.Adopt)
			s.reaches(first, state.Live)
			s.rollback(target)
			s.reaches(first, state.IsRolledBack)
			if got := s.set(first); got.Data[0] != "10 mail.other.test." || got.TTL != 3600 {
				s.Errorf("rolled back to %v TTL %d", got.Data, got.TTL)
			}
		})
	})
	for _, drift := range []state.Drift{state.Adopt, state.Force, state.Skip} {
		t.Run("forward, "+string(drift), func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.reaches(first, state.Waited)
				s.foreign(first, 120, "10 mail.other.test.")
				s.reaches(first, state.IsDrifted)
				time.Sleep(24 * time.Hour)
				s.do(state.Decision{Verb: state.Retry, Target: target}) // looks again, and writes nothing
				time.Sleep(time.Hour)
				if d := s.reaches(first, state.IsDrifted); s.set(first).Data[0] != "10 mail.other.test." {
					s.Fatalf("%s was overwritten: %v", d.Domain, s.set(first))
				}
				choose(s, state.Retry, drift)
				if drift == state.Skip {
					s.until("it is skipped, and its wave goes on", func(st *state.Status) bool {
						return st.Domain(first).State == state.IsSkipped && st.Waves[0].State == state.Live
					})
					return
				}
				s.reaches(first, state.Live)
				s.rollback(target)
				s.reaches(first, state.IsRolledBack)
				if got := s.set(first); got.TTL != 3600 && got.TTL != 120 || drift == state.Adopt && got.Data[0] != "10 mail.other.test." {
					s.Errorf("rolled back to %v TTL %d", got.Data, got.TTL)
				}
			})
		})
		t.Run("back, "+string(drift), func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.reaches(first, state.Live)
				s.foreign(first, 120, "10 mail.other.test.")
				s.rollback(target)
				s.reaches(first, state.IsDrifted)
				choose(s, state.Rollback, drift)
				switch drift {
				case state.Force:
					s.reaches(first, state.IsRolledBack)
					s.original(first)
				case state.Adopt:
					s.reaches(first, state.IsRolledBack)
					if got := s.set(first); got.Data[0] != "10 mail.other.test." || got.TTL != 120 {
						s.Errorf("it is %v", got)
					}
				case state.Skip:
					s.reaches(first, state.IsSkipped)
					if got := s.set(first); got.Data[0] != "10 mail.other.test." {
						s.Errorf("it is %v", got)
					}
				}
			})
		})
	}
}
