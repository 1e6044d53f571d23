package verify

import (
	"context"
	"slices"

	"mxcutover/plan"
)

// Some is Run of the checks that are picked by their IDs.
func (c *Checker) Some(ctx context.Context, when When, cut plan.Cutover, picked func(id string) bool) []plan.Finding {
	var out []plan.Finding
	ctx = remembering(ctx)
	for _, check := range Checks() {
		if picked(check.ID) && slices.Contains(check.When, when) && check.asks(c) {
			out = append(out, c.one(ctx, check, when, cut)...)
		}
	}
	return out
}
