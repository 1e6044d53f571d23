package rollout

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"syscall"

	"mxcutover/state"
)

// A disk keeps what was committed when an engine dies.
type disk struct {
	data map[string][]byte
	held *holding
}

// A holding is one taking of the lock.
type holding struct{ by *life }

// simStore is the disk, to one life. A commit is two points: the process may die
// before it is durable, and before it says so.
type simStore struct{ *life }

func (s simStore) Scan(_ context.Context, prefix string) iter.Seq2[state.KV, error] {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var kvs []state.KV
	for _, k := range slices.Sorted(maps.Keys(s.w.disk.data)) {
		if strings.HasPrefix(k, prefix) {
			kvs = append(kvs, state.KV{Key: k, Value: slices.Clone(s.w.disk.data[k])})
		}
	}
	return func(yield func(state.KV, error) bool) {
		for _, kv := range kvs {
			if !yield(kv, nil) {
				return
			}
		}
	}
}

func (s simStore) Commit(_ context.Context, t state.Txn) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.point("before a commit"); err != nil {
		return err
	}
	if s.w.cramped && carriesSnapshots(t) {
		return fmt.Errorf("%w: %w", state.ErrNoRoom, syscall.ENOSPC)
	}
	d := s.w.disk
	if d.held == nil || d.held.by != s.life {
		s.w.oracle.blame("P9", "an engine writes without the lock")
	}
	for _, kv := range t.If {
		if have, ok := d.data[kv.Key]; ok != (kv.Value != nil) || string(have) != string(kv.Value) {
			return state.ErrConflict
		}
	}
	for _, kv := range t.Put {
		if kv.Value == nil {
			delete(d.data, kv.Key)
			continue
		}
		d.data[kv.Key] = slices.Clone(kv.Value)
		if strings.HasPrefix(kv.Key, "event/") {
			s.w.oracle.commit(s.w, kv.Value)
		}
	}
	return s.point("after a commit")
}

// carriesSnapshots tells whether a commit is of the beginning of a write.
func carriesSnapshots(t state.Txn) bool {
	for _, kv := range t.Put {
		if !strings.HasPrefix(kv.Key, "event/") {
			continue
		}
		batch, err := batchOf(kv.Value)
		if err != nil || slices.ContainsFunc(batch, func(e looked) bool { return e.Kind == "intended" && e.Intent.Change != nil }) {
			return true
		}
	}
	return false
}

// Lock is that of a file: it ends with the process.
func (s simStore) Lock(ctx context.Context, _ string) (context.Context, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if h := s.w.disk.held; h != nil && h.by != s.life && !h.by.dead {
		return nil, state.ErrLocked
	}
	h := &holding{s.life}
	s.w.disk.held = h
	context.AfterFunc(ctx, func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if s.w.disk.held == h {
			s.w.disk.held = nil
		}
	})
	return ctx, nil
}

func (s simStore) Close() error { return nil }
