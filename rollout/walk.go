package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/state"
)

// tries is how often a step that could not be carried out is tried before a
// person is asked.
const tries = 4

// walk carries out one move of a domain and journals what came of it.
func (e *Engine) walk(ctx context.Context, st start) error {
	t := e.turn(st.cut, st.domain, st.move.step)
	switch st.move.what {
	case moveDo:
		return e.forward(ctx, t)
	case moveUndo:
		return e.back(ctx, t)
	case moveWatch:
		return e.watch(ctx, t)
	case moveBack:
		return e.emit(ctx, e.event(t, state.Event{Kind: state.RolledBack, Reason: t.Domain.Reason}))
	}
	return nil
}

// event fills in whom an event is about.
func (e *Engine) event(t Turn, ev state.Event) state.Event {
	ev.Domain, ev.Wave = t.Cutover.Domain, t.Cutover.Wave
	ev.Findings = stamp(ev.Findings, e.Clock.Now())
	return ev
}

// forward does one step. The Intent is journaled before Do; after a restart the
// journaled one is used again.
func (e *Engine) forward(ctx context.Context, t Turn) error {
	action, ok := e.Actions[t.Step.Kind]
	if !ok {
		return e.outcome(ctx, t, Outcome{}, hold(nil, "this mxcutover does not know the step %q", t.Step.Kind))
	}
	intent, err := e.intend(ctx, &t, action)
	if errors.Is(err, state.ErrNoRoom) {
		return e.noRoom(ctx, err)
	}
	if err != nil {
		return e.outcome(ctx, t, Outcome{}, err)
	}
	out, err := e.insist(ctx, func() (Outcome, error) { return action.Do(ctx, t, intent) })
	return e.outcome(ctx, t, out, err)
}

// intend gives the journaled Intent of a step that was begun, or prepares and
// journals a new one. It sets the turn's deadline.
func (e *Engine) intend(ctx context.Context, t *Turn, a Action) (state.Intent, error) {
	if r, begun := t.Domain.Steps[t.Step.ID]; begun && !r.Done && !e.begunAnew(*t, r) {
		t.Wait = r.Wait()
		return r.Intent, nil
	}
	var intent state.Intent
	_, err := e.insist(ctx, func() (out Outcome, err error) {
		intent, err = a.Prepare(ctx, *t)
		return out, err
	})
	if err != nil {
		return intent, err
	}
	intent.Attempt = t.Attempt
	return intent, e.intended(ctx, t, &intent)
}

// intended journals an Intent, with its deadline by both clocks.
func (e *Engine) intended(ctx context.Context, t *Turn, i *state.Intent) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !i.Until.IsZero() {
		i.Wait = max(i.Until.Sub(e.Clock.Now()), 1)
	}
	at, err := e.append(ctx, []state.Event{e.event(*t, state.Event{Kind: state.Intended, Step: t.Step.ID, Intent: i})})
	t.Wait = state.Wait{From: at, For: i.Wait}
	return err
}

// begunAnew tells whether a wait for caches that was begun starts again, since
// the machine did: nobody knows for how long it was off.
func (e *Engine) begunAnew(t Turn, r state.StepRecord) bool {
	boot, _ := e.Clock.Boot()
	return (t.Step.Kind == plan.AwaitTTL || t.Step.Kind == plan.AwaitCompanion) && r.Begun.Boot != "" && r.Begun.Boot != boot
}

// insist repeats what could not be carried out, with growing pauses: a few
// times, or for Policy.SyncWait where the provider says that it may help. It
// gives up at once where a repeat is of no use.
func (e *Engine) insist(ctx context.Context, f func() (Outcome, error)) (out Outcome, err error) {
	pause := e.Policy.PollEvery
	patience := state.Wait{From: moment(e.Clock), For: e.Policy.SyncWait}
	for i := 1; ; i++ {
		if out, err = f(); err == nil || !repeatable(err) || ctx.Err() != nil {
			return out, err
		}
		left, _ := patience.Left(moment(e.Clock))
		if i >= tries && (!errors.Is(err, providers.ErrTransient) || left <= 0) {
			return out, err
		}
		if serr := sleep(ctx, pause); serr != nil {
			return out, serr
		}
		pause = min(2*pause, time.Minute)
	}
}

func repeatable(err error) bool {
	var held *Held
	return !errors.As(err, &held) && !errors.Is(err, errAgain) && !errors.Is(err, providers.ErrDrifted) &&
		!errors.Is(err, providers.ErrInDoubt) && !errors.Is(err, providers.ErrLied) && !errors.Is(err, providers.ErrReadOnly) && !errors.Is(err, providers.ErrCNAME)
}

