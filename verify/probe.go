package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// arrivalChecks send messages, or read what came of others'.
func arrivalChecks() []Check {
	return []Check{
		{ID: "probe.arrival", Title: "a message arrives through the gateway at the old server", RFC: "RFC 5321 section 4.4", When: always, Run: probeArrival},
		{ID: "gw.spam", Title: "the gateway marks or refuses spam, and nothing else", RFC: "RFC 5321 section 7.9", When: []When{Before, After}, Lacks: lacksHeaders, Run: gwSpam},
		{ID: "old.trusts_gateway", Title: "the old server takes from the gateway what it would take from no stranger", RFC: "RFC 7208 section 9.2", When: []When{Before}, Lacks: lacksStrict, Run: oldTrustsGateway},
	}
}

// probeArrival sends messages: before the cutover straight to every planned MX
// host at each address, afterwards by the public way.
func probeArrival(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	if when == Before {
		return c.direct(ctx, cut)
	}
	return c.routed(ctx, cut)
}

// Routed sends one message as any sender would, and waits until it arrives.
func (c *Checker) Routed(ctx context.Context, cut plan.Cutover) []plan.Finding {
	return c.one(ctx, Check{ID: "probe.arrival", RFC: "RFC 5321 section 4.4", Run: func(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
		return c.routed(ctx, cut)
	}}, During, cut)
}

// Returned is Routed after a rollback: the message must go where the RRset that
// was restored leads, and arrive without having passed the gateway.
func (c *Checker) Returned(ctx context.Context, cut plan.Cutover, back rrset.Set) []plan.Finding {
	return c.one(ctx, Check{ID: "probe.arrival", RFC: "RFC 5321 section 5.1", Run: func(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
		planned, err := c.endpoints(ctx, cut)
		if err != nil { // a gateway that is gone is a reason to go back: its names must do
			planned = nil
			for _, m := range cut.After().MX() {
				planned = append(planned, endpoint{host: m.Host})
			}
		}
		return c.public(ctx, cut, back, func(hops []hop) string { return c.past(hops, planned) })
	}}, During, cut)
}

func (c *Checker) direct(ctx context.Context, cut plan.Cutover) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	found := make([]plan.Finding, len(ends))
	judge := func(hops []hop) string { return c.chain(hops, ends) }
	inParallel(len(ends), func(i int) { found[i] = c.deliver(ctx, cut, ends[i:i+1], ends[i].String(), judge) })
	if rrset.IsWildcard(cut.Domain) {
		deep := cut
		deep.Domain = "*." + randomLabel() + cut.Domain[1:]
		found = append(found, c.deliver(ctx, deep, ends[:1], "two labels below "+rrset.Bare(cut.Domain), judge))
	}
	return found, ctx.Err()
}

// routed goes the public way to the gateway.
func (c *Checker) routed(ctx context.Context, cut plan.Cutover) ([]plan.Finding, error) {
	planned, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	return c.public(ctx, cut, cut.After(), func(hops []hop) string { return c.chain(hops, planned) })
}

// public resolves the MX as senders do, and goes through its hosts in their
// order, or to the domain itself if it has none (RFC 5321 section 5.1).
func (c *Checker) public(ctx context.Context, cut plan.Cutover, want rrset.Set, judge func([]hop) string) ([]plan.Finding, error) {
	a, err := c.dns.Recurse(ctx, asked(cut.Domain), "MX")
	if err != nil {
		return nil, err
	}
	got := a.Set
	got.Name = cut.Domain
	if !got.SameData(want) {
		wait := a.Set.TTL
		if a.Set.Absent() {
			wait = a.Negative
		}
		return []plan.Finding{unknown(cut.Domain, "our resolver still answers %s, for %d more seconds", got.InLine(), wait)}, nil
	}
	members := got.MX()
	if got.Absent() {
		members = []rrset.MX{{Host: asked(cut.Domain)}}
	}
	var ends []endpoint
	for _, m := range members {
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return nil, err
		}
		for _, x := range addrs {
			ends = append(ends, endpoint{m.Host, x})
		}
	}
	if len(ends) == 0 {
		return []plan.Finding{fail(cut.Domain, "its MX hosts have no address")}, nil
	}
	return []plan.Finding{c.deliver(ctx, cut, ends, cut.Domain, judge)}, ctx.Err()
}

// deliver sends one message to the first of the endpoints that takes it, and
// waits until it arrives.
func (c *Checker) deliver(ctx context.Context, cut plan.Cutover, ends []endpoint, target string, judge func([]hop) string) plan.Finding {
	f := c.judged(ctx, cut, ends, target, judge)
	f.Vantage = c.toward(ends[0].addr).Name
	return f
}

func (c *Checker) judged(ctx context.Context, cut plan.Cutover, ends []endpoint, target string, judge func([]hop) string) plan.Finding {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return unknown(target, "%v", err)
	}
	p := c.newProbe(rcpt, rrset.Bare(cut.Domain))
	s, via, err := c.dispatch(ctx, p, ends)
	if err != nil {
		f := refusal(target, err)
		f.Detail = fmt.Sprintf("via %s: %s", via, f.Detail)
		return f
	}
	if s.err != nil {
		return s.missing(target, via, c.Arrival)
	}
	if f, back := c.sentBack(ctx, cut, target, rcpt, s.outcome); back {
		return f
	}
	if why := judge(s.outcome.hops); why != "" {
		f := fail(target, "it arrived, but %s", why)
		f.Evidence = strings.Join(words(s.outcome.hops), " <- ")
		return f
	}
	f := pass(target, "arrived via %s in %s", via, s.arrived.Round(time.Millisecond))
	f.Evidence = legs(s.outcome.hops, ends, s.begun, s.accepted, s.arrived).String()
	return f
}

