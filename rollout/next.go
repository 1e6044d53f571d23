package rollout

import (
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// A move is what a domain does next. The zero move is to wait for an event.
type move struct {
	what moveKind
	step plan.Step
	at   time.Time // of moveLater: look again then
}

type moveKind int

const (
	moveNone  moveKind = iota
	moveDo             // step forward
	moveUndo           // step back
	moveBack           // all steps are undone: say so
	moveWatch          // look at a live domain
	moveLater          // nothing before at
)

// gates is what the rest of the migration allows a domain.
type gates struct {
	wave     bool // its wave runs
	open     bool // the old server is not closed
	settle   time.Time
	canWatch bool
	watched  time.Time
}

// next decides a domain's move. It is a function of the journal and the time.
func next(c plan.Cutover, d state.DomainStatus, g gates, p Policy, now time.Time) move {
	switch {
	case d.State == state.IsInDoubt && now.Before(d.Until):
		return move{what: moveLater, at: d.Until}
	case d.Back:
		return nextBack(c, d, g)
	case d.Waiting() || d.State == state.IsRolledBack:
		return move{}
	}
	return nextForward(c, d, g, p, now)
}

// nextBack undoes the newest step that may have had an effect. No MX goes back
// to the old server while that may be closed (P8).
func nextBack(c plan.Cutover, d state.DomainStatus, g gates) move {
	if d.State == state.IsHeld || d.State == state.IsDrifted || d.Paused {
		return move{}
	}
	for _, s := range slices.Backward(c.Steps) {
		if _, begun := d.Steps[s.ID]; !begun || !s.Kind.Writes() {
			continue
		}
		if s.Kind == plan.Publish && !g.open {
			return move{}
		}
		return move{what: moveUndo, step: s}
	}
	return move{what: moveBack}
}

func nextForward(c plan.Cutover, d state.DomainStatus, g gates, p Policy, now time.Time) move {
	if p.BackOnly {
		return move{}
	}
	for _, s := range c.Steps {
		switch {
		case d.Has(s.ID):
			continue
		case s.Kind == plan.Settle:
			return nextSettle(s, g, p, now)
		case g.wave:
		case !p.PrepareAll:
			return move{}
		case s.Kind == plan.Preflight:
			continue
		case s.Kind != plan.LowerTTL && s.Kind != plan.AwaitTTL:
			return move{}
		}
		if s.Kind == plan.Publish && !fresh(c, d, p, now) {
			if s, ok := c.Step(plan.Preflight); ok {
				return move{what: moveDo, step: s}
			}
		}
		return move{what: moveDo, step: s}
	}
	return nextWatch(g, p, now)
}

func nextSettle(s plan.Step, g gates, p Policy, now time.Time) move {
	switch {
	case g.settle.IsZero():
		return nextWatch(g, p, now)
	case now.Before(g.settle):
		if m := nextWatch(g, p, now); m.what == moveWatch || m.at.Before(g.settle) && !m.at.IsZero() {
			return m
		}
		return move{what: moveLater, at: g.settle}
	}
	return move{what: moveDo, step: s}
}

func nextWatch(g gates, p Policy, now time.Time) move {
	if !g.canWatch {
		return move{}
	}
	if at := g.watched.Add(p.WatchEvery); now.Before(at) {
		return move{what: moveLater, at: at}
	}
	return move{what: moveWatch}
}

// fresh tells whether the domain's preflight is young enough to publish on
// (P3), also when a publish was begun and the engine died before its end.
func fresh(c plan.Cutover, d state.DomainStatus, p Policy, now time.Time) bool {
	s, ok := c.Step(plan.Preflight)
	return !ok || now.Sub(d.Steps[s.ID].DoneAt) < p.PreflightLifetime
}
