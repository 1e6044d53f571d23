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
	if !now.Equal(expected) {
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
	return state.Intent{Snapshot: &now, Served: served, Change: &c, Provider: t.Cutover.Provider}, nil
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
	got, err := w.replace(ctx, i.Provider, *i.Change)
	if err != nil || t.Step.Kind == plan.Publish {
		return Outcome{Got: &got}, err
	}
	return w.served(ctx, t, got)
}

// Undo writes the journaled snapshot back. Publishing is undone only when the
// old server is proven open (P8).
func (w write) Undo(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	if i.Change == nil || i.Snapshot == nil {
		return Outcome{}, hold(nil, "the journal has no snapshot for %s", t.Step.ID)
	}
	p, err := w.provider(i.Provider)
	if err != nil {
		return Outcome{}, err
	}
	now, err := providers.Read(ctx, p, i.Change.Zone, i.Snapshot.Name, i.Snapshot.Type)
	if err != nil {
		return Outcome{}, fmt.Errorf("read %s at %s: %w", i.Snapshot.Name, i.Provider, err)
	}
	var found []plan.Finding
	if !now.Equal(*i.Snapshot) {
		if wrote := t.Domain.Steps[t.Step.ID].Got; !ours(now, i.Change.After, wrote) {
			return Outcome{}, &providers.DriftError{Expected: i.Change.After, Found: now}
		}
		if t.Step.Kind == plan.Publish {
			if found = w.Checker.OldOpen(ctx); plan.Judge(found) != plan.Pass {
				return Outcome{}, hold(found, "the old server was not proven open, so no MX is pointed back to it: %s", worst(found))
			}
		}
		back := rrset.Change{Zone: i.Change.Zone, Before: now, After: *i.Snapshot}
		if _, err := w.replace(ctx, i.Provider, back); err != nil {
			return Outcome{Findings: found}, err
		}
	}
	out, err := w.served(ctx, t, *i.Snapshot)
	if t.Step.Kind == plan.Publish && err == nil {
		gone := t.Now().Add(time.Duration(now.TTL) * time.Second).UTC()
		found = append(found, plan.Finding{
			Check: "cache.resolver", Target: t.Cutover.Domain, Severity: plan.Pass, At: t.Now(),
			Detail: "the last cache lets the gateway go at " + gone.Format(time.RFC3339),
		})
	}
	out.Findings = append(found, out.Findings...)
	return out, err
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
func (w write) replace(ctx context.Context, provider string, c rrset.Change) (rrset.Set, error) {
	p, err := w.provider(provider)
	if err != nil {
		return rrset.Set{}, err
	}
	if ctx.Err() != nil {
		return rrset.Set{}, ctx.Err()
	}
	ctx, cancel := within(ctx, writeTime)
	defer cancel()
	r, err := providers.Replace(ctx, p, c)
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
	ok, err := poll(ctx, t.Now, t.Now().Add(w.Policy.SyncWait), w.Policy.PollEvery, func() (bool, error) {
		served, found = w.Checker.Served(ctx, t.Cutover.Zone, want.Name, want.Type)
		for _, server := range slices.Sorted(maps.Keys(served)) {
			if s := served[server]; !s.Equal(want) {
				found = append(found, plan.Finding{
					Check: "ns.sync", Target: server, Severity: plan.Fail, At: t.Now(),
					Detail: fmt.Sprintf("serves %s", inLine(s)), Evidence: s.String(), RFC: "RFC 1034 section 4.3.5",
				})
			}
		}
		return len(served) > 0 && (Outcome{Findings: found}).verdict() == plan.Pass, ctx.Err()
	})
	if err != nil || !ok {
		return nil, found, err
	}
	return served, found, nil
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
