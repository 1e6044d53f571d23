package verify

import (
	"context"
	"sync"
	"time"

	"mxcutover/plan"
)

// memo keeps the answers that many domains share: what a zone, a gateway's
// address or a policy host is asked, ten thousand domains ask once.
type memo[T any] struct {
	mu   sync.Mutex
	kept map[string]*answer[T]
}

// An answer is asked for by one goroutine, and waited for by the others.
type answer[T any] struct {
	ready chan struct{}
	found T
	err   error
	until time.Time // set before ready is closed
}

// maxKept bounds the answers kept; those that are over go first.
const maxKept = 1 << 16

// shared gives the findings of a key, asked for at most once in Settings.Shared;
// what did not pass is asked again after a tenth of that.
func (c *Checker) shared(ctx context.Context, key string, ask func(context.Context) ([]plan.Finding, error)) ([]plan.Finding, error) {
	found, err := recall(ctx, c, &c.memo, key, func(f []plan.Finding) time.Duration {
		if plan.Judge(f) == plan.Pass {
			return c.Shared
		}
		return c.Shared / 10
	}, ask)
	return clone(found), err
}

// seldom is how many times longer an answer counts that costs the other side much.
const seldom = 12

// rarely is shared for what sends messages or looks like an attack: what passed, or
// is merely unlovely, counts for an hour, and nothing is asked again sooner than
// after Settings.Shared. Some of it never passes, and is right all the same: a
// gateway asked from within its trust, say.
func (c *Checker) rarely(ctx context.Context, key string, ask func(context.Context) ([]plan.Finding, error)) ([]plan.Finding, error) {
	found, err := recall(ctx, c, &c.memo, key, func(f []plan.Finding) time.Duration {
		if v := plan.Judge(f); v == plan.Pass || v == plan.Warn {
			return seldom * c.Shared
		}
		return c.Shared
	}, ask)
	return clone(found), err
}

// recall gives what a memo keeps by a key, and asks for it otherwise. An answer counts
// for as long as counts says, and an error for a tenth of Settings.Shared.
func recall[T any](ctx context.Context, c *Checker, m *memo[T], key string, counts func(T) time.Duration, ask func(context.Context) (T, error)) (T, error) {
	for {
		a, ours := m.take(key, c.Now())
		if ours {
			a.found, a.err = ask(ctx)
			a.until = c.Now()
			switch {
			case ctx.Err() != nil: // says nothing; who waits asks anew
			case a.err == nil:
				a.until = a.until.Add(counts(a.found))
			default:
				a.until = a.until.Add(c.Shared / 10)
			}
			close(a.ready)
			return a.found, a.err
		}
		select {
		case <-a.ready:
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
		if c.Now().Before(a.until) {
			return a.found, a.err
		}
	}
}

// take gives the answer of a key, and whether the caller must ask for it.
func (m *memo[T]) take(key string, now time.Time) (a *answer[T], ours bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a = m.kept[key]; a != nil && !a.over(now) {
		return a, false
	}
	if m.kept == nil {
		m.kept = map[string]*answer[T]{}
	}
	if len(m.kept) >= maxKept {
		for k, v := range m.kept {
			if v.over(now) {
				delete(m.kept, k)
			}
		}
		if len(m.kept) >= maxKept {
			clear(m.kept) // asked again, that is all
		}
	}
	a = &answer[T]{ready: make(chan struct{})}
	m.kept[key] = a
	return a, true
}

// over tells whether an answer is there and counts no longer.
func (a *answer[T]) over(now time.Time) bool {
	select {
	case <-a.ready:
		return !now.Before(a.until)
	default:
		return false
	}
}

// clone is a copy that may be stamped for one domain.
func clone(found []plan.Finding) []plan.Finding {
	return append([]plan.Finding(nil), found...)
}
