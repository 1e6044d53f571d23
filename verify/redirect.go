package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// The three proofs that connections to the old server's address are handed to the
// gateway as they must be. Each must pass; what could not be asked is no proof.
const (
	checkRedirectHost   = "redirect.host"   // the gateway answers there, and not the old server
	checkRedirectSource = "redirect.source" // the gateway sees true source addresses
	checkRedirectRelay  = "redirect.relay"  // the gateway relays for nobody there
)

// redirected asks all three, from each vantage outside, at each address of the old
// server.
func (c *Checker) redirected(ctx context.Context, q Handed) []plan.Finding {
	from := c.outside()
	var found []plan.Finding
	for _, a := range c.OldAddresses {
		ways := c.openWays(ctx, from, a)
		if len(ways) == 0 {
			for _, check := range []string{checkRedirectHost, checkRedirectSource, checkRedirectRelay} {
				f := unknown(a.String(), "no vantage outside has a way to this address; name one that does in vantages")
				f.Check = check
				found = append(found, f)
			}
			continue
		}
		all := make([][]plan.Finding, len(ways))
		seen := make([][]gatewaySight, len(ways))
		inParallel(len(ways), func(i int) { all[i], seen[i] = c.redirectedFrom(ctx, ways[i], a, q) })
		for i, v := range ways {
			all[i] = append(all[i], judgeSights(a, v, i, seen)...)
			for j := range all[i] {
				all[i][j].Vantage = v.Name
			}
			found = append(found, all[i]...)
		}
	}
	return found
}

// openWays are the vantages from which a way leads to an address; what an SSH host knows
// is seen when it is asked.
func (c *Checker) openWays(ctx context.Context, from []Vantage, a netip.Addr) (ways []Vantage) {
	for _, v := range from {
		if !v.routes(a) {
			continue
		}
		if v.Dial != nil && len(from) > 1 {
			conn, err := c.dial(ctx, v, a, c.SMTPPort)
			if err == nil {
				conn.Close()
			} else if unreachable(err) {
				continue
			}
		}
		ways = append(ways, v)
	}
	return ways
}

// redirectedFrom is what one vantage finds. The gateway is asked to relay, and given
// messages, only where it is the one that answers.
func (c *Checker) redirectedFrom(ctx context.Context, v Vantage, a netip.Addr, q Handed) (found []plan.Finding, seen []gatewaySight) {
	host := c.redirectHost(ctx, v, a, q)
	host.Check, host.RFC = checkRedirectHost, "RFC 5321 section 4.1.1.1"
	relay := unknown(a.String(), "not asked, since the gateway is not known to answer there")
	if host.Severity == plan.Pass {
		relay = c.redirectRelay(ctx, v, a, q)
		for _, cut := range q.Live {
			seen = append(seen, c.sight(ctx, v, a, cut, q))
		}
	}
	relay.Check, relay.RFC = checkRedirectRelay, "RFC 5321 section 7.9"
	return []plan.Finding{host, relay}, seen
}

// An identity is by what a mail server is told from another one.
type identity struct {
	name string // in reply to EHLO, or of its greeting; lower case
	cert string // SHA-256 of its own certificate, in hexadecimal; "" = it does no TLS
}

// String is the identity as it is journaled.
func (i identity) String() string {
	if i.cert == "" {
		return i.name + " without TLS"
	}
	return i.name + " with certificate " + i.cert
}

func (i identity) is(o identity) bool { return i == o }

// identify asks a server who it is, anew each time, and under no name: TLS shows the
// certificate that it shows to everybody.
func (c *Checker) identify(ctx context.Context, v Vantage, a netip.Addr) (who identity, err error) {
	err = c.patiently(ctx, func() error {
		t, err := c.meet(ctx, v, a, "")
		if err != nil {
			return err
		}
		defer t.Close()
		l := look{banner: t.banner, name: t.name}
		who = identity{name: strings.ToLower(l.calls())}
		if t.noTLS != nil {
			if who.cert = "that cannot be seen"; unreachable(t.noTLS) {
				return t.noTLS
			}
		}
		if t.secure != nil && len(t.secure.PeerCertificates) > 0 {
			who.cert = fmt.Sprintf("%x", sha256.Sum256(t.secure.PeerCertificates[0].Raw))
		}
		return nil
	})
	return who, err
}

// gatewaysOf are who answers at the address to which connections are handed, and at
// the other addresses of the gateway, of the same family: several nodes may stand
// behind one.
func (c *Checker) gatewaysOf(ctx context.Context, v Vantage, a netip.Addr, q Handed) ([]identity, error) {
	to := q.target(a)
	if !to.IsValid() {
		return nil, fmt.Errorf("isolate.redirect_to has no address of the family of %s", a)
	}
	first, err := c.identify(ctx, v, to)
	if err != nil {
		return nil, fmt.Errorf("the gateway's own name, at %s: %w", to, err)
	}
	out, asked := []identity{first}, []netip.Addr{to}
	for _, cut := range q.Live {
		ends, err := c.endpoints(ctx, cut)
		if err != nil {
			return nil, err
		}
		for _, e := range ends {
			if e.addr.Is4() != a.Is4() || slices.Contains(asked, e.addr) {
				continue
			}
			asked = append(asked, e.addr)
			if who, err := c.identify(ctx, v, e.addr); err == nil { // one that is down answers nowhere
				out = append(out, who)
			}
		}
	}
	return out, nil
}

