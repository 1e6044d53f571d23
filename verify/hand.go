package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"mxcutover/plan"
)

// A Handed is what a person loads into a firewall that is theirs. How it is, is seen
// from outside alone.
type Handed struct {
	Ports  []uint16
	SSH    []netip.AddrPort // where SSH opens; none = at port 22 of each of the old server's addresses
	Unseen bool             // SSH opens from no vantage: a person has said so
	To     []netip.Addr     // of redirect: the gateway's addresses that get the connections; none = they are refused
	Live   []plan.Cutover   // that the gateway has mail for
	Before []plan.Finding   // what [Checker.BeforeHand] found before anything was loaded
}

// checkSSH asks whether administrators still get in.
const (
	checkSSH = "old.ssh"
	rfcSSH   = "RFC 4253 section 4.2"
)

// Bounds of looking at a port that a person closes.
const (
	greetingTime = 10 * time.Second // until SSH says who it is (RFC 4253 section 4.2)
	maxGreeting  = 4 << 10          // bytes before that
	sshPort      = 22
)

// BeforeHand looks at the old server from outside before a person is asked to load
// anything: what does not answer afterwards has to have answered before. What was seen
// before already, of these findings, is kept.
func (c *Checker) BeforeHand(ctx context.Context, q Handed) []plan.Finding {
	var asks []func() plan.Finding
	for _, v := range c.withHere() {
		for _, at := range c.waysIn(q) {
			asks = append(asks, func() plan.Finding { return noted(v, sshTarget(at), c.ssh(ctx, v, at), "it answers") })
		}
	}
	for _, v := range c.outside() {
		for _, a := range c.OldAddresses {
			for _, port := range q.Ports {
				at := netip.AddrPortFrom(a, port)
				asks = append(asks, func() plan.Finding { return noted(v, portTarget(at), c.takes(ctx, v, at), "it answers") })
			}
			if len(q.To) > 0 {
				asks = append(asks, func() plan.Finding {
					who, err := c.oldItself(ctx, v, a, q)
					return noted(v, whoTarget(a), err, who.String())
				})
			}
		}
	}
	found := make([]plan.Finding, len(asks))
	inParallel(len(asks), func(i int) { found[i] = asks[i]() })
	found = slices.DeleteFunc(found, func(f plan.Finding) bool {
		return f.Severity != plan.Pass && q.before(f.Vantage, f.Target) != "" // it was seen, before anything was loaded
	})
	q.Before = append(slices.Clone(q.Before), found...)
	return c.stamp(append(found, c.unprovable(q)...), plan.BeforeClosing, "", "")
}

// unprovable is what could not be proven afterwards.
func (c *Checker) unprovable(q Handed) (found []plan.Finding) {
	sees := func(from []Vantage, target string) bool {
		return slices.ContainsFunc(from, func(v Vantage) bool { return q.before(v.Name, target) != "" })
	}
	if f := c.lacksSSH(q); !slices.ContainsFunc(c.waysIn(q), func(at netip.AddrPort) bool { return sees(c.withHere(), sshTarget(at)) }) && f.Severity == plan.Unknown {
		found = append(found, f)
	}
	for _, a := range c.OldAddresses {
		if len(q.To) > 0 && !sees(c.outside(), whoTarget(a)) {
			f := unknown(a.String(), noIdentity)
			f.Check = checkRedirectHost
			found = append(found, f)
		}
	}
	return found
}

// lacksSSH is the finding that SSH opens from nowhere.
func (c *Checker) lacksSSH(q Handed) plan.Finding {
	f := unknown("SSH", "SSH opened from no vantage, nor from here, before anything was closed, so nobody knows whether it opens afterwards: name in isolate.ways_in where it does, or say none there")
	if q.Unseen {
		f = warn("SSH", "not looked at: isolate.ways_in says that SSH opens from no vantage")
	}
	f.Check, f.RFC = checkSSH, rfcSSH
	return f
}

// oldItself is who the old server is, if it is not the gateway that answers there.
func (c *Checker) oldItself(ctx context.Context, v Vantage, a netip.Addr, q Handed) (identity, error) {
	gateways, err := c.gatewaysOf(ctx, v, a, q)
	if err != nil {
		return identity{}, err
	}
	who, err := c.identify(ctx, v, a)
	if err == nil && slices.ContainsFunc(gateways, who.is) {
		err = fmt.Errorf("it answers as the gateway does, %s: is it handed to that already?", who)
	}
	return who, err
}

