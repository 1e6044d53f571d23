package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/verify"
)

// How isolation goes where a person loads the rules (firewall.Hand). There is no dead
// man's switch in somebody else's firewall, so nothing is taken for loaded, and nothing
// opens by itself: a person says that a table is loaded, it is looked at from outside
// before it counts, and where it does not hold, or nobody confirms it in time, a person
// is told to open again. After a restart all is looked at anew.
// See docs/decisions/isolation-of-others-firewalls.md.

// person is the driver of a firewall that a person loads, if it is one.
func (w World) person() (firewall.Hand, bool) {
	h, ok := w.Firewall.(firewall.Hand)
	return h, ok
}

// handed is what is looked at from outside, with what the journal knows.
func (w World) handed(t Turn, ports []uint16) verify.Handed {
	q := w.Handed
	q.Ports = ports
	if t.View == nil {
		return q
	}
	q.Live = verify.NodesOf(slices.Concat(live(t)...))
	t.View(func(s *state.Status) {
		for _, f := range s.Isolation.Findings {
			if f.Check == plan.BeforeClosing {
				q.Before = append(q.Before, f)
			}
		}
	})
	return q
}

// asking is the finding that a person is asked to load a table, or, once it was seen
// from outside, that it is loaded.
func asking(t Turn, table firewall.Table, s plan.Severity, format string, args ...any) plan.Finding {
	return plan.Finding{
		Check: plan.HandFirewall, Target: table.Name(), Severity: s, At: t.Now(),
		Detail: fmt.Sprintf(format, args...), Evidence: table.Text(),
	}
}

const saySo = "load the table %[1]s into the firewall (mxcutover isolate show), then say so: mxcutover isolate done --confirm %[1]s"

// openAgain holds isolation, and asks a person to open the old server.
func (w World) openAgain(t Turn, h firewall.Hand, found []plan.Finding, format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	table, err := h.Opening(firewall.Rules{Ports: w.Handed.Ports})
	if err != nil {
		return err
	}
	found = append(slices.Clone(found), asking(t, table, plan.Unknown, "open the old server again: take the rules away (mxcutover isolate show --open), then: mxcutover isolate lift"))
	return &Held{Findings: found, Reason: "OPEN THE OLD SERVER AGAIN BY HAND, nothing opens it by itself: " + why + "; take the rules away (mxcutover isolate show --open), then: mxcutover isolate lift"}
}

// refused is [World.openAgain] with the findings that refuse it. A redirect that is not
// proven may be an open relay: it is lifted at once, as far as a person does that.
func (w World) refused(t Turn, h firewall.Hand, what string, found []plan.Finding) error {
	err := w.openAgain(t, h, found, "%s: %s", what, worst(found))
	var held *Held
	if errors.As(err, &held) && w.Action == firewall.Redirect {
		held.Lift = true
	}
	return err
}

// byHand asks a person to load the table, waits for their word, and looks from outside
// before it counts.
func (a arm) byHand(ctx context.Context, t Turn, h firewall.Hand) (Outcome, error) {
	table, err := h.Closing(a.rules(t))
	if err != nil {
		return Outcome{}, err
	}
	ports := a.rules(t).Ports
	if i := t.isolation(); i.Asks != table.Name() {
		before := a.Checker.BeforeHand(ctx, a.handed(t, ports))
		switch {
		case ctx.Err() != nil:
			return Outcome{}, ctx.Err()
		case bad(plan.Judge(before)): // what could not be proven afterwards is not asked for
			return Outcome{}, hold(before, "it could not be proven from outside, so nobody is asked to close it: %s", worst(before))
		}
		if err := t.Observe(ctx, time.Time{}, append(before, asking(t, table, plan.Unknown, saySo, table.Name()))...); err != nil {
			return Outcome{}, err
		}
	}
	var look, evidence time.Time
	for {
		if err := t.givesWay(); err != nil {
			return Outcome{}, a.callOff(ctx, t, h, table, err)
		}
		now, i := t.Now(), t.isolation()
		switch {
		case i.Said == table.Name():
			out, err := a.loaded(ctx, t, h, table)
			if err != nil || out.Findings != nil {
				return out, err
			}
		case !i.Until.IsZero() && now.After(i.Until):
			return Outcome{}, a.openAgain(t, h, nil, "somebody closed it, and nobody said in time that %s is loaded, or it is not loaded as it should be", table.Name())
		case now.Sub(look).Abs() >= a.handEvery():
			if look = now; i.Until.IsZero() && a.Checker.HandShut(ctx, a.handed(t, ports)) {
				said := asking(t, table, plan.Unknown, "somebody is refused from outside, at least in part, and nobody said that it is done: mxcutover isolate done --confirm %s", table.Name())
				if err := t.Observe(ctx, now.Add(a.Policy.ConfirmAfter+a.Policy.ConfirmWithin), said); err != nil {
					return Outcome{}, err
				}
			}
			if evidence.IsZero() {
				evidence = now // it was gathered just before, or is when it is said to be done
			}
		case now.Sub(evidence).Abs() >= max(a.Policy.ConfirmWithin, time.Hour):
			evidence = now
			if err := a.stillEarned(ctx, t); err != nil {
				return Outcome{}, a.callOff(ctx, t, h, table, err)
			}
		}
		if err := sleep(ctx, min(time.Second, a.Policy.PollEvery)); err != nil {
			return Outcome{}, err
		}
	}
}

