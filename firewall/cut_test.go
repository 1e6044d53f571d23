//go:build integration

package firewall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// cutBack is a way to the machine that breaks off after so many bytes of the next
// change's answer.
type cutBack struct {
	Far
	after int
	armed bool
}

func (c *cutBack) Run(ctx context.Context, command string, talk func(io.WriteCloser, io.Reader) error) error {
	cutting := false
	err := c.Far.Run(ctx, command, func(in io.WriteCloser, out io.Reader) error {
		return talk(&verbSpy{in, c, &cutting}, &cutReader{out, c, &cutting, in, 0})
	})
	if cutting {
		c.armed = false
		return errCut
	}
	return err
}

// verbSpy sees whether a change is asked for.
type verbSpy struct {
	io.WriteCloser
	c       *cutBack
	cutting *bool
}

func (s *verbSpy) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte(protocol+" load ")) && s.c.armed {
		*s.cutting = true
	}
	return s.WriteCloser.Write(p)
}

type cutReader struct {
	io.Reader
	c       *cutBack
	cutting *bool
	in      io.Closer
	got     int
}

func (r *cutReader) Read(p []byte) (int, error) {
	if !*r.cutting {
		return r.Reader.Read(p)
	}
	if r.got == r.c.after {
		r.in.Close() // the line is gone both ways
		return 0, errCut
	}
	n, err := r.Reader.Read(p[:1])
	r.got += n
	return n, err
}

// TestIntegrationAnswerCutAtEachByte loses the rest of what the machine answers, after
// each byte: either it was not done, and that is said; or it was, and that is found out.
func TestIntegrationAnswerCutAtEachByte(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.local(t)
	far := &cutBack{Far: d.far}
	d.far = far
	if err := d.Apply(t.Context(), rulesFor(), until(time.Hour)); err != nil {
		t.Fatal(err)
	}
	const whole = "ready\ndone\n"
	for far.after = range len(whole) + 1 {
		have, err := d.read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		far.armed = true
		err = d.load(t.Context(), renew(rulesFor(), time.Hour, have.epoch), have.epoch+1)
		now, rerr := d.read(t.Context())
		if rerr != nil || far.armed {
			t.Fatalf("%v; it was not cut: %v", rerr, far.armed)
		}
		switch done := now.epoch == have.epoch+1; {
		case far.after < len("ready\n") && (err == nil || done):
			t.Errorf("cut after %q: %v, and it is done: %v", whole[:far.after], err, done)
		case far.after >= len("ready\n") && (err != nil || !done):
			t.Errorf("cut after %q: %v, and it is done: %v", whole[:far.after], err, done)
		}
	}
}

// A wireCut cuts the next connections after so many bytes of one direction.
type wireCut struct {
	mu        sync.Mutex
	sent, got int
	limit     int // bytes; negative = none
	back      bool
	cuts      int
}

func (w *wireCut) wire(c net.Conn) net.Conn { return &wireConn{c, w} }

// next cuts the next connection.
func (w *wireCut) next(back bool, limit int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.got, w.back, w.limit = 0, 0, back, limit
}

type wireConn struct {
	net.Conn
	w *wireCut
}

func (c *wireConn) count(n *int, back bool, p []byte) []byte {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.limit >= 0 && c.w.back == back {
		p = p[:min(len(p), max(c.w.limit-*n, 0))]
	}
	return p
}

func (c *wireConn) passed(n *int, by int, back bool) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	*n += by
	if c.w.limit >= 0 && c.w.back == back && *n >= c.w.limit {
		c.w.limit = -1
		c.w.cuts++
		c.Close()
		return errCut
	}
	return nil
}

func (c *wireConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(c.count(&c.w.sent, false, p))
	if cut := c.passed(&c.w.sent, n, false); cut != nil {
		return n, cut
	}
	return n, err
}

func (c *wireConn) Read(p []byte) (int, error) {
	q := c.count(&c.w.got, true, p)
	if len(q) == 0 {
		return 0, c.passed(&c.w.got, 0, true)
	}
	n, err := c.Conn.Read(q)
	if cut := c.passed(&c.w.got, n, true); cut != nil {
		return n, cut
	}
	return n, err
}

// TestIntegrationSSHCut cuts the SSH connection after so many bytes of either direction:
// whatever was so is so still, or what was asked for is done; SSH lets in who comes
// anew, and port 25 is as it was.
func TestIntegrationSSHCut(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	w := &wireCut{limit: -1}
	set := h.sshd(t, "192.0.2.11:2222", "")
	d := h.by(t, set, w.wire)
	d.as = best
	seen := h.local(t) // looks without SSH
	ruleset(t, h.old, "table inet others { chain c { type filter hook input priority 0; tcp dport 9 counter; }; }")
	if err := d.Apply(t.Context(), rulesFor(), until(time.Hour)); err != nil {
		t.Fatal(err)
	}
	whole := map[bool]int{false: w.sent, true: w.got} // with the greeting of SSH
	const points = 40
	for _, back := range []bool{false, true} {
		for i := range points {
			have, err := seen.read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			d = h.by(t, set, w.wire)
			d.as = best
			at := 1 + whole[back]*i/points
			w.next(back, at)
			err = d.Apply(t.Context(), rulesFor(), until(time.Hour))
			w.mu.Lock()
			w.limit = -1
			w.mu.Unlock()
			now, rerr := seen.read(t.Context())
			if rerr != nil {
				t.Fatal(rerr)
			}
			done := now.epoch == have.epoch+1
			if !done && now.epoch != have.epoch || err == nil && !done || err != nil && done && !errors.Is(err, ErrInDoubt) {
				t.Errorf("cut after %d bytes, back %v: %v; epoch %d, was %d", at, back, err, now.epoch, have.epoch)
			}
			if !now.rules.Closes(rulesFor().Ports) || now.until.IsZero() || len(now.rules.Trust) != len(have.rules.Trust) {
				t.Fatalf("cut after %d bytes, back %v: %+v", at, back, now)
			}
		}
	}
	if w.cuts < 2*points-4 { // the last bytes may not be needed: it ends in more than one way
		t.Errorf("it was cut %d times only", w.cuts)
	}
	if _, err := d.NewLogin(t.Context()); err != nil {
		t.Errorf("a new login: %v", err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	h.open(t, h.gateway, "192.0.2.11:25")
	if text := list(t, h.old); !strings.Contains(text, "table inet others") {
		t.Errorf("another's table is gone:\n%s", text)
	}
}

// opensAgain waits until the kernel has opened port 25 by itself.
func (h *hosts) opensAgain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		if _, err := greet(t, h.outside, "192.0.2.1:25"); err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the kernel did not open the port again")
		}
	}
}

// TestIntegrationLapsedIsNotRenewed has an engine that was stopped beyond the time-out
// go on with what it was about to do: the kernel itself refuses it.
func TestIntegrationLapsedIsNotRenewed(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.local(t)
	h.open(t, h.outside, "192.0.2.1:25")
	if err := d.Apply(t.Context(), rulesFor(), until(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	have, err := d.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.opensAgain(t)
	for what, text := range map[string]string{
		"renewed": renew(rulesFor(), time.Hour, have.epoch), "confirmed": best.confirm(rulesFor(), have.epoch),
	} {
		if err := d.load(t.Context(), text, have.epoch+1); err == nil {
			t.Errorf("what has lapsed was %s", what)
		}
	}
	h.open(t, h.outside, "192.0.2.1:25")
	if now, err := d.read(t.Context()); err != nil || now.epoch != have.epoch || len(now.rules.Ports) > 0 {
		t.Errorf("%+v, %v", now, err)
	}
}

// TestIntegrationNetworkCut cuts the network between the engine and the old server
// while that is armed: the kernel opens it, nothing is waited for without end, and when
// the network is there again it is seen how it is.
func TestIntegrationNetworkCut(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.bySSH(t, nil)
	h.open(t, h.outside, "192.0.2.1:25")
	if err := d.Apply(t.Context(), rulesFor(), until(4*time.Second)); err != nil {
		t.Fatal(err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	ip(t, "-n", h.gateway.Name, "link", "set", "out", "down")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begun := time.Now()
	if err := d.Apply(ctx, rulesFor(), until(time.Hour)); err == nil {
		t.Error("it was renewed over a network that is gone")
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it was waited for %v", took)
	}
	if _, _, err := d.Loaded(ctx); err == nil {
		t.Error("it was read over a network that is gone")
	}
	h.opensAgain(t)
	ip(t, "-n", h.gateway.Name, "link", "set", "out", "up")
	back, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		r, _, err := d.Loaded(back)
		if err == nil {
			if len(r.Ports) > 0 {
				t.Errorf("closed: %v", r.Ports)
			}
			return
		}
		if back.Err() != nil {
			t.Fatal(err)
		}
	}
}
