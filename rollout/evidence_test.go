package rollout

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// observed brings all waves live, until isolation waits for approval.
func (s *scene) observed() {
	s.Helper()
	for _, w := range s.w.plan.Waves[1:] {
		s.do(state.Decision{Verb: state.Approve, Target: state.WaveTarget(w.Name)})
	}
	s.until("it is observed", func(st *state.Status) bool { return st.Isolation.State == state.IsolationObserved })
}

// refuses waits until isolation is held for a reason, without having been armed.
func (s *scene) refuses(why string) {
	s.Helper()
	st := s.until("it is held", func(st *state.Status) bool { return st.Isolation.Held || st.Isolation.Closed })
	if i := st.Isolation; i.Closed || !strings.Contains(i.Reason, why) {
		s.Errorf("closed %v: %s", i.Closed, i.Reason)
	}
}

// leadBack lets somebody point a domain back to the old server, or a name that
// never moved.
func (s *scene) leadBack(domain string) { s.foreign(domain, 300, "10 mail.old.test.") }

// TestOldEvidenceClosesNothing lets a domain lead back to the old server after it
// was observed that none does (P7): by a rollback, or by somebody's edit that
// nobody has noticed yet; before arming, and while it is armed.
func TestOldEvidenceClosesNothing(t *testing.T) {
	t.Parallel()
	approve := state.Decision{Verb: state.Approve, Target: state.Isolate}
	keep := state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate}
	proven := func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven }
	for name, script := range map[string]func(*scene){
		"rolled back before arming": func(s *scene) {
			s.observed()
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsRolledBack)
			s.do(approve)
		},
		"rolled back and live again before arming": func(s *scene) {
			s.observed()
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsRolledBack)
			s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
			s.reaches(first, state.Live)
			s.do(approve)
			time.Sleep(isolateAfter / 2)
			if i := s.e.Journal.Status().Isolation; i.State != state.IsolationOpen {
				s.Errorf("isolation is %s: it is to be observed again", i.State)
			}
		},
		"edited before arming": func(s *scene) {
			s.observed()
			s.leadBack(first)
			s.do(approve)
		},
		"edited while armed": func(s *scene) {
			s.observed()
			s.do(approve)
			s.until("it is proven", proven)
			s.leadBack(first)
			s.do(keep)
		},
		"another view leads to it": func(s *scene) {
			s.observed()
			s.world(func(w *sim) { w.within = map[string]bool{first: true} })
			s.do(approve)
		},
		"another view leads to it while armed": func(s *scene) {
			s.observed()
			s.do(approve)
			s.until("it is proven", proven)
			s.world(func(w *sim) { w.within = map[string]bool{first: true} })
			s.do(keep)
		},
		"a node is not let in": func(s *scene) {
			s.observed()
			s.world(func(w *sim) { w.nodeLost = true })
			s.do(approve)
			s.refuses("the gateway would be cut off")
		},
		"source addresses are hidden": func(s *scene) {
			s.observed()
			s.world(func(w *sim) { w.hidden = true })
			s.do(approve)
			s.refuses("let everybody in")
		},
		"a node is lost while armed": func(s *scene) {
			s.observed()
			s.do(approve)
			s.until("it is proven", proven)
			s.world(func(w *sim) { w.nodeLost = true })
			s.do(keep)
		},
		"drifted while armed": func(s *scene) {
			s.observed()
			s.do(approve)
			s.until("it is proven", proven)
			s.leadBack(first)
			s.reaches(first, state.IsDrifted)
		},
		"rolled back while armed": func(s *scene) {
			s.observed()
			s.do(approve)
			s.until("it is proven", proven)
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsRolledBack)
			s.until("it is lifted", func(st *state.Status) bool { return st.Isolation.State == state.IsolationLifted })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				script(s)
				time.Sleep(30 * time.Minute)
				s.world(func(w *sim) {
					if w.isClosed() {
						s.Errorf("the old server is closed, %s", w.records[first].now().set.Data)
					}
				})
				if st := s.e.Journal.Status(); st.Isolation.State == state.IsolationConfirmed {
					s.Error("isolation is confirmed")
				}
				s.world(func(w *sim) {
					if w.witnessed != 0 || w.witnesses == 0 {
						s.Errorf("told %d times to note who connects, and to stop all but %d times", w.witnesses, w.witnessed)
					}
				})
			})
		})
	}
}

// TestTrustThatChanged edits isolate.trust between arming and confirming: what was
// proven is not what would be kept, so it is left to expire, and a retry arms and
// proves what is configured now, also while the old rules are armed still.
func TestTrustThatChanged(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]time.Duration{"at once": 0, "after it has lapsed": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				s.observed()
				s.do(state.Decision{Verb: state.Approve, Target: state.Isolate})
				proven := func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven && !st.Isolation.Held }
				s.until("it is proven", proven)
				s.stop()
				more := netip.MustParsePrefix("198.51.100.0/24")
				s.world(func(w *sim) { w.trust = []netip.Prefix{more} })
				s.start(nil)
				st := s.until("it is held", func(st *state.Status) bool { return st.Isolation.Held })
				if why := st.Isolation.Reason; !strings.Contains(why, "+ trusted network 198.51.100.0/24") {
					s.Error(why)
				}
				time.Sleep(later)
				s.world(func(w *sim) {
					if w.isClosed() != (later == 0) {
						s.Errorf("closed %v", w.isClosed())
					}
				})
				s.do(state.Decision{Verb: state.Retry, Target: state.Isolate})
				s.until("it is proven again", proven)
				s.do(state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
				s.until("it is confirmed", func(st *state.Status) bool { return st.Isolation.State == state.IsolationConfirmed })
				s.world(func(w *sim) {
					if !slices.Contains(w.trusted, more) {
						s.Errorf("%v is let in", w.trusted)
					}
				})
			})
		})
	}
}

// TestStagesOfPorts closes port 25 for good, then 465: each by its own approval,
// arming, proof and word. What is held in the second leaves the first closed.
func TestStagesOfPorts(t *testing.T) {
	t.Parallel()
	approve := state.Decision{Verb: state.Approve, Target: state.Isolate}
	keep := state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate}
	is := func(phase state.Phase) func(*state.Status) bool {
		return func(st *state.Status) bool { return st.Isolation.State == phase }
	}
	second := func(_ *plan.Inventory, set *plan.Settings) { set.Stages = [][]uint16{{465}} }
	play(t, setup{plan: second}, func(s *scene) {
		closed := func(what string, want bool) {
			s.Helper()
			s.world(func(w *sim) {
				if !w.isClosed() || w.second != want {
					s.Errorf("%s: port 25 closed: %v, port 465 closed: %v", what, w.closed, w.second)
				}
			})
		}
		s.observed()
		s.do(approve)
		s.until("it is proven", is(state.IsolationProven))
		s.do(keep)
		s.until("port 25 is closed for good, and the second set is observed", func(st *state.Status) bool {
			return st.Isolation.Steps[string(plan.Confirm)].Done && st.Isolation.State == state.IsolationObserved
		})
		time.Sleep(time.Hour)
		closed("nobody approved", false)
		s.do(approve)
		s.until("it is proven", is(state.IsolationProven))
		closed("armed", true)
		s.until("nobody confirmed in time", func(st *state.Status) bool { return st.Isolation.Held })
		time.Sleep(time.Hour)
		closed("left to expire", false)
		s.do(state.Decision{Verb: state.Retry, Target: state.Isolate})
		s.until("it is proven anew", is(state.IsolationProven))
		s.do(keep)
		s.until("all is confirmed", is(state.IsolationConfirmed))
		closed("confirmed", true)
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		s.world(func(w *sim) {
			if w.isClosed() || w.second {
				s.Error("a domain leads to the old server, and that is closed")
			}
		})
	})
}

// TestLedBackAfterIsolation reverts a live domain's MX while the old server is
// closed for good: it is told as such, and lifted only where that is wanted.
func TestLedBackAfterIsolation(t *testing.T) {
	t.Parallel()
	for _, lifts := range []bool{false, true} {
		t.Run(fmt.Sprint("auto_lift ", lifts), func(t *testing.T) {
			t.Parallel()
			play(t, setup{policy: func(p *Policy) { p.AutoLift = lifts }}, func(s *scene) {
				s.isolate()
				s.leadBack(first)
				d := s.reaches(first, state.IsDrifted)
				if !strings.Contains(d.Reason, "leads to the old server") {
					s.Errorf("reason: %s", d.Reason)
				}
				time.Sleep(time.Minute)
				s.world(func(w *sim) {
					if w.isClosed() == lifts {
						s.Errorf("closed: %v", w.isClosed())
					}
				})
			})
		})
	}
}

