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
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	c := l.held[provider]
	if c == nil {
		n := l.of[provider]
		if n <= 0 {
			n = defaultWrites
		}
		c = make(chan struct{}, n)
		l.held[provider] = c
	}
	l.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