// noted is a finding of how something was. That it did not answer is no fault.
func noted(v Vantage, target string, err error, evidence string) plan.Finding {
	f := pass(target, "it answers")
	if f.Evidence = evidence; err != nil {
		f = warn(target, "it did not answer before anything was closed: %v", err)
	}
	f.Vantage = v.Name
	return f
}

func sshTarget(at netip.AddrPort) string  { return "SSH at " + at.String() }
func portTarget(at netip.AddrPort) string { return "port at " + at.String() }
func whoTarget(a netip.Addr) string       { return "name at " + a.String() }

// before is the evidence of what was seen from a vantage; "" = nothing was.
func (q *Handed) before(vantage, target string) string {
	for _, f := range q.Before {
		if f.Check == plan.BeforeClosing && f.Vantage == vantage && f.Target == target && f.Severity == plan.Pass {
			return f.Evidence
		}
	}
	return ""
}

// withHere are all vantages, and this machine, at which an administrator may sit.
func (c *Checker) withHere() []Vantage {
	if slices.ContainsFunc(c.Vantages, func(v Vantage) bool { return v.Dial == nil && !v.Source.IsValid() }) {
		return c.Vantages
	}
	return append(slices.Clone(c.Vantages), Vantage{})
}

func (c *Checker) waysIn(q Handed) (at []netip.AddrPort) {
	if q.Unseen || len(q.SSH) > 0 {
		return q.SSH
	}
	for _, a := range c.OldAddresses {
		at = append(at, netip.AddrPortFrom(a, sshPort))
	}
	return at
}

// HandClosed tells whether what a person loaded is as it was asked for: from outside
// the ports are closed, or mail there is handed to the gateway as it must be; and an
// administrator still gets in.
func (c *Checker) HandClosed(ctx context.Context, q Handed) []plan.Finding {
	var found []plan.Finding
	if len(q.To) > 0 {
		found = c.redirected(ctx, q)
	} else {
		for _, port := range q.Ports {
			found = append(found, c.closedFrom(ctx, c.outside(), port)...)
		}
	}
	found = append(found, c.stillSSH(ctx, q)...)
	return c.stamp(found, "old.closed", "", "")
}

// closedFrom connects to a port of the old server from vantages. One that has no way
// to an address leaves nothing unknown that another one knows.
func (c *Checker) closedFrom(ctx context.Context, from []Vantage, port uint16) []plan.Finding {
	found := make([]plan.Finding, len(c.OldAddresses)*len(from))
	inParallel(len(found), func(i int) {
		v := from[i%len(from)]
		found[i] = c.closed(ctx, v, c.OldAddresses[i/len(from)], port)
		found[i].Vantage = v.Name
	})
	for i := range c.OldAddresses {
		together(found[i*len(from) : (i+1)*len(from)])
	}
	return found
}

// HandShut tells whether somebody outside is refused at one of the ports, or gets to
// another server there: a person has begun to load what was asked for, or all of it.
func (c *Checker) HandShut(ctx context.Context, q Handed) (shut bool) {
	for _, v := range c.outside() {
		for _, a := range c.OldAddresses {
			if was := q.before(v.Name, whoTarget(a)); len(q.To) > 0 && was != "" {
				who, err := c.identify(ctx, v, a)
				var conn *connectError
				shut = shut || err == nil && who.String() != was || errors.As(err, &conn) && !unreachable(err)
				continue
			}
			for _, port := range q.Ports {
				if at := netip.AddrPortFrom(a, port); q.before(v.Name, portTarget(at)) != "" {
					f := c.closed(ctx, v, a, port)
					shut = shut || f.Severity == plan.Pass
				}
			}
		}
	}
	return shut
}

// stillSSH wants each way in that opened before to open now.
func (c *Checker) stillSSH(ctx context.Context, q Handed) (found []plan.Finding) {
	type way struct {
		v  Vantage
		at netip.AddrPort
	}
	var ways []way
	for _, v := range c.withHere() {
		for _, at := range c.waysIn(q) {
			if q.before(v.Name, sshTarget(at)) != "" {
				ways = append(ways, way{v, at})
			}
		}
	}
	found = make([]plan.Finding, len(ways))
	inParallel(len(ways), func(i int) {
		w := ways[i]
		found[i] = pass(w.at.String(), "SSH opens")
		if err := c.ssh(ctx, w.v, w.at); err != nil {
			found[i] = fail(w.at.String(), "SSH opened here before, and does not any more: an administrator may be locked out: %v", err)
			if ctx.Err() != nil || unreachable(err) {
				found[i].Severity = plan.Unknown
			}
		}
		found[i].Vantage = w.v.Name
	})
	if len(ways) == 0 {
		return append(found, c.lacksSSH(q))
	}
	for i := range found {
		found[i].Check, found[i].RFC = checkSSH, rfcSSH
	}
	return found
}

var errSilentSSH = errors.New("it does not say that it is SSH")

// ssh wants an SSH server's greeting at a port.
func (c *Checker) ssh(ctx context.Context, v Vantage, at netip.AddrPort) error {
	conn, err := c.dial(ctx, v, at.Addr(), at.Port())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(min(greetingTime, c.Connect))); err != nil {
		return err
	}
	var said []byte
	for len(said) < maxGreeting {
		b := make([]byte, 256)
		n, err := conn.Read(b)
		said = append(said, b[:n]...)
		if bytes.HasPrefix(said, []byte("SSH-")) || bytes.Contains(said, []byte("\nSSH-")) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %w", errSilentSSH, err)
		}
		if err != nil {
			break
		}
	}
	return errSilentSSH
}

// takes wants a port to take connections.
func (c *Checker) takes(ctx context.Context, v Vantage, at netip.AddrPort) error {
	conn, err := c.dial(ctx, v, at.Addr(), at.Port())
	if err != nil {
		return err
	}
	return conn.Close()
}

// HandOpen wants the old server open again, from outside: its own SMTP, not the
// gateway's, at each address, and every other port that was open before.
func (c *Checker) HandOpen(ctx context.Context, q Handed) []plan.Finding {
	from := c.outside()
	mail := make([]plan.Finding, len(c.OldAddresses)*len(from))
	inParallel(len(mail), func(i int) {
		v, a := from[i%len(from)], c.OldAddresses[i/len(from)]
		mail[i] = c.openAt(ctx, v, a, q)
		mail[i].Vantage = v.Name
	})
	for i := range c.OldAddresses {
		together(mail[i*len(from) : (i+1)*len(from)])
	}
	found := mail
	for _, v := range from {
		for _, a := range c.OldAddresses {
			for _, port := range q.Ports {
				at := netip.AddrPortFrom(a, port)
				if port == c.SMTPPort || q.before(v.Name, portTarget(at)) == "" {
					continue
				}
				f := pass(at.String(), "it takes connections again")
				if err := c.takes(ctx, v, at); err != nil {
					f = fail(at.String(), "it took connections before, and does not: %v", err)
					if ctx.Err() != nil || unreachable(err) {
						f.Severity = plan.Unknown
					}
				}
				f.Vantage = v.Name
				found = append(found, f)
			}
		}
	}
	return c.stamp(found, "old.open", "RFC 5321 section 3.1", "")
}

// openAt wants the old server's own greeting at one address.
func (c *Checker) openAt(ctx context.Context, v Vantage, a netip.Addr, q Handed) plan.Finding {
	if len(q.To) == 0 {
		t, err := c.begin(ctx, v, a, "")
		if err != nil {
			return refusal(a.String(), err)
		}
		t.Close()
		return pass(a.String(), "it answers with SMTP")
	}
	now, err := c.identify(ctx, v, a)
	if err != nil {
		return refusal(a.String(), err)
	}
	if was := q.before(v.Name, whoTarget(a)); was != "" && was == now.String() {
		return pass(a.String(), "it answers with SMTP, as it did before: %s", now)
	}
	gateways, err := c.gatewaysOf(ctx, v, a, q)
	switch {
	case err != nil:
		return unknown(a.String(), "it answers as %s, and whether that is the gateway could not be asked: %v", now, err)
	case slices.ContainsFunc(gateways, now.is):
		return fail(a.String(), "mail there is still handed to the gateway, which answers as %s", now)
	}
	return pass(a.String(), "it answers with SMTP, as %s, which is none of the gateway's", now)
}