func (q *Handed) target(a netip.Addr) netip.Addr {
	i := slices.IndexFunc(q.To, func(t netip.Addr) bool { return t.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}
	}
	return q.To[i]
}

const noIdentity = "the old server was not seen there before anything was handed over, or called itself as the gateway does, so the two cannot be told apart: have them say different names in reply to EHLO, or, if it is handed over already, open it again and begin anew"

// redirectHost wants the gateway, and not the old server, to answer at the old
// server's address.
func (c *Checker) redirectHost(ctx context.Context, v Vantage, a netip.Addr, q Handed) plan.Finding {
	was := q.before(v.Name, whoTarget(a))
	if was == "" {
		return unknown(a.String(), noIdentity)
	}
	gateways, err := c.gatewaysOf(ctx, v, a, q)
	if err != nil {
		return unknown(a.String(), "%v", err)
	}
	now, err := c.identify(ctx, v, a)
	f := judgeHost(a, was, gateways, now, err)
	f.Evidence = "now " + now.String() + "; before " + was
	return f
}

func judgeHost(a netip.Addr, was string, gateways []identity, now identity, err error) plan.Finding {
	at := a.String()
	switch {
	case slices.ContainsFunc(gateways, func(g identity) bool { return g.String() == was }):
		return unknown(at, "the gateway calls itself as the old server did (%s), so the two cannot be told apart: have them say different names in reply to EHLO", was)
	case err != nil:
		return refusal(at, err)
	case now.String() == was:
		return fail(at, "the old server still answers, as %s", was)
	case now.name == "":
		return unknown(at, "it does not say its name")
	case !slices.ContainsFunc(gateways, now.is):
		return fail(at, "%s answers, which is neither the gateway (%s) nor what answered before", now, gateways[0])
	}
	return pass(at, "the gateway answers, as %s", now)
}

// redirectRelay wants the gateway to relay for nobody who comes by the old address.
func (c *Checker) redirectRelay(ctx context.Context, v Vantage, a netip.Addr, q Handed) plan.Finding {
	if len(q.Live) == 0 {
		return unknown(a.String(), "no domain is live, so that there is none to ask about")
	}
	ends, err := c.endpoints(ctx, q.Live[0])
	if err != nil {
		return unknown(a.String(), "%v", err)
	}
	to := c.stranger(ctx, ends)
	if to.here {
		return unknown(a.String(), "mail for %s is delivery at the gateway, and no relaying: %s. Name a sender at a domain whose MX leads elsewhere, with probe.from or probe.strict_sender", to.address, to.why)
	}
	e := endpoint{ends[0].host, a}
	key := strings.Join([]string{checkRedirectRelay, v.Name, a.String(), to.address}, "|")
	c.relays.forget(key) // what was said before the router was changed
	f := c.relay(ctx, v, e, to, q.Live[0].Domain, key)
	f.Target = a.String()
	switch f.Severity {
	case plan.Warn:
		f.Severity = plan.Unknown
	case plan.Pass:
		f.Detail = fmt.Sprintf("the gateway refuses to relay there: mail for %s, a domain of others, and more; %s", to.address, f.Detail)
	}
	return f
}

// A gatewaySight is from which addresses the gateway had a vantage's messages, by its
// own log: one by the old server's address, one straight.
type gatewaySight struct {
	domain      string
	own         netip.Addr   // the vantage's, as it is known here; invalid = not known
	by          []netip.Addr // by the old server's address
	direct      []netip.Addr // straight
	gateway     []netip.Addr // the gateway's own, and the old server's: nobody outside has these
	sends       []netip.Prefix
	token       string
	trouble     error // the message by the old address was not taken
	directWords string
}

// sight sends the two messages, and waits for the gateway's log to tell of them.
func (c *Checker) sight(ctx context.Context, v Vantage, a netip.Addr, cut plan.Cutover, q Handed) gatewaySight {
	s := gatewaySight{domain: rrset.Bare(cut.Domain), gateway: slices.Concat(c.OldAddresses, q.To), sends: c.GatewaySends}
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		s.trouble = err
		return s
	}
	if ends, err := c.endpoints(ctx, cut); err == nil {
		for _, e := range ends {
			s.gateway = append(s.gateway, e.addr.Unmap())
		}
	}
	if s.own = v.Source.Unmap(); v.Dial == nil && !s.own.IsValid() {
		if l, err := c.look(ctx, v, endpoint{"", q.target(a)}); err == nil {
			s.own = l.local
		}
	}
	s.by, s.token, s.trouble = c.sentThrough(ctx, v, a, rcpt, s.domain)
	if s.trouble == nil && !slices.Contains(s.by, s.own) {
		var err error
		if s.direct, _, err = c.sentThrough(ctx, v, q.target(a), rcpt, s.domain); err != nil {
			s.directWords = err.Error()
		}
	}
	return s
}

