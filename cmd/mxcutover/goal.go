package main

import (
	"slices"
	"strings"

	"mxcutover/rrset"
	"mxcutover/state"
)

// A goal is what watch waits for.
type goal struct {
	what   string // "", "done", "live", "held", or the state of a target
	target string
}

func parseGoal(s string) (goal, error) {
	if s == "" || s == "done" || s == "live" || s == "held" {
		return goal{what: s}, nil
	}
	target, what, ok := strings.Cut(s, "=")
	if ok && target == "isolation" {
		return goal{what: what, target: state.Isolate}, oneOf(s, what, isolationStates)
	}
	kind, name, named := strings.Cut(target, ":")
	if !ok || !named || what == "" || (kind != "wave" && kind != "domain") {
		return goal{}, usagef(`--until %s: expected "done", "live", "held", "wave:NAME=STATE", "domain:NAME=STATE" or "isolation=STATE"`, s)
	}
	if kind == "domain" {
		c, err := rrset.CanonicalName(name)
		if err != nil {
			return goal{}, usagef("--until: %w", err)
		}
		return goal{what: what, target: state.DomainTarget(c)}, oneOf(s, what, domainStates)
	}
	return goal{what: what, target: target}, oneOf(s, what, waveStates)
}

// The states that can be waited for, as the status shows them.
var (
	waveStates   = []state.Phase{state.WaveWaiting, state.WaveRunning, state.Live, state.IsHeld}
	domainStates = []state.Phase{
		state.Planned, state.Preflighted, state.TTLLowered, state.Waited, state.Published, state.Propagated, state.Probed, state.Soaking, state.Live, state.Settled,
		state.IsHeld, state.IsDrifted, state.IsInDoubt, state.IsRollingBack, state.IsRolledBack, state.IsSkipped,
	}
	isolationStates = []state.Phase{
		state.IsolationOpen, state.IsolationObserved, state.IsolationArmed, state.IsolationProven, state.IsolationPartly, state.IsolationConfirmed, state.IsolationLifted,
		state.IsHeld, state.IsDrifted, state.IsInDoubt,
	}
)

// oneOf is a fault where nothing could ever be so: it would be waited for in vain.
func oneOf(said, what string, known []state.Phase) error {
	if slices.Contains(known, state.Phase(what)) {
		return nil
	}
	words := make([]string, len(known))
	for n, k := range known {
		words[n] = string(k)
	}
	return usagef("--until %s: no such state; there are %s", said, strings.Join(words, ", "))
}

// in is a fault where the plan does not have what is waited for.
func (g goal) in(s *state.Status, said string) error {
	kind, name, _ := strings.Cut(g.target, ":")
	if kind == "wave" && s.Wave(name) == nil || kind == "domain" && s.Domain(name) == nil {
		return usagef("--until %s: the plan has no such %s; see: mxcutover status", said, kind)
	}
	return nil
}

// now is how what was waited for stands, for a watch that gave up.
func (g goal) now(s *state.Status) string {
	kind, name, _ := strings.Cut(g.target, ":")
	switch {
	case g.target == state.Isolate:
		return "isolation is " + string(s.Isolation.State) + ", and not " + g.what
	case kind == "wave" && s.Wave(name) != nil:
		return "wave " + name + " is " + string(s.Wave(name).State) + ", and not " + g.what
	case kind == "domain" && s.Domain(name) != nil:
		return rrset.Bare(name) + " is " + string(s.Domain(name).State) + ", and not " + g.what
	}
	return "the migration goes on"
}

// reached tells whether the status is what was waited for. The end of the
// migration, or of all that can be done, ends any watch.
func (g goal) reached(s *state.Status) bool {
	switch {
	case s.Over:
		return true
	case g.target != "":
		return g.at(s) || g.inVain(s)
	case g.what == "live":
		for _, w := range s.Waves {
			if w.State != state.Live {
				return false
			}
		}
		return len(s.Waves) > 0
	case g.what == "held", g.what == "":
		return anyHeld(s)
	}
	return false
}

func (g goal) at(s *state.Status) bool {
	if g.target == state.Isolate {
		return string(s.Isolation.State) == g.what || g.what == string(state.IsHeld) && s.Isolation.Held
	}
	kind, name, _ := strings.Cut(g.target, ":")
	if kind == "wave" {
		w := s.Wave(name)
		return w != nil && string(w.State) == g.what
	}
	d := s.Domain(name)
	return d != nil && string(d.State) == g.what
}

// inVain tells whether isolation is held short of the step that is waited for: it goes
// on when a person retries it, and not by itself.
func (g goal) inVain(s *state.Status) bool {
	steps := []state.Phase{state.IsolationObserved, state.IsolationArmed, state.IsolationProven, state.IsolationPartly, state.IsolationConfirmed}
	return g.target == state.Isolate && s.Isolation.Stuck() && slices.Contains(steps, state.Phase(g.what)) && !g.at(s)
}

func anyHeld(s *state.Status) bool {
	for _, w := range s.Waves {
		if w.State == state.IsHeld || w.Held > 0 {
			return true
		}
	}
	return s.Isolation.Waiting()
}

// exit is how a watch ends that saw what it waited for.
func (g goal) exit(s *state.Status) error {
	if g.inVain(s) || (g.what == "held" || g.what == "" && !s.Over) && anyHeld(s) {
		return exitCode(codePerson)
	}
	return nil
}
