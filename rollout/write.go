package rollout

import (
	"context"
	"errors"
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

// write is the Action of the steps that change DNS: companion, lower-ttl, publish,
// settle.
type write struct{ World }

// Prepare reads the RRset as the provider has it and as every authoritative
// server serves it, and refuses a disagreement (P1, P2).
func (w write) Prepare(ctx context.Context, t Turn) (state.Intent, error) {
	p, err := w.provider(t.provider())
	if err != nil {
		return state.Intent{}, err
	}
	if err := w.canGoBack(ctx, t); err != nil {
		return state.Intent{}, err
	}
	c := *t.Step.Change
	expected := c.Before
	if got := lastGot(t); got != nil {
		expected = *got
	}
	now, err := w.found(ctx, t, p, c)
	if err != nil {
		return state.Intent{}, fmt.Errorf("read %s at %s: %w", c.Before.Name, t.provider(), err)
	}
	if i, ok := joined(t, now); ok {
		return i, nil
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
	if t.beside() && t.Domain.Drift != state.Force {
		c.After = rebased(c, now)
	}
	served, found, err := w.agree(ctx, t, now)
	if err != nil {
		return state.Intent{}, err
	}
	if served == nil && t.beside() {
		again, err := w.found(ctx, t, p, c)
		switch {
		case err != nil:
			return state.Intent{}, fmt.Errorf("read %s at %s: %w", c.Before.Name, t.provider(), err)
		case !again.Equal(now): // another domain that shares it has written it just then
			return w.Prepare(ctx, t)
		}
	}
	if served == nil {
		return state.Intent{}, hold(found, "the provider and the name servers do not agree on %s: %s", rrset.Bare(c.Before.Name), worst(found))
	}
	if err := w.oneOwner(ctx, t); err != nil {
		return state.Intent{}, err
	}
	c.Before = now
	return state.Intent{Snapshot: &now, Served: served, Change: &c, Rest: restOf(t), Base: base, Provider: t.provider()}, nil
}

// found is the RRset as the provider has it; a companion's not while another domain
// that shares it writes it.
func (w write) found(ctx context.Context, t Turn, p providers.Provider, c rrset.Change) (rrset.Set, error) {
	if t.beside() {
		free, err := w.limits.alone(ctx, c.After.Name, c.After.Type)
		if err != nil {
			return rrset.Set{}, err
		}
		defer free()
	}
	return providers.Read(ctx, p, c.Zone, c.Before.Name, c.Before.Type)
}

// Do writes, once. Steps that change a TTL are done when every authoritative
// server serves it; publishing is followed by a step that looks at that.
func (w write) Do(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	if i.Change == nil {
		return Outcome{}, hold(nil, "the journal has no change for %s", t.Step.ID)
	}
	if t.Step.Kind == plan.LowerTTL && !i.Change.Before.SameData(i.Change.After) { // forced over another's record
		if _, err := w.mayLeadBack(ctx); err != nil {
			return Outcome{}, err
		}
	}
	got, err := w.replace(ctx, t, i.Provider, *i.Change, providers.Replace)
	if err != nil || t.Step.Kind == plan.Publish {
		return Outcome{Got: &got}, err
	}
	out, err := w.served(ctx, t, got)
	c := rrset.Change{Zone: i.Change.Zone, Before: i.Change.Before, After: got}
	var held *Held
	switch {
	case errors.As(err, &held):
		held.Reason += w.suspect(ctx, t, i.Provider, c)
	case err == nil:
		w.cleared(i.Provider, c)
	}
	return out, err
}

// once writes by the one way there is. It begins only while the context lives,
// and then comes to its end.
func (w write) once(ctx context.Context, t Turn, provider string, c rrset.Change, by writer) (rrset.Set, error) {
	p, err := w.provider(provider)
	if err != nil {
		return rrset.Set{}, err
	}
	if ctx.Err() != nil {
		return rrset.Set{}, ctx.Err()
	}
	if t.beside() {
		free, err := w.limits.alone(ctx, c.After.Name, c.After.Type)
		if err != nil {
			return rrset.Set{}, err
		}
		defer free()
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
	case err == nil && r.Written && r.Got.Equal(c.Before):
		err = keeps(t, c, r.Got)
	}
	if err != nil {
		return rrset.Set{}, fmt.Errorf("%s: %w", provider, err)
	}
	return r.Got, nil
}

// keeps judges a provider that says it has written a TTL, and still has the one
// from before. That may be late, or be its least or its highest TTL. The
// original TTL it had before, so a settle is not done by that, unless a person
// adopts what is there.
func keeps(t Turn, c rrset.Change, got rrset.Set) error {
	switch {
	case t.Domain.Doubts == 0:
		return &providers.LieError{Change: c, Got: got}
	case t.Step.Kind == plan.Settle && t.Domain.Drift != state.Adopt:
		return hold(nil, "the provider says that it has written the original TTL of %d s, and keeps %d s; retry writes it again, retry --adopt leaves it so", c.After.TTL, got.TTL)
	}
	return nil
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
		served, found = w.Checker.Served(ctx, t.zone(), want.Name, want.Type)
		for _, server := range slices.Sorted(maps.Keys(served)) {
			if s := served[server]; !s.Equal(want) {
				found = append(found, plan.Finding{
					Check: "ns.sync", Target: server, Severity: plan.Fail, At: t.Now(),
					Detail: fmt.Sprintf("serves %s", s.InLineTTL()), Evidence: s.String(), RFC: "RFC 1034 section 4.3.5",
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

func allServe(t Turn, served map[string]rrset.Set, want rrset.Set) plan.Finding {
	return plan.Finding{
		Check: "ns.sync", Target: t.about(), Severity: plan.Pass, At: t.Now(), RFC: "RFC 1034 section 4.3.5",
		Detail: fmt.Sprintf("all %d authoritative servers serve %s", len(served), want.InLineTTL()),
	}
}

func worst(found []plan.Finding) string {
	if s := summary(found, plan.Fail); s != "" {
		return s
	}
	return summary(found, plan.Unknown)
}
