package providers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mxcutover/rrset"
)

// A Result is how a change was made, and what the provider then held. Its TTL
// may differ from the one that was asked for: servers clamp TTLs.
type Result struct {
	Mode Mode
	Got  rrset.Set
}

// Replace changes one RRset from Before to After, once:
//
//  1. It reads. After already there is done; anything but Before, TTL included,
//     is [ErrDrifted].
//  2. It writes by compare-and-swap.
//  3. It reads back. Success that was not done is [ErrLied], and the provider is
//     not written to again in this run.
//
// A write without an answer is looked at; if After is not there it is
// [ErrInDoubt], since it may still be applied (see [Fence]).
func Replace(ctx context.Context, p Provider, c rrset.Change) (Result, error) {
	r := Result{Mode: ModeSwap}
	if g, ok := p.(*guarded); ok {
		r.Mode = g.mode
		if err := g.quarantined(); err != nil {
			return r, fmt.Errorf("not written to again in this run: %w", err)
		}
	}
	if err := c.Check(); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	s, ok := unwrap(p).(Swapper)
	if !ok {
		return r, fmt.Errorf("%w: it cannot write", ErrRefused)
	}
	now, err := Read(ctx, p, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return r, err
	case now.Equal(c.After):
		r.Got = now
		return r, nil
	case !now.Equal(c.Before):
		return r, &DriftError{Expected: c.Before, Found: now}
	}
	if err := s.Swap(ctx, c); err != nil {
		return r.unanswered(ctx, p, c, err)
	}
	return r.readBack(ctx, p, c)
}

// unanswered sorts out a write that did not succeed: most errors are the
// answer; a missing one is looked into.
func (r Result) unanswered(ctx context.Context, p Provider, c rrset.Change, err error) (Result, error) {
	doubt, ok := errors.AsType[*doubtError](err)
	if !ok {
		return r, err
	}
	now, rerr := Read(ctx, p, c.Zone, c.After.Name, c.After.Type)
	if rerr != nil {
		return r, &doubtError{fence: doubt.fence, err: errors.Join(doubt.err, rerr)}
	}
	if now.SameData(c.After) && !now.Equal(c.Before) {
		r.Got = now
		return r, nil
	}
	return r, doubt
}

// readBackTries bounds how often a read-back is repeated that got no answer.
const readBackTries = 3

func (r Result) readBack(ctx context.Context, p Provider, c rrset.Change) (Result, error) {
	var err error
	for i := range readBackTries {
		if i > 0 {
			if werr := wait(ctx, time.Duration(i)*200*time.Millisecond); werr != nil {
				break
			}
		}
		r.Got, err = Read(ctx, p, c.Zone, c.After.Name, c.After.Type)
		if err == nil {
			break
		}
	}
	switch {
	case err != nil:
		// It was reported as done, so it is not repeated, but looked at later.
		return r, &doubtError{fence: time.Second, err: fmt.Errorf("read back: %w", err)}
	case r.Got.Equal(c.After), r.Got.SameData(c.After) && !c.After.SameData(c.Before):
		return r, nil
	case r.Got.SameData(c.After) && r.Got.TTL != c.Before.TTL:
		return r, nil // a clamped TTL
	case !r.Got.Equal(c.Before):
		return r, &DriftError{Expected: c.After, Found: r.Got}
	}
	lie := fmt.Errorf("%w: %s %s is still %q", ErrLied, c.After.Name, c.After.Type, r.Got.String())
	if g, ok := p.(*guarded); ok {
		g.quarantine(lie)
	}
	return r, lie
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
