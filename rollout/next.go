package rollout

import (
	"cmp"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// A move is what a domain does next. The zero move is to wait for an event.
type move struct {
	what  moveKind
	step  plan.Step
	at    time.Time // of moveLater: look again then
	watch bool      // of moveLater: only to watch
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
	shut     bool // nothing more of its wave is published
	open     bool // the old server is not closed
	room     bool // the journal has room for more than a rollback
	gate     plan.Gate
	quiet    func(provider string) time.Duration // how late a write without an answer may come
	settle   time.Time
	canWatch bool
	watched  time.Time
}

// next decides a domain's move. It is a function of the journal and the time.
func next(c plan.Cutover, d state.DomainStatus, g gates, p Policy, now state.Moment) move {
	if d.State == state.IsInDoubt {
		if left := doubted(c, d, g, now); left > 0 {
			return move{what: moveLater, at: now.At.Add(left)}
		}
	}
	switch {
	case d.Back:
		return nextBack(c, d, g)
	case d.State == state.IsRolledBack && !d.Gone.IsZero() && !d.Paused:
		return nextWatch(d, g, p, now.At)
	case d.Waiting(), d.State == state.IsRolledBack, d.State == state.IsSkipped:
		return move{}
	}
	return nextForward(c, d, g, p, now)
}

// doubted is for how much longer a domain in doubt is left alone. On the way back
// only the doubt about what is undone next counts: an MX never waits for a
// companion.
func doubted(c plan.Cutover, d state.DomainStatus, g gates, now state.Moment) (left time.Duration) {
	of := func(s plan.Step) {
		if w := d.DoubtOf(s); !w.IsZero() {
			left = max(left, fenced(w, g.late(cmp.Or(s.Provider, c.Provider)), now))
		}
	}
	if d.Back {
		of(nextBack(c, d, gates{open: true}).step)
		return left
	}
	for _, s := range c.Steps {
		of(s)
	}
	return left
}

// late is how late a provider's write may come that got no answer.
func (g gates) late(provider string) time.Duration {
	if g.quiet == nil {
		return 0
	}
	return g.quiet(provider)
}

// fenced is for how much longer a write without an answer may come, given how
// late one may come at its provider.
func fenced(doubt state.Wait, quiet time.Duration, now state.Moment) time.Duration {
	if doubt.For == state.Unfenced {
		doubt.For = quiet
	}
	left, _ := doubt.Left(now)
	return min(left, doubt.For)
}

// nextBack undoes the newest step that may have had an effect: those of the MX
// first, then companions. No MX goes back to the old server while that may be
// closed (P8).
func nextBack(c plan.Cutover, d state.DomainStatus, g gates) move {
	if d.State == state.IsHeld || d.State == state.IsDrifted || d.Paused {
		return move{}
	}
	var companion *plan.Step
	for i, s := range slices.Backward(c.Steps) {
		r, begun := d.Steps[s.ID]
		switch {
		case !begun || r.Kept || !s.Kind.Writes():
		case s.Kind == plan.WriteCompanion:
			if companion == nil {
				companion = &c.Steps[i]
			}
		case s.Kind == plan.Publish && !g.open:
			return move{}
		default:
			return move{what: moveUndo, step: s}
		}
	}
	if companion != nil {
		return move{what: moveUndo, step: *companion}
	}
	return move{what: moveBack}
}

func nextForward(c plan.Cutover, d state.DomainStatus, g gates, p Policy, now state.Moment) move {
	if p.BackOnly || !g.room {
		return move{}
	}
	for _, s := range c.Steps {
		switch {
		case d.Has(s.ID):
			continue
		case s.Kind == plan.Settle || s.Late:
			return nextSettle(s, d, g, p, now.At)
		case g.wave:
		case !p.PrepareAll:
			return move{}
		case s.Kind == plan.Preflight, s.Kind == plan.WriteCompanion, s.Kind == plan.AwaitCompanion:
			continue
		case s.Kind != plan.LowerTTL && s.Kind != plan.AwaitTTL:
			return move{}
		}
		if s.Kind == plan.Publish {
			return nextPublish(c, s, d, g, p, now)
		}
		return move{what: moveDo, step: s}
	}
	return nextWatch(d, g, p, now.At)
}

// nextPublish wants the gate's hours, and a preflight that is young enough (P3).
// A publish that was begun is not held up: its write may be there already.
func nextPublish(c plan.Cutover, s plan.Step, d state.DomainStatus, g gates, p Policy, now state.Moment) move {
	if _, begun := d.Steps[s.ID]; !begun {
		if g.shut {
			return move{}
		}
		if ok, again, _ := g.gate.MayPublish(now.At, c.Peak); !ok {
			return move{what: moveLater, at: again}
		}
	}
	if !fresh(c, d, p, now) {
		if s, ok := c.Step(plan.Preflight); ok {
			return move{what: moveDo, step: s}
		}
	}
	return move{what: moveDo, step: s}
}

func nextSettle(s plan.Step, d state.DomainStatus, g gates, p Policy, now time.Time) move {
	switch {
	case g.settle.IsZero():
		return nextWatch(d, g, p, now)
	case now.Before(g.settle):
		if m := nextWatch(d, g, p, now); m.what == moveWatch || m.at.Before(g.settle) && !m.at.IsZero() {
			return m
		}
		return move{what: moveLater, at: g.settle}
	}
	return move{what: moveDo, step: s}
}

// nextWatch looks at a domain that is where it should be, now and then: somebody
// may change it, or a write of ours come late.
func nextWatch(d state.DomainStatus, g gates, p Policy, now time.Time) move {
	if !g.canWatch || d.State != state.Live && d.State != state.Settled && d.State != state.IsRolledBack {
		return move{}
	}
	if at := g.watched.Add(p.WatchEvery); now.Before(at) {
		return move{what: moveLater, at: at, watch: true}
	}
	return move{what: moveWatch}
}

// fresh tells whether the domain's preflight is young enough to publish on
// (P3), also when a publish was begun and the engine died before its end. After
// a restart of the machine it is not, nor is one from before a companion was there.
func fresh(c plan.Cutover, d state.DomainStatus, p Policy, now state.Moment) bool {
	s, ok := c.Step(plan.Preflight)
	if !ok {
		return true
	}
	done := d.Steps[s.ID].DoneAt
	for _, x := range c.Steps {
		r := d.Steps[x.ID]
		if x.Kind != plan.AwaitCompanion || x.Late || !r.Done || r.DoneAt.Boot != done.Boot {
			continue // of another start of the machine is one from before the preflight, or that is not fresh below
		}
		if since, _ := r.DoneAt.Since(done); since > 0 {
			return false
		}
	}
	age, sure := now.Since(done)
	return age >= 0 && age < p.PreflightLifetime && (sure || done.Boot == now.Boot)
}
