package bolt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mxcutover/state"
)

// Lock writes who holds the store; the file's own lock was taken by Open.
func (s *Store) Lock(ctx context.Context, holder string) (context.Context, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.readOnly {
		return nil, state.ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := time.NewTimer(s.wait)
	defer t.Stop()
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.C:
		return nil, fmt.Errorf("%w: %s", state.ErrLocked, whoHolds(s.file, holderPath(s.path)))
	}
	held, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(state.ErrClosed) })
	context.AfterFunc(held, func() {
		stop()
		<-s.lock
	})
	if holder != "" {
		if err := writeHolder(holderPath(s.path), holder); err != nil {
			cancel(err)
			return nil, err
		}
	}
	return held, nil
}

// Close ends the lock and closes the file.
func (s *Store) Close() error {
	s.end(state.ErrClosed)
	s.use.Lock()
	defer s.use.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if !s.readOnly {
		err = removeHolder(holderPath(s.path))
	}
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead != nil { // bbolt may hold its own locks for ever: only the file is let go
		return errors.Join(err, letGo(s.file))
	}
	return errors.Join(err, s.guard(s.db.Close))
}
