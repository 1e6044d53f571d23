package state_test

import (
	"errors"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/state"
)

// hand is what a person is asked to load, or that it was seen.
func hand(table string, s plan.Severity) state.Event {
	return state.Event{Kind: state.Observed, Step: "arm", Findings: []plan.Finding{{Check: plan.HandFirewall, Target: table, Severity: s}}}
}

func asked(table string) []state.Event {
	return one(state.Event{Kind: state.Intended, Step: "arm"}, hand(table, plan.Unknown))
}

func loaded(table string) state.Decision {
	return state.Decision{Verb: state.Loaded, Target: state.Isolate, Confirm: table}
}

// What a person says counts for the table that was asked for, until it is looked at or
// asked for anew; and a retry begins anew, but nothing opens by itself.
func TestWhatAPersonLoads(t *testing.T) {
	t.Parallel()
	s := fold(t, asked("close-25-aa")...)
	said := loaded("close-25-aa")
	apply := func(e state.Event) { e.Seq = s.Seq + 1; s.Apply(e) }
	apply(state.Event{Kind: state.Decided, Decision: &said})
	if i := s.Isolation; i.Said != "close-25-aa" || !i.Hand || !i.Closed {
		t.Errorf("said: %+v", i)
	}
	apply(hand("close-25-bb", plan.Unknown))
	if i := s.Isolation; i.Said != "" || i.Asks != "close-25-bb" || len(i.Findings) != 1 {
		t.Errorf("asked for another: %+v", i)
	}
	apply(state.Event{Kind: state.Held})
	retry := state.Decision{Verb: state.Retry, Target: state.Isolate}
	apply(state.Event{Kind: state.Decided, Decision: &retry})
	if i := s.Isolation; i.Asks != "" || !i.Hand || !i.Closed {
		t.Errorf("begun anew: %+v", i)
	}
	apply(state.Event{Kind: state.Lifted})
	if i := s.Isolation; i.Hand || i.Closed || i.Asks != "" {
		t.Errorf("lifted: %+v", i)
	}
}

