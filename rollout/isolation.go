package rollout

import (
	"context"
	"errors"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// The moves of isolation besides moveDo.
const (
	moveLift moveKind = 100 + iota
	moveLook          // at what was closed for good
)

// nextIsolation decides what happens at the old server's firewall. Opening it
// again goes before all else.
func nextIsolation(p *plan.Plan, s *state.Status, pol Policy) (plan.Step, moveKind) {
	i := s.Isolation
	if !i.Held && (i.Lift || i.Closed && wantsBack(s)) {
		return plan.Step{}, moveLift
	}
	if i.Waiting() || i.Paused || pol.BackOnly || i.State == state.IsolationLifted || i.State == state.IsolationConfirmed {
		return plan.Step{}, moveNone
	}
	for _, w := range s.Waves {
		if w.State != state.Live {
			return plan.Step{}, moveNone
		}
	}
	for _, step := range p.Isolate {
		if i.Steps[step.ID].Done {
			continue
		}
		if step.Kind == plan.Arm && !i.Approved && !pol.AutoApprove {
			return plan.Step{}, moveNone
		}
		if unsettled(s) != "" {
			return plan.Step{}, moveNone
		}
		return step, moveDo
	}
	return plan.Step{}, moveNone
}

// unsettled names a domain that goes back, or whose record is not as it should
// be, or not known to be: then the old server is not closed, nor kept closed.
func unsettled(s *state.Status) string {
	for i := range s.Domains {
		d := &s.Domains[i]
		switch {
		case d.Back:
			return rrset.Bare(d.Domain) + " is to be rolled back"
		case d.State == state.IsDrifted, d.State == state.IsInDoubt, d.State == state.IsHeld:
			return rrset.Bare(d.Domain) + " is " + string(d.State)
		}
	}
	return ""
}

// errBack is what ends a step of isolation for the sake of a rollback: the old
// server is opened next.
var errBack = errors.New("a domain is to be rolled back")

// givesWay is asked right before the old server is closed, and while it is kept
// so: is every domain still where it should be?
func (t Turn) givesWay() (err error) {
	t.View(func(s *state.Status) {
		if why := unsettled(s); wantsBack(s) {
			err = errBack
		} else if why != "" && s.Isolation.Hand {
			err = hold(nil, "%s: until that is settled the old server is not to be closed", why)
		} else if why != "" {
			err = hold(nil, "%s: until that is settled the old server is not closed, and what is armed is left to expire", why)
		}
	})
	return err
}

// wantsBack tells whether a moved domain is to be rolled back.
func wantsBack(s *state.Status) bool {
	for _, d := range s.Domains {
		if d.Back && d.Moved() {
			return true
		}
	}
	return false
}

func (e *Engine) walkIsolation(ctx context.Context, step plan.Step, m moveKind) error {
	t := e.turn(plan.Cutover{}, state.DomainStatus{}, step)
	switch m {
	case moveLift:
		return e.lift(ctx, t)
	case moveLook:
		return e.lookAtOld(ctx, t)
	}
	action, ok := e.Actions[step.Kind]
	if !ok {
		return e.isolationTrouble(ctx, t, hold(nil, "this mxcutover does not know the step %q", step.Kind))
	}
	intent, err := e.intendIsolation(ctx, &t, action)
	if err != nil {
		return e.isolationTrouble(ctx, t, err)
	}
	out, err := action.Do(ctx, t, intent)
	if err != nil {
		return e.isolationTrouble(ctx, t, err)
	}
	switch out.verdict() {
	case plan.Fail, plan.Unknown:
		reason := string(step.Kind) + ": " + summary(out.Findings, out.verdict())
		return e.emit(ctx, e.event(t, state.Event{Kind: state.Failed, Step: step.ID, Findings: out.Findings, Reason: reason}))
	}
	return e.emit(ctx, e.event(t, state.Event{Kind: state.Done, Step: step.ID, Findings: out.Findings, Intent: out.got(e.Clock.Now())}))
}

func (e *Engine) intendIsolation(ctx context.Context, t *Turn, a Action) (state.Intent, error) {
	if r, begun := t.isolation().Steps[t.Step.ID]; begun && !r.Done {
		t.Wait = r.Wait()
		return r.Intent, nil
	}
	intent, err := a.Prepare(ctx, *t)
	if err != nil {
		return intent, err
	}
	return intent, e.intended(ctx, t, &intent)
}

// isolationTrouble holds isolation. What is armed is left to expire.
func (e *Engine) isolationTrouble(ctx context.Context, t Turn, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errBack) {
		return e.emit(ctx, e.event(t, state.Event{Kind: state.Undone, Step: t.Step.ID, Reason: err.Error()}))
	}
	ev := state.Event{Kind: state.Held, Step: t.Step.ID, Reason: string(t.Step.Kind) + ": " + err.Error()}
	var held *Held
	if errors.As(err, &held) {
		ev.Findings = held.Findings
	}
	if err := e.emit(ctx, e.event(t, ev)); err != nil || held == nil || !held.Lift {
		return err
	}
	return e.Do(ctx, state.Decision{Verb: state.Lift, Target: state.Isolate, By: "a redirect that is not proven"})
}

// lift opens the old server and proves it. If that cannot be proven, isolation
// is held, and no MX is pointed back (P8).
func (e *Engine) lift(ctx context.Context, t Turn) error {
	if e.Lift == nil {
		return e.isolationTrouble(ctx, t, hold(nil, "no firewall is configured, so it cannot be lifted"))
	}
	found, err := e.Lift(ctx, t)
	if err != nil {
		return e.isolationTrouble(ctx, t, err)
	}
	if bad((Outcome{Findings: found}).verdict()) {
		return e.isolationTrouble(ctx, t, hold(found, "lift: the old server was not proven open: %s", worst(found)))
	}
	return e.emit(ctx, e.event(t, state.Event{Kind: state.Lifted, Findings: found}))
}
