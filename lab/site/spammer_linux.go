package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A SpamRun is somebody who ignores MX: many conversations at once, straight to the
// addresses that he once knew, with guessed recipients, in both families.
type SpamRun struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	tried   atomic.Int64 // conversations
	in      atomic.Int64 // of which the server greeted
	refused atomic.Int64 // connections
	spam    atomic.Int64 // messages that were taken
	guesses atomic.Int64 // recipients that were refused
}

// SpamCount is what a [SpamRun] has done.
type SpamCount struct{ Tried, LetIn, Refused, Taken, Unknown int64 }

// Spam begins such a run with so many conversations at once; after each, the next comes
// when the pause is over.
func (w *World) Spam(ctx context.Context, atOnce int, pause time.Duration) *SpamRun {
	r := &SpamRun{}
	ctx, r.stop = context.WithCancel(ctx)
	domains := w.Hosted()
	for i := range atOnce {
		to := netip.AddrPortFrom([]netip.Addr{OldAddr.V4(), OldAddr.V6()}[i%2], 25)
		r.running.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				_ = w.Spammer.In(func() error { return r.converse(ctx, to, domains[n*7%len(domains)], n) }) // counted
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	return r
}

// converse is one conversation: guesses, and one recipient who is there.
func (r *SpamRun) converse(ctx context.Context, to netip.AddrPort, domain string, n int) error {
	r.tried.Add(1)
	conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", to.String())
	if errors.Is(err, syscall.ECONNREFUSED) {
		r.refused.Add(1)
	}
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, to.Addr().String())
	if err != nil {
		return err
	}
	r.in.Add(1)
	if err := errors.Join(c.Hello("spam.invalid"), c.Mail(fmt.Sprintf("win%d@spam.invalid", n))); err != nil {
		return err
	}
	for i := range 8 {
		if c.Rcpt(fmt.Sprintf("guess%d-%d@%s", n, i, domain)) != nil {
			r.guesses.Add(1)
		}
	}
	if n%8 > 0 {
		return c.Quit()
	}
	if err := c.Rcpt("info@" + domain); err != nil {
		return err
	}
	text, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(text, "From: <win%d@spam.invalid>\r\nSubject: you have won\r\n\r\n%s\r\n", n, "Call now."); err != nil {
		return err
	}
	if err := text.Close(); err != nil {
		return err
	}
	r.spam.Add(1)
	return c.Quit()
}

// Count is what was done so far.
func (r *SpamRun) Count() SpamCount {
	return SpamCount{r.tried.Load(), r.in.Load(), r.refused.Load(), r.spam.Load(), r.guesses.Load()}
}

// End ends the run.
func (r *SpamRun) End() SpamCount {
	r.stop()
	r.running.Wait()
	return r.Count()
}
