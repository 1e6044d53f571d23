package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// A Spammer knows the old server's address from long ago, asks no DNS, and
// never stops.
type Spammer struct {
	route  route
	names  []string // domains to try
	rate   float64  // connections a second
	random *rand.Rand

	mu    sync.Mutex
	stats SpamStats
}

// SpamStats count a spammer's connections by how they ended.
type SpamStats struct {
	Accepted uint64 // let in: the server spoke
	Taken    uint64 // of those, messages that the server took; it refused the other recipients
	Refused  uint64 // turned away before the server spoke
	Reset    uint64 // of those, by a TCP reset of an open connection, as the firewall does
	Failed   uint64 // anything else, such as silence
}

// spamTimeout bounds one connection of the spammer.
const spamTimeout = 5 * time.Second

// Stats gives what became of its connections.
func (s *Spammer) Stats() SpamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// run sends until ctx ends.
func (s *Spammer) run(ctx context.Context) {
	if s.rate <= 0 || len(s.names) == 0 {
		return
	}
	pace := rate.NewLimiter(rate.Limit(s.rate), 1)
	for pace.Wait(ctx) == nil {
		result := s.try(ctx)
		if ctx.Err() != nil {
			return
		}
		s.note(result)
	}
}

// try makes one connection, to a mailbox that may or may not exist: taken or rejected
// if it is let in, reset or refused if it is turned away, else failed.
func (s *Spammer) try(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, spamTimeout)
	defer cancel()
	local := locals[s.random.IntN(len(locals)-1)] // not the probe's
	if s.random.IntN(3) > 0 {
		local = fmt.Sprintf("u%06d", s.random.IntN(1e6))
	}
	to := local + "@" + strings.Replace(s.names[s.random.IntN(len(s.names))], "*", "www", 1)
	from := fmt.Sprintf("offer%d@bulk.example", s.random.IntN(1000))
	body := "From: <" + from + ">\r\nTo: <" + to + ">\r\nSubject: an offer\r\n\r\n" + gtube + "\r\n"
	refused, err := transmit(ctx, s.route, from, []string{to}, []byte(body))
	switch {
	case err == nil && len(refused) == 0:
		return "taken"
	case err == nil:
		return "rejected"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	}
	return "failed"
}

func (s *Spammer) note(result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch result {
	case "taken":
		s.stats.Accepted++
		s.stats.Taken++
	case "rejected":
		s.stats.Accepted++
	case "reset":
		s.stats.Refused++
		s.stats.Reset++
	case "refused":
		s.stats.Refused++
	default:
		s.stats.Failed++
	}
}
