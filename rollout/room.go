package rollout

import (
	"context"
	"fmt"

	"mxcutover/state"
)

// keepRoom sees that a rollback can be journaled though the disk fills up. Where
// that is not so, nothing but rollbacks starts. A run that only goes back needs
// what room there is.
func (e *Engine) keepRoom(ctx context.Context) error {
	if e.Policy.BackOnly {
		return nil
	}
	err := e.Journal.KeepRoom(ctx)
	low := ""
	e.Journal.View(func(s *state.Status) { low = s.DiskLow })
	full := state.NoSpace(err)
	switch {
	case full && low == "":
		return e.emit(ctx, state.Event{Kind: state.DiskLow, Reason: err.Error()})
	case full || ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("journal: %w", err)
	case low != "":
		e.lookAtAll()
		return e.emit(ctx, state.Event{Kind: state.DiskFree})
	}
	return nil
}

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
