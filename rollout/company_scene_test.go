package rollout

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// other is somebody else's change of a companion.
func (s *scene) other(name, data string) {
	s.world(func(w *sim) { w.change(name, text(name, data), true) })
}

// TestCompanionsGoFirst: companions are served by all, and their waits are over,
// before the MX moves; the preflight that is older than its lifetime after them is
// made again (P3); the late one comes when the domain has settled.
func TestCompanionsGoFirst(t *testing.T) {
	t.Parallel()
	play(t, setup{companions: true}, func(s *scene) {
		s.reaches(first, state.Live)
		for _, name := range []string{firstOf(first), secondOf(first)} {
			if s.set(name).Equal(s.past(name)[0].set) {
				t.Errorf("%s was not written", name)
			}
		}
		for _, id := range []string{"companion:1", "companion:2"} {
			if got := s.e.Journal.Status().Domain(first).Steps[id].Intent.Rest; got != companionWait {
				t.Errorf("the journal has a wait of %v for %s, want %v", got, id, companionWait)
			}
		}
		if s.original(lateOf(first)); t.Failed() {
			return
		}
		s.isolate()
		s.until("it has settled, and the late one is there", func(st *state.Status) bool {
			return st.Domain(first).State == state.Settled && st.Domain(first).Has("await-companion:3")
		})
		if s.set(lateOf(first)).Equal(s.past(lateOf(first))[0].set) {
			t.Error("the late companion was not written")
		}
	})
}

// TestCompanionMendsItsCheck: what a companion is to mend does not keep the first
// preflight from it; the one that must come after it is judged by all.
func TestCompanionMendsItsCheck(t *testing.T) {
	t.Parallel()
	for name, forever := range map[string]bool{"it does": false, "it does not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := setup{
				companions: true,
				plan:       func(_ *plan.Inventory, set *plan.Settings) { set.Companions[first][1].Check = "spf.future" },
				world:      func(w *sim) { w.wanting = map[string]bool{first: forever} },
			}
			play(t, with, func(s *scene) {
				if !forever {
					s.reaches(first, state.Live)
					return
				}
				d := s.reaches(first, state.IsHeld)
				if !d.Has("await-companion:2") || !leads(s.set(first)) {
					t.Errorf("%s, %v: %s", d.State, s.set(first).Data, d.Reason)
				}
			})
		})
	}
}

// TestPreflightBeforeCompanions: however young, one that was made before a companion
// was served and waited for is not one to publish on.
func TestPreflightBeforeCompanions(t *testing.T) {
	t.Parallel()
	c := newSim(t, nil).plan.Waves[0].Cutovers[0]
	later := func(d time.Duration) state.Moment {
		return state.Moment{At: now.At.Add(d), Boot: now.Boot, Up: now.Up + d}
	}
	for after, want := range map[time.Duration]bool{-time.Second: true, time.Second: false} {
		d := state.DomainStatus{Steps: map[string]state.StepRecord{
			"preflight": {Done: true, DoneAt: now}, "await-companion:1": {Done: true, DoneAt: later(after)},
		}}
		if got := fresh(c, d, Policy{}.withDefaults(), later(time.Minute)); got != want {
			t.Errorf("a companion %v after: fresh is %v", after, got)
		}
	}
	ahead := state.Moment{At: now.At.AddDate(0, 0, 3), Boot: "before", Up: time.Hour} // the wall's clock was wrong then
	d := state.DomainStatus{Steps: map[string]state.StepRecord{
		"preflight": {Done: true, DoneAt: now}, "await-companion:1": {Done: true, DoneAt: ahead},
	}}
	if !fresh(c, d, Policy{}.withDefaults(), later(time.Minute)) {
		t.Error("the preflight would be made again and again")
	}
}

