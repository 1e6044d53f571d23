package state_test

import (
	"errors"
	"strings"
	"testing"

	"mxcutover/state"
)

func TestCheckOfDecisions(t *testing.T) {
	t.Parallel()
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
		"retry what was rolled back":  {one(at(state.RolledBack, "")), state.Decision{Verb: state.Retry, Target: "all"}, ""},
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
		"confirm unconfirmed":         {armed, state.Decision{Verb: state.Keep, Target: "isolate"}, `confirm with "isolate"`},
		"confirm what is open":        {nil, state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate"}, "nothing armed"},
		"confirm a wave":              {armed, state.Decision{Verb: state.Keep, Target: "wave:pilot", Confirm: "pilot"}, "only isolate"},
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
