package rollout

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// observe is the Action that gathers the evidence that isolation is earned (P7).
type observe struct{ World }

// Prepare sets the earliest time: the last cache has let go of the last domain,
// and Policy.IsolateAfter has passed since.
func (o observe) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	return state.Intent{Until: t.Now().Add(o.cachesLeft(t))}, nil
}

// cachesLeft is how long some cache may still lead to the old server, and
// Policy.IsolateAfter after that.
func (w World) cachesLeft(t Turn) (left time.Duration) {
	now := moment(t.Clock)
	t.View(func(s *state.Status) {
		for i := range s.Domains {
			d := &s.Domains[i]
			r, done := d.Steps[string(plan.Propagate)]
			if !done {
				continue
			}
			passed, _ := now.Since(r.DoneAt)
			left = max(left, highestTTL(d.Steps[string(plan.Publish)].Intent)+w.Policy.IsolateAfter-max(passed, 0))
		}
	})
	return left
}

// Do waits, also for domains that moved while it did, then gathers the evidence.
func (o observe) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	if err := t.wait(ctx); err != nil {
		return Outcome{}, err
	}
	for left := o.cachesLeft(t); left > 0; left = o.cachesLeft(t) {
		if err := t.Observe(ctx, t.Now().Add(left)); err != nil {
			return Outcome{}, err
		}
		if err := sleep(ctx, left); err != nil {
			return Outcome{}, err
		}
	}
	if o.Firewall == nil || len(o.Trust) == 0 {
		return Outcome{}, hold(nil, "isolate needs a driver, and the gateway's addresses in isolate.trust")
	}
	out, err := o.evidence(ctx, t)
	if err != nil {
		return out, err
	}
	reach := o.reach(ctx, t)
	out.Verdict = plan.Judge(append(reach, plan.Finding{Severity: out.verdict()}))
	out.Findings = append(append(out.Findings, reach...), o.containers(ctx, t)...)
	return out, ctx.Err()
}

// checkNames asks whether names lead to the old server.
const checkNames = "old.names"

// askers is how many names are asked about at once.
const askers = 16

// evidence asks live DNS about every name of the inventory, and of the old server's
// log: none may still lead there. And it asks that log whom it would cut off.
func (w World) evidence(ctx context.Context, t Turn) (Outcome, error) {
	out, err := w.namesOf(ctx, t.Plan)
	if err != nil {
		return Outcome{}, err
	}
	mail := w.Checker.OldMail(ctx, w.closing(t))
	out.Findings = append(out.Findings, mail...)
	out.Verdict = plan.Judge(append(mail, plan.Finding{Severity: out.Verdict}))
	return out, ctx.Err()
}

// namesOf asks whether any name of the plan leads to the old server.
func (w World) namesOf(ctx context.Context, p *plan.Plan) (Outcome, error) {
	all := names(p)
	found := make([]*plan.Finding, len(all))
	var g errgroup.Group
	g.SetLimit(askers)
	for i, n := range all {
		g.Go(func() error {
			found[i] = w.ask(ctx, n)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return Outcome{}, err
	}
	out := Outcome{Verdict: plan.Pass}
	lead := 0
	for _, f := range found {
		if f == nil {
			continue
		}
		out.Findings = append(out.Findings, *f)
		if f.Severity == plan.Fail {
			lead++
		}
	}
	if len(out.Findings) > 0 {
		out.Verdict = plan.Judge(out.Findings)
	}
	out.Findings = append(out.Findings, plan.Finding{
		Check: checkNames, Target: "all", Severity: plan.Pass,
		Detail: fmt.Sprintf("%d names were asked about, %d lead to the old server", len(all), lead),
	})
	return out, ctx.Err()
}

// refused is what becomes of mail that leads to a closed server.
const refused = "; that may be closed, and then its mail is refused"

// LeadsBack asks live DNS about every name of the plan, moved or left, once the old
// server is closed: mail of one that leads there is refused. The finding of all is the
// last.
func (w World) LeadsBack(ctx context.Context, p *plan.Plan) ([]plan.Finding, error) {
	out, err := w.namesOf(ctx, p)
	for i := range out.Findings {
		if out.Findings[i].Severity == plan.Fail {
			out.Findings[i].Detail += refused
		}
	}
	return stamp(out.Findings, time.Now()), err
}

// ask is nil for a name that does not lead to the old server.
func (w World) ask(ctx context.Context, n name) *plan.Finding {
	leads, why, err := w.Checker.LeadsToOld(ctx, n.zone, n.domain)
	f := plan.Finding{Check: checkNames, Target: rrset.Bare(n.domain), RFC: "RFC 5321 section 5.1"}
	switch {
	case err != nil:
		f.Severity, f.Detail = plan.Unknown, err.Error()
	case leads:
		f.Severity, f.Detail = plan.Fail, "still leads to the old server: "+why
	default:
		return nil
	}
	return &f
}

// A name of the inventory, with its zone in the view in which domains move; "" = it
// stands in none of ours there.
type name struct{ domain, zone string }

// names are all of the inventory, moved or left. A null MX is one that leads
// nowhere, and is asked about all the same: it may have changed.
func names(p *plan.Plan) (out []name) {
	for _, c := range p.Cutovers() {
		out = append(out, name{c.Domain, c.Zone})
	}
	for _, l := range p.Left {
		n := name{l.Domain, l.Zone}
		if l.View != "" {
			n.zone = "" // it stands in another view's zone
		}
		out = append(out, n)
	}
	return out
}

func (o observe) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }
