package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"mxcutover/rrset"
)

// Bounds of one SMTP conversation: RFC 5321 section 4.5.3.2 lets a greeting take
// minutes; a gateway that delays it on purpose does so for less than a minute.
const (
	replyTime = time.Minute
	maxReply  = 1 << 20 // bytes that a server may say in one conversation
)

// slots limits the conversations with one address.
type slots struct {
	limit int
	mu    sync.Mutex
	held  map[netip.Addr]chan struct{}
}

func (s *slots) take(ctx context.Context, a netip.Addr) (free func(), err error) {
	s.mu.Lock()
	if s.held == nil {
		s.held = map[netip.Addr]chan struct{}{}
	}
	c := s.held[a]
	if c == nil {
		c = make(chan struct{}, s.limit)
		s.held[a] = c
	}
	s.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connectError means that no SMTP conversation came about.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// greet connects from a vantage, and says EHLO; TLS is used if it is offered,
// whatever its certificate (RFC 7435). A server that asked for peace is left in it.
func (c *Checker) greet(ctx context.Context, from Vantage, addr netip.Addr) (*talk, error) {
	return c.meet(ctx, from, addr, "")
}

// meet is greet of a host that is known by a name, which TLS is told.
func (c *Checker) meet(ctx context.Context, from Vantage, addr netip.Addr, host string) (*talk, error) {
	if err := c.brakes.pressed(from.Name, addr, c.Now()); err != nil {
		return nil, err
	}
	return c.begin(ctx, from, addr, host)
}

// begin is meet, whatever the server asked for.
func (c *Checker) begin(ctx context.Context, from Vantage, addr netip.Addr, host string) (*talk, error) {
	free, err := c.slots.take(ctx, addr)
	if err != nil {
		return nil, err
	}
	t, err := c.hello(ctx, from, addr, host, true)
	if t != nil && t.noTLS != nil && ctx.Err() == nil { // as senders do: without
		why := t.noTLS
		t.Close()
		if t, err = c.hello(ctx, from, addr, host, false); err == nil {
			t.noTLS = why
		}
	}
	if err != nil {
		free()
		return nil, err
	}
	end := t.end
	t.end = func() { end(); free() }
	return t, nil
}

// hello connects once. A conversation whose TLS came to nothing is given too, to
// be closed.
func (c *Checker) hello(ctx context.Context, from Vantage, addr netip.Addr, host string, secure bool) (*talk, error) {
	conn, err := c.dial(ctx, from, addr, c.SMTPPort)
	if err != nil {
		return nil, &connectError{err}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	heed := func(verb string, err error) { c.brakes.heed(from.Name, addr, c.Now(), c.Pause, verb, err) }
	t, err := newTalk(&boundedConn{Conn: conn, left: maxReply}, replyTime)
	heed("greeting", err)
	t.heed = heed
	t.end = func() { stop() }
	if err == nil {
		err = t.hello(c.Hello)
	}
	if offered, _ := t.Extension("STARTTLS"); err == nil && offered && secure {
		if t.noTLS = t.startTLS(ctx, c.tlsFor(host)); t.noTLS != nil {
			return t, nil //nolint:nilerr // the conversation says why
		}
		err = t.hello(c.Hello)
	}
	if err != nil {
		stop()
		conn.Close()
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return t, nil
}

// tlsFor is how TLS is spoken: anything that a server may still speak, by a full
// handshake, since the certificate is to be seen.
func (c *Checker) tlsFor(host string) *tls.Config {
	return &tls.Config{ServerName: rrset.Bare(host), InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // opportunistic (RFC 7435)
}

// dial connects from a vantage.
func (c *Checker) dial(ctx context.Context, from Vantage, addr netip.Addr, port uint16) (net.Conn, error) {
	if from.Dial != nil {
		ctx, cancel := context.WithTimeout(ctx, c.Connect)
		defer cancel()
		conn, err := from.Dial(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil && !farSide(err) {
			err = &ownTrouble{err}
		}
		return conn, err
	}
	d := net.Dialer{Timeout: c.Connect}
	if from.Source.IsValid() && from.Source.Unmap().Is4() != addr.Unmap().Is4() {
		return nil, &ownTrouble{fmt.Errorf("there is no way from %s to %s, an address of the other family; name a vantage that has one", from.Source, addr)}
	}
	if from.Source.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.Source.AsSlice()}
	}
	return d.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
}

// boundedConn ends a conversation in which a server says too much.
type boundedConn struct {
	net.Conn
	left int
}

// Read reads what is still allowed.
func (b *boundedConn) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the server says too much")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// reply is the code of an SMTP error, and its text; 0 if it is none.
func reply(err error) (int, string) {
	var e *smtp.SMTPError
	if !errors.As(err, &e) {
		return 0, ""
	}
	text := e.Message
	if ec := e.EnhancedCode; ec != smtp.NoEnhancedCode && ec != smtp.EnhancedCodeNotSet {
		text = fmt.Sprintf("%d.%d.%d %s", ec[0], ec[1], ec[2], text)
	}
	return e.Code, fmt.Sprintf("%d %s", e.Code, strings.ReplaceAll(text, "\n", " "))
}

// ask asks RCPT for one recipient and takes it back: nothing is delivered.
func (c *Checker) ask(ctx context.Context, from Vantage, addr netip.Addr, rcpt string) error {
	return c.askFrom(ctx, from, addr, c.From, rcpt)
}

// askFrom is ask with another sender; "" is that of bounces.
func (c *Checker) askFrom(ctx context.Context, from Vantage, addr netip.Addr, sender, rcpt string) error {
	t, err := c.greet(ctx, from, addr)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.Mail(sender, nil); err != nil {
		return fmt.Errorf("MAIL FROM: %w", err)
	}
	if err := t.Rcpt(rcpt, nil); err != nil {
		return fmt.Errorf("RCPT TO: %w", err)
	}
	return t.Reset()
}

// askPatiently is ask, repeated with the same sender and recipient while the
// answer is "later": greylisting wants just that, and so it is asked once more at
// the least, also where a probe may take no longer than the wait between.
func (c *Checker) askPatiently(ctx context.Context, from Vantage, addr netip.Addr, rcpt string) error {
	return c.patiently(ctx, func() error { return c.ask(ctx, from, addr, rcpt) })
}

func (c *Checker) patiently(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(c.Arrival)
	for again := false; ; again = true {
		err := f()
		code, _ := reply(err)
		if code < 400 || code >= 500 || code == 421 || again && time.Now().Add(c.GreylistRetry).After(deadline) {
			return err
		}
		t := time.NewTimer(c.GreylistRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

// sendFrom sends one message from a sender to one recipient.
func (c *Checker) sendFrom(ctx context.Context, from Vantage, addr netip.Addr, sender, rcpt, message string) error {
	t, err := c.greet(ctx, from, addr)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.Mail(sender, nil); err != nil {
		return fmt.Errorf("MAIL FROM: %w", err)
	}
	if err := t.Rcpt(rcpt, nil); err != nil {
		return fmt.Errorf("RCPT TO: %w", err)
	}
	w, err := t.Data()
	if err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if _, err := io.WriteString(w, message); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end of DATA: %w", err)
	}
	return nil
}