// handEvery is the time between two looks from outside.
func (w World) handEvery() time.Duration { return min(6*w.Policy.PollEvery, time.Minute) }

// loaded looks whether what a person says is so. If it is not, they are asked again;
// then there is no outcome yet.
func (a arm) loaded(ctx context.Context, t Turn, h firewall.Hand, table firewall.Table) (Outcome, error) {
	if err := a.stillEarned(ctx, t); err != nil {
		return Outcome{}, a.callOff(ctx, t, h, table, err)
	}
	found := a.Checker.HandClosed(ctx, a.handed(t, a.rules(t).Ports))
	switch {
	case ctx.Err() != nil:
		return Outcome{}, ctx.Err()
	case !bad(plan.Judge(found)):
		return Outcome{Findings: append(found, asking(t, table, plan.Pass, "it is loaded, as seen from outside"))}, nil
	case a.Action == firewall.Redirect:
		return Outcome{}, a.refused(t, h, "mail at the old address is not handed over as it must be", found)
	}
	until := t.isolation().Until
	if until.IsZero() {
		until = t.Now().Add(a.Policy.ConfirmAfter + a.Policy.ConfirmWithin)
	}
	again := asking(t, table, plan.Unknown, "it was said to be done, and from outside it is not: %s. Mend it and say so again: mxcutover isolate done --confirm %s; or open it: mxcutover isolate lift", worst(found), table.Name())
	return Outcome{}, t.Observe(ctx, until, append(found, again)...)
}

// callOff ends what a person was asked for: it may be loaded by now, or be loaded just
// then.
func (a arm) callOff(ctx context.Context, t Turn, h firewall.Hand, table firewall.Table, err error) error {
	var held *Held
	if ctx.Err() != nil || !errors.As(err, &held) {
		return err
	}
	if i := t.isolation(); i.Said == table.Name() || !i.Until.IsZero() || a.Checker.HandShut(ctx, a.handed(t, a.rules(t).Ports)) {
		return a.openAgain(t, h, held.Findings, "%s", held.Reason)
	}
	return hold(append(slices.Clone(held.Findings), asking(t, table, plan.Pass, "it is not asked for any more")),
		"do not load %s, and if it is loaded, open the old server again (mxcutover isolate lift): %s", table.Name(), held.Reason)
}

// byHand proves what a person loaded, or has them open again.
func (p prove) byHand(ctx context.Context, t Turn, h firewall.Hand) (Outcome, error) {
	found, err := p.proof(ctx, t)
	if err != nil {
		return Outcome{}, err
	}
	if bad(plan.Judge(found)) {
		return Outcome{}, p.refused(t, h, "what is loaded is not proven", found)
	}
	return Outcome{Findings: found}, nil
}

