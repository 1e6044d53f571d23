package rollout

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
)

// ClosedForGood are the ports of the old server that were confirmed, by now: those of
// the sets that are done.
func ClosedForGood(p *plan.Plan, st *state.Status) (ports []uint16) {
	for _, s := range p.Isolate {
		if s.Kind == plan.Arm && st != nil && st.Isolation.Steps[s.Of(plan.Confirm)].Done {
			ports = append(ports, s.Ports...)
		}
	}
	return ports
}

// notLoaded is the evidence of rules that are not in force.
const notLoaded = "not loaded"

// StaysClosed asks whether ports that were confirmed are closed still: from outside,
// and at the old server's firewall, whose rules another tool may have flushed or
// edited, or a boot forgotten. What a person loaded is seen from outside alone. What
// could not be asked is unknown.
func (w World) StaysClosed(ctx context.Context, t Turn, ports []uint16) (found []plan.Finding) {
	if _, ok := w.person(); ok && len(ports) > 0 {
		return w.Checker.HandClosed(ctx, w.handed(t, ports))
	}
	if w.Firewall != nil && len(ports) > 0 {
		found = append(found, w.held(ctx, ports)) // it says why, and comes first
	}
	for _, port := range ports {
		found = append(found, w.Checker.OldClosed(ctx, port)...)
	}
	return found
}

// held asks whether the firewall holds ports for good. The boot file is the record of
// what was confirmed: it was written with the rules that were proven.
func (w World) held(ctx context.Context, ports []uint16) plan.Finding {
	f := plan.Finding{Check: "old.closed", Target: "firewall", Severity: plan.Pass, At: time.Now()}
	f.Detail = fmt.Sprintf("holds ports %v, now and after the next boot", ports)
	loaded, _, err := w.Firewall.Loaded(ctx)
	r := firewall.Rules{Ports: loaded.Lasting, Trust: loaded.Trust, Action: loaded.Action}
	kept := false
	if err == nil && loaded.Holds(ports) {
		kept, err = w.Firewall.Kept(ctx, r.Confirmed())
	}
	switch {
	case err != nil:
		f.Severity, f.Detail = plan.Unknown, "could not check: "+err.Error()
	case !loaded.Holds(ports):
		f.Severity, f.Evidence = plan.Fail, notLoaded
		f.Detail = fmt.Sprintf("ports %v were confirmed, and it holds %v: somebody else has changed its rules, or a boot has lost them; see mxcutover isolate show", ports, slices.Clone(loaded.Lasting))
	case !kept:
		f.Severity, f.Detail = plan.Fail, w.edited(ctx, r)
	}
	return f
}

// edited says why rules that are in force are not those of the next boot.
func (w World) edited(ctx context.Context, loaded firewall.Rules) string {
	ours := firewall.Rules{Ports: loaded.Ports, Trust: w.Trust, Action: w.Action}
	diff := firewall.Difference(ours, loaded)
	if kept, err := w.Firewall.Kept(ctx, ours.Confirmed()); err == nil && kept && len(diff) > 0 {
		return "it is closed, and somebody else has edited its rules: " + listOf(diff)
	}
	return "it is closed, and the next boot would open it: the boot file or its unit is not as it was written"
}

// listOf are the first of some lines, in one.
func listOf(lines []string) string {
	const most = 5
	out := ""
	for i, l := range lines[:min(len(lines), most)] {
		if i > 0 {
			out += ", "
		}
		out += l
	}
	if more := len(lines) - most; more > 0 {
		out += fmt.Sprintf(", and %d more", more)
	}
	return out
}

// Bounds of looking at what was closed for good.
const (
	lookTime = 2 * time.Minute // one look, which a rollback may have to wait for
	lookLate = time.Hour       // between two looks at a firewall that cannot be asked, at most
)

// outlook is when the engine looks at the old server's firewall next. Engine.mu
// guards it.
type outlook struct {
	last time.Time     // zero = not yet
	wait time.Duration // after a look that could not be made; 0 = Policy.LookEvery
}