// TestAnotherViewLedBackAfterIsolation: what is led to the closed server in a view in
// which nothing was moved is told and lifted alike, and is over when that is mended.
func TestAnotherViewLedBackAfterIsolation(t *testing.T) {
	t.Parallel()
	for _, lifts := range []bool{false, true} {
		t.Run(fmt.Sprint("auto_lift ", lifts), func(t *testing.T) {
			t.Parallel()
			play(t, setup{policy: func(p *Policy) { p.AutoLift = lifts }}, func(s *scene) {
				s.isolate()
				s.world(func(w *sim) { w.within = map[string]bool{first: true} })
				d := s.reaches(first, state.IsDrifted)
				if !strings.Contains(d.Reason, "in view inside") {
					s.Errorf("reason: %s", d.Reason)
				}
				time.Sleep(time.Minute)
				s.world(func(w *sim) {
					if w.isClosed() == lifts {
						s.Errorf("closed: %v", w.isClosed())
					}
					w.within = nil
				})
				s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
				s.reaches(first, state.Live)
			})
		})
	}
}

// TestLateWriteAfterRollback lets the gateway's MX come back long after a
// rollback was done: a rollback takes it back again, and it never begins anew by
// "retry --all" (P6).
func TestLateWriteAfterRollback(t *testing.T) {
	t.Parallel()
	target := state.DomainTarget(first)
	cameBack := func(s *scene) (moved, was rrset.Set) {
		s.reaches(first, state.Live)
		moved = s.set(first)
		s.rollback(target)
		s.reaches(first, state.IsRolledBack)
		time.Sleep(3 * time.Hour)
		s.world(func(w *sim) { w.change(first, moved, false) })
		s.reaches(first, state.IsDrifted)
		return moved, s.past(first)[0].set
	}
	for name, drift := range map[string]state.Drift{"rolled back": "", "forced": state.Force} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				cameBack(s)
				s.do(state.Decision{Verb: state.Rollback, Target: target, Confirm: state.ConfirmName(target), Drift: drift})
				s.reaches(first, state.IsRolledBack)
				s.original(first)
			})
		})
	}
	t.Run("after a restart", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			cameBack(s)
			s.stop()
			s.start(nil)
			s.rollback(target)
			s.reaches(first, state.IsRolledBack)
			s.original(first)
		})
	})
	t.Run("mended by hand", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			_, was := cameBack(s)
			s.world(func(w *sim) { w.change(first, was, false) })
			s.rollback(target)
			s.reaches(first, state.IsRolledBack)
			s.original(first)
			if n := len(s.past(first)); n != 7 {
				s.Errorf("it was written though it was as it should be: %d versions", n)
			}
		})
	})
	t.Run("retry --all looks again", func(t *testing.T) {
		t.Parallel()
		play(t, setup{}, func(s *scene) {
			_, was := cameBack(s)
			s.world(func(w *sim) { w.change(first, was, false) })
			s.do(state.Decision{Verb: state.Retry, Target: state.All})
			time.Sleep(48 * time.Hour)
			if d := s.e.Journal.Status().Domain(first); d.State != state.IsRolledBack {
				s.Errorf("it is %s: %s", d.State, d.Reason)
			}
			s.original(first)
		})
	})
}

// TestCrashRule: after an engine that ended without order no new wave starts until
// somebody says so, whoever ran in between; and that can be said.
func TestCrashRule(t *testing.T) {
	t.Parallel()
	cautious := func(p *Policy) { p.ResumeWaves = false }
	approve := state.Decision{Verb: state.Approve, Target: "wave:wave-2"}
	waits := func(s *scene) {
		s.Helper()
		s.until("the pilot is live", func(st *state.Status) bool { return st.Waves[0].State == state.Live })
		time.Sleep(time.Hour)
		if w := s.e.Journal.Status().Waves[1]; w.State != state.WaveWaiting || !strings.Contains(w.Reason, "approved again") {
			s.Errorf("wave-2 is %s: %q", w.State, w.Reason)
		}
	}
	starts := func(s *scene) {
		s.Helper()
		s.until("wave-2 runs", func(st *state.Status) bool { return st.Waves[1].State == state.WaveRunning && st.Waves[1].Reason == "" })
	}
	crash := func(s *scene) {
		s.do(approve)
		s.reaches(first, state.Soaking)
		s.kill("kill")
	}
	t.Run("approved again", func(t *testing.T) {
		t.Parallel()
		play(t, setup{policy: cautious}, func(s *scene) {
			crash(s)
			s.start(cautious)
			waits(s)
			s.do(approve)
			starts(s)
		})
	})
	t.Run("a rollback in between", func(t *testing.T) {
		t.Parallel()
		play(t, setup{policy: cautious}, func(s *scene) {
			crash(s)
			s.start(func(p *Policy) { p.ResumeWaves, p.BackOnly = true, true })
			s.rollback(state.DomainTarget("d01.example."))
			s.reaches("d01.example.", state.IsRolledBack)
			s.stop()
			s.start(cautious)
			waits(s)
		})
	})
	t.Run("told at the start", func(t *testing.T) {
		t.Parallel()
		play(t, setup{policy: cautious}, func(s *scene) {
			crash(s)
			s.start(nil)
			starts(s)
		})
	})
}