// outcome journals what came of a step. An interrupted step has none: it is
// taken up again, or undone, from its Intent. A write without an answer is told
// in any case.
func (e *Engine) outcome(ctx context.Context, t Turn, out Outcome, err error) error {
	if ctx.Err() != nil && err != nil && !doubtful(err) {
		return ctx.Err()
	}
	if errors.Is(err, errAgain) {
		return nil
	}
	if err != nil {
		return e.emit(ctx, e.event(t, e.trouble(t, err)))
	}
	switch out.verdict() {
	case plan.Fail:
		return e.emit(ctx, e.failure(ctx, t, out.Findings)...)
	case plan.Unknown:
		return e.emit(ctx, e.event(t, state.Event{
			Kind: state.Held, Step: t.Step.ID, Findings: out.Findings, Reason: "could not check " + summary(out.Findings, plan.Unknown),
		}))
	}
	return e.emit(ctx, e.event(t, state.Event{Kind: state.Done, Step: t.Step.ID, Findings: out.Findings, Intent: out.got(e.Clock.Now())}))
}

// trouble is the event of a step that could not be carried out.
func (e *Engine) trouble(t Turn, err error) state.Event {
	ev := state.Event{Kind: state.Held, Step: t.Step.ID, Err: err.Error(), Reason: fmt.Sprintf("%s could not be carried out", t.Step.Kind)}
	var held *Held
	switch {
	case errors.As(err, &held):
		ev.Reason, ev.Err, ev.Findings = held.Reason, "", held.Findings
	case errors.Is(err, providers.ErrDrifted) && t.Domain.Drift == state.Skip:
		ev.Kind, ev.Reason, ev.Err = state.Skipped, err.Error(), ""
	case errors.Is(err, providers.ErrDrifted):
		ev.Kind, ev.Reason, ev.Err = state.Drifted, err.Error(), ""
	case errors.Is(err, providers.ErrInDoubt):
		e.doubt(&ev, providers.Fence(err), "the write got no answer; it is looked at again when it can no longer be applied late")
	case late(err) && t.Domain.Doubts == 0:
		e.doubt(&ev, lateFor, "the provider says that it has written, and still answers what was there before; it is asked again")
	case errors.Is(err, providers.ErrLied):
		ev.Reason, ev.Err = err.Error(), ""
	}
	return ev
}

// lateFor is how long a provider may go on answering what was there before.
const lateFor = time.Minute

func (e *Engine) doubt(ev *state.Event, d time.Duration, reason string) {
	ev.Kind, ev.Reason = state.InDoubt, reason
	ev.Intent = &state.Intent{Until: e.Clock.Now().Add(d), Wait: max(d, 1)}
}

// late tells whether a provider's lie may only be a late answer.
func late(err error) bool {
	var lie *providers.LieError
	return errors.As(err, &lie) && lie.Stale()
}

func doubtful(err error) bool {
	return errors.Is(err, providers.ErrInDoubt) || errors.Is(err, providers.ErrLied)
}

func (e *Engine) gate(wave string) plan.Gate {
	for _, w := range e.plan.Waves {
		if w.Name == wave {
			return w.Gate
		}
	}
	return plan.Gate{}
}

// back undoes one step from its journaled Intent.
func (e *Engine) back(ctx context.Context, t Turn) error {
	action, ok := e.Actions[t.Step.Kind]
	if !ok {
		return e.emit(ctx, e.event(t, e.trouble(t, hold(nil, "this mxcutover does not know the step %q", t.Step.Kind))))
	}
	intent := t.Domain.Steps[t.Step.ID].Intent
	if err := e.emit(ctx, e.event(t, state.Event{Kind: state.Undoing, Step: t.Step.ID})); err != nil {
		return err
	}
	out, err := e.insist(ctx, func() (Outcome, error) { return action.Undo(ctx, t, intent) })
	switch {
	case err != nil && ctx.Err() != nil && !doubtful(err):
		return ctx.Err()
	case err != nil:
		return e.emit(ctx, e.event(t, e.trouble(t, err)))
	case bad(out.verdict()):
		return e.emit(ctx, e.event(t, state.Event{Kind: state.Held, Step: t.Step.ID, Findings: out.Findings, Reason: "rollback: " + worst(out.Findings)}))
	}
	return e.emit(ctx, e.event(t, state.Event{Kind: state.Undone, Step: t.Step.ID, Findings: out.Findings, Intent: out.got(e.Clock.Now())}))
}

// within bounds an effect that must come to its end though the engine stops.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
