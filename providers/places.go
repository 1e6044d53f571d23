package providers

import (
	"context"
	"fmt"
	"sync"
)

// places let one write at a time into each zone.
type places struct {
	mu   sync.Mutex
	held map[string]chan struct{} // who writes in a zone holds its place
}

// enter waits until nobody else here writes in the zone.
func (p *places) enter(ctx context.Context, zone string) (leave func(), err error) {
	p.mu.Lock()
	if p.held == nil {
		p.held = map[string]chan struct{}{}
	}
	place, ok := p.held[zone]
	if !ok {
		place = make(chan struct{}, 1)
		p.held[zone] = place
	}
	p.mu.Unlock()
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-ctx.Done():
		return nil, &transient{fmt.Errorf("zone %s: waiting for other writes: %w", zone, ctx.Err())}
	}
}
