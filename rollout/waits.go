package rollout

import (
	"context"
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// await is the Action of await-ttl: no cache that honours TTLs holds the high
// TTL when it is done.
type await struct{ World }

// Prepare sets the deadline: counted from when the last authoritative server was
// seen with the low TTL, by the highest TTL seen anywhere before, or by the
// assumed one, if that is more.
func (a await) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	s, ok := t.Cutover.Step(plan.LowerTTL)
	r, done := t.Domain.Steps[s.ID]
	if !ok || !done {
		return state.Intent{}, hold(nil, "the journal does not say when the TTL was lowered")
	}
	ttl := max(highestTTL(r.Intent), a.Policy.Assume)
	return state.Intent{Until: t.Now().Add(rest(t, r.DoneAt, ttl))}, nil
}

// highestTTL is the highest that was seen in a snapshot and on any server.
func highestTTL(i state.Intent) time.Duration {
	var ttl uint32
	if i.Snapshot != nil {
		ttl = i.Snapshot.TTL
	}
	for _, s := range i.Served {
		ttl = max(ttl, s.TTL)
	}
	return time.Duration(ttl) * time.Second
}

func (a await) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	return Outcome{}, t.wait(ctx)
}

func (a await) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }

// propagate is the Action that sees the new RRset reach every authoritative
// server, then the caches.
type propagate struct{ World }

func (p propagate) Prepare(context.Context, Turn) (state.Intent, error) { return state.Intent{}, nil }

// Do is done when every authoritative server serves the new RRset, and every
// resolver that is asked answers it, or the old answer's time has run out.
func (p propagate) Do(ctx context.Context, t Turn, _ state.Intent) (Outcome, error) {
	want, old, err := p.published(ctx, t)
	if err != nil {
		return Outcome{}, err
	}
	served, found, err := p.agree(ctx, t, want)
	if err != nil {
		return Outcome{}, err
	}
	c, ok := wrote(t.Domain.Steps[string(plan.Publish)])
	switch {
	case served == nil && ok:
		return Outcome{}, hold(found, "not every name server serves the new MX: %s%s", worst(found), p.suspect(ctx, t, t.Cutover.Provider, c))
	case served == nil:
		return Outcome{}, hold(found, "not every name server serves the new MX: %s", worst(found))
	}
	p.cleared(t.Cutover.Provider, c)
	p.Checker.Expect(t.Cutover.Domain, t.Now().Add(old))
	if err := t.Observe(ctx, t.Now().Add(old), allServe(t, served, want)); err != nil {
		return Outcome{}, err
	}
	var caches []plan.Finding
	_, err = poll(ctx, t.Clock, old, p.Policy.PollEvery, func() (bool, error) {
		caches = p.Checker.Only(ctx, t.Cutover, "cache.resolver")
		return len(caches) > 0 && plan.Judge(caches) == plan.Pass, ctx.Err()
	})
	// What a resolver answers after its time is told, and holds nobody up: the
	// countdown is what honest caches obey.
	return Outcome{Verdict: plan.Pass, Findings: append([]plan.Finding{allServe(t, served, want)}, caches...)}, err
}

// LetGo is when no cache that honours TTLs holds any more what a domain had before
// it was published, as the journal has it; zero: it does not tell. Where the wait
// for the caches ended early, since those that were asked had let go, others may
// hold it for the whole TTL.
func LetGo(d *state.DomainStatus, c plan.Cutover) time.Time {
	publish, _ := c.Step(plan.Publish)
	propagate, _ := c.Step(plan.Propagate)
	p, r := d.Steps[publish.ID], d.Steps[propagate.ID]
	if !p.Done || !r.Done || p.Intent.Snapshot == nil || p.Intent.Snapshot.Absent() {
		return time.Time{}
	}
	ttl := highestTTL(p.Intent)
	if r.DoneAt.At.Sub(r.Begun.At) >= ttl {
		return r.DoneAt.At
	}
	return r.DoneAt.At.Add(ttl)
}

// published is the RRset that was written, and how long a cache may hold what
// was there before.
func (p propagate) published(ctx context.Context, t Turn) (rrset.Set, time.Duration, error) {
	s, _ := t.Cutover.Step(plan.Publish)
	r, ok := t.Domain.Steps[s.ID]
	if !ok || r.Intent.Change == nil {
		return rrset.Set{}, 0, hold(nil, "the journal does not say what was published")
	}
	want := r.Intent.Change.After
	if r.Got != nil {
		want = *r.Got
	}
	if r.Intent.Snapshot != nil && !r.Intent.Snapshot.Absent() {
		return want, highestTTL(r.Intent), nil
	}
	negative, err := p.Checker.NegativeTTL(ctx, t.Cutover.Zone)
	if err != nil {
		return rrset.Set{}, 0, fmt.Errorf("negative TTL of %s: %w", t.Cutover.Zone, err)
	}
	return want, time.Duration(negative) * time.Second, nil
}

func (p propagate) Undo(context.Context, Turn, state.Intent) (Outcome, error) { return Outcome{}, nil }
