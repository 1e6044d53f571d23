package rollout

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// observe is the Action that gathers the evidence that isolation is earned (P7).
type observe struct{ World }

// Prepare sets the earliest time: the last cache has let go of the last domain,
// and Policy.IsolateAfter has passed since.
func (o observe) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	now := moment(t.Clock)
	left := time.Duration(0)
	t.View(func(s *state.Status) {
		for i := range s.Domains {
			d := &s.Domains[i]
			r, done := d.Steps[string(plan.Propagate)]
			if !done {
				continue
			}
			passed, _ := now.Since(r.DoneAt)
			left = max(left, highestTTL(d.Steps[string(plan.Publish)].Intent)+o.Policy.IsolateAfter-max(passed, 0))
		}
	})
	return state.Intent{Until: now.At.Add(left)}, nil
}

// Do waits, then asks live DNS about every name of the inventory: none may still
// lead to the old server.
func (o observe) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	if err := t.wait(ctx); err != nil {
		return Outcome{}, err
	}
	out := Outcome{Verdict: plan.Pass}
	asked := 0
	for _, n := range names(t.Plan) {
		if n.mayLeadOld {
			if err := o.ask(ctx, t, n, &out); err != nil {
				return Outcome{}, err
			}
			asked++
		}
	}
	if o.Firewall == nil || len(o.Trust) == 0 {
		return Outcome{}, hold(nil, "isolate needs a driver, and the gateway's addresses in isolate.trust")
	}
	out.Findings = append(out.Findings, plan.Finding{
		Check: "old.names", Target: "all", Severity: plan.Pass, At: t.Now(),
		Detail: fmt.Sprintf("%d names were asked about, %d lead to the old server", asked, len(out.Findings)),
	})
	return out, nil
}

func (o observe) ask(ctx context.Context, t Turn, n name, out *Outcome) error {
	leads, why, err := o.Checker.LeadsToOld(ctx, n.zone, n.domain)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		out.Findings = append(out.Findings, oldName(t, n, plan.Unknown, err.Error()))
		if out.Verdict == plan.Pass {
			out.Verdict = plan.Unknown
		}
	case leads:
		out.Findings = append(out.Findings, oldName(t, n, plan.Fail, "still leads to the old server: "+why))
		out.Verdict = plan.Fail
	}
	return nil
}

func oldName(t Turn, n name, s plan.Severity, detail string) plan.Finding {
	return plan.Finding{Check: "old.names", Target: rrset.Bare(n.domain), Severity: s, Detail: detail, At: t.Now(), RFC: "RFC 5321 section 5.1"}
}

type name struct {
	domain, zone string
	mayLeadOld   bool
}

// names are all of the inventory, moved or left. A null MX is one that leads
// nowhere, and is asked about all the same: it may have changed.
func names(p *plan.Plan) (out []name) {
	for _, c := range p.Cutovers() {
		out = append(out, name{c.Domain, c.Zone, true})
	}
	for _, l := range p.Left {
		out = append(out, name{l.Domain, l.Zone, true})
	}
	return out
}

func (o observe) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// arm is the Action that refuses new connections for a limited time.
type arm struct{ World }

func (a arm) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	return state.Intent{Until: t.Now().Add(a.Policy.ConfirmWithin)}, nil
}

func (a arm) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	left, sure := t.Wait.Left(moment(t.Clock))
	if left <= 0 || !sure && t.Wait.From.Boot != "" {
		return Outcome{}, hold(nil, "the time to arm has passed; it must be decided again")
	}
	loaded, until, err := a.Firewall.Loaded(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if !slices.Equal(loaded.Ports, t.Step.Ports) || until.IsZero() {
		if err := a.Firewall.Apply(ctx, a.rules(t.Step.Ports), t.Now().Add(left)); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{}, nil
}

func (a arm) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

func (w World) rules(ports []uint16) firewall.Rules {
	return firewall.Rules{Ports: ports, Trust: w.Trust, Action: w.Action}
}

// prove is the Action that proves the armed state: closed from outside, and the
// gateway still gets its mail in.
type prove struct{ World }

func (p prove) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	return state.Intent{Until: t.isolation().Until}, nil
}

func (p prove) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	found, err := p.proof(ctx, t)
	return Outcome{Findings: found}, err
}

func (p prove) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// proof is what both prove and confirm rest on.
func (w World) proof(ctx context.Context, t Turn) ([]plan.Finding, error) {
	var found []plan.Finding
	for _, port := range t.Step.Ports {
		found = append(found, w.Checker.OldClosed(ctx, port)...)
	}
	for _, wave := range t.Plan.Waves {
		if len(wave.Cutovers) > 0 {
			found = append(found, w.Checker.Routed(ctx, wave.Cutovers[0])...)
		}
	}
	return found, ctx.Err()
}

// Lift opens the old server and proves that it is open. It does not ask the
// journal what is closed.
func (w World) Lift(ctx context.Context, _ Turn) ([]plan.Finding, error) {
	if w.Firewall == nil {
		return nil, hold(nil, "no firewall is configured")
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
	return w.Checker.OldOpen(ctx), nil
}

// Watch looks at a domain that is where it should be: every authoritative server
// must still serve what was published or, after a rollback, must not.
func (w World) Watch(ctx context.Context, t Turn) ([]plan.Finding, error) {
	if t.Domain.State != state.IsRolledBack {
		return w.Checker.Only(ctx, t.Cutover, "ns.sync", "mx.target"), nil
	}
	served, found := w.Checker.Served(ctx, t.Cutover.Zone, t.Cutover.Domain, "MX")
	for server, s := range served {
		f := plan.Finding{Check: "ns.sync", Target: server, Severity: plan.Pass, At: t.Now(), Detail: "serves " + inLine(s)}
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
