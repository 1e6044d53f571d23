package rollout

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/verify"
)

// A person loads the firewall's rules in place of a driver.
type person struct {
	action firewall.Action // "" = nobody does
	trust  []netip.Prefix
	wrong  bool // what is loaded is not as it was asked for
	blind  bool // nothing can be proven from outside
}

func (p person) firewall() firewall.Driver {
	d, err := firewall.Open("script", firewall.Settings{
		Old: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, To: []netip.Addr{netip.MustParseAddr("192.0.2.21")},
	})
	if err != nil {
		panic(err)
	}
	return d
}

func (c simChecker) BeforeHand(context.Context, verify.Handed) []plan.Finding {
	return c.ask("a look before", func() []plan.Finding {
		if c.w.person.blind {
			return one("old.ssh", "old", plan.Unknown, "SSH opens from nowhere")
		}
		if c.w.isClosed() {
			return one(plan.BeforeClosing, "now", plan.Warn, "it did not answer")
		}
		return one(plan.BeforeClosing, "old", plan.Pass, "it answers")
	})
}

func (c simChecker) HandShut(context.Context, verify.Handed) (shut bool) {
	c.ask("", func() []plan.Finding { shut = c.w.isClosed(); return nil })
	return shut
}

func (c simChecker) HandClosed(_ context.Context, q verify.Handed) []plan.Finding {
	return c.ask("a look from outside", func() []plan.Finding {
		if len(q.Before) == 0 {
			c.w.oracle.blame("P10", "it is looked at, and nobody knows how it was before")
		}
		return one("old.closed", "old", severity(c.w.isClosed() && !c.w.person.wrong), "the old server still answers")
	})
}

func (c simChecker) HandOpen(context.Context, verify.Handed) []plan.Finding {
	return c.ask("a look whether it is open", func() []plan.Finding {
		return one("old.open", "old", severity(!c.w.isClosed()), "refused")
	})
}

// loads has the person close the old server, or open it.
func (s *scene) loads(closed bool) {
	s.world(func(w *sim) {
		if w.closed, w.permanent, w.kept = closed, closed, closed; closed {
			w.oracle.close(w)
		}
	})
}

// asked waits until the person is asked for a table, and gives its name.
func (s *scene) asked(begins string) (table string) {
	s.Helper()
	s.until("a table "+begins+" is asked for", func(st *state.Status) bool {
		table = st.Isolation.Asks
		return strings.HasPrefix(table, begins)
	})
	return table
}

func says(table string) state.Decision {
	return state.Decision{Verb: state.Loaded, Target: state.Isolate, Confirm: table}
}

func (s *scene) phase(want state.Phase) {
	s.Helper()
	s.until("isolation is "+string(want), func(st *state.Status) bool { return st.Isolation.State == want })
}

func (s *scene) heldTo(words string) {
	s.Helper()
	s.until("it is held: "+words, func(st *state.Status) bool { return st.Isolation.Held && strings.Contains(st.Isolation.Reason, words) })
}

func (s *scene) closedNow() (yes bool) {
	s.world(func(w *sim) { yes = w.isClosed() })
	return yes
}

var (
	approveIsolate = state.Decision{Verb: state.Approve, Target: state.Isolate}
	keepIsolate    = state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate}
	liftIsolate    = state.Decision{Verb: state.Lift, Target: state.Isolate}
	retryIsolate   = state.Decision{Verb: state.Retry, Target: state.Isolate}
)

const again = "OPEN THE OLD SERVER AGAIN BY HAND"

// proven goes as far as the person's word, and its proof.
func (s *scene) proven() {
	s.Helper()
	s.observed()
	s.do(approveIsolate)
	table := s.asked("close-25-")
	s.loads(true)
	s.do(says(table))
	s.phase(state.IsolationProven)
}

