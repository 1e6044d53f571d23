package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// writeTime bounds one write with its read-back, which goes on though the
// engine is being stopped.
const writeTime = 30 * time.Second

// write is the Action of the steps that change DNS: lower-ttl, publish, settle.
type write struct{ World }

// Prepare reads the RRset as the provider has it and as every authoritative
// server serves it, and refuses a disagreement (P1, P2).
func (w write) Prepare(ctx context.Context, t Turn) (state.Intent, error) {
	p, err := w.provider(t.Cutover.Provider)
	if err != nil {
		return state.Intent{}, err
	}
	c := *t.Step.Change
	expected := c.Before
	if got := lastGot(t, t.Step.Kind); got != nil {
		expected = *got
	}
	now, err := providers.Read(ctx, p, c.Zone, c.Before.Name, c.Before.Type)
	if err != nil {
		return state.Intent{}, fmt.Errorf("read %s at %s: %w", c.Before.Name, t.Cutover.Provider, err)
	}
	base := !now.Equal(expected)
	switch {
	case !base, t.Domain.Drift == state.Force:
	case t.Domain.Drift == state.Adopt && !now.Absent() && !expected.Absent():
		if c.Before.SameData(c.After) {
			c.After = now.WithTTL(c.After.TTL) // only the TTL is ours to change
		}
	default:
		return state.Intent{}, &providers.DriftError{Expected: expected, Found: now}
	}
	served, found, err := w.agree(ctx, t, now)
	if err != nil {
		return state.Intent{}, err
	}
	if served == nil {
		return state.Intent{}, hold(found, "the provider and the name servers do not agree on %s: %s", rrset.Bare(c.Before.Name), worst(found))
	}
	c.Before = now
	return state.Intent{Snapshot: &now, Served: served, Change: &c, Base: base, Provider: t.Cutover.Provider}, nil
}

// unchanged tells, before a step that writes nothing, that somebody else changed
// the record. What cannot be read now is for the checks to tell.
func (w World) unchanged(ctx context.Context, t Turn) error {
	p, err := w.provider(t.Cutover.Provider)
	if err != nil {
		return err
	}
	expected := t.Cutover.Before()
	if got := lastGot(t, plan.Publish); got != nil {
		expected = *got
	}
	if _, begun := t.Domain.Steps[string(plan.Publish)]; begun || t.Domain.Drift != "" {
		return nil // the step itself looks
	}
	now, err := providers.Read(ctx, p, t.Cutover.Zone, expected.Name, expected.Type)
	if err == nil && foreign(t, now) {
		return &providers.DriftError{Expected: expected, Found: now}
	}
	return nil
}

// foreign tells whether a record is nobody's of ours. A provider may answer for a
// while what it had before, so the TTL alone is no sign.
func foreign(t Turn, now rrset.Set) bool {
	return !now.SameData(t.Cutover.Before()) && !now.SameData(t.Cutover.After())
}

// lastGot is the RRset that the step before wrote, as it was read back: a
// server may have clamped its TTL.
func lastGot(t Turn, k plan.Kind) *rrset.Set {
	before := map[plan.Kind]plan.Kind{plan.Publish: plan.LowerTTL, plan.Settle: plan.Publish}[k]
	if s, ok := t.Cutover.Step(before); ok {
		return t.Domain.Steps[s.ID].Got
	}
	return nil
}

// Do writes, once. Steps that change a TTL are done when every authoritative
// server serves it; publishing is followed by a step that looks at that.
func (w write) Do(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	if i.Change == nil {
		return Outcome{}, hold(nil, "the journal has no change for %s", t.Step.ID)
	}
	got, err := w.replace(ctx, t, i.Provider, *i.Change, providers.Replace)
	if err != nil || t.Step.Kind == plan.Publish {
		return Outcome{Got: &got}, err
	}
	return w.served(ctx, t, got)
}

// Undo writes the journaled snapshot back. Publishing is undone only when the
// old server is proven open (P8), and proven like a cutover. No undo is final
// while a write of ours may yet come late.
func (w write) Undo(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	if i.Change == nil || i.Snapshot == nil {
		return Outcome{}, hold(nil, "the journal has no snapshot for %s", t.Step.ID)
	}
	was, kept, found, err := w.restore(ctx, t, i)
	if err != nil || kept {
		return Outcome{Findings: found, Verdict: plan.Pass}, err
	}
	if err := w.fence(ctx, t, i); err != nil {
		return Outcome{Findings: found}, err
	}
	out, err := w.served(ctx, t, *i.Snapshot)
	out.Got = nil
	if err != nil || out.verdict() != plan.Pass || t.Step.Kind == plan.LowerTTL {
		out.Findings = append(found, out.Findings...)
		return out, err
	}
	gone := lastCache(t, was)
	wait, told := state.Wait{From: moment(t.Clock), For: gone}, t.Now().Add(gone).UTC()
	if t.Step.Kind == plan.Publish {
		var proof Outcome
		proof, err = w.proveBack(ctx, t, *i.Snapshot, gone)
		out.Findings, out.Verdict = append(out.Findings, proof.Findings...), proof.Verdict
		out.Findings = append(out.Findings, plan.Finding{
			Check: "cache.resolver", Target: t.Cutover.Domain, Severity: plan.Pass, At: t.Now(),
			Detail: "the last cache lets the gateway go at " + told.Format(time.RFC3339) + "; the gateway must accept its mail until five days later (RFC 5321 section 4.5.4.1)",
		})
	}
	left, _ := wait.Left(moment(t.Clock))
	out.Caches = max(left, 1)
	out.Findings = append(found, out.Findings...)
	return out, err
}