// TestWaveThatIsGone rolls a live wave back, domain by domain: it is no longer
// live, and opens the way for nothing.
func TestWaveThatIsGone(t *testing.T) {
	t.Parallel()
	play(t, setup{}, func(s *scene) {
		s.until("the pilot is live", func(st *state.Status) bool { return st.Waves[0].State == state.Live })
		for _, c := range s.w.plan.Waves[0].Cutovers {
			s.rollback(state.DomainTarget(c.Domain))
			s.reaches(c.Domain, state.IsRolledBack)
		}
		s.do(state.Decision{Verb: state.Approve, Target: "wave:wave-2"})
		time.Sleep(time.Hour)
		st := s.e.Journal.Status()
		if st.Waves[0].State != state.IsHeld || st.Waves[1].State != state.WaveWaiting {
			s.Errorf("the pilot is %s, wave-2 %s", st.Waves[0].State, st.Waves[1].State)
		}
	})
}

// TestNoWayBackByForce has the gateway's MX found where the journal knows of no
// publish, as after a backup was restored, with the old server closed: no forced
// step leads back to it (P8).
func TestNoWayBackByForce(t *testing.T) {
	t.Parallel()
	target := state.DomainTarget(first)
	for verb, begun := range map[state.Verb]bool{state.Rollback: true, state.Retry: false} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			gateway := func(w *sim) {
				w.closed, w.permanent, w.oracle.forced[first] = true, true, true
				set := w.records[first].now().set
				set.Data = []string{"10 gw.test."}
				w.change(first, set, true)
			}
			with := setup{world: gateway}
			if begun {
				with = setup{}
			}
			play(t, with, func(s *scene) {
				if begun {
					s.reaches(first, state.Waited)
					s.world(gateway)
				}
				s.reaches(first, state.IsDrifted)
				s.do(state.Decision{Verb: verb, Target: target, Confirm: state.ConfirmName(target), Drift: state.Force})
				time.Sleep(30 * time.Minute)
				if got := s.set(first); leads(got) {
					s.Errorf("it leads to the closed server: %v", got.Data)
				}
			})
		})
	}
}

// TestStragglersCloseNothing lets the old server's log say that somebody would be cut
// off (P7): when it is observed, before arming, and while it is armed.
func TestStragglersCloseNothing(t *testing.T) {
	t.Parallel()
	approve := state.Decision{Verb: state.Approve, Target: state.Isolate}
	straggle := func(s *scene, on bool) { s.world(func(w *sim) { w.straggling = on }) }
	for name, script := range map[string]func(*scene){
		"when it is observed": func(s *scene) {
			straggle(s, true)
			for _, w := range s.w.plan.Waves[1:] {
				s.do(state.Decision{Verb: state.Approve, Target: state.WaveTarget(w.Name)})
			}
			s.do(approve)
			s.until("it is held", func(st *state.Status) bool { return strings.Contains(st.Isolation.Reason, "past the gateway") })
		},
		"before arming": func(s *scene) {
			s.observed()
			straggle(s, true)
			s.do(approve)
		},
		"while armed": func(s *scene) {
			s.observed()
			s.do(approve)
			s.until("it is proven", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
			straggle(s, true)
			s.do(state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{}, func(s *scene) {
				script(s)
				time.Sleep(30 * time.Minute)
				s.world(func(w *sim) {
					if w.isClosed() {
						s.Error("the old server is closed")
					}
				})
				if st := s.e.Journal.Status(); st.Isolation.State == state.IsolationConfirmed {
					s.Error("isolation is confirmed")
				} else if !strings.Contains(st.Isolation.Reason, "past the gateway") {
					s.Errorf("reason: %s", st.Isolation.Reason)
				}
				straggle(s, false)
				s.do(state.Decision{Verb: state.Retry, Target: state.Isolate})
				s.do(approve)
				s.until("it is proven", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
				s.do(state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
				s.until("it is confirmed", func(st *state.Status) bool { return st.Isolation.State == state.IsolationConfirmed })
			})
		})
	}
}
