package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// arrivalChecks send messages, or read what came of others'.
func arrivalChecks() []Check {
	return []Check{
		{ID: "probe.arrival", Title: "a message arrives through the gateway at the old server", RFC: "RFC 5321 section 4.4", When: always, Run: probeArrival},
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
		return []plan.Finding{unknown(cut.Domain, "our resolver still answers %s, for %d more seconds", inLine(got), wait)}, nil
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
// waits for it in the mailbox.
func (c *Checker) deliver(ctx context.Context, cut plan.Cutover, ends []endpoint, target string, judge func([]hop) string) plan.Finding {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return unknown(target, "%v", err)
	}
	p := probe{token: newToken(), from: c.From, to: rcpt, domain: rrset.Bare(cut.Domain), at: c.Now()}
	begun := time.Now()
	var via endpoint
	for _, e := range ends {
		err = c.patiently(ctx, func() error { return c.send(ctx, c.here(), e.addr, rcpt, p.message()) })
		via = e
		if code, _ := reply(err); err == nil || code >= 500 {
			break
		}
	}
	if err != nil {
		f := refusal(target, err)
		f.Detail = fmt.Sprintf("via %s: %s", via, f.Detail)
		f.Vantage = c.here().Name
		return f
	}
	accepted := time.Since(begun)
	f := c.await(ctx, p, via, target, judge, accepted, begun)
	f.Vantage = c.here().Name
	return f
}

// await waits for a probe, and judges the way that it took.
func (c *Checker) await(ctx context.Context, p probe, via endpoint, target string, judge func([]hop) string, accepted time.Duration, begun time.Time) plan.Finding {
	header, err := c.mailbox.find(ctx, p.token, c.Arrival)
	switch {
	case errors.Is(err, errNotArrived):
		return fail(target, "accepted by %s, and not in the mailbox after %s", via, c.Arrival)
	case err != nil:
		return unknown(target, "accepted by %s; the mailbox could not be asked: %v", via, err)
	}
	arrived := time.Since(begun)
	hops := parseReceived(header)
	if why := judge(hops); why != "" {
		f := fail(target, "it arrived, but %s", why)
		f.Evidence = strings.Join(words(hops), " <- ")
		return f
	}
	f := pass(target, "arrived via %s in %s", via, arrived.Round(time.Millisecond))
	f.Evidence = fmt.Sprintf("accepted %dms, arrived %dms", accepted.Milliseconds(), arrived.Milliseconds())
	return f
}

// chain says what is wrong with the way of a message: it must have come to the
// gateway, and from there, by its address, to the old server.
func (c *Checker) chain(hops []hop, planned []endpoint) string {
	isGateway := func(h hop) bool {
		return slices.ContainsFunc(planned, func(e endpoint) bool { return strings.EqualFold(h.by, rrset.Bare(e.host)) })
	}
	fromGateway := func(h hop) bool {
		return slices.ContainsFunc(planned, func(e endpoint) bool { return h.from == e.addr.Unmap() })
	}
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

// past says what is wrong with the way of a message that was to arrive without
// the gateway.
func (c *Checker) past(hops []hop, planned []endpoint) string {
	for _, h := range hops {
		if slices.ContainsFunc(planned, func(e endpoint) bool { return strings.EqualFold(h.by, rrset.Bare(e.host)) || h.from == e.addr.Unmap() }) {
			return "by way of the gateway, to which its MX leads no more"
		}
	}
	return ""
}

// A probe is one synthetic message.
type probe struct {
	token, from, to, domain string
	at                      time.Time
}

// tokenHeader carries a probe's token.
const tokenHeader = "X-Mxcutover-Probe"

// message is the text of a probe. It says what it is, and that no machine should
// answer (RFC 3834).
func (p probe) message() string {
	_, sender, _ := strings.Cut(p.from, "@")
	return strings.Join([]string{
		"From: <" + p.from + ">",
		"To: <" + p.to + ">",
		"Subject: mxcutover probe " + p.token,
		"Date: " + p.at.Format(time.RFC1123Z),
		"Message-ID: <" + p.token + "@" + sender + ">",
		"Auto-Submitted: auto-generated",
		"X-Auto-Response-Suppress: All",
		"Precedence: bulk",
		tokenHeader + ": " + p.token,
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"",
		"This is a synthetic message. mxcutover sent it to see that mail for",
		p.domain + " passes the new gateway. It is deleted once it is found.",
		"",
	}, "\r\n")
}
