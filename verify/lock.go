package verify

import (
	"context"
	"sync"
)

// A lock is held while files or the network are read; who waits for it can give up. The
// zero value is open.
type lock struct {
	once sync.Once
	held chan struct{}
}

// take waits for the lock, or for the end of the context, which is its error then.
func (l *lock) take(ctx context.Context) error {
	l.once.Do(func() { l.held = make(chan struct{}, 1) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case l.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lock) free() { <-l.held }
