package verify

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"mxcutover/plan"
)

// oldChecks ask the old server.
func oldChecks() []Check {
	return []Check{
		{ID: "old.source", Title: "the old server sees true source addresses", RFC: "RFC 5321 section 4.4", When: []When{Before, After}, Run: oldSource, Advice: true, Lacks: lacksSource},
		{ID: "old.stragglers", Title: "nobody hands mail to the old server directly any more", RFC: "RFC 5321 section 5.1", When: []When{After}, Run: oldStragglers, Advice: true, Lacks: lacksOldLog},
		{ID: "old.closed", Title: "the old server refuses connections from outside"}, // of no domain: see OldClosed
	}
}

// lacksOldLog tells what is missing to see who comes the old way.
func lacksOldLog(c *Checker) string {
	if len(c.Mail.Old) == 0 {
		return "traffic.logs"
	}
	return ""
}

func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// OldClosed connects to a port of the old server, from each vantage to each of
// its addresses to which it has a way, and wants to be refused.
func (c *Checker) OldClosed(ctx context.Context, port uint16) []plan.Finding {
	var found []plan.Finding
	for _, a := range c.OldAddresses {
		for _, v := range c.waysTo(a) {
			f := c.closed(ctx, v, a, port)
			f.Vantage = v.Name
			found = append(found, f)
		}
	}
	return c.stamp(found, "old.closed", "", "")
}

func (c *Checker) closed(ctx context.Context, v Vantage, a netip.Addr, port uint16) plan.Finding {
	target := netip.AddrPortFrom(a, port).String()
	conn, err := c.dial(ctx, v, a, port)
	connected := err == nil
	if connected {
		// Some firewalls reset only after the handshake: what counts is whether
		// anybody speaks.
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(c.Connect)) // a connection without deadline ends with ctx
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		_, err = conn.Read(make([]byte, 1))
	}
	switch {
	case err == nil:
		return fail(target, "the old server still answers")
	case ctx.Err() != nil, unreachable(err):
		return unknown(target, "%v", err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return pass(target, "refused at once")
	case connected:
		return unknown(target, "it takes connections and says nothing: %v", err)
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return c.silent(ctx, v, a, target)
	}
	return unknown(target, "%v", err)
}

// silent judges a port that says nothing: it is dropped there, or this vantage's own
// network lets nothing out to mail servers, as many do. The gateway's port of the same
// family tells.
func (c *Checker) silent(ctx context.Context, v Vantage, a netip.Addr, target string) plan.Finding {
	var errs []error
	for _, m := range c.Planned {
		addrs, err := c.Addresses(ctx, m.Host)
		errs = append(errs, err)
		for _, g := range addrs {
			if g.Is4() != a.Is4() {
				continue
			}
			conn, err := c.dial(ctx, v, g, c.SMTPPort)
			if err == nil {
				conn.Close()
				return pass(target, "no answer in %s, while the gateway's port %d answers: it is dropped, and senders wait in vain before they go to the gateway", c.Connect, c.SMTPPort)
			}
			errs = append(errs, err)
		}
	}
	return unknown(target, "no answer in %s, nor is a port %d of the gateway known to answer here in that family: does this vantage's own network let nothing out to it? %v", c.Connect, c.SMTPPort, errors.Join(errs...))
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// OldOpen wants the old server's SMTP greeting at each of its addresses: no MX
// is pointed back to it before.
func (c *Checker) OldOpen(ctx context.Context) []plan.Finding {
	found := make([]plan.Finding, len(c.OldAddresses))
	inParallel(len(found), func(i int) {
		a := c.OldAddresses[i]
		t, err := c.begin(ctx, c.toward(a), a, "")
		if err != nil {
			found[i] = refusal(a.String(), err)
		} else {
			t.Close()
			found[i] = pass(a.String(), "it answers with SMTP")
		}
		found[i].Vantage = c.toward(a).Name
	})
	return c.stamp(found, "old.open", "RFC 5321 section 3.1", "")
}
