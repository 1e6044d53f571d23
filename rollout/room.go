package rollout

import (
	"context"

	"mxcutover/state"
)

// noRoom journals that a step could not begin, since its snapshot found no room:
// until there is, nothing but rollbacks starts. Its domain stays as it is.
func (e *Engine) noRoom(ctx context.Context, why error) error {
	low := ""
	e.Journal.View(func(s *state.Status) { low = s.DiskLow })
	if low != "" {
		return nil
	}
	return e.emit(ctx, state.Event{Kind: state.DiskLow, Reason: why.Error()})
}
