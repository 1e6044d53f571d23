package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// forward are the states of a domain that is on its way, in their order.
var forward = []state.Phase{
	state.Preflighted, state.TTLLowered, state.Waited, state.Published, state.Propagated, state.Probed, state.Soaking, state.Live,
}

// TestHoldInEveryState holds a domain wherever it is, waits too: it stays there,
// nothing is written, and it goes on when it is told to.
func TestHoldInEveryState(t *testing.T) {
	t.Parallel()
	for _, at := range forward[:7] {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.reaches(first, from(at)...)
				s.do(state.Decision{Verb: state.Hold, Target: state.DomainTarget(first)})
				time.Sleep(time.Minute) // what is under way ends
				was, record := s.e.Journal.Status().Domain(first), s.set(first)
				time.Sleep(24 * time.Hour)
				if d := s.e.Journal.Status().Domain(first); d.State != was.State || !d.Paused || !s.set(first).Equal(record) {
					s.Errorf("held while %s, it is %s a day later, with %v", was.State, d.State, s.set(first))
				}
				s.do(state.Decision{Verb: state.Resume, Target: state.DomainTarget(first)})
				s.reaches(first, state.Live)
			})
		})
	}
}

// from are a state and those that come after it: a short one may be missed.
func from(p state.Phase) []state.Phase {
	for i, x := range forward {
		if x == p {
			return forward[i:]
		}
	}
	return nil
}

// TestRollbackFromEveryState asks for a rollback wherever the domain is: it ends
// exactly as it was (P6).
func TestRollbackFromEveryState(t *testing.T) {
	t.Parallel()
	for _, at := range append([]state.Phase{state.Planned}, forward...) {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				if at != state.Planned {
					s.reaches(first, from(at)...)
				}
				s.rollback(state.DomainTarget(first))
				s.reaches(first, state.IsRolledBack)
				s.original(first)
				time.Sleep(24 * time.Hour)
				if d := s.e.Journal.Status().Domain(first); d.State != state.IsRolledBack {
					s.Errorf("rolled back, it is %s a day later", d.State)
				}
			})
		})
	}
	for _, at := range []state.Phase{state.IsHeld, state.IsInDoubt, state.Settled} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				switch at {
				case state.IsHeld:
					s.world(func(w *sim) { w.silent[first] = true })
				case state.IsInDoubt:
					s.reaches(first, state.Waited)
					s.world(func(w *sim) { w.faults[0] = fault{"late", 25 * time.Second} })
				case state.Settled:
					s.isolate()
				}
				s.reaches(first, at)
				s.world(func(w *sim) { w.faults = map[int]fault{} })
				s.rollback(state.DomainTarget(first))
				s.reaches(first, state.IsRolledBack)
				s.original(first)
			})
		})
	}
}

// TestOneBadDomain shows P4: it goes back by itself, its neighbours go live, no
// later wave starts; and it never begins again by itself.
func TestOneBadDomain(t *testing.T) {
	t.Parallel()
	play(t, setup{world: func(w *sim) { w.failing[first] = true }}, func(s *scene) {
		s.do(state.Decision{Verb: state.Approve, Target: "wave:wave-2"})
		s.reaches("d01.example.", state.Live)
		s.reaches("d02.example.", state.Live)
		s.original(first)
		time.Sleep(48 * time.Hour)
		st := s.e.Journal.Status()
		if d := st.Domain(first); d.State != state.IsRolledBack || !d.Failed {
			s.Errorf("the failing domain is %s", d.State)
		}
		if st.Waves[0].State != state.IsHeld || st.Waves[1].State != state.WaveWaiting {
			s.Errorf("waves are %s and %s", st.Waves[0].State, st.Waves[1].State)
		}
		s.world(func(w *sim) { w.failing[first] = false })
		s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
		s.until("the next wave runs", func(st *state.Status) bool { return st.Waves[1].State == state.WaveRunning })
	})
}

// TestSilentServer shows P1: while an authoritative server does not answer,
// nothing is changed, and the domain waits for a person.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	play(t, setup{world: func(w *sim) { w.mute = first }}, func(s *scene) {
		if d := s.reaches(first, state.IsHeld); !strings.Contains(d.Reason, "do not agree") {
			s.Errorf("reason: %s", d.Reason)
		}
		s.original(first)
		if n := len(s.past(first)); n != 1 {
			s.Errorf("it was written %d times", n-1)
		}
		s.world(func(w *sim) { w.mute = "" })
		s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
		s.reaches(first, state.Live)
	})
}

