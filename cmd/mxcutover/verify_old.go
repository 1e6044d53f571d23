package main

import (
	"context"

	"mxcutover/plan"
)

// closedStill asks whether ports of the old server that were closed for good are so
// still, and whether any name's mail leads there all the same.
func (s *site) closedStill(ctx context.Context, p *plan.Plan, ports []uint16) ([]plan.Finding, error) {
	w := s.world(policy(s.cfg))
	names, err := w.LeadsBack(ctx, p)
	return append(w.StaysClosed(ctx, ports), names...), err
}
