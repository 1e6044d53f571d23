package state

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Events walks the events after a sequence number, up to the last that is
// durable when the walk begins.
func (j *Journal) Events(ctx context.Context, since uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		j.mu.RLock()
		last := j.last
		j.mu.RUnlock()
		for e, err := range j.walk(ctx, since, false) {
			if err == nil && e.Seq > last || !yield(e, err) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Event{}, err)
		}
	}
}

// Follow walks the events after a sequence number and goes on with those to
// come, none left out and none twice, until ctx ends or the journal is closed.
// A slow follower delays nobody. If the journal dies, the last pair has its
// error.
func (j *Journal) Follow(ctx context.Context, since uint64) iter.Seq2[Event, error] {
	return j.walk(ctx, since, true)
}

func (j *Journal) walk(ctx context.Context, since uint64, live bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for ctx.Err() == nil {
			events, grown, err := j.after(ctx, since)
			if err != nil {
				if ctx.Err() == nil {
					yield(Event{}, err)
				}
				return
			}
			for _, e := range events {
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
				since = e.Seq
			}
			switch {
			case len(events) > 0:
			case !live || grown == nil:
				return
			default:
				select {
				case <-ctx.Done():
				case <-grown:
				}
			}
		}
	}
}

// after gives the events of one batch after a sequence number. If there are
// none yet, the channel closes when there may be; it is nil if none will come.
func (j *Journal) after(ctx context.Context, since uint64) ([]Event, <-chan struct{}, error) {
	j.mu.RLock()
	if since >= j.last {
		defer j.mu.RUnlock()
		if j.over {
			return nil, nil, j.fatal
		}
		return nil, j.grown, nil
	}
	i, found := slices.BinarySearchFunc(j.batches, since+1, func(b batchRef, seq uint64) int {
		switch {
		case b.first < seq:
			return -1
		case b.first > seq:
			return 1
		}
		return 0
	})
	if !found {
		i-- // the batch that begins before it has it
	}
	ref := j.batches[i]
	j.mu.RUnlock()
	events := ref.events
	if events == nil {
		value, err := get(ctx, j.store, eventKey(ref.first))
		if err != nil {
			return nil, nil, err
		}
		s, err := j.codec.decode(value)
		if err != nil {
			return nil, nil, fmt.Errorf("event %d: %w", ref.first, err)
		}
		events = s.Events
	}
	for len(events) > 0 && events[0].Seq <= since {
		events = events[1:]
	}
	if len(events) == 0 {
		return nil, nil, fmt.Errorf("event %d: %w: it is no longer there", since+1, ErrBroken)
	}
	return events, nil, nil
}