// TestGatewayFault holds and turns nothing around: several fail alike, or one
// that was live fails too.
func TestGatewayFault(t *testing.T) {
	t.Parallel()
	moved := func(s *scene, domains ...string) {
		s.Helper()
		for _, d := range domains {
			if d := s.reaches(d, state.IsHeld); !strings.Contains(d.Reason, "looks like the gateway") {
				s.Errorf("%s: %s", d.Domain, d.Reason)
			}
			if leads(s.set(d)) {
				s.Errorf("%s was turned around", d)
			}
		}
	}
	t.Run("alike", func(t *testing.T) {
		t.Parallel()
		play(t, setup{world: func(w *sim) { w.down = true }}, func(s *scene) {
			moved(s, first, "d01.example.", "d02.example.")
		})
	})
	t.Run("one that was live", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			s.do(state.Decision{Verb: state.Approve, Target: "wave:wave-2"})
			s.reaches("d04.example.", from(state.Published)...)
			for _, d := range []string{first, "d01.example.", "d02.example.", "d04.example."} {
				s.world(func(w *sim) { w.failing[d] = true })
			}
			moved(s, "d04.example.")
			if w := s.e.Journal.Status().Waves[1]; w.State != state.IsHeld || !w.Shut {
				s.Errorf("its wave is %s, shut %v", w.State, w.Shut)
			}
		})
	})
}

// TestConsecutiveFailures shuts the wave: nothing more of it is published.
func TestConsecutiveFailures(t *testing.T) {
	t.Parallel()
	with := setup{
		plan: func(_ *plan.Inventory, s *plan.Settings) {
			s.Gate.Consecutive, s.Gate.Failures, s.Gate.Shared = 2, 9, 0
		},
		world:  func(w *sim) { w.failing = map[string]bool{"d03.example.": true, "d04.example.": true} },
		policy: func(p *Policy) { p.Concurrency = 1 },
	}
	play(t, with, func(s *scene) {
		s.do(state.Decision{Verb: state.Approve, Target: "wave:wave-2"})
		s.until("the wave is held", func(st *state.Status) bool { return st.Waves[1].Shut })
		time.Sleep(48 * time.Hour)
		for _, d := range []string{"d08.example.", "d09.example."} {
			if !leads(s.set(d)) {
				s.Errorf("%s was published", d)
			}
		}
	})
}

// TestLostCredentials loses the secrets while the engine runs: nothing more is
// published, and what is live is held, since no rollback could be made without
// the engine. One by the engine goes on as it was.
func TestLostCredentials(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		lose := func(lost bool) {
			s.w.mu.Lock()
			s.w.keyless = lost
			s.w.mu.Unlock()
		}
		d := s.w.plan.Waves[0].Cutovers[0].Domain
		s.reaches(d, state.TTLLowered)
		lose(true)
		st := s.reaches(d, state.IsHeld)
		if _, begun := st.Steps[string(plan.Publish)]; begun || !strings.Contains(st.Reason, "the key is gone") {
			s.Errorf("it is %s, %q, and published %v", st.State, st.Reason, begun)
		}
		lose(false)
		if err := s.e.Do(s.Context(), state.Decision{Verb: state.Retry, Target: state.All, By: "op"}); err != nil {
			s.Fatal(err)
		}
		s.reaches(d, state.Live)
		lose(true)
		if st = s.reaches(d, state.IsHeld); !strings.Contains(st.Reason, "the key is gone") {
			s.Errorf("live, it is held for %q", st.Reason)
		}
	})
}

// TestUnknownIsHeld shows P10: what could not be asked neither passes nor fails.
func TestUnknownIsHeld(t *testing.T) {
	t.Parallel()
	play(t, setup{world: func(w *sim) { w.silent[first] = true }}, func(s *scene) {
		d := s.reaches(first, state.IsHeld)
		if leads(s.set(first)) || d.Failed || !strings.Contains(d.Reason, "could not check") {
			s.Errorf("failed %v, %v: %s", d.Failed, s.set(first).Data, d.Reason)
		}
		s.world(func(w *sim) { w.silent[first] = false })
		s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
		s.reaches(first, state.Live)
	})
}

