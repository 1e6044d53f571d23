package rollout

import (
	"context"
	"slices"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// unchanged tells, before a step that writes nothing, that somebody else changed
// the record. What cannot be read now is for the checks to tell.
func (w World) unchanged(ctx context.Context, t Turn) error {
	p, err := w.provider(t.Cutover.Provider)
	if err != nil {
		return err
	}
	expected := t.Cutover.Before()
	if got := gotBefore(t, plan.Publish); got != nil {
		expected = *got
	}
	if _, begun := t.Domain.Steps[string(plan.Publish)]; begun || t.Domain.Drift != "" {
		return nil // the step itself looks
	}
	now, err := providers.Read(ctx, p, t.Cutover.Zone, expected.Name, expected.Type)
	if err == nil && foreign(t, now) && !now.SameData(expected) {
		return &providers.DriftError{Expected: expected, Found: now}
	}
	return nil
}

// chosen is the cutover as a person has decided about a record that somebody else
// changed before it was published: what the provider has now is what the name servers
// must agree on. Without such a decision it is the plan's.
func (w World) chosen(ctx context.Context, t Turn) plan.Cutover {
	cut := t.Cutover
	if _, begun := t.Domain.Steps[string(plan.Publish)]; begun || t.Domain.Drift != state.Adopt && t.Domain.Drift != state.Force {
		return cut
	}
	p, err := w.provider(cut.Provider)
	if err != nil {
		return cut
	}
	was := cut.Before()
	now, err := providers.Read(ctx, p, cut.Zone, was.Name, was.Type)
	if err != nil || now.SameData(was) {
		return cut // what cannot be read is for the checks to tell
	}
	cut.Steps = slices.Clone(cut.Steps)
	for i, s := range cut.Steps {
		if (s.Kind == plan.LowerTTL || s.Kind == plan.Publish) && s.Change != nil {
			c := *s.Change
			c.Before = now
			cut.Steps[i].Change = &c
		}
	}
	return cut
}

// foreign tells whether a record is nobody's of ours. A provider may answer for a
// while what it had before, so the TTL alone is no sign.
func foreign(t Turn, now rrset.Set) bool {
	if t.beside() {
		return !now.SameData(t.Step.Change.Before) && !now.SameData(t.Step.Change.After)
	}
	return !now.SameData(t.Cutover.Before()) && !now.SameData(t.Cutover.After())
}

// lastGot is the RRset that the step before wrote, as it was read back: a
// server may have clamped its TTL.
func lastGot(t Turn) (got *rrset.Set) {
	if !t.beside() {
		return gotBefore(t, t.Step.Kind)
	}
	for _, s := range t.Cutover.Steps {
		if s.ID == t.Step.ID {
			break
		}
		if r := t.Domain.Steps[s.ID]; sameSet(s, t.Step) && r.Got != nil {
			got = r.Got
		}
	}
	return got
}

func gotBefore(t Turn, k plan.Kind) *rrset.Set {
	before := map[plan.Kind]plan.Kind{plan.Publish: plan.LowerTTL, plan.Settle: plan.Publish}[k]
	if s, ok := t.Cutover.Step(before); ok {
		return t.Domain.Steps[s.ID].Got
	}
	return nil
}

// stillThere tells that somebody else changed the record while its name servers
// are waited for.
func (w World) stillThere(ctx context.Context, t Turn, want rrset.Set) error {
	p, err := w.provider(t.provider())
	if err != nil {
		return err
	}
	now, err := providers.Read(ctx, p, t.zone(), want.Name, want.Type)
	if err == nil && foreign(t, now) && !now.SameData(want) {
		return &providers.DriftError{Expected: want, Found: now}
	}
	return nil
}
