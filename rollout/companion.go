package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A companion is written, proven and restored by the Action that writes the MX.
// What differs is here: whose zone it is in, for how long caches hold it, and
// that its undo waits for theirs, and never the MX's for it.

// zone holds the RRset that the turn is about.
func (t Turn) zone() string { return zoneOf(t.Cutover, t.Step) }

func zoneOf(c plan.Cutover, s plan.Step) string {
	if s.Change != nil {
		return s.Change.Zone
	}
	return c.Zone
}

// provider has that zone.
func (t Turn) provider() string { return cmp.Or(t.Step.Provider, t.Cutover.Provider) }

// beside tells whether the turn is a companion's.
func (t Turn) beside() bool { return t.Step.Kind == plan.WriteCompanion }

// about is the RRset that the turn writes, for people.
func (t Turn) about() string {
	if t.beside() && t.Step.Change != nil {
		return t.Step.Change.After.Name
	}
	return t.Cutover.Domain
}

// rebased is what a change makes of an RRset that is no longer as it was planned,
// where a person adopted that: what others added beside stays, as in a TXT RRset
// that has more than the SPF record. Where what is to be replaced is gone, it is
// the plan's.
func rebased(c rrset.Change, now rrset.Set) rrset.Set {
	if now.SameData(c.Before) || now.Absent() || c.After.Absent() {
		return c.After
	}
	data := slices.Clone(now.Data)
	for _, d := range c.Before.Data {
		if slices.Contains(c.After.Data, d) {
			continue
		}
		i := slices.Index(data, d)
		if i < 0 {
			return c.After
		}
		data = slices.Delete(data, i, i+1)
	}
	for _, d := range c.After.Data {
		if !slices.Contains(c.Before.Data, d) && !slices.Contains(data, d) {
			data = append(data, d)
		}
	}
	after, err := rrset.New(c.After.Name, c.After.Type, c.After.TTL, data...)
	if err != nil {
		return c.After
	}
	return after
}

// providersOf are all through which a domain is written, its own first.
func providersOf(c plan.Cutover) []string {
	out := []string{c.Provider}
	for _, s := range c.Companions() {
		if !slices.Contains(out, s.Provider) {
			out = append(out, s.Provider)
		}
	}
	return out
}

// sameSet tells whether a step of the plan writes the RRset of another.
func sameSet(a, b plan.Step) bool {
	return a.Change != nil && b.Change != nil && a.Change.SameRRset(*b.Change)
}

// ttl is how long a cache may hold what a RRset was. That it was not there is held
// for the zone's negative TTL (RFC 2308 section 5).
func (w World) ttl(ctx context.Context, zone string, was ...rrset.Set) (time.Duration, error) {
	var out time.Duration
	for _, s := range was {
		out = max(out, time.Duration(s.TTL)*time.Second)
		if !s.Absent() {
			continue
		}
		negative, err := w.Checker.NegativeTTL(ctx, zone)
		if err != nil {
			return 0, fmt.Errorf("negative TTL of %s: %w", zone, err)
		}
		out = max(out, time.Duration(negative)*time.Second)
	}
	return out, nil
}

// awaited is the step whose wait this one is.
func awaited(t Turn) (s plan.Step, r state.StepRecord, ok bool) {
	for _, s := range t.Cutover.Steps {
		if s.Kind == plan.WriteCompanion && s.Number() == t.Step.Number() {
			r, ok = t.Domain.Steps[s.ID]
			return s, r, ok && r.Done
		}
	}
	return s, r, false
}

// Foreseen takes what companions are to mend out of what a preflight is judged by:
// until they are served and waited for, their checks cannot pass, and they are not
// written before a preflight did. It is told all the same, and the preflight that
// must come after them ([fresh]) is judged by all. d is how far the domain is; nil = not
// begun.
func Foreseen(c plan.Cutover, d *state.DomainStatus, found []plan.Finding) (told, matter []plan.Finding) {
	coming := map[string]string{}
	for _, s := range c.Companions() {
		if await := string(plan.AwaitCompanion) + ":" + s.Number(); s.Check != "" && !s.Late && (d == nil || !d.Has(await)) {
			coming[s.Check] = s.ID
		}
	}
	for _, f := range found {
		step, ok := coming[f.Check]
		switch {
		case ok && f.Severity == plan.Fail:
			f.Severity, f.Detail = plan.Warn, step+" is to mend this: "+f.Detail
		case ok && f.Severity == plan.Unknown:
		default:
			matter = append(matter, f)
		}
		told = append(told, f)
	}
	return told, matter
}

// awaitCompanion is the Action of await-companion: no cache holds what a
// companion was before when it is done, and whoever builds on it has had time.
type awaitCompanion struct{ await }

// Prepare sets the deadline, counted from when the last authoritative server was
// seen with it: the highest TTL that was seen before, or the plan's wait.
func (a awaitCompanion) Prepare(ctx context.Context, t Turn) (state.Intent, error) {
	s, r, ok := awaited(t)
	if !ok || s.Change == nil {
		return state.Intent{}, hold(nil, "the journal does not say when that was written which %s waits for", t.Step.ID)
	}
	was := []rrset.Set{s.Change.Before}
	if r.Intent.Snapshot != nil {
		was[0] = *r.Intent.Snapshot
	}
	for _, seen := range r.Intent.Served {
		was = append(was, seen)
	}
	ttl, err := a.ttl(ctx, s.Change.Zone, was...)
	if err != nil {
		return state.Intent{}, err
	}
	return state.Intent{Until: t.Now().Add(rest(t, r.DoneAt, max(ttl, time.Duration(t.Step.Wait))))}, nil
}

// rest is what is left of a wait that began at a moment. If the machine was
// started again since, nobody knows, and all of it is.
func rest(t Turn, since state.Moment, wait time.Duration) time.Duration {
	passed, sure := moment(t.Clock).Since(since)
	if !sure && since.Boot != "" {
		passed = 0 // the machine was started again: nobody knows
	}
	return max(wait-max(passed, 0), 0)
}

// letsGo waits, before a companion goes back, until no cache has what was built
// upon it: the new MX, and the companions that were undone before it. The MX
// itself is undone first, and waits for none of this.
func (w World) letsGo(ctx context.Context, t Turn) error {
	var left time.Duration
	// A journal that was made from snapshots tells of the MX's caches by the Intent.
	for _, x := range []state.Wait{t.Domain.Caches, t.Domain.Others, t.Domain.Steps[t.Step.ID].Wait()} {
		if x.For > 0 {
			left = max(left, rest(t, x.From, x.For))
		}
	}
	if left <= 0 {
		return nil
	}
	if err := t.Observe(ctx, t.Now().Add(left)); err != nil {
		return err
	}
	t.Wait = state.Wait{From: moment(t.Clock), For: left}
	return t.wait(ctx)
}

// leaves is how long a cache may go on with a companion that was just undone.
func (w World) leaves(ctx context.Context, t Turn, was rrset.Set) time.Duration {
	ttl, err := w.ttl(ctx, t.zone(), was)
	if err != nil {
		ttl = w.Policy.Assume // it is undone all the same
	}
	return max(ttl, restOf(t), t.Domain.Steps[t.Step.ID].Intent.Rest, 1) // the plan may be lost
}

// restOf is how long what builds on a companion waits by the plan.
func restOf(t Turn) time.Duration {
	for _, s := range t.Cutover.Steps {
		if s.Kind == plan.AwaitCompanion && t.beside() && s.Number() == t.Step.Number() {
			return time.Duration(s.Wait)
		}
	}
	return 0
}