// nextLook is when what was closed for good is looked at; zero = it is not. What is to
// be opened is left alone.
func (e *Engine) nextLook(s *state.Status) time.Time {
	i := &s.Isolation
	if e.Closed == nil || e.Policy.BackOnly || i.Lift || wantsBack(s) || i.State == state.IsolationLifted || looksAt(&e.plan, s).ID == "" {
		return time.Time{}
	}
	from := e.outlook.last
	if i.State == state.IsolationConfirmed && i.Since.After(s.Begun.At) && i.Since.After(from) { // just now
		from = i.Since
	}
	return from.Add(max(e.outlook.wait, e.Policy.LookEvery))
}

// looksAt is the last step that closed ports for good; also one that did and was held
// before the next boot was thought of (confirm-incomplete). None has no ID.
func looksAt(p *plan.Plan, s *state.Status) (out plan.Step) {
	for _, step := range p.Isolate {
		if r, begun := s.Isolation.Steps[step.ID]; step.Kind == plan.Confirm && (r.Done || begun && s.Isolation.Held) {
			out = step
		}
	}
	return out
}

// lookAtOld looks whether what was closed for good is so still. What has changed is
// journaled, and that alone. Nothing is loaded again by itself: whoever opened the
// old server may have had a reason.
func (e *Engine) lookAtOld(ctx context.Context, t Turn) error {
	i := t.isolation()
	done := i.Steps[t.Step.ID].Done
	ports := t.Step.Ports
	if done {
		t.View(func(s *state.Status) { ports = ClosedForGood(&e.plan, s) })
	}
	lctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found := stamp(e.Closed(lctx, t, ports), e.Clock.Now())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	verdict := plan.Judge(found)
	e.looked(verdict)
	leave := false
	t.View(func(s *state.Status) { leave = s.Isolation.Lift || wantsBack(s) })
	ev := state.Event{Kind: state.Observed, Step: t.Step.ID, Findings: found}
	news, drifted := changed(i.Findings, found), i.State == state.IsDrifted
	switch {
	case leave: // it is opened next, and that may have begun
		return nil
	case !done && !(isClosed(i.Findings) && slices.ContainsFunc(found, func(f plan.Finding) bool { return f.Evidence == notLoaded })):
		return nil
	case !done: // held as incomplete: a boot since then has opened it
		ev.Kind, ev.Reason = state.Held, "confirm-incomplete, and now the old server is open again: "+summary(found, plan.Fail)
	case verdict == plan.Fail && (!drifted || news):
		ev.Kind, ev.Reason = state.Drifted, summary(found, plan.Fail)
	case verdict == plan.Fail, !news && (!drifted || verdict == plan.Unknown):
		return nil
	}
	defer e.lookAtAll()
	return e.emit(ctx, e.event(t, ev))
}

// looked says when to look again: later and later at what cannot be asked. Who knocks
// at SSH again and again in vain may be shut out.
func (e *Engine) looked(verdict plan.Severity) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait := time.Duration(0)
	if verdict == plan.Unknown {
		wait = min(2*max(e.outlook.wait, e.Policy.LookEvery), max(lookLate, e.Policy.LookEvery))
	}
	e.outlook = outlook{last: e.Clock.Now(), wait: wait}
}

// isClosed tells whether the last that was said of the firewall is that it is closed.
func isClosed(found []plan.Finding) bool {
	return slices.ContainsFunc(found, func(f plan.Finding) bool {
		return f.Check == "old.closed" && f.Target == "firewall" && (f.Severity == plan.Pass || f.Severity == plan.Warn)
	})
}

// changed tells whether any of the findings says something else than the last one of
// its kind; without one, that all is well is no news.
func changed(have, found []plan.Finding) bool {
	return slices.ContainsFunc(found, func(f plan.Finding) bool {
		for _, o := range have {
			if o.Check == f.Check && o.Target == f.Target && o.Vantage == f.Vantage {
				return o.Severity != f.Severity
			}
		}
		return f.Severity != plan.Pass
	})
}
