package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/verify"
)

// arm is the Action that refuses new connections for a limited time.
type arm struct{ World }

// Prepare gathers the evidence once more: since it was observed, and approved,
// days may have passed.
func (a arm) Prepare(ctx context.Context, t Turn) (state.Intent, error) {
	if left := a.cachesLeft(t); left > 0 {
		return state.Intent{}, hold(nil, "a domain has moved since it was observed: for %v a cache may lead to the old server, or it is too early after that; retry observes again", left.Round(time.Second))
	}
	if err := a.stillEarned(ctx, t); err != nil {
		return state.Intent{}, err
	}
	reach := a.reach(ctx, t)
	if bad(plan.Judge(reach)) {
		return state.Intent{}, hold(reach, "the gateway would be cut off, or let everybody in, or it is not known: %s", worst(reach))
	}
	if err := t.Observe(ctx, time.Time{}, reach...); err != nil { // else the last that is told is that it was being asked
		return state.Intent{}, err
	}
	if err := cmp.Or(ctx.Err(), t.givesWay()); err != nil {
		return state.Intent{}, err
	}
	if _, ok := a.person(); ok {
		return state.Intent{}, nil // nothing opens by itself, and a person takes the time that it takes
	}
	return state.Intent{Until: t.Now().Add(a.Policy.ConfirmWithin)}, nil
}

func (a arm) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	if h, ok := a.person(); ok {
		return a.byHand(ctx, t, h)
	}
	left, sure := t.Wait.Left(moment(t.Clock))
	if left <= 0 || !sure && t.Wait.From.Boot != "" {
		return Outcome{}, hold(nil, "the time to arm has passed; it must be decided again")
	}
	loaded, until, err := a.Firewall.Loaded(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if err := t.givesWay(); err != nil {
		return Outcome{}, err
	}
	other := firewall.Difference(loaded, a.rules(t)) // what is armed still, and was meant otherwise
	if loaded.Holds(t.Step.Ports) || loaded.Closes(t.Step.Ports) && !until.IsZero() && len(other) == 0 {
		return Outcome{}, nil
	}
	before := a.listens(ctx, t)
	return Outcome{Findings: before}, a.Firewall.Apply(ctx, a.rules(t), t.Now().Add(left))
}

func (a arm) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// stillEarned holds unless, right now, no name leads to the old server.
func (w World) stillEarned(ctx context.Context, t Turn) error {
	out, err := w.evidence(ctx, t)
	if err != nil {
		return err
	}
	if bad(out.verdict()) {
		return hold(out.Findings, "closing the old server would lose mail, or it is not known: %s", worst(out.Findings))
	}
	return t.givesWay()
}

// rules are those of a set of ports, and of the sets before it, which are closed for
// good.
func (w World) rules(t Turn) firewall.Rules {
	r := firewall.Rules{Trust: w.Trust, Action: w.Action}
	for _, s := range t.Plan.Isolate {
		switch {
		case s.Kind != plan.Arm:
		case s.Number() == t.Step.Number():
			r.Ports = append(r.Ports, s.Ports...)
			return r
		default:
			r.Ports, r.Lasting = append(r.Ports, s.Ports...), append(r.Lasting, s.Ports...)
		}
	}
	return r
}

// prove is the Action that proves the armed state: closed from outside, and the
// gateway still gets its mail in.
type prove struct{ World }

func (p prove) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	return state.Intent{Until: t.isolation().Until}, nil
}

func (p prove) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	if h, ok := p.person(); ok {
		return p.byHand(ctx, t, h)
	}
	found, err := p.proof(ctx, t)
	return Outcome{Findings: found}, err
}

func (p prove) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// proof is what both prove and confirm rest on.
func (w World) proof(ctx context.Context, t Turn) ([]plan.Finding, error) {
	var found []plan.Finding
	if _, ok := w.person(); ok {
		found = w.Checker.HandClosed(ctx, w.handed(t, w.rules(t).Ports))
	} else {
		for _, port := range t.Step.Ports {
			found = append(found, w.Checker.OldClosed(ctx, port)...)
		}
	}
	for _, c := range oneLiveOfEach(t) {
		found = append(found, w.Checker.Routed(ctx, c)...)
	}
	found = append(found, w.nodes(ctx, t, nil)...)
	found = append(found, w.inside(ctx, t)...)
	return found, ctx.Err()
}

// nodes asks whether each node of the gateway passes mail on to the old server, from
// an address that stays let in there: also those that only one domain of a wave has.
func (w World) nodes(ctx context.Context, t Turn, callers verify.Callers) (found []plan.Finding) {
	for _, c := range verify.NodesOf(slices.Concat(live(t)...)) {
		found = append(found, w.Checker.Nodes(ctx, c, w.Trust, callers)...)
	}
	return found
}

// live are the domains whose mail goes to the gateway, by wave.
func live(t Turn) (out [][]plan.Cutover) {
	t.View(func(s *state.Status) {
		for _, wave := range t.Plan.Waves {
			out = append(out, nil)
			for i := range wave.Cutovers {
				if d := s.Domain(wave.Cutovers[i].Domain); d.State == state.Live || d.State == state.Settled {
					out[len(out)-1] = append(out[len(out)-1], wave.Cutovers[i])
				}
			}
		}
	})
	return out
}

// oneLiveOfEach is a live domain of each wave that has one.
func oneLiveOfEach(t Turn) (out []plan.Cutover) {
	for _, wave := range live(t) {
		out = append(out, wave[:min(len(wave), 1)]...)
	}
	return out
}

// Lift opens the old server and proves that it is open. It does not ask the
// journal what is closed. Without a checker it is opened all the same, and not proven.
func (w World) Lift(ctx context.Context, t Turn) ([]plan.Finding, error) {
	if w.Firewall == nil {
		return nil, hold(nil, "no firewall is configured")
	}
	if h, ok := w.person(); ok {
		return w.liftByHand(ctx, t, h)
	}
	lctx, cancel := within(ctx, writeTime)
	defer cancel()
	if err := w.Firewall.Apply(lctx, firewall.Rules{}, time.Time{}); err != nil {
		return nil, fmt.Errorf("lift: %w", err)
	}
	loaded, _, err := w.Firewall.Loaded(lctx)
	if err != nil {
		return nil, fmt.Errorf("lift: read back: %w", err)
	}
	if len(loaded.Ports) > 0 {
		return nil, hold(nil, "lift: ports %v are still closed", loaded.Ports)
	}
	if w.Checker == nil {
		return []plan.Finding{{Check: "old.open", Target: "all", Severity: plan.Unknown, Detail: "nothing is closed by us any more; whether it answers was not tried", At: time.Now()}}, nil
	}
	return w.Checker.OldOpen(ctx), nil
}
