package rollout

import (
	"slices"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// sharedName is the owner of the RRset that all domains have as their companion.
const sharedName = "_25._tcp." + first

// sharing gives all domains the same companion.
func sharing() setup {
	return setup{
		plan: func(inv *plan.Inventory, set *plan.Settings) {
			set.Companions = map[string][]plan.Companion{}
			for _, d := range inv.Domains {
				set.Companions[d.Name] = []plan.Companion{{
					Change:   rrset.Change{Zone: first, Before: text(sharedName, ""), After: text(sharedName, `"3 1 1 key"`)},
					Provider: "play", Wait: plan.Duration(companionWait), Why: "the play",
				}}
			}
			set.Zones = []plan.Zone{{Name: first, Provider: "play", Sets: []rrset.Set{text(first, "x")}}}
		},
		world: func(w *sim) {
			past := []version{{at: time.Now().Add(-time.Hour), set: text(sharedName, "")}}
			w.records[sharedName] = &record{domain: sharedName, of: first, past: past, lag: w.records[first].lag}
		},
	}
}

// pilots are the domains of the first wave.
func (s *scene) pilots() (out []string) {
	for _, c := range s.w.plan.Waves[0].Cutovers {
		out = append(out, c.Domain)
	}
	return out
}

// TestSharedCompanion has one RRset be the companion of all domains: whoever comes
// first writes it, it stays while anybody is on the way that needs it, and whoever
// goes back last restores what the first one found, also after a crash.
func TestSharedCompanion(t *testing.T) {
	t.Parallel()
	was, will := text(sharedName, ""), text(sharedName, `"3 1 1 key"`)
	for _, crash := range []bool{false, true} {
		t.Run(map[bool]string{false: "in order", true: "with a crash"}[crash], func(t *testing.T) {
			t.Parallel()
			play(t, sharing(), func(s *scene) {
				pilot := s.pilots()
				has := func(when string, want rrset.Set) {
					s.Helper()
					if got := s.set(sharedName); !got.Equal(want) {
						s.Errorf("%s: %v, want %v", when, got.Data, want.Data)
					}
				}
				for _, d := range pilot {
					s.reaches(d, state.Live)
				}
				has("all are live", will)
				s.rollback(state.DomainTarget(pilot[0]))
				s.reaches(pilot[0], state.IsRolledBack)
				has("one went back", will)
				s.rollback(state.WaveTarget(plan.FirstWave))
				if crash {
					s.until("one more is back", func(st *state.Status) bool {
						return slices.ContainsFunc(pilot[1:], func(d string) bool { return !leads(s.set(d)) == false })
					})
					s.kill("kill")
					s.start(nil)
				}
				for _, d := range pilot[1:] {
					s.reaches(d, state.IsRolledBack)
				}
				has("all went back", was)
				if n := len(s.past(sharedName)); n != 3 {
					s.Errorf("it has had %d versions, want 3: what was there, ours, and that again", n)
				}
			})
		})
	}
}

// TestCompanionsOfAKeptMX keeps somebody's MX in a rollback: while that leads to the
// gateway the companions stay, and else they go back.
func TestCompanionsOfAKeptMX(t *testing.T) {
	t.Parallel()
	for data, stay := range map[string]bool{"5 gw.test.": true, "10 mail.old.test.": false} {
		t.Run(data, func(t *testing.T) {
			t.Parallel()
			play(t, setup{companions: true}, func(s *scene) {
				s.reaches(first, state.Live)
				s.foreign(first, 77, data)
				s.reaches(first, state.IsDrifted)
				target := state.DomainTarget(first)
				s.do(state.Decision{Verb: state.Rollback, Target: target, Confirm: state.ConfirmName(target), Drift: state.Adopt})
				s.reaches(first, state.IsRolledBack)
				for _, name := range []string{firstOf(first), secondOf(first)} {
					if was := s.past(name)[0].set; s.set(name).Equal(was) == stay {
						s.Errorf("%s: %v, was %v", name, s.set(name).Data, was.Data)
					}
				}
			})
		})
	}
}

// TestCompanionsGoingBackHoldNobody rolls one domain back before its wave is live: the
// others go on, and the next wave with them, while its companions wait for caches.
func TestCompanionsGoingBackHoldNobody(t *testing.T) {
	t.Parallel()
	slow := func(_ *plan.Inventory, set *plan.Settings) {
		for i := range set.Companions[first] {
			set.Companions[first][i].Wait = plan.Duration(48 * time.Hour)
		}
	}
	play(t, setup{companions: true, plan: slow}, func(s *scene) {
		s.reaches(first, state.Probed, state.Soaking)
		s.rollback(state.DomainTarget(first))
		s.until("the wave is live", func(st *state.Status) bool { return st.Waves[0].State == state.Live })
		d := s.e.Journal.Status().Domain(first)
		if d.State != state.IsRollingBack || d.Moved() {
			s.Errorf("it is %s", d.State)
		}
		s.reaches(first, state.IsRolledBack)
	})
}

// TestHeldCompanionsHoldNobody takes one domain back before its wave is live, and its
// companion waits for a person: its mail goes the old way, and the others go on.
func TestHeldCompanionsHoldNobody(t *testing.T) {
	t.Parallel()
	for name, befall := range map[string]func(*scene){
		"drifted": func(s *scene) { s.other(secondOf(first), `"theirs"`) },
		"held":    func(s *scene) { s.world(func(w *sim) { w.refused = secondOf(first) }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, setup{companions: true}, func(s *scene) {
				s.reaches(first, state.Probed, state.Soaking)
				befall(s)
				s.rollback(state.DomainTarget(first))
				s.until("the wave is live", func(st *state.Status) bool { return st.Waves[0].State == state.Live })
				if d := s.reaches(first, state.IsDrifted, state.IsHeld); !d.Back || d.Moved() {
					s.Errorf("it is %s", d.State)
				}
			})
		})
	}
}