// sentBack is the finding that the old server did not take a probe for its own, and
// sent it to where the MX leads: to its log that is a delivery as any other.
func (c *Checker) sentBack(ctx context.Context, cut plan.Cutover, target, rcpt string, o outcome) (plan.Finding, bool) {
	if !wentOn(o, rcpt) {
		return plan.Finding{}, false
	}
	planned, err := c.endpoints(ctx, cut)
	switch {
	case err != nil:
		return unknown(target, "the old server sent it on to %s, and whether that is the gateway is not known: %v", o.onTo, err), true
	case isFrom(hop{from: o.onTo}, planned):
		return fail(target, "the old server sent it back to the gateway (%s), says its log: it does not take the domain for its own, and mail goes round until it bounces", o.onTo), true
	}
	return plan.Finding{}, false
}

// wentOn tells whether a server's log has a probe go to another machine, and for the
// same domain: what is readdressed may well go out by way of the gateway.
func wentOn(o outcome, rcpt string) bool {
	domain := func(a string) string { return a[strings.LastIndexByte(a, '@')+1:] }
	return o.onTo.IsValid() && strings.EqualFold(domain(o.to), domain(rcpt))
}

// A sent probe was accepted; what became of it.
type sent struct {
	begun             time.Time
	accepted, arrived time.Duration // since then
	outcome           outcome
	err               error // it did not arrive, or that could not be asked
}

// dispatch sends a probe to the first of the endpoints that takes it, and waits for
// what becomes of it. Its own error is that none took it.
func (c *Checker) dispatch(ctx context.Context, p probe, ends []endpoint) (s sent, via endpoint, err error) {
	return c.dispatchFrom(ctx, c.toward, p, ends)
}

func (c *Checker) dispatchFrom(ctx context.Context, from func(netip.Addr) Vantage, p probe, ends []endpoint) (s sent, via endpoint, err error) {
	w := c.arrivals.expect(p)
	defer w.leave()
	for _, e := range ends {
		err = c.patiently(ctx, func() error {
			s.begun = time.Now() // greylisting is not the way's
			return c.sendFrom(ctx, from(e.addr), e.addr, p.from, p.to, p.message())
		})
		via = e
		if code, _ := reply(err); err == nil || code >= 500 {
			break
		}
	}
	if err != nil {
		return s, via, err
	}
	s.accepted = time.Since(s.begun)
	if s.outcome, s.err = w.result(ctx, c.Arrival); s.err == nil {
		s.arrived = max(s.outcome.at.Sub(s.begun), s.accepted) // it may be there before our 250 is
		if s.outcome.failed != "" {
			s.err = errBounced
		}
	}
	return s, via, nil
}

// errBounced means that it was accepted, and refused for good later.
var errBounced = errors.New("it bounced")

// missing is the finding about a probe that was accepted and did not arrive. While
// somebody says that it may still be on its way, it is unknown.
func (s sent) missing(target string, via endpoint, patience time.Duration) plan.Finding {
	switch o := s.outcome; {
	case errors.Is(s.err, errBounced):
		f := fail(target, "accepted by %s, and then it failed for good, says %s: %s", via, o.where, o.failed)
		f.Evidence = o.failed
		return f
	case o.waits != "":
		f := unknown(target, "accepted by %s, and not there after %s, but it may be on its way still, says %s: %s", via, patience, o.where, o.waits)
		f.Evidence = o.waits
		return f
	case errors.Is(s.err, errNotArrived) && o.handed != "":
		f := fail(target, "accepted by %s, which gave it to %s, and not in the mailbox after %s", via, o.handed, patience)
		f.Evidence = "the gateway's log: it was given to " + o.handed
		return f
	case errors.Is(s.err, errNotArrived):
		return fail(target, "accepted by %s, and not in the mailbox after %s", via, patience)
	}
	return unknown(target, "accepted by %s; the mailbox could not be asked: %v", via, s.err)
}

// chain says what is wrong with the way of a message: it must have come to the
// gateway, and from there, by its address, to the old server.
func (c *Checker) chain(hops []hop, planned []endpoint) string {
	isGateway := func(h hop) bool {
		return slices.ContainsFunc(planned, func(e endpoint) bool { return strings.EqualFold(h.by, rrset.Bare(e.host)) })
	}
	fromGateway := func(h hop) bool { return isFrom(h, planned) || c.sends(h.from) }
	through := slices.IndexFunc(hops, isGateway)
	if through < 0 {
		// A gateway may give another name for itself: its address tells, too.
		if !slices.ContainsFunc(hops, fromGateway) {
			return "past the gateway: no Received line tells of it"
		}
		return ""
	}
	if !slices.ContainsFunc(hops[:through], fromGateway) {
		return "not from the gateway's address to the old server"
	}
	return ""
}

// sends tells whether the gateway hands mail on from an address, by the configuration.
func (c *Checker) sends(a netip.Addr) bool {
	return traffic.Within(c.GatewaySends, a)
}

// isFrom tells whether a line tells of one of the gateway's addresses as the peer.
func isFrom(h hop, planned []endpoint) bool {
	return slices.ContainsFunc(planned, func(e endpoint) bool { return h.from == e.addr.Unmap() })
}

// past says what is wrong with the way of a message that was to arrive without
// the gateway.
func (c *Checker) past(hops []hop, planned []endpoint) string {
	for _, h := range hops {
		if isFrom(h, planned) || slices.ContainsFunc(planned, func(e endpoint) bool { return strings.EqualFold(h.by, rrset.Bare(e.host)) }) {
			return "by way of the gateway, to which its MX leads no more"
		}
	}
	return ""
}
