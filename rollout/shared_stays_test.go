package rollout

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// TestSharedCompanionBetweenWriteAndServed has one domain come to the shared RRset
// when another has written it, and its name servers do not all serve it yet: that is
// nobody else's change.
func TestSharedCompanionBetweenWriteAndServed(t *testing.T) {
	t.Parallel()
	with := sharing()
	world := with.world
	with.world = func(w *sim) {
		world(w)
		w.records[sharedName].lag = 5 * time.Minute
		begun := time.Now()
		w.turn = func(domain string) time.Time { // one after the other, closer than the lag
			for i, c := range w.plan.Waves[0].Cutovers {
				if c.Domain == domain {
					return begun.Add(time.Duration(i) * time.Minute)
				}
			}
			return begun
		}
	}
	play(t, with, func(s *scene) {
		for _, d := range s.pilots() {
			s.reaches(d, state.Live)
		}
		if n := len(s.past(sharedName)); n != 2 {
			s.Errorf("it has had %d versions, want 2: what was there, and ours", n)
		}
	})
}

// TestSharedCompanionUnderAKeptMX takes all domains back. One keeps somebody's MX that
// leads to the gateway: what it shares with the others stays, also when they are back.
func TestSharedCompanionUnderAKeptMX(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]func(*scene){
		"it leads to the gateway": func(*scene) {},
		"also after a restart":    func(s *scene) { s.stop(); s.start(nil) },
		"also after a crash":      func(s *scene) { s.kill("kill"); s.start(nil) },
		"and then no longer":      func(s *scene) { s.foreign(s.pilots()[0], 77, "10 mail.old.test.") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, sharing(), func(s *scene) {
				pilot := s.pilots()
				for _, d := range pilot {
					s.reaches(d, state.Live)
				}
				kept := pilot[0]
				s.foreign(kept, 77, "5 gw.test.")
				s.reaches(kept, state.IsDrifted)
				target := state.DomainTarget(kept)
				s.do(state.Decision{Verb: state.Rollback, Target: target, Confirm: state.ConfirmName(target), Drift: state.Adopt})
				s.reaches(kept, state.IsRolledBack)
				for _, d := range pilot[1:] {
					s.rollback(state.DomainTarget(d))
				}
				s.until("the others' MX are back", func(*state.Status) bool {
					for _, d := range pilot[1:] {
						if !leads(s.set(d)) {
							return false
						}
					}
					return true
				})
				later(s)
				for _, d := range pilot[1:] {
					s.reaches(d, state.IsRolledBack)
				}
				if gone := s.set(sharedName).Absent(); gone != (name == "and then no longer") {
					s.Errorf("it is gone: %v", gone)
				}
			})
		})
	}
}

// TestForcedCompanionUnderAKeptMX keeps somebody's MX, which leads to the gateway, and
// then has a companion that drifted, too, written over: it stays as the MX needs it.
func TestForcedCompanionUnderAKeptMX(t *testing.T) {
	t.Parallel()
	play(t, setup{companions: true}, func(s *scene) {
		s.reaches(first, state.Live)
		s.foreign(first, 77, "5 gw.test.")
		s.reaches(first, state.IsDrifted)
		target := state.DomainTarget(first)
		again := state.Decision{Verb: state.Rollback, Target: target, Confirm: state.ConfirmName(target), Drift: state.Adopt}
		s.do(again)
		s.until("its MX was kept", func(st *state.Status) bool { return st.Domain(first).Back && !st.Domain(first).Moved() })
		again.Drift = state.Force
		s.do(again)
		s.reaches(first, state.IsRolledBack)
		for _, name := range []string{firstOf(first), secondOf(first)} {
			if s.set(name).Equal(s.past(name)[0].set) {
				s.Errorf("%s went back under an MX that leads to the gateway", name)
			}
		}
	})
}

// TestSharedCompanionAndAHeldDomain takes two domains back, and the first cannot go:
// the other is not kept waiting, and the first takes the RRset back when it goes.
func TestSharedCompanionAndAHeldDomain(t *testing.T) {
	t.Parallel()
	play(t, sharing(), func(s *scene) {
		pilot := s.pilots()
		for _, d := range pilot {
			s.reaches(d, state.Live)
		}
		stuck := pilot[0]
		s.foreign(stuck, 77, "5 gw.test.")
		s.rollback(state.WaveTarget(plan.FirstWave))
		for _, d := range pilot[1:] {
			s.reaches(d, state.IsRolledBack)
		}
		s.reaches(stuck, state.IsDrifted)
		if s.set(sharedName).Absent() {
			s.Error("it is gone, and mail of one domain needs it")
		}
		s.world(func(w *sim) { w.oracle.forced[stuck] = true })
		target := state.DomainTarget(stuck)
		s.do(state.Decision{Verb: state.Rollback, Target: target, Confirm: state.ConfirmName(target), Drift: state.Force})
		s.reaches(stuck, state.IsRolledBack)
		if !s.set(sharedName).Absent() {
			s.Error("nobody took it back")
		}
	})
}

// TestKeptMemberIsNotTheGateway takes a domain back whose MX had, and keeps, a third
// party's host: that it leads there says nothing about the gateway.
func TestKeptMemberIsNotTheGateway(t *testing.T) {
	t.Parallel()
	mx, err := rrset.New(first, "MX", 3600, "10 mail.old.test.", "20 third.test.")
	if err != nil {
		t.Fatal(err)
	}
	with := setup{companions: true, plan: func(inv *plan.Inventory, set *plan.Settings) {
		for i := range inv.Domains {
			if d := &inv.Domains[i]; d.Name == first {
				d.MX, d.Third = mx, []string{"third.test."}
			}
		}
		set.Keep = []string{"third.test."}
	}, world: func(w *sim) { w.records[first].past[0].set = mx }}
	play(t, with, func(s *scene) {
		s.reaches(first, state.Live)
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		for _, name := range []string{first, firstOf(first), secondOf(first)} {
			s.original(name)
		}
	})
}

// TestSharedCompanionIsNotReadHalfWritten: while one domain writes the RRset, another
// does not look at it.
func TestSharedCompanionIsNotReadHalfWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := write{World{limits: &limits{}}}
		c := rrset.Change{After: text(sharedName, "x")}
		free, err := w.limits.alone(t.Context(), c.After.Name, c.After.Type)
		if err != nil {
			t.Fatal(err)
		}
		defer free()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.found(ctx, Turn{Step: plan.Step{Kind: plan.WriteCompanion}}, nil, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it was read: %v", err)
		}
	})
}
