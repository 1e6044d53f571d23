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
	found, err := recall(ctx, c, &c.memo, key, func(f []plan.Finding) bool { return plan.Judge(f) == plan.Pass }, ask)
	return clone(found), err
}

// recall gives what a memo keeps by a key, and asks for it otherwise. What is good
// counts for Settings.Shared, and the rest for a tenth of that.
func recall[T any](ctx context.Context, c *Checker, m *memo[T], key string, good func(T) bool, ask func(context.Context) (T, error)) (T, error) {
	for {
		a, ours := m.take(key, c.Now())
		if ours {
			a.found, a.err = ask(ctx)
			a.until = c.Now()
			switch {
			case ctx.Err() != nil: // says nothing; who waits asks anew
			case a.err == nil && good(a.found):
				a.until = a.until.Add(c.Shared)
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