// lastCache is how long a cache may go on with the gateway's MX, as it was just
// now or, with its original TTL, until not long ago.
func lastCache(t Turn, was rrset.Set) time.Duration {
	gone := time.Duration(was.TTL) * time.Second
	if before := t.Domain.Caches; !before.IsZero() {
		left, sure := before.Left(moment(t.Clock))
		if !sure {
			left = before.For // the machine was started again: nobody knows
		}
		gone = max(gone, left)
	}
	return gone
}

// restore puts the snapshot back, unless it is there, or a person chose to keep
// what somebody else wrote. It tells what was there.
func (w write) restore(ctx context.Context, t Turn, i state.Intent) (was rrset.Set, kept bool, found []plan.Finding, err error) {
	p, err := w.provider(i.Provider)
	if err != nil {
		return was, false, nil, err
	}
	was, err = providers.Read(ctx, p, i.Change.Zone, i.Snapshot.Name, i.Snapshot.Type)
	if err != nil {
		return was, false, nil, fmt.Errorf("read %s at %s: %w", i.Snapshot.Name, i.Provider, err)
	}
	if was.Equal(*i.Snapshot) {
		return i.Change.After, false, nil, nil
	}
	if !ours(was, i.Change.After, t.Domain.Steps[t.Step.ID].Got) {
		switch t.Domain.Drift {
		case state.Force:
		case state.Adopt:
			return was, true, []plan.Finding{{
				Check: "ns.sync", Target: t.Cutover.Domain, Severity: plan.Warn, At: t.Now(),
				Detail: "kept as somebody else wrote it: " + inLine(was), Evidence: was.String(),
			}}, nil
		default:
			return was, false, nil, &providers.DriftError{Expected: i.Change.After, Found: was}
		}
	}
	if t.Step.Kind == plan.Publish {
		if found = w.Checker.OldOpen(ctx); plan.Judge(found) != plan.Pass {
			return was, false, nil, hold(found, "the old server was not proven open, so no MX is pointed back to it: %s", worst(found))
		}
	}
	back := rrset.Change{Zone: i.Change.Zone, Before: was, After: *i.Snapshot}
	_, err = w.replace(ctx, t, i.Provider, back, providers.Restore)
	return was, false, found, err
}

// fence waits until no write of ours can come late any more, and looks again:
// what came late is taken back like what came in time.
func (w write) fence(ctx context.Context, t Turn, i state.Intent) error {
	p, err := w.provider(i.Provider)
	if err != nil {
		return err
	}
	left := fenced(t.Domain.Doubt, providers.Quiet(p), moment(t.Clock))
	if left <= 0 {
		return nil
	}
	if err := t.Observe(ctx, t.Now().Add(left)); err != nil {
		return err
	}
	if err := sleep(ctx, left); err != nil {
		return err
	}
	_, _, _, err = w.restore(ctx, t, i)
	return err
}

// proveBack sends a message by the public way until it arrives by the old path.
// A resolver that still has the gateway's MX has its time. What could not be
// proven does not hold the rollback up, and is told.
func (w write) proveBack(ctx context.Context, t Turn, back rrset.Set, gone time.Duration) (Outcome, error) {
	row := streak{limit: w.Policy.ProbeFailures}
	caches := state.Wait{From: moment(t.Clock), For: gone}
	for {
		found := w.Checker.Returned(ctx, t.Cutover, back)
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
		left, _ := caches.Left(moment(t.Clock))
		verdict := plan.Judge(found)
		switch {
		case verdict == plan.Unknown && left > 0:
		case row.add(verdict) && verdict == plan.Unknown:
			return Outcome{Findings: found, Verdict: plan.Pass}, nil
		case !bad(verdict), verdict == plan.Fail && row.failed >= row.limit:
			return Outcome{Findings: found}, nil
		}
		if err := t.Observe(ctx, t.Now().Add(max(left, 0)), found...); err != nil {
			return Outcome{}, err
		}
		if err := sleep(ctx, min(w.Policy.ProbeEvery, max(left, w.Policy.PollEvery))); err != nil {
			return Outcome{}, err
		}
	}
}

