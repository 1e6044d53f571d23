package rollout

import (
	"context"
	"sync"
)

// limits bounds how many writes go through one provider at once.
type limits struct {
	of   map[string]int // by provider; none or 0 = defaultWrites
	mu   sync.Mutex
	held map[string]chan struct{}
}

const defaultWrites = 8

// take waits for a place at a provider.
func (l *limits) take(ctx context.Context, provider string) (free func(), err error) {
	n := l.of[provider]
	if n <= 0 {
		n = defaultWrites
	}
	return l.wait(ctx, provider, n)
}

// alone waits until nobody else writes an RRset, which several domains may share.
func (l *limits) alone(ctx context.Context, name, typ string) (free func(), err error) {
	return l.wait(ctx, name+" "+typ, 1) // no provider has a space in its name
}

// wait waits for one of n places.
func (l *limits) wait(ctx context.Context, key string, n int) (free func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	c := l.held[key]
	if c == nil {
		c = make(chan struct{}, n)
		l.held[key] = c
	}
	l.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