func TestCheckOfDecisions(t *testing.T) {
	t.Parallel()
	drifted := one(at(state.Drifted, ""))
	held := one(at(state.Held, ""))
	armed := one(state.Event{Kind: state.Intended, Step: "arm"}, state.Event{Kind: state.Done, Step: "arm"})
	for name, c := range map[string]struct {
		events []state.Event
		d      state.Decision
		want   string // part of the refusal; "" = taken
	}{
		"approve a wave":              {nil, state.Decision{Verb: state.Approve, Target: "wave:wave-2"}, ""},
		"approve isolation":           {nil, state.Decision{Verb: state.Approve, Target: "isolate"}, ""},
		"approve the first wave":      {nil, state.Decision{Verb: state.Approve, Target: "wave:pilot"}, "approved already"},
		"approve twice":               {one(decided(state.Approve, "wave:wave-2")), state.Decision{Verb: state.Approve, Target: "wave:wave-2"}, "approved already"},
		"approve all":                 {nil, state.Decision{Verb: state.Approve, Target: "all"}, "approve one wave"},
		"approve a domain":            {nil, state.Decision{Verb: state.Approve, Target: "domain:" + dom}, "approve one wave"},
		"no such wave":                {nil, state.Decision{Verb: state.Hold, Target: "wave:none"}, `no wave "none"`},
		"no such domain":              {nil, state.Decision{Verb: state.Hold, Target: "domain:none.example"}, "no domain"},
		"no target":                   {nil, state.Decision{Verb: state.Hold}, "expected"},
		"odd target":                  {nil, state.Decision{Verb: state.Hold, Target: "pilot"}, "expected"},
		"unknown verb":                {nil, state.Decision{Verb: "explode", Target: "all"}, "unknown decision"},
		"hold all":                    {nil, state.Decision{Verb: state.Hold, Target: "all"}, ""},
		"a domain as people write it": {nil, state.Decision{Verb: state.Hold, Target: "domain:D0000.Example"}, ""},
		"quit":                        {nil, state.Decision{Verb: state.Quit, Target: "all"}, ""},
		"retry what is held":          {held, state.Decision{Verb: state.Retry, Target: "domain:" + dom}, ""},
		"retry its wave":              {held, state.Decision{Verb: state.Retry, Target: "wave:pilot"}, ""},
		"retry another wave":          {held, state.Decision{Verb: state.Retry, Target: "wave:wave-2"}, "nothing to retry"},
		"retry what goes on":          {nil, state.Decision{Verb: state.Retry, Target: "all"}, "nothing to retry"},
		"retry what is in doubt":      {one(at(state.InDoubt, "publish")), state.Decision{Verb: state.Retry, Target: "all"}, "nothing to retry"},
		"retry what was rolled back":  {one(at(state.RolledBack, "")), state.Decision{Verb: state.Retry, Target: "wave:pilot"}, ""},
		"retry all does not restart":  {one(at(state.RolledBack, "")), state.Decision{Verb: state.Retry, Target: "all"}, "nothing to retry"},
		"retry by force":              {drifted, state.Decision{Verb: state.Retry, Target: "domain:" + dom, Drift: state.Force}, `confirm with "d0000.example"`},
		"retry by force, confirmed":   {drifted, state.Decision{Verb: state.Retry, Target: "domain:" + dom, Drift: state.Force, Confirm: "d0000.example"}, ""},
		"retry and adopt":             {drifted, state.Decision{Verb: state.Retry, Target: "domain:" + dom, Drift: state.Adopt}, ""},
		"an unknown choice":           {drifted, state.Decision{Verb: state.Retry, Target: "domain:" + dom, Drift: "merge"}, "unknown choice"},
		"a choice with hold":          {drifted, state.Decision{Verb: state.Hold, Target: "domain:" + dom, Drift: state.Skip}, "not with hold"},
		"retry isolation":             {one(state.Event{Kind: state.Held}), state.Decision{Verb: state.Retry, Target: "isolate"}, ""},
		"retry isolation that goes":   {nil, state.Decision{Verb: state.Retry, Target: "isolate"}, "nothing to retry"},
		"rollback":                    {nil, state.Decision{Verb: state.Rollback, Target: "wave:pilot", Confirm: "pilot"}, ""},
		"rollback of a domain":        {nil, state.Decision{Verb: state.Rollback, Target: "domain:" + dom, Confirm: "d0000.example"}, ""},
		"rollback of all":             {nil, state.Decision{Verb: state.Rollback, Target: "all", Confirm: "all"}, ""},
		"rollback unconfirmed":        {nil, state.Decision{Verb: state.Rollback, Target: "wave:pilot"}, `confirm with "pilot"`},
		"rollback of another name":    {nil, state.Decision{Verb: state.Rollback, Target: "wave:pilot", Confirm: "wave-2"}, `confirm with "pilot"`},
		"rollback by yes":             {nil, state.Decision{Verb: state.Rollback, Target: "all", Confirm: "yes"}, `confirm with "all"`},
		"rollback of isolation":       {armed, state.Decision{Verb: state.Rollback, Target: "isolate", Confirm: "isolate"}, "lifted, not rolled back"},
		"confirm what is armed":       {armed, state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate"}, ""},
		"confirm too late":            {append(armed[:len(armed):len(armed)], state.Event{Kind: state.Held, Step: "confirm", Reason: "nobody confirmed in time"}), state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate"}, "nobody confirmed in time"},
		"confirm what a person holds": {append(armed[:len(armed):len(armed)], state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Hold, Target: "isolate"}}), state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate"}, ""},
		"confirm unconfirmed":         {armed, state.Decision{Verb: state.Keep, Target: "isolate"}, `confirm with "isolate"`},
		"confirm what is open":        {nil, state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate"}, "nothing armed"},
		"confirm a wave":              {armed, state.Decision{Verb: state.Keep, Target: "wave:pilot", Confirm: "pilot"}, "only isolate"},
		"done with what is asked for": {asked("close-25-aa"), loaded("close-25-aa"), ""},
		"done with another table":     {asked("close-25-aa"), loaded("close-25-bb"), `confirm with "close-25-aa"`},
		"done without a name":         {asked("close-25-aa"), loaded(""), `confirm with "close-25-aa"`},
		"done, and nothing is asked":  {nil, loaded("close-25-aa"), "nobody is asked"},
		"done, and it is held":        {append(asked("close-25-aa"), state.Event{Kind: state.Held}), loaded("close-25-aa"), "is held"},
		"done, and it was taken":      {append(asked("close-25-aa"), hand("close-25-aa", plan.Pass)), loaded("close-25-aa"), "nobody is asked"},
		"opened, and that is said":    {asked("open-25-aa"), loaded("open-25-aa"), "seen from outside"},
		"done with a wave":            {asked("close-25-aa"), state.Decision{Verb: state.Loaded, Target: "wave:pilot", Confirm: "close-25-aa"}, "only of isolate"},
		"lift":                        {nil, state.Decision{Verb: state.Lift, Target: "isolate"}, ""},
		"lift a wave":                 {nil, state.Decision{Verb: state.Lift, Target: "wave:pilot"}, "only isolate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fold(t, c.events...)
			err := s.Check(c.d)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.Is(err, state.ErrRefused) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want a refusal with %q", err, c.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	s := fold(t)
	for target, want := range map[string][2]int{
		"all": {2, 3}, "isolate": {0, 0}, "wave:pilot": {1, 2}, "wave:wave-2": {1, 1}, "domain:" + dom: {0, 1},
	} {
		w, d, err := s.Targets(target)
		if err != nil || len(w) != want[0] || len(d) != want[1] {
			t.Errorf("%s: %d waves, %d domains, %v; want %v", target, len(w), len(d), err, want)
		}
	}
	for target, want := range map[string]string{
		state.WaveTarget("low"): "low", state.DomainTarget("a.example."): "a.example", state.All: "all", state.Isolate: "isolate",
	} {
		if got := state.ConfirmName(target); got != want {
			t.Errorf("to confirm %s: %q, want %q", target, got, want)
		}
	}
}

// TestTwoPersons wants two users to approve, neither of them root, the engine's
// own, nor nobody.
func TestTwoPersons(t *testing.T) {
	t.Parallel()
	p := samplePlan(t, 6)
	for i := range p.Waves {
		p.Waves[i].Gate.Persons = 2
	}
	s := state.NewStatus(p)
	approve := func(target string, uid *int) error {
		d := state.Decision{Verb: state.Approve, Target: target, UID: uid}
		err := s.Check(d)
		if err == nil {
			s.Apply(state.Event{Kind: state.Decided, Decision: &d})
		}
		return err
	}
	uid := func(n int) *int { return &n }
	if err := approve("wave:pilot", uid(1001)); !errors.Is(err, state.ErrRefused) || !strings.Contains(err.Error(), "running engine") {
		t.Errorf("without an engine: %v", err)
	}
	s.Apply(state.Event{Kind: state.Started, Engine: &state.Engine{UID: 900}})
	for _, target := range []string{"wave:pilot", "isolate"} {
		for _, bad := range []*int{nil, uid(0), uid(900), uid(65534)} {
			if err := approve(target, bad); !errors.Is(err, state.ErrRefused) {
				t.Errorf("%s by %v: %v", target, bad, err)
			}
		}
		if err := approve(target, uid(1001)); err != nil || s.Wave("pilot").Approved && target != "isolate" || s.Isolation.Approved {
			t.Errorf("%s: the first: %v, approved %v", target, err, s.Wave("pilot").Approved)
		}
		if err := approve(target, uid(1001)); !errors.Is(err, state.ErrRefused) || !strings.Contains(err.Error(), "second person") {
			t.Errorf("%s: the first again: %v", target, err)
		}
		if err := approve(target, uid(1002)); err != nil {
			t.Errorf("%s: the second: %v", target, err)
		}
	}
	if !s.Wave("pilot").Approved || !s.Isolation.Approved {
		t.Errorf("pilot %v, isolation %v", s.Wave("pilot").Approved, s.Isolation.Approved)
	}
}
