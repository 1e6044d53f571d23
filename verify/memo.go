package verify

import (
	"context"
	"sync"
	"time"

	"mxcutover/plan"
)

// memo keeps the answers that many domains share: what a zone, a gateway's
// address or a policy host is asked, ten thousand domains ask once.
type memo struct {
	mu   sync.Mutex
	kept map[string]*answer
}

// An answer is asked for by one goroutine, and waited for by the others.
type answer struct {
	ready chan struct{}
	found []plan.Finding
	err   error
	until time.Time // set before ready is closed
}

// maxKept bounds the answers kept; those that are over go first.
const maxKept = 1 << 16

// shared gives the findings of a key, asked for at most once in Settings.Shared;
// what did not pass is asked again after a tenth of that.
func (c *Checker) shared(ctx context.Context, key string, ask func(context.Context) ([]plan.Finding, error)) ([]plan.Finding, error) {
	for {
		a, ours := c.memo.take(key, c.Now())
		if ours {
			a.found, a.err = ask(ctx)
			a.until = c.Now()
			switch {
			case ctx.Err() != nil: // says nothing; who waits asks anew
			case a.err == nil && plan.Judge(a.found) == plan.Pass:
				a.until = a.until.Add(c.Shared)
			default:
				a.until = a.until.Add(c.Shared / 10)
			}
			close(a.ready)
			return clone(a.found), a.err
		}
		select {
		case <-a.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if c.Now().Before(a.until) {
			return clone(a.found), a.err
		}
	}
}

// take gives the answer of a key, and whether the caller must ask for it.
func (m *memo) take(key string, now time.Time) (a *answer, ours bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a = m.kept[key]; a != nil && !a.over(now) {
		return a, false
	}
	if m.kept == nil {
		m.kept = map[string]*answer{}
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
	a = &answer{ready: make(chan struct{})}
	m.kept[key] = a
	return a, true
}

// over tells whether an answer is there and counts no longer.
func (a *answer) over(now time.Time) bool {
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
