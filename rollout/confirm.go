package rollout

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
)

// confirm is the Action that keeps the firewall closed, on proof and a person's
// word. Until then it renews the kernel's deadline.
type confirm struct{ World }

const lapsed = "what was armed has lapsed, and the old server is open again; decide to retry, and it is proven afresh"

// Prepare sets the time after which nobody's word is awaited any more.
func (c confirm) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	passed, _ := moment(t.Clock).Since(t.isolation().Steps[t.Step.Of(plan.Arm)].DoneAt)
	return state.Intent{Until: t.Now().Add(c.Policy.ConfirmAfter + c.Policy.ConfirmWithin - passed)}, nil
}

func (c confirm) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	if h, ok := c.person(); ok {
		return c.byHand(ctx, t, h)
	}
	armed := t.isolation().Steps[t.Step.Of(plan.Arm)].DoneAt
	loaded, until, err := c.Firewall.Loaded(ctx)
	if err != nil {
		return Outcome{}, err
	}
	forever := loaded.Holds(t.Step.Ports)
	if forever {
		kept, err := c.Firewall.Kept(ctx, c.rules(t).Confirmed())
		switch {
		case err != nil:
			return Outcome{}, err
		case kept:
			return c.read(ctx, t)
		case t.isolation().Keep && !c.Policy.AutoApprove:
			return Outcome{}, hold(untilBoot(t), "confirm-incomplete: the ports are closed, but a reboot would open them: confirming was broken off before the boot file was written; retry proves it afresh, confirm then finishes it, lift takes it back")
		}
	}
	for {
		if err := t.givesWay(); err != nil {
			return Outcome{}, err
		}
		if !loaded.Closes(t.Step.Ports) {
			return Outcome{}, hold(nil, lapsed)
		}
		if other := firewall.Difference(loaded, c.rules(t)); len(other) > 0 && !forever {
			return Outcome{}, hold(nil, "what is armed and proven is not what is configured now, and is left to expire: %s; retry arms that, and proves it", listOf(other))
		}
		keep := t.isolation().Keep || c.Policy.AutoApprove
		now := moment(t.Clock)
		passed, _ := now.Since(armed)
		left, _ := t.Wait.Left(now)
		switch {
		case keep && passed >= c.Policy.ConfirmAfter:
			return c.keep(ctx, t)
		case left <= 0:
			if forever {
				return Outcome{}, hold(untilBoot(t), "nobody confirmed in time; the ports stay closed until the next boot, or a lift")
			}
			return Outcome{}, hold(nil, "nobody confirmed in time; it is left to expire, and the old server opens again at %s", until.UTC().Format(time.TimeOnly))
		case !forever && until.Sub(now.At) < c.Policy.ConfirmWithin/2:
			if err := c.renew(ctx, t); err != nil {
				return Outcome{}, err
			}
		}
		if err := sleep(ctx, min(time.Second, c.Policy.PollEvery)); err != nil {
			return Outcome{}, err
		}
		if loaded, until, err = c.Firewall.Loaded(ctx); err != nil {
			return Outcome{}, err
		}
	}
}

// renew extends the kernel's deadline, on fresh evidence and fresh proof only.
func (c confirm) renew(ctx context.Context, t Turn) error {
	if err := c.stillEarned(ctx, t); err != nil {
		return err
	}
	found, err := c.proof(ctx, t)
	if err != nil {
		return err
	}
	if plan.Judge(found) != plan.Pass {
		return hold(found, "what is armed is no longer proven, and is left to expire: %s", worst(found))
	}
	// Gathering that took its time, and an engine may be stopped: what has lapsed
	// meanwhile is not armed anew by renewing it.
	if loaded, _, err := c.Firewall.Loaded(ctx); err != nil {
		return err
	} else if !loaded.Closes(t.Step.Ports) {
		return hold(nil, lapsed)
	}
	until := t.Now().Add(c.Policy.ConfirmWithin)
	if err := c.Firewall.Apply(ctx, c.rules(t), until); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	return t.Observe(ctx, until, found...)
}

// keep makes the rules permanent, on fresh evidence and fresh proof only: in the
// kernel, then in the journal, then for the next boot. Whatever breaks that off is
// found by Do, which asks the machine and not the journal.
func (c confirm) keep(ctx context.Context, t Turn) (Outcome, error) {
	if err := c.stillEarned(ctx, t); err != nil {
		return Outcome{}, err
	}
	found, err := c.proof(ctx, t)
	if err != nil {
		return Outcome{}, err
	}
	if plan.Judge(found) != plan.Pass {
		return Outcome{}, hold(found, "not confirmed, and left to expire: %s", worst(found))
	}
	if err := cmp.Or(ctx.Err(), t.givesWay()); err != nil {
		return Outcome{}, err
	}
	fctx, cancel := within(ctx, writeTime)
	defer cancel()
	if err := c.Firewall.Apply(fctx, c.rules(t), time.Time{}); err != nil {
		return Outcome{}, fmt.Errorf("confirm: %w", err)
	}
	out, err := c.read(fctx, t)
	if err != nil {
		return out, err
	}
	out.Findings = append(out.Findings, found...)
	if err := t.Observe(fctx, time.Time{}, out.Findings...); err != nil {
		return Outcome{}, err
	}
	r := c.rules(t).Confirmed()
	if err := c.Firewall.Keep(fctx, r); err != nil {
		return Outcome{}, hold(untilBoot(t), "confirm-incomplete: the ports are closed, but a reboot would open them: %v; retry proves it afresh, confirm then finishes it, lift takes it back", err)
	}
	if kept, err := c.Firewall.Kept(fctx, r); err != nil || !kept {
		return Outcome{}, hold(untilBoot(t), "confirm-incomplete: the ports are closed, but what is kept for the next boot is not what was written (%v)", err)
	}
	return out, nil
}

// untilBoot is what is so while confirming is incomplete.
func untilBoot(t Turn) []plan.Finding {
	return []plan.Finding{{
		Check: "old.closed", Target: "firewall", Severity: plan.Warn, At: t.Now(),
		Detail: fmt.Sprintf("ports %v are closed until the next boot, which opens them", t.Step.Ports),
	}}
}

// read reads back what is in force.
func (c confirm) read(ctx context.Context, t Turn) (Outcome, error) {
	loaded, until, err := c.Firewall.Loaded(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if !loaded.Holds(t.Step.Ports) || !until.IsZero() {
		return Outcome{}, hold(nil, "confirm: the firewall says that ports %v are closed until %v", loaded.Ports, until)
	}
	return Outcome{Findings: []plan.Finding{{
		Check: "old.closed", Target: "firewall", Severity: plan.Pass, At: t.Now(),
		Detail: fmt.Sprintf("ports %v are closed for good to all but %d trusted networks", loaded.Ports, len(loaded.Trust)),
	}}}, nil
}

func (c confirm) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }
