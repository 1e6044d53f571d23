package rollout

import (
	"context"
	"slices"

	"mxcutover/plan"
)

// credentials are what was found about the secrets that a domain's rollback
// needs. Without World.Credentials nothing is found.
func (w World) credentials(ctx context.Context, t Turn) []plan.Finding {
	if w.Credentials == nil {
		return nil
	}
	var found []plan.Finding
	for _, p := range providersOf(t.Cutover) {
		for _, f := range w.Credentials(ctx, p) {
			if !slices.Contains(found, f) {
				found = append(found, f)
			}
		}
	}
	return stamp(found, t.Now())
}

// canGoBack holds a domain whose secrets cannot be read: the engine has them in
// memory, and a rollback without it would not.
func (w World) canGoBack(ctx context.Context, t Turn) error {
	found := w.credentials(ctx, t)
	if len(found) == 0 || plan.Judge(found) == plan.Pass {
		return nil
	}
	return hold(found, "a rollback without this engine could not be made: %s", worst(found))
}
