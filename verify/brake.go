package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"
)

// brakes keep from a server what it does not want: after 421, a greeting of 5xx, or
// a policy's 554 or 5.7.x to what comes before the recipient, it is left alone for
// a while, by all checks. At RCPT the same codes are also the right answer to a
// relay's test, or to one domain that was forgotten: only a row of them counts.
type brakes struct {
	mu sync.Mutex
	by map[brakeKey]*brake
}

type brakeKey struct {
	vantage string
	addr    netip.Addr
}

type brake struct {
	until time.Time
	why   string
	trips int // since the last recipient that was accepted
	row   int // refusals by policy at RCPT without one that was accepted
}

const (
	maxPause   = 15 * time.Minute
	maxRefused = 40 // in a row
)

// pausedError means that a server was not asked, since it wants to be left alone.
type pausedError struct {
	until time.Time
	why   string
}

func (e *pausedError) Error() string {
	return fmt.Sprintf("not asked before %s: it said %s", e.until.UTC().Format(time.RFC3339), e.why)
}

// pressed tells, as an error, that a server must not be asked now.
func (b *brakes) pressed(vantage string, addr netip.Addr, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.by[brakeKey{vantage, addr}]; k != nil && now.Before(k.until) {
		return &pausedError{k.until, k.why}
	}
	return nil
}

// heed hears a server's reply.
func (b *brakes) heed(vantage string, addr netip.Addr, now time.Time, pause time.Duration, verb string, err error) {
	code, words := reply(err)
	b.mu.Lock()
	defer b.mu.Unlock()
	key := brakeKey{vantage, addr}
	k := b.by[key]
	if err == nil && (verb != "RCPT" || k == nil) || err != nil && code == 0 {
		return
	}
	if k == nil {
		k = &brake{}
		if b.by == nil {
			b.by = map[brakeKey]*brake{}
		}
		b.by[key] = k
	}
	switch policy := code == 554 || byPolicy(err); {
	case err == nil:
		k.trips, k.row = 0, 0
		return
	case code == 421, verb == "greeting" && code >= 500, policy && (verb == "EHLO" || verb == "HELO" || verb == "MAIL"):
	case policy && verb == "RCPT":
		if k.row++; k.row < maxRefused {
			return
		}
		words = fmt.Sprintf("no to %d recipients in a row, the last time %s", k.row, words)
		k.row = 0
	default:
		return
	}
	k.until, k.why = now.Add(min(pause<<min(k.trips, 10), maxPause)), words
	k.trips++
}

// byPolicy tells whether a reply refuses who asks, and not what was asked (RFC 3463
// section 3.8).
func byPolicy(err error) bool {
	var e *smtp.SMTPError
	return errors.As(err, &e) && e.EnhancedCode[0] == 5 && e.EnhancedCode[1] == 7
}

// ownTrouble means that a vantage could not ask: nothing is known of the server.
type ownTrouble struct{ err error }

func (e *ownTrouble) Error() string { return e.err.Error() }
func (e *ownTrouble) Unwrap() error { return e.err }

// farSide tells whether an error is what a server, or its firewall, did.
func farSide(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENETUNREACH) || isTimeout(err)
}

// unreachable tells whether it is our own network, or our own politeness, and not
// the server, that kept us from asking.
func unreachable(err error) bool {
	var paused *pausedError
	var trouble *ownTrouble
	return errors.As(err, &paused) || errors.As(err, &trouble) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed)
}
