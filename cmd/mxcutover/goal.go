package main

import (
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
	if ok && target == "isolation" && what != "" {
		return goal{what: what, target: state.Isolate}, nil
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
		target = state.DomainTarget(c)
	}
	return goal{what: what, target: target}, nil
}

// reached tells whether the status is what was waited for. The end of the
// migration, or of all that can be done, ends any watch.
func (g goal) reached(s *state.Status) bool {
	switch {
	case s.Over:
		return true
	case g.target != "":
		return g.at(s)
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
		return string(s.Isolation.State) == g.what
	}
	kind, name, _ := strings.Cut(g.target, ":")
	if kind == "wave" {
		w := s.Wave(name)
		return w != nil && string(w.State) == g.what
	}
	d := s.Domain(name)
	return d != nil && string(d.State) == g.what
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
	if (g.what == "held" || g.what == "" && !s.Over) && anyHeld(s) {
		return exitCode(codePerson)
	}
	return nil
}
