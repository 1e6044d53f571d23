package verify

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Bounds of knocking at an IMAP server that lets nobody in.
const (
	firstKnock   = lookAgain        // after a connection that did not come about; then twice as long each time
	lastKnock    = 30 * time.Second // at most
	firstRefused = time.Minute      // the same after a login that was refused
	lastRefused  = 15 * time.Minute
)

// A door remembers, from one watch to the next, that an IMAP server lets nobody in.
// Who tries a wrong password again and again locks the account, or is shut out by
// address: this machine, and the administrator who sits at it.
type door struct {
	mu    sync.Mutex
	until time.Time
	wait  time.Duration // before; 0 = it was open
	err   error
}

// knock tells, as an error, that it is too soon to try again.
func (d *door) knock(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.until) {
		return fmt.Errorf("%w; not tried again before %s", d.err, clock(d.until))
	}
	return nil
}

// heed hears whether it opened.
func (d *door) heed(now time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.until, d.wait, d.err = time.Time{}, 0, nil
		return
	}
	first, last := firstKnock, lastKnock
	var refused *imap.Error // the server's own no
	if errors.As(err, &refused) {
		first, last = firstRefused, lastRefused
	}
	d.wait = min(max(2*d.wait, first), last)
	d.until, d.err = now.Add(d.wait), err
}