// TestAdoptedCompanionKeepsOthers: what somebody added beside the member that is
// replaced stays, in a later change of the RRset, too.
func TestAdoptedCompanionKeepsOthers(t *testing.T) {
	t.Parallel()
	set := func(data ...string) rrset.Set { return rrset.Set{Name: first, Type: "TXT", TTL: 600, Data: data} }
	c := rrset.Change{Zone: first, Before: set(`"v=spf1 mx -all"`), After: set(`"v=spf1 ip4:192.0.2.1 -all"`)}
	for name, x := range map[string]struct{ now, want []string }{
		"added":     {[]string{`"site=1"`, `"v=spf1 mx -all"`}, []string{`"site=1"`, `"v=spf1 ip4:192.0.2.1 -all"`}},
		"replaced":  {[]string{`"v=spf1 a -all"`}, c.After.Data},
		"as it was": {c.Before.Data, c.After.Data},
	} {
		if got := rebased(c, set(x.now...)); !slices.Equal(got.Data, x.want) {
			t.Errorf("%s: %v", name, got.Data)
		}
	}
	play(t, setup{companions: true, world: func(w *sim) {
		s := text(secondOf(first), `"site=1"`)
		s.Data = append(s.Data, `"v=spf1 mx -all"`)
		w.change(secondOf(first), s, true)
	}}, func(s *scene) {
		s.reaches(first, state.IsDrifted)
		s.world(func(w *sim) { w.oracle.forced[secondOf(first)] = true })
		s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first), Drift: state.Adopt})
		s.reaches(first, state.Live)
		if got := s.set(secondOf(first)).Data; !slices.Contains(got, `"site=1"`) || slices.Contains(got, `"v=spf1 mx -all"`) {
			t.Errorf("it is %v", got)
		}
	})
}

// TestCompanionDrifts: somebody else changes a companion before its step. The
// domain is held; adopted, the change is built upon, and is what a rollback ends
// with.
func TestCompanionDrifts(t *testing.T) {
	t.Parallel()
	theirs := `"v=spf1 a -all"`
	play(t, setup{companions: true, world: func(w *sim) { w.change(secondOf(first), text(secondOf(first), theirs), true) }}, func(s *scene) {
		if d := s.reaches(first, state.IsDrifted); !d.Beside {
			t.Error("it is not told that a companion has drifted")
		}
		if got := s.set(first); !leads(got) {
			t.Errorf("published: %v", got.Data)
		}
		s.world(func(w *sim) { w.oracle.forced[secondOf(first)] = true })
		s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first), Drift: state.Adopt})
		s.reaches(first, state.Live)
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		s.original(first)
		s.original(firstOf(first))
		if got := s.set(secondOf(first)); got.Data[0] != theirs {
			t.Errorf("the companion ends as %v", got.Data)
		}
	})
}

// TestRollbackIsNotHeldUp: whatever has become of its companions, a domain's MX
// goes back first, and at once.
func TestRollbackIsNotHeldUp(t *testing.T) {
	t.Parallel()
	for name, befall := range map[string]func(*scene){
		"nothing": func(*scene) {},
		"a companion has drifted": func(s *scene) {
			s.other(secondOf(first), `"theirs"`)
		},
		"a companion cannot be written": func(s *scene) {
			s.world(func(w *sim) { w.refused = secondOf(first) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{companions: true}, func(s *scene) {
				s.reaches(first, state.Live)
				befall(s)
				begun := time.Now()
				s.rollback(state.DomainTarget(first))
				s.until("its MX is back", func(*state.Status) bool { return leads(s.set(first)) })
				if took := time.Since(begun); took > 2*time.Minute {
					t.Errorf("it took %v", took)
				}
				switch name {
				case "nothing":
					until := time.Time{}
					s.until("the wait for caches is told", func(st *state.Status) bool {
						until = st.Domain(first).Until
						return st.Domain(first).Step == "companion:1" && !until.IsZero()
					})
				case "a companion has drifted":
					s.reaches(first, state.IsDrifted)
					if s.w.records[firstOf(first)].now().set.Absent() {
						t.Error("the companion before it went back first")
					}
					s.do(state.Decision{Verb: state.Rollback, Target: state.DomainTarget(first), Confirm: "d00.example", Drift: state.Skip})
				case "a companion cannot be written":
					s.reaches(first, state.IsHeld)
					s.world(func(w *sim) { w.refused = "" })
					s.do(state.Decision{Verb: state.Retry, Target: state.DomainTarget(first)})
				}
				if d := s.reaches(first, state.IsRolledBack); d.Gone.IsZero() {
					t.Error("it is not told when the last cache lets the gateway go")
				}
				s.original(first)
				s.original(firstOf(first))
				if name != "a companion has drifted" {
					s.original(secondOf(first))
				}
			})
		})
	}
}

// TestAdoptedMXAndCaches: going back, a person keeps the MX that somebody else wrote
// over ours. Caches have ours for a while, and companions wait for them.
func TestAdoptedMXAndCaches(t *testing.T) {
	t.Parallel()
	play(t, setup{companions: true}, func(s *scene) {
		s.reaches(first, state.Live)
		s.world(func(w *sim) {
			theirs := w.records[first].past[0].set
			theirs.TTL = 900
			w.change(first, theirs, true)
		})
		s.do(state.Decision{Verb: state.Rollback, Target: state.DomainTarget(first), Confirm: "d00.example", Drift: state.Adopt})
		s.reaches(first, state.IsRolledBack)
		s.original(firstOf(first))
		s.original(secondOf(first))
	})
}

// TestLateCompanionInDoubt: a late companion's write got no answer, and may come
// for a while. The MX does not wait for that, and the companion's undo does.
func TestLateCompanionInDoubt(t *testing.T) {
	t.Parallel()
	d := state.DomainStatus{State: state.IsInDoubt, Back: true, Steps: map[string]state.StepRecord{
		"publish": {Done: true}, "companion:3": {Doubt: state.Wait{From: now, For: time.Hour}},
	}}
	c := newSim(t, nil).plan.Waves[0].Cutovers[0]
	g := gates{wave: true, open: true, room: true, quiet: quietFor(time.Hour)}
	if m := next(c, d, g, Policy{}.withDefaults(), now); m.what != moveUndo || m.step.Kind != plan.Publish {
		t.Errorf("the MX waits: %+v", m)
	}
	delete(d.Steps, "publish")
	if m := next(c, d, g, Policy{}.withDefaults(), now); m.what != moveLater || !m.at.Equal(now.At.Add(time.Hour)) {
		t.Errorf("the companion does not wait: %+v", m)
	}
	d.Back = false
	if m := next(c, d, g, Policy{}.withDefaults(), now); m.what != moveLater {
		t.Errorf("the way forward does not wait: %+v", m)
	}
}

// TestRestartDuringCompanionWait: after a restart of the machine the wait begins
// anew.
func TestRestartDuringCompanionWait(t *testing.T) {
	t.Parallel()
	play(t, setup{companions: true}, func(s *scene) {
		s.until("it waits", func(st *state.Status) bool { return st.Domain(first).Step == "await-companion:1" })
		time.Sleep(30 * time.Minute)
		s.kill("reboot")
		again := time.Now()
		s.start(nil)
		s.until("it is over", func(st *state.Status) bool { return st.Domain(first).Has("await-companion:1") })
		if took := time.Since(again); took < companionWait {
			t.Errorf("it was over %v after the restart", took)
		}
	})
}

// TestOneStepAfterTheOther: an early and a late change of one RRset follow one from
// the other, and are undone so.
func TestOneStepAfterTheOther(t *testing.T) {
	t.Parallel()
	name := firstOf(first)
	one, two := text(name, `"v=STSv1; id=2"`), text(name, `"v=STSv1; id=3"`)
	with := setup{companions: true, plan: func(_ *plan.Inventory, set *plan.Settings) {
		list := set.Companions[first]
		list[2].Change = rrset.Change{Zone: first, Before: one, After: two}
	}}
	play(t, with, func(s *scene) {
		s.isolate()
		s.until("the late one is there", func(st *state.Status) bool { return st.Domain(first).Has("companion:3") })
		if got := s.set(name); !got.Equal(two) {
			t.Errorf("it is %v", got.Data)
		}
		s.rollback(state.DomainTarget(first))
		s.reaches(first, state.IsRolledBack)
		s.original(first)
		s.original(name)
		if past := s.past(name); len(past) != 5 || !past[3].set.Equal(one) {
			t.Errorf("%d versions, not back over the one between", len(past))
		}
	})
}

// TestCompanionWaitsAsItsIntentSays: what its Intent tells of caches counts, when the
// journal knows of no undo of the MX.
func TestCompanionWaitsAsItsIntentSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSim(t, nil)
		step := plan.Step{ID: "companion:1", Kind: plan.WriteCompanion}
		turn := Turn{Step: step, Clock: simClock{w}, Observe: func(context.Context, time.Time, ...plan.Finding) error { return nil }}
		turn.Domain.Steps = map[string]state.StepRecord{step.ID: {Intent: state.Intent{Wait: time.Hour}, Begun: moment(turn.Clock)}}
		time.Sleep(20 * time.Minute)
		begun := time.Now()
		if err := (World{}).letsGo(t.Context(), turn); err != nil || time.Since(begun) != 40*time.Minute {
			t.Errorf("it waited %v: %v", time.Since(begun), err)
		}
	})
}
