package rollout

import (
	"context"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/verify"
)

// preflight is the Action that proves a domain's way through the gateway before
// anything is changed (P3).
type preflight struct{ World }

func (p preflight) Prepare(context.Context, Turn) (state.Intent, error) { return state.Intent{}, nil }

func (p preflight) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	if err := p.unchanged(ctx, t); err != nil {
		return Outcome{}, err
	}
	if err := p.turn(ctx, t); err != nil {
		return Outcome{}, err
	}
	found := append(p.credentials(ctx, t), p.Checker.Run(ctx, "before", p.chosen(ctx, t))...)
	if ctx.Err() != nil {
		return Outcome{}, ctx.Err()
	}
	told, matter := Foreseen(t.Cutover, &t.Domain, found)
	return Outcome{Findings: digest(told, t.Now()), Verdict: weigh(matter)}, nil
}

// turn waits until the domain may be asked about, before anything is: findings that
// wait for others grow old. Meanwhile it takes no place in its wave, so that domains
// which are proven move while their proof counts.
func (p preflight) turn(ctx context.Context, t Turn) error {
	at, why := p.Checker.Turn(ctx, t.Cutover)
	left := at.Sub(t.Now())
	if left <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	err := t.Observe(ctx, at, plan.Finding{Check: "gw.unknown", Target: t.Cutover.Domain, Severity: plan.Warn, Detail: why, RFC: "RFC 5321 section 3.3"})
	if err != nil {
		return err
	}
	return t.Idle(func() error { return sleep(ctx, left) })
}

// weigh judges findings, without those that nobody could make and nothing depends on.
func weigh(found []plan.Finding) plan.Severity {
	var matters []plan.Finding
	for _, f := range found {
		if f.Severity != plan.Unknown || !verify.Advice(f.Check) {
			matters = append(matters, f)
		}
	}
	return plan.Judge(matters)
}

func (p preflight) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// probe is the Action that sends one message the public way, until it arrives.
type probe struct{ World }

func (p probe) Prepare(context.Context, Turn) (state.Intent, error) { return state.Intent{}, nil }

// Do needs one probe to arrive. A failed one is repeated, n times in a row at
// most; one that could not be made is no failure.
func (p probe) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	row := streak{limit: p.Policy.ProbeFailures}
	for {
		found := p.Checker.Routed(ctx, t.Cutover)
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
		if row.add(plan.Judge(found)) {
			return Outcome{Findings: found}, nil
		}
		if err := t.Observe(ctx, time.Time{}, found...); err != nil {
			return Outcome{}, err
		}
		if err := sleep(ctx, p.Policy.ProbeEvery); err != nil {
			return Outcome{}, err
		}
	}
}

func (p probe) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// soak is the Action that repeats probes until its deadline, and reads what the
// gateway's log says of real mail.
type soak struct{ World }

// Prepare sets the deadline from the gate of the domain's wave.
func (s soak) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	for _, w := range t.Plan.Waves {
		if w.Name == t.Cutover.Wave {
			return state.Intent{Until: t.Now().Add(time.Duration(w.Gate.Soak))}, nil
		}
	}
	return state.Intent{}, hold(nil, "the plan has no wave %q", t.Cutover.Wave)
}

// Do ends at the deadline if the last probe then arrived, or when too many in a row
// did not, or real mail fared so much worse than before. That none came does not hold
// a domain: the finding says so.
func (s soak) Do(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	row, asked := streak{limit: s.Policy.ProbeFailures}, false
	for {
		found := append(s.Checker.Routed(ctx, t.Cutover), s.Checker.RealMail(ctx, t.Cutover, t.Domain.Published())...)
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
		left, err := t.left()
		if err != nil {
			return Outcome{}, err
		}
		verdict := weigh(found)
		if !asked {
			asked, found = true, append(found, s.besides(ctx, t)...)
		}
		over := row.add(verdict)
		if bad(verdict) && over || !bad(verdict) && left <= 0 {
			return Outcome{Findings: found, Verdict: verdict}, nil
		}
		if err := t.Observe(ctx, i.Until, found...); err != nil {
			return Outcome{}, err
		}
		pause := s.Policy.ProbeEvery
		if left > 0 {
			pause = min(pause, left)
		}
		if err := sleep(ctx, pause); err != nil {
			return Outcome{}, err
		}
	}
}

// besides is what all other checks of a cutover say once, as the soak begins: it is
// told, and turns nothing back. What mail itself shows does.
func (s soak) besides(ctx context.Context, t Turn) (out []plan.Finding) {
	for _, f := range s.Checker.Run(ctx, verify.During, t.Cutover) {
		if f.Check != "probe.arrival" && f.Check != "mail.real" && f.Severity != plan.Pass && ctx.Err() == nil {
			out = append(out, f)
		}
	}
	return out[:min(len(out), maxDigest)]
}

func (s soak) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// streak counts probes in a row that failed, or could not be made.
type streak struct{ limit, failed, unknown int }

// add tells whether there is an answer: one that arrived, or too many that did
// not. A probe that could not be made does not break a row of failures.
func (s *streak) add(v plan.Severity) bool {
	switch v {
	case plan.Fail:
		s.failed++
		return s.failed >= s.limit
	case plan.Unknown:
		s.unknown++
		return s.unknown >= unknownTries+s.limit
	}
	*s = streak{limit: s.limit}
	return true
}

// unknownTries is how often more than a failed probe one is repeated that could
// not be made, before a person is asked.
const unknownTries = 3

// bad tells whether a verdict does not let one go on.
func bad(v plan.Severity) bool { return v == plan.Fail || v == plan.Unknown }