// A person loads the rules. Nothing is taken for loaded before it was said and seen,
// nothing stays closed unseen, and no MX goes back before the old server is open.
func TestIsolationByHand(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(*scene){
		"the whole way": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			time.Sleep(2 * time.Hour)
			if st := s.e.Journal.Status(); st.Isolation.Asks != table || st.Isolation.Held || st.Isolation.State != state.IsolationObserved {
				s.Errorf("nobody has loaded it yet: %+v", st.Isolation)
			}
			if err := s.e.Do(s.Context(), says("close-25-00000000")); !errors.Is(err, state.ErrRefused) {
				s.Errorf("another table was taken for it: %v", err)
			}
			s.loads(true)
			s.do(says(table))
			s.phase(state.IsolationProven)
			s.do(keepIsolate)
			s.phase(state.IsolationConfirmed)
			if i := s.e.Journal.Status().Isolation; i.Asks != "" || !i.Closed || !i.Hand {
				s.Errorf("confirmed: %+v", i)
			}
		},
		"said, and not so": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			s.do(says(table))
			s.until("they are asked again", func(st *state.Status) bool { return st.Isolation.Said == "" && !st.Isolation.Until.IsZero() })
			if st := s.e.Journal.Status().Isolation; st.State != state.IsolationObserved {
				s.Errorf("a word alone closed it: %s", st.State)
			}
			s.loads(true)
			s.do(says(table))
			s.phase(state.IsolationProven)
		},
		"said, and never so": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			s.do(says(s.asked("close-25-")))
			s.heldTo(again)
		},
		"closed, and not said": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			s.asked("close-25-")
			s.loads(true)
			s.heldTo(again)
			s.asked("open-25-")
			s.loads(false)
			s.do(liftIsolate)
			s.phase(state.IsolationLifted)
		},
		"wrong in the gateway's eyes": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			s.loads(true)
			s.world(func(w *sim) { w.nodeLost = true })
			s.do(says(table))
			s.heldTo(again)
			if i := s.e.Journal.Status().Isolation; i.State == state.IsolationProven || !i.Closed {
				s.Errorf("%+v", i)
			}
			s.world(func(w *sim) { w.nodeLost = false })
			s.do(retryIsolate)
			s.do(says(s.asked("close-25-")))
			s.phase(state.IsolationProven)
		},
		"nobody confirms": func(s *scene) {
			s.proven()
			s.heldTo(again)
			time.Sleep(48 * time.Hour)
			if i := s.e.Journal.Status().Isolation; !s.closedNow() || !i.Held || !i.Closed || i.State == state.IsolationConfirmed {
				s.Errorf("closed %v: %+v", s.closedNow(), i)
			}
		},
		"it comes open again": func(s *scene) {
			s.proven()
			s.loads(false)
			s.heldTo("no longer proven")
		},
		"it comes open, and is confirmed": func(s *scene) {
			s.proven()
			s.loads(false)
			s.do(keepIsolate)
			s.heldTo("no longer proven")
		},
		"not earned any more": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			s.world(func(w *sim) { w.straggling = true })
			s.heldTo("do not load " + table)
			if i := s.e.Journal.Status().Isolation; i.Asks != "" {
				s.Errorf("it is still asked for: %q", i.Asks)
			}
		},
		"not earned any more, and loaded": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			s.world(func(w *sim) { w.straggling = true })
			s.loads(true)
			s.do(says(table))
			s.heldTo(again)
		},
		"not earned any more while armed": func(s *scene) {
			s.proven()
			s.world(func(w *sim) { w.straggling = true })
			s.heldTo(again)
		},
		"rolled back while it is asked for": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			s.asked("close-25-")
			s.rollback(state.DomainTarget(first))
			s.reaches(first, state.IsRolledBack)
		},
		"rolled back while it is closed": func(s *scene) {
			s.proven()
			s.rollback(state.DomainTarget(first))
			s.asked("open-25-")
			time.Sleep(5 * time.Minute)
			if leads(s.set(first)) {
				s.Error("it leads to a closed server")
			}
			s.loads(false)
			s.reaches(first, state.IsRolledBack)
			s.phase(state.IsolationLifted)
		},
		"rolled back, and nobody opens it for long": func(s *scene) {
			s.proven()
			s.rollback(state.DomainTarget(first))
			s.heldTo(again)
			time.Sleep(12 * time.Hour)
			if leads(s.set(first)) {
				s.Error("it leads to a closed server")
			}
			s.loads(false)
			s.do(liftIsolate)
			s.reaches(first, state.IsRolledBack)
		},
		"killed, and opened meanwhile": func(s *scene) {
			s.proven()
			s.kill("kill")
			s.loads(false)
			s.start(nil)
			s.heldTo("no longer proven")
		},
		"killed while it is asked for, and loaded meanwhile": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			s.stop()
			s.loads(true)
			s.start(nil)
			s.do(says(table))
			s.phase(state.IsolationProven)
			s.do(keepIsolate)
			s.phase(state.IsolationConfirmed)
		},
		"other rules after a restart": func(s *scene) {
			s.observed()
			s.do(approveIsolate)
			table := s.asked("close-25-")
			s.stop()
			s.world(func(w *sim) { w.person.trust = []netip.Prefix{netip.MustParsePrefix("192.0.2.77/32")} })
			s.start(nil)
			s.until("another table is asked for", func(st *state.Status) bool { return st.Isolation.Asks != table && st.Isolation.Asks != "" })
			if err := s.e.Do(s.Context(), says(table)); !errors.Is(err, state.ErrRefused) {
				s.Errorf("the table of before was taken: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{world: func(w *sim) { w.person.action = firewall.Reject }}, script)
		})
	}
}