// sentThrough sends a message to an address, and gives the peers from which the
// gateway had it, by its log; none = the log did not tell in time.
func (c *Checker) sentThrough(ctx context.Context, v Vantage, a netip.Addr, rcpt, domain string) ([]netip.Addr, string, error) {
	p := c.newProbe(rcpt, domain)
	watch := c.arrivals
	if len(watch.places) == 0 {
		watch = c.gatewayWatch
	}
	w := watch.expect(p)
	defer w.leave()
	err := c.patiently(ctx, func() error { return c.sendFrom(ctx, v, a, p.from, p.to, p.message()) })
	if err != nil {
		return nil, p.token, err
	}
	return w.peers(ctx, c.Arrival), p.token, ctx.Err()
}

// moreLooks is how often the log is looked at after it told first: behind one node
// there may be another one, whose log is read before.
const moreLooks = 5

// peers waits until the gateway's log has told from where a probe came.
func (w *wait) peers(ctx context.Context, patience time.Duration) (out []netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for late := 0; late < moreLooks; {
		w.all.mu.Lock()
		out = slices.Clone(w.held.came)
		w.all.mu.Unlock()
		if len(out) > 0 {
			late++
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return out
		}
	}
	return out
}

// judgeSights judges what the gateway's log told of one of the vantages.
func judgeSights(a netip.Addr, v Vantage, n int, seen [][]gatewaySight) (found []plan.Finding) {
	for i, s := range seen[n] {
		f := s.judge(a.String(), func(x netip.Addr) (another, alike bool) {
			for m := range seen {
				if m != n && i < len(seen[m]) && len(seen[m][i].by) > 0 {
					another = true
					alike = alike || slices.Contains(seen[m][i].by, x)
				}
			}
			return another, alike
		})
		f.Target += " for " + s.domain
		f.Evidence = fmt.Sprintf("message %s: by the old address from %v, straight from %v", s.token, s.by, s.direct)
		found = append(found, f)
	}
	if len(seen[n]) == 0 {
		found = append(found, unknown(a.String(), "not asked, since the gateway is not known to answer there, or no domain is live"))
	}
	for i := range found {
		found[i].Check, found[i].RFC, found[i].Vantage = checkRedirectSource, "RFC 5321 section 4.4", v.Name
	}
	return found
}

// foreign leaves out what is the gateway's own: a message goes from node to node.
func (s *gatewaySight) foreign(all []netip.Addr) (out []netip.Addr) {
	for _, x := range all {
		if !slices.Contains(s.gateway, x) && !traffic.Within(s.sends, x) {
			out = append(out, x)
		}
	}
	return out
}

// judge tells whether the gateway saw the vantage's true address. others tells of an
// address whether another vantage was seen at all, and whether with the same one.
func (s *gatewaySight) judge(at string, others func(netip.Addr) (another, alike bool)) plan.Finding {
	if s.trouble != nil {
		f := refusal(at, s.trouble)
		f.Detail = "it does not take a message there: " + f.Detail
		return f
	}
	if len(s.by) == 0 {
		return unknown(at, "a message was taken there, and the gateway's log (traffic.gateway_logs) did not tell of it in time: is it the log of the node in isolate.redirect_to?")
	}
	if s.own.IsValid() && slices.Contains(s.by, s.own) {
		return pass(at, "the gateway sees %s, which is the vantage's own address", s.own)
	}
	by, direct := s.foreign(s.by), s.foreign(s.direct)
	if len(by) == 0 {
		return fail(at, "source NAT: the gateway sees %s, which is its own or the old server's, and nobody's outside: it would relay for everybody whom it trusts as that", s.by[0])
	}
	x := by[0]
	if i := slices.IndexFunc(by, func(b netip.Addr) bool { return slices.Contains(direct, b) }); i >= 0 {
		x = by[i]
	}
	switch another, alike := others(x); {
	case len(direct) == 0:
		return unknown(at, "the gateway sees %s; whether that is the vantage's own is not known, since a message straight to the gateway was not seen: %s", x, s.directWords)
	case !slices.Contains(direct, x):
		return fail(at, "source NAT: the gateway sees %s, and %s where the vantage comes straight", x, direct[0])
	case alike:
		return unknown(at, "the gateway sees %s, as from another vantage; name vantages with addresses of their own", x)
	case !another:
		return unknown(at, "the gateway sees %s; whether that is the vantage's own cannot be known from one vantage alone: give its source, or name another in vantages", x)
	}
	return pass(at, "the gateway sees %s, as when the vantage comes straight, and another address from each other vantage", x)
}