// ours tells whether what is there is what we wrote. wrote is what was read back
// then; after a crash it may be missing, and then only the TTL may be lower.
func ours(now, after rrset.Set, wrote *rrset.Set) bool {
	if wrote != nil {
		return now.Equal(*wrote)
	}
	return now.SameData(after) && now.TTL <= after.TTL
}

// replace writes by the one way there is. It begins only while the context
// lives, and then comes to its end.
func (w write) replace(ctx context.Context, t Turn, provider string, c rrset.Change, by func(context.Context, providers.Provider, rrset.Change) (providers.Result, error)) (rrset.Set, error) {
	p, err := w.provider(provider)
	if err != nil {
		return rrset.Set{}, err
	}
	if ctx.Err() != nil {
		return rrset.Set{}, ctx.Err()
	}
	free, err := w.limits.take(ctx, provider)
	if err != nil {
		return rrset.Set{}, err
	}
	defer free()
	ctx, cancel := within(ctx, writeTime)
	defer cancel()
	r, err := by(ctx, p, c)
	switch {
	case late(err) && t.Domain.Doubts > 0:
		providers.Quarantine(p, err) // it had its time
	case err == nil && r.Written && r.Got.Equal(c.Before) && t.Domain.Doubts == 0:
		err = &providers.LieError{Change: c, Got: r.Got} // clamped, or late
	}
	if err != nil {
		return rrset.Set{}, fmt.Errorf("%s: %w", provider, err)
	}
	return r.Got, nil
}

// served waits until every authoritative server serves the RRset.
func (w write) served(ctx context.Context, t Turn, want rrset.Set) (Outcome, error) {
	served, found, err := w.agree(ctx, t, want)
	if err != nil {
		return Outcome{}, err
	}
	if served == nil {
		return Outcome{}, hold(found, "not every name server serves %s as written: %s", rrset.Bare(want.Name), worst(found))
	}
	return Outcome{Got: &want, Findings: []plan.Finding{allServe(t, served, want)}}, nil
}

// agree waits until every authoritative server serves exactly the RRset, for
// Policy.SyncWait. It returns nil and what was found if they do not.
func (w World) agree(ctx context.Context, t Turn, want rrset.Set) (map[string]rrset.Set, []plan.Finding, error) {
	var served map[string]rrset.Set
	var found []plan.Finding
	ok, err := poll(ctx, t.Clock, w.Policy.SyncWait, w.Policy.PollEvery, func() (bool, error) {
		served, found = w.Checker.Served(ctx, t.Cutover.Zone, want.Name, want.Type)
		for _, server := range slices.Sorted(maps.Keys(served)) {
			if s := served[server]; !s.Equal(want) {
				found = append(found, plan.Finding{
					Check: "ns.sync", Target: server, Severity: plan.Fail, At: t.Now(),
					Detail: fmt.Sprintf("serves %s", inLine(s)), Evidence: s.String(), RFC: "RFC 1034 section 4.3.5",
				})
			}
		}
		if len(served) > 0 && (Outcome{Findings: found}).verdict() == plan.Pass || ctx.Err() != nil {
			return true, ctx.Err()
		}
		return false, w.stillThere(ctx, t, want)
	})
	if err != nil || !ok {
		return nil, found, err
	}
	return served, found, nil
}

// stillThere tells that somebody else changed the record while its name servers
// are waited for.
func (w World) stillThere(ctx context.Context, t Turn, want rrset.Set) error {
	p, err := w.provider(t.Cutover.Provider)
	if err != nil {
		return err
	}
	now, err := providers.Read(ctx, p, t.Cutover.Zone, want.Name, want.Type)
	if err == nil && foreign(t, now) && !now.SameData(want) {
		return &providers.DriftError{Expected: want, Found: now}
	}
	return nil
}

func allServe(t Turn, served map[string]rrset.Set, want rrset.Set) plan.Finding {
	return plan.Finding{
		Check: "ns.sync", Target: t.Cutover.Domain, Severity: plan.Pass, At: t.Now(), RFC: "RFC 1034 section 4.3.5",
		Detail: fmt.Sprintf("all %d authoritative servers serve %s", len(served), inLine(want)),
	}
}

// inLine is an RRset's data in one line, as in "10 gw1.example. 300s".
func inLine(s rrset.Set) string {
	if s.Absent() {
		return "no " + s.Type
	}
	line := ""
	for i, d := range s.Data {
		if i > 0 {
			line += ", "
		}
		line += d
	}
	return fmt.Sprintf("%s (TTL %d)", line, s.TTL)
}

func worst(found []plan.Finding) string {
	if s := summary(found, plan.Fail); s != "" {
		return s
	}
	return summary(found, plan.Unknown)
}