// What could not be proven afterwards is not asked for.
func TestUnprovableByHand(t *testing.T) {
	t.Parallel()
	play(t, setup{world: func(w *sim) { w.person = person{action: firewall.Reject, blind: true} }}, func(s *scene) {
		s.observed()
		s.do(approveIsolate)
		s.heldTo("could not be proven from outside")
		if i := s.e.Journal.Status().Isolation; i.Asks != "" {
			s.Errorf("it is asked for: %q", i.Asks)
		}
	})
}

// A redirect that is not proven may be an open relay: a person is asked at once to open
// the old server, and it counts for nothing.
func TestUnprovenRedirectIsLifted(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]func(*scene){
		"when it is loaded": func(s *scene) {
			s.world(func(w *sim) { w.person.wrong = true })
			s.loads(true)
			s.do(says(s.asked("redirect-25-")))
		},
		"while it is armed": func(s *scene) {
			s.loads(true)
			s.do(says(s.asked("redirect-25-")))
			s.phase(state.IsolationProven)
			s.world(func(w *sim) { w.person.wrong = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{world: func(w *sim) { w.person.action = firewall.Redirect }}, func(s *scene) {
				s.observed()
				s.do(approveIsolate)
				s.asked("redirect-25-")
				when(s)
				s.asked("open-25-")
				if i := s.e.Journal.Status().Isolation; !i.Lift || !i.Closed {
					s.Errorf("%+v", i)
				}
				s.loads(false)
				s.phase(state.IsolationLifted)
			})
		})
	}
}

// An engine that ends when only a person can go on does so where the old server must be
// opened.
func TestHeldByHandEnds(t *testing.T) {
	t.Parallel()
	play(t, setup{world: func(w *sim) { w.person.action = firewall.Reject }}, func(s *scene) {
		s.proven()
		s.stop()
		s.start(func(p *Policy) { p.ExitHeld = true })
		s.heldTo(again)
		s.stopped = true
		if err := <-s.done; !errors.Is(err, ErrPersonNeeded) {
			s.Errorf("it ended with %v", err)
		}
		if err := s.e.Journal.Close(); err != nil {
			s.Error(err)
		}
	})
}
