package rollout

import (
	"context"
	"errors"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
)

// errAgain ends a turn without an outcome: the domain's next move is decided anew.
var errAgain = errors.New("look again")

type writer func(context.Context, providers.Provider, rrset.Change) (providers.Result, error)

// replace writes, or waits until a person who was asked has. What is asked is
// journaled, and again when something else is to be said of it. The wait ends
// with the context, as all waits do.
func (w write) replace(ctx context.Context, t Turn, provider string, c rrset.Change, by writer) (rrset.Set, error) {
	told := ""
	for {
		got, err := w.once(ctx, t, provider, c, by)
		var asked *providers.AskedError
		switch {
		case errors.As(err, &asked):
		case told != "" && errors.Is(err, providers.ErrTransient): // a change is on its way to all servers, or one is silent
		case told != "" && err == nil:
			return got, t.Observe(ctx, time.Time{}, hand(t, plan.Pass, "every name server has "+got.InLineTTL(), ""))
		default:
			return got, err
		}
		if ctx.Err() != nil {
			return rrset.Set{}, ctx.Err()
		}
		if says := err.Error(); says != told {
			told = says
			if err := tell(ctx, t, says, asked); err != nil {
				return rrset.Set{}, err
			}
		}
		// The change may be made at any time: until then the way must stay proven (P3).
		if !t.Domain.Back && t.Step.Kind == plan.Publish && !fresh(t.Cutover, t.Domain, w.Policy, moment(t.Clock)) {
			return rrset.Set{}, errAgain
		}
		if err := sleep(ctx, min(6*w.Policy.PollEvery, time.Minute)); err != nil {
			return rrset.Set{}, err
		}
	}
}

// tell journals what a person is asked for, with the letter to them.
func tell(ctx context.Context, t Turn, says string, asked *providers.AskedError) error {
	letter, until := "", time.Time{}
	if asked != nil {
		if asked.Within > 0 {
			since := t.Wait.From.At
			if since.IsZero() || t.Domain.Back {
				since = t.Now()
			}
			until = since.Add(asked.Within)
		}
		letter = asked.Letter(until)
	}
	return t.Observe(ctx, until, hand(t, plan.Unknown, says, letter))
}

func hand(t Turn, s plan.Severity, says, letter string) plan.Finding {
	return plan.Finding{Check: plan.HandCheck, Target: t.about(), Severity: s, At: t.Now(), Detail: says, Evidence: letter}
}

// Hand tells whether a provider's changes are made by a person.
func (w World) Hand(provider string) bool {
	p, ok := w.Providers[provider]
	return ok && providers.ModeOf(p) == providers.Hand
}
