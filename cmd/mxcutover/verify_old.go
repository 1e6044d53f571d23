package main

import (
	"context"

	"mxcutover/plan"
	"mxcutover/rollout"
	"mxcutover/state"
)

// closedStill asks whether ports of the old server that were closed for good are so
// still, and whether any name's mail leads there all the same.
func (s *site) closedStill(ctx context.Context, p *plan.Plan, st *state.Status, ports []uint16) ([]plan.Finding, error) {
	w := s.world(policy(s.cfg))
	names, err := w.LeadsBack(ctx, p)
	t := rollout.Turn{Plan: p, Clock: rollout.SystemClock(), View: func(f func(*state.Status)) { f(st) }}
	return append(w.StaysClosed(ctx, t, ports), names...), err
}
