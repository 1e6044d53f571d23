package storetest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"mxcutover/state"
)

// A Memory is a Store in memory. It forgets nothing when it is closed: [Memory.Copy]
// is what the next process would find.
type Memory struct {
	mu      sync.Mutex
	data    map[string][]byte
	held    context.Context // of who took the lock last
	cancel  context.CancelCauseFunc
	holder  string
	lost    bool
	closed  bool
	commits int
}

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{data: map[string][]byte{}} }

// Copy is a new store with the same content and nobody's lock.
func (m *Memory) Copy() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{data: maps.Clone(m.data)}
}

// Commits tells how many transactions were committed.
func (m *Memory) Commits() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commits
}

// Lose takes the lock away from its holder, as another process could.
func (m *Memory) Lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = true
	if m.cancel != nil {
		m.cancel(state.ErrLost)
	}
}

// Scan is that of a Store.
func (m *Memory) Scan(ctx context.Context, prefix string) iter.Seq2[state.KV, error] {
	return func(yield func(state.KV, error) bool) {
		for _, k := range m.keys(prefix) {
			v, there, err := m.get(k)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(state.KV{}, err)
				return
			}
			if there && !yield(state.KV{Key: k, Value: v}, nil) {
				return
			}
		}
		if _, _, err := m.get(""); err != nil {
			yield(state.KV{}, err)
		}
	}
}

func (m *Memory) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for k := range m.data {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func (m *Memory) get(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, fmt.Errorf("memory: %w", state.ErrClosed)
	}
	v, ok := m.data[key]
	return append([]byte{}, v...), ok, nil
}

// Commit is that of a Store.
func (m *Memory) Commit(ctx context.Context, t state.Txn) error {
	if err := t.Check(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return fmt.Errorf("memory: %w", state.ErrClosed)
	case m.lost:
		return state.ErrLost
	case ctx.Err() != nil:
		return ctx.Err()
	}
	for _, kv := range t.If {
		if v, ok := m.data[kv.Key]; ok != (kv.Value != nil) || !bytes.Equal(v, kv.Value) {
			return fmt.Errorf("%q: %w", kv.Key, state.ErrConflict)
		}
	}
	for _, kv := range t.Put {
		if kv.Value == nil {
			delete(m.data, kv.Key)
		} else {
			m.data[kv.Key] = append([]byte{}, kv.Value...)
		}
	}
	m.commits++
	return nil
}

// Lock is that of a Store; it does not wait.
func (m *Memory) Lock(ctx context.Context, holder string) (context.Context, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, fmt.Errorf("memory: %w", state.ErrClosed)
	case m.held != nil && m.held.Err() == nil:
		return nil, fmt.Errorf("%w: %s", state.ErrLocked, m.holder)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	m.held, m.cancel = context.WithCancelCause(ctx)
	m.holder, m.lost = holder, false
	return m.held, nil
}

// Close is that of a Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.cancel != nil {
		m.cancel(state.ErrClosed)
	}
	return nil
}
