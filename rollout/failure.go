package rollout

import (
	"context"
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// controlTime bounds the probe that tells a domain's fault from the gateway's: a
// domain that loses mail must not wait long for it.
const controlTime = time.Minute

// failure is what a failed step leads to: a moved domain goes back, unless that
// was not wanted, others fail alike, or the old server may be closed.
func (e *Engine) failure(ctx context.Context, t Turn, found []plan.Finding) []state.Event {
	reason := fmt.Sprintf("%s failed: %s", t.Step.Kind, summary(found, plan.Fail))
	events := []state.Event{e.event(t, state.Event{Kind: state.Failed, Step: t.Step.ID, Findings: found, Reason: reason})}
	closed := false
	e.Journal.View(func(s *state.Status) { closed = s.Isolation.Closed })
	moved := t.Step.Kind == plan.Probe || t.Step.Kind == plan.Soak
	switch {
	case !moved || !e.Policy.RollBack:
	case closed:
		reason += "; the old server may be closed, so nothing rolls back by itself"
	default:
		shared := e.shared(ctx, t, found)
		if shared == "" {
			return append(events, e.event(t, state.Event{Kind: state.RollingBack, Reason: reason}))
		}
		reason += "; " + shared + ", so senders queue and nothing rolls back by itself"
		events = append(events, state.Event{Kind: state.WaveHeld, Wave: t.Cutover.Wave, Step: string(plan.Publish), Reason: shared})
	}
	return append(events, e.event(t, state.Event{Kind: state.Held, Reason: reason}))
}

// shared tells why a failure looks like the gateway's and not like the domain's
// own; "" if it does not: others fail alike, or one that was live fails now.
func (e *Engine) shared(ctx context.Context, t Turn, found []plan.Finding) string {
	limit := e.gate(t.Cutover.Wave).Shared
	if limit <= 0 {
		return ""
	}
	check := ""
	for _, f := range found {
		if f.Severity == plan.Fail {
			check = f.Check
			break
		}
	}
	since := e.Clock.Now().Add(-max(15*time.Minute, 2*time.Duration(e.Policy.ProbeFailures)*e.Policy.ProbeEvery))
	alike := 1
	var control plan.Cutover
	e.Journal.View(func(s *state.Status) {
		var latest time.Time
		for i := range s.Domains {
			d := &s.Domains[i]
			switch {
			case d.Domain == t.Cutover.Domain:
			case failsNow(d, check, since):
				alike++
			case d.State == state.Live && d.Since.After(latest):
				latest = d.Since
				control, _ = s.Cutover(d.Domain)
			}
		}
	})
	if alike >= limit {
		return fmt.Sprintf("%d domains fail alike (%s), which looks like the gateway", alike, check)
	}
	if e.Compare == nil || control.Domain == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	again, err := e.Compare(ctx, e.turn(control, state.DomainStatus{}, plan.Step{}))
	if err == nil && (Outcome{Findings: again}).verdict() == plan.Fail {
		return fmt.Sprintf("%s, which was live, fails too (%s), which looks like the gateway", control.Domain, worst(again))
	}
	return ""
}

// failsNow tells whether a domain's last answer to a check was a failure, not
// long ago.
func failsNow(d *state.DomainStatus, check string, since time.Time) bool {
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Check == check && f.Severity == plan.Fail && f.At.After(since) {
			return true
		}
	}
	return false
}
