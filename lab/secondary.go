package lab

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A secondary takes over the versions of the primary's zones some time after
// they came to be, as servers do that are told late or ask seldom.
type secondary struct {
	zones map[string]*zone
	lag   time.Duration
	kick  chan struct{} // something is due at another time than before

	mu      sync.Mutex
	frozen  bool
	others  map[string]bool // zones that it has from somebody else
	waiting []version       // in the order in which they came to be
}

type version struct {
	due time.Time
	*contents
}

// maxWaiting bounds how many versions are kept, beside one for each zone; above
// it, a zone's newest takes the place of the one before.
const maxWaiting = 64

// follow is told by the primary of a new version.
func (s *secondary) follow(c *contents) {
	s.mu.Lock()
	if len(s.waiting) >= maxWaiting {
		for i := len(s.waiting) - 1; i >= 0; i-- {
			if s.waiting[i].origin == c.origin {
				s.waiting = slices.Delete(s.waiting, i, i+1)
				break
			}
		}
	}
	s.waiting = append(s.waiting, version{time.Now().Add(s.lag), c})
	s.mu.Unlock()
	s.wake()
}

func (s *secondary) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run takes over what is due until ctx ends.
func (s *secondary) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		case <-timer.C:
		}
		if next, ok := s.takeOver(time.Now()); ok {
			timer.Reset(next)
		}
	}
}

// takeOver shows every version that is due and says when the next one is.
func (s *secondary) takeOver(now time.Time) (next time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.frozen && len(s.waiting) > 0 {
		if d := s.waiting[0].due.Sub(now); d > 0 {
			return d, true
		}
		if !s.others[s.waiting[0].origin] {
			s.zones[s.waiting[0].origin].now.Store(s.waiting[0].contents)
		}
		s.waiting = s.waiting[1:]
	}
	return 0, false
}

func (s *secondary) freeze(frozen bool) {
	s.mu.Lock()
	s.frozen = frozen
	s.mu.Unlock()
	s.wake()
}

// Freeze makes the secondary keep what it serves now, until Thaw.
func (w *World) Freeze() { w.secondary.freeze(true) }

// Thaw lets the secondary take over what has become due meanwhile.
func (w *World) Thaw() { w.secondary.freeze(false) }

// Split gives a zone a second owner: the secondary has it from somebody else from
// now on, and takes over no change of the primary's.
func (w *World) Split(zone string) {
	w.secondary.mu.Lock()
	defer w.secondary.mu.Unlock()
	if w.secondary.others == nil {
		w.secondary.others = map[string]bool{}
	}
	w.secondary.others[dns.CanonicalName(zone)] = true
}