// byHand waits for a person's word that the old server stays closed. Nothing renews
// itself there, and nothing expires: it is proven again and again, and if that fails,
// or nobody confirms in time, a person has to open it.
func (c confirm) byHand(ctx context.Context, t Turn, h firewall.Hand) (Outcome, error) {
	armed := t.isolation().Steps[t.Step.Of(plan.Arm)].DoneAt
	proven, fresh := t.provenNow()
	for {
		if err := t.givesWay(); err != nil {
			return Outcome{}, c.lost(ctx, t, h, err)
		}
		now := moment(t.Clock)
		passed, _ := now.Since(armed)
		left, _ := t.Wait.Left(now)
		since, _ := now.Since(proven)
		switch keep := t.isolation().Keep || c.Policy.AutoApprove; {
		case keep && passed >= c.Policy.ConfirmAfter:
			found, err := c.again(ctx, t, h)
			if err != nil {
				return Outcome{}, err
			}
			return Outcome{Findings: append(found, plan.Finding{
				Check: "old.closed", Target: "firewall", Severity: plan.Pass, At: t.Now(),
				Detail: fmt.Sprintf("ports %v are closed by hand, as seen from outside; see that they are after a boot of that firewall, too", c.rules(t).Ports),
			})}, nil
		case left <= 0:
			return Outcome{}, c.openAgain(t, h, nil, "nobody confirmed in time that it stays closed")
		case since >= c.Policy.ConfirmWithin/2 || !fresh:
			found, err := c.again(ctx, t, h)
			if err != nil {
				return Outcome{}, err
			}
			if err := t.Observe(ctx, time.Time{}, found...); err != nil {
				return Outcome{}, err
			}
			proven, fresh = moment(t.Clock), true
		}
		if err := sleep(ctx, min(time.Second, c.Policy.PollEvery)); err != nil {
			return Outcome{}, err
		}
	}
}

// provenNow is when it was proven, if this engine did that: after a restart it is
// proven anew.
func (t Turn) provenNow() (at state.Moment, fresh bool) {
	t.View(func(s *state.Status) {
		at = s.Isolation.Steps[t.Step.Of(plan.Prove)].DoneAt
		fresh = at.At.After(s.Begun.At)
	})
	return at, fresh
}

// again gathers fresh evidence and fresh proof.
func (c confirm) again(ctx context.Context, t Turn, h firewall.Hand) ([]plan.Finding, error) {
	if err := c.stillEarned(ctx, t); err != nil {
		return nil, c.lost(ctx, t, h, err)
	}
	found, err := c.proof(ctx, t)
	if err != nil {
		return nil, err
	}
	if bad(plan.Judge(found)) {
		return nil, c.refused(t, h, "what is loaded is no longer proven", found)
	}
	return found, nil
}

// lost has a person open again what is not to be closed any more.
func (w World) lost(ctx context.Context, t Turn, h firewall.Hand, err error) error {
	var held *Held
	if ctx.Err() != nil || !errors.As(err, &held) {
		return err
	}
	return w.openAgain(t, h, held.Findings, "%s", held.Reason)
}

// liftByHand asks a person to open the old server, and looks from outside until it is
// open, for as long as a person has to confirm. It needs no journal.
func (w World) liftByHand(ctx context.Context, t Turn, h firewall.Hand) ([]plan.Finding, error) {
	ports := w.Handed.Ports
	table, err := h.Opening(firewall.Rules{Ports: ports})
	if err != nil {
		return nil, err
	}
	if w.Checker == nil {
		return nil, w.openAgain(t, h, nil, "whether it is open cannot be seen from here")
	}
	clock := t.Clock
	if clock == nil {
		clock = SystemClock()
		t.Clock = clock
	}
	found, asked := []plan.Finding(nil), false
	open, err := poll(ctx, clock, w.Policy.ConfirmWithin, w.handEvery()/6, func() (bool, error) {
		found = w.Checker.HandOpen(ctx, w.handed(t, ports))
		if err := ctx.Err(); err != nil || !bad(plan.Judge(found)) {
			return err == nil, err
		}
		if !asked && t.Observe != nil {
			asked = true
			ask := asking(t, table, plan.Unknown, "open the old server again: take the rules away (mxcutover isolate show --open); that it is open is seen from outside, for %v", w.Policy.ConfirmWithin)
			return false, t.Observe(ctx, time.Time{}, append(slices.Clone(found), ask)...)
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if !open {
		return nil, w.openAgain(t, h, found, "it is not open, as seen from outside: %s", worst(found))
	}
	return found, nil
}