// TestCompanionsGoingBackSettleOthers: where only its companions are to go back, a
// domain does not keep the original TTLs of the others from coming back.
func TestCompanionsGoingBackSettleOthers(t *testing.T) {
	t.Parallel()
	p := newSim(t, nil).plan
	p.Isolate = nil
	for moved, want := range map[bool]bool{false: true, true: false} {
		s := state.NewStatus(p)
		for i := range s.Domains {
			s.Domains[i].State, s.Domains[i].Since = state.Live, now.At
		}
		d := s.Domain(first)
		d.Back, d.State = true, state.IsDrifted
		d.Steps["companion:1"] = state.StepRecord{Done: true}
		if moved {
			d.Steps["publish"] = state.StepRecord{Done: true}
		}
		if got := settleAt(&p, s, Policy{SettleAfter: time.Hour}); got.Equal(now.At.Add(time.Hour)) != want {
			t.Errorf("its MX is at the gateway: %v; they settle at %v", moved, got)
		}
	}
}

// A companion's wait is kept when the plan is lost: the journal has it.
func TestCompanionsWaitIsJournaled(t *testing.T) {
	t.Parallel()
	step := plan.Step{ID: "companion:1", Kind: plan.WriteCompanion}
	turn := Turn{Step: step, Domain: state.DomainStatus{Steps: map[string]state.StepRecord{step.ID: {Intent: state.Intent{Rest: 48 * time.Hour}}}}}
	if got := (World{}).leaves(t.Context(), turn, text("x.", "y")); got != 48*time.Hour {
		t.Errorf("%v", got)
	}
	turn.Cutover.Steps = []plan.Step{step, {ID: "await-companion:1", Kind: plan.AwaitCompanion, Wait: plan.Duration(time.Hour)}}
	if got := restOf(turn); got != time.Hour {
		t.Errorf("%v", got)
	}
}
