package rollout

import (
	"context"
	"errors"
	"slices"

	"mxcutover/plan"
	"mxcutover/state"
)

// Watch looks at a domain that is where it should be: every authoritative server
// must still serve what was published or, after a rollback, must not; and once the old
// server is closed, no view of the DNS may lead to it. What its real mail has come to is
// told, and changes nothing by itself.
func (w World) Watch(ctx context.Context, t Turn) ([]plan.Finding, error) {
	if t.Domain.State != state.IsRolledBack {
		if err := w.canGoBack(ctx, t); err != nil {
			return nil, err
		}
		found := w.Checker.Only(ctx, t.Cutover, "ns.sync", "mx.target")
		if t.isolation().Closed {
			if f := w.ask(ctx, name{t.Cutover.Domain, t.Cutover.Zone}); f != nil && f.Severity == plan.Fail {
				f.Detail += refused
				found = append([]plan.Finding{*f}, found...) // the worst comes first
			}
		}
		for _, f := range w.Checker.RealMail(ctx, t.Cutover, t.Domain.Published()) {
			if f.Severity == plan.Fail {
				f.Severity = plan.Warn
			}
			if f.Severity == plan.Warn || f.Severity == plan.Pass {
				found = append(found, f)
			}
		}
		return found, nil
	}
	served, found := w.Checker.Served(ctx, t.Cutover.Zone, t.Cutover.Domain, "MX")
	for server, s := range served {
		f := plan.Finding{Check: "ns.sync", Target: server, Severity: plan.Pass, At: t.Now(), Detail: "serves " + s.InLineTTL()}
		if s.SameData(t.Cutover.After()) {
			f.Severity, f.Detail = plan.Fail, "serves the gateway's MX again, though it was rolled back: a write came late, or somebody wrote it"
		}
		found = append(found, f)
	}
	return found, nil
}

// Compare probes a domain that was live before, by the public way.
func (w World) Compare(ctx context.Context, t Turn) ([]plan.Finding, error) {
	return w.Checker.Routed(ctx, t.Cutover), nil
}

// watch looks at a live domain; an authoritative MX that leads elsewhere is
// somebody else's change.
func (e *Engine) watch(ctx context.Context, t Turn) error {
	found, err := e.Watch(ctx, t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.mu.Lock()
	e.watched[t.Cutover.Domain] = e.Clock.Now()
	e.mu.Unlock()
	var held *Held
	if errors.As(err, &held) {
		return e.emit(ctx, e.event(t, e.trouble(t, err)))
	}
	if err != nil {
		found = append(found, plan.Finding{
			Check: "ns.sync", Target: t.Cutover.Domain, Severity: plan.Unknown, Detail: err.Error(),
		})
	}
	switch (Outcome{Findings: found}).verdict() {
	case plan.Fail:
		if err := e.emit(ctx, e.event(t, state.Event{Kind: state.Drifted, Findings: found, Reason: summary(found, plan.Fail)})); err != nil {
			return err
		}
		if e.Policy.AutoLift && slices.ContainsFunc(found, leadsBack) {
			return e.Do(ctx, state.Decision{Verb: state.Lift, Target: state.Isolate, By: "isolate.auto_lift"})
		}
		return nil
	case plan.Pass:
		if found = better(t.Domain, found); len(found) == 0 {
			return nil
		}
	}
	return e.emit(ctx, e.event(t, state.Event{Kind: state.Observed, Findings: found}))
}

// better are the findings that passed where the domain's last ones did not: what is
// over must not be shown for ever.
func better(d state.DomainStatus, found []plan.Finding) (out []plan.Finding) {
	for _, f := range found {
		if slices.ContainsFunc(d.Findings, func(o plan.Finding) bool {
			return o.Check == f.Check && o.Target == f.Target && o.Vantage == f.Vantage && o.Severity != plan.Pass
		}) {
			out = append(out, f)
		}
	}
	return out
}

// leadsBack tells whether mail for a name is refused by the old server.
func leadsBack(f plan.Finding) bool { return f.Check == checkNames && f.Severity == plan.Fail }