// TestRealMailThatIsLostGoesBack shows that a domain is live by its real mail: where
// that is refused, though probes arrive, it goes back; where there is none, it goes on
// and says so.
func TestRealMailThatIsLostGoesBack(t *testing.T) {
	t.Parallel()
	play(t, setup{world: func(w *sim) { w.losing = map[string]bool{first: true} }}, func(s *scene) {
		d := s.reaches(first, state.IsRolledBack)
		if leads := s.set(first); !strings.Contains(d.Reason, "25 of 30 messages were refused") || leads.SameData(s.cut(first).After()) {
			s.Errorf("%v: %s", leads.Data, d.Reason)
		}
		s.world(func(w *sim) { w.losing = nil })
		s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
		d = s.reaches(first, state.Live)
		if !slices.ContainsFunc(d.Findings, func(f plan.Finding) bool { return f.Check == "mail.real" && f.Severity == plan.Unknown }) {
			s.Errorf("live without a word about real mail: %+v", d.Findings)
		}
	})
}

// TestRealMailOfALiveDomainIsTold shows that nothing turns back by itself what has been
// live: its real mail is a warning then.
func TestRealMailOfALiveDomainIsTold(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.reaches(first, state.Live)
		s.world(func(w *sim) { w.losing = map[string]bool{first: true} })
		s.until("it is told", func(st *state.Status) bool {
			return slices.ContainsFunc(st.Domain(first).Findings, func(f plan.Finding) bool { return f.Check == "mail.real" && f.Severity == plan.Warn })
		})
		if d := s.e.Journal.Status().Domain(first); d.State != state.Live {
			s.Errorf("it is %s: %s", d.State, d.Reason)
		}
		s.world(func(w *sim) { w.losing = map[string]bool{first: false} })
		s.until("it is over", func(st *state.Status) bool {
			return slices.ContainsFunc(st.Domain(first).Findings, func(f plan.Finding) bool { return f.Check == "mail.real" && f.Severity == plan.Pass })
		})
	})
}

// TestClocksThatJump sets the wall's clock in each wait. The oracle measures the
// waits by true time.
func TestClocksThatJump(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		for _, at := range []state.Phase{state.TTLLowered, state.Soaking} {
			t.Run(fmt.Sprint(by, " while ", at), func(t *testing.T) {
				t.Parallel()
				play(t, setup{}, func(s *scene) {
					s.reaches(first, at)
					begun := time.Now()
					s.world(func(w *sim) { w.jump += by })
					s.reaches(first, from(at)[1:]...)
					if took := time.Since(begun); at == state.Soaking && (took < 25*time.Minute || took > 35*time.Minute) {
						s.Errorf("it soaked for %v", took)
					}
					s.reaches(first, state.Live)
				})
			})
		}
	}
	t.Run("before isolation", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			for _, w := range s.w.plan.Waves[1:] {
				s.do(state.Decision{Verb: state.Approve, Target: state.WaveTarget(w.Name)})
			}
			s.do(state.Decision{Verb: state.Approve, Target: state.Isolate})
			s.until("it observes", func(st *state.Status) bool { return st.Isolation.Step == string(plan.Observe) })
			s.world(func(w *sim) { w.jump += 30 * time.Hour })
			s.until("it is armed", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
		})
	})
}

// TestRestartOfTheMachine begins TTL waits anew, and believes no clock that is
// not synchronised.
func TestRestartOfTheMachine(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.reaches(first, state.TTLLowered)
		time.Sleep(50 * time.Minute) // of the hour
		s.kill("reboot")
		again := time.Now()
		s.start(nil)
		s.reaches(first, from(state.Waited)...)
		if took := time.Since(again); took < time.Hour {
			s.Errorf("after the restart it waited for %v, want the whole hour", took)
		}
		s.reaches(first, state.Soaking)
		s.kill("reboot")
		s.world(func(w *sim) { w.syncAt = time.Now().Add(40 * time.Minute) })
		again = time.Now()
		s.start(nil)
		s.reaches(first, state.Live)
		if took := time.Since(again); took < 39*time.Minute {
			s.Errorf("a clock that was not synchronised was believed after %v", took)
		}
	})
}

// TestWavesAfterACrash starts none until it is told.
func TestWavesAfterACrash(t *testing.T) {
	t.Parallel()
	cautious := func(p *Policy) { p.ResumeWaves = false }
	play(t, setup{policy: cautious}, func(s *scene) {
		s.do(state.Decision{Verb: state.Approve, Target: "wave:wave-2"})
		s.reaches(first, state.Soaking)
		s.kill("kill")
		s.start(cautious)
		s.until("the pilot is live", func(st *state.Status) bool { return st.Waves[0].State == state.Live })
		time.Sleep(24 * time.Hour)
		if w := s.e.Journal.Status().Waves[1]; w.State != state.WaveWaiting {
			s.Errorf("after a crash, wave-2 is %s", w.State)
		}
		s.do(state.Decision{Verb: state.Approve, Target: "wave:wave-3"})
		s.until("it goes on", func(st *state.Status) bool { return st.Waves[1].State == state.WaveRunning })
	})
}

// TestStopInAWrite ends the engine while the provider is silent: it ends within
// two seconds, and the next one goes on.
func TestStopInAWrite(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.reaches(first, state.Waited)
		s.world(func(w *sim) { w.faults[0] = fault{"stalled", 20 * time.Second} })
		for writes := s.writes(); s.writes() == writes; {
			time.Sleep(time.Second)
		}
		if took := s.stop(); took > 2*time.Second {
			s.Errorf("it ended after %v", took)
		}
		time.Sleep(time.Minute)
		s.world(func(w *sim) { w.faults = map[int]fault{} })
		s.start(nil)
		s.reaches(first, state.Live)
	})
}

// TestFullDisk starts nothing but rollbacks.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.reaches(first, state.Soaking)
		if err := s.e.emit(s.Context(), state.Event{Kind: state.DiskLow, Reason: "full"}); err != nil {
			s.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		for _, d := range []string{"d05.example."} {
			if st := s.e.Journal.Status().Domain(d); st.State == state.Live {
				s.Errorf("%s is %s", d, st.State)
			}
		}
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		s.original(first)
	})
}

// TestNoRoomForSnapshots starts no write while its snapshot finds no room, goes
// back all the same, and goes on when there is room again.
func TestNoRoomForSnapshots(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.reaches(first, state.Waited)
		s.world(func(w *sim) { w.cramped = true })
		s.until("the disk is told to be full", func(st *state.Status) bool { return st.DiskLow != "" })
		time.Sleep(time.Hour)
		if st := s.e.Journal.Status().Domain(first); st.State != state.Waited {
			s.Errorf("%s is %s: %s", first, st.State, st.Reason)
		}
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		s.original(first)
		s.world(func(w *sim) { w.cramped = false })
		s.until("the pilot's others are live", func(st *state.Status) bool { return st.Waves[0].Live == st.Waves[0].Total-1 })
	})
}

// TestPeakHour keeps a domain from being published in its own.
func TestPeakHour(t *testing.T) {
	t.Parallel()
	hour := 6 // when the window opens
	with := setup{plan: func(inv *plan.Inventory, s *plan.Settings) {
		s.Gate.AvoidPeak = true
		inv.Domains[0].Peak = &hour
	}}
	play(t, with, func(s *scene) {
		s.reaches("d01.example.", state.Live)
		s.reaches(first, state.Live)
		for domain, hour := range map[string]int{first: 7, "d01.example.": 6} {
			for _, v := range s.past(domain) {
				if !leads(v.set) {
					if got := v.at.UTC().Hour(); got != hour {
						s.Errorf("%s was published at %v, want hour %d", domain, v.at.UTC(), hour)
					}
					break
				}
			}
		}
	})
}

// TestPlanOfOneRecord pins what the sim takes for granted.
func TestPlanOfOneRecord(t *testing.T) {
	t.Parallel()
	c := newSim(t, nil).plan.Waves[0].Cutovers[0]
	if want := (rrset.Set{Name: first, Type: "MX", TTL: 300, Data: []string{"10 gw.test."}}); !c.After().Equal(want) || leads(c.After()) || !leads(c.Before()) {
		t.Errorf("%+v", c)
	}
}
