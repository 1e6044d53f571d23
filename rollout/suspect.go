package rollout

import (
	"context"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// suspect quarantines a provider that says it has a change which, long after, not
// one name server serves: all of them still have what was there before. What is
// written there comes to nobody, so nothing more is. It tells that in words, or
// nothing.
func (w World) suspect(ctx context.Context, t Turn, provider string, c rrset.Change) string {
	if c.Before.Equal(c.After) || w.Hand(provider) {
		return ""
	}
	served, found := w.Checker.Served(ctx, t.zone(), c.After.Name, c.After.Type)
	if len(served) == 0 || (Outcome{Findings: found}).verdict() != plan.Pass {
		return ""
	}
	for _, s := range served {
		if !s.Equal(c.Before) {
			return ""
		}
	}
	p, err := w.provider(provider)
	if err != nil {
		return ""
	}
	providers.Quarantine(p, &providers.LieError{Change: c, Got: c.Before, Served: true})
	return "; all of them still serve what was there before, so nothing more is written through " + provider + " until they serve this, or the engine is started anew (rollbacks are)"
}

// cleared takes a provider out of quarantine whose change came to its servers
// after all.
func (w World) cleared(provider string, c rrset.Change) {
	if p, err := w.provider(provider); err == nil {
		providers.Acquit(p, c)
	}
}

// wrote is the change that a step made, with what the provider made of it.
func wrote(r state.StepRecord) (c rrset.Change, ok bool) {
	if r.Intent.Change == nil {
		return c, false
	}
	c = *r.Intent.Change
	if r.Got != nil {
		c.After = *r.Got
	}
	return c, true
}
