package verify

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// gatewayChecks ask the gateway, at each address of each planned MX host.
func gatewayChecks() []Check {
	before, twice := []When{Before}, []When{Before, After}
	return []Check{
		{ID: "gw.connect", Title: "each planned MX host answers at each address", RFC: "RFC 5321 section 3.1", When: twice, Run: gwConnect},
		{ID: "gw.starttls", Title: "each planned MX host speaks TLS", RFC: "RFC 3207 section 4", When: twice, Run: gwStartTLS},
		{ID: "gw.cert", Title: "each planned MX host shows a certificate of its name", RFC: "RFC 7435 section 3", When: twice, Run: gwCert},
		{ID: "gw.ptr", Title: "each address of the gateway has a name that leads back to it", RFC: "RFC 1912 section 2.1", When: before, Run: gwPTR, Advice: true},
		{ID: "gw.helo", Title: "the gateway calls itself by a name that leads to it", RFC: "RFC 5321 section 4.1.1.1", When: before, Run: gwHelo, Advice: true},
		{ID: "gw.relay", Title: "the gateway is no open relay", RFC: "RFC 5321 section 7.9", When: twice, Run: gwRelay},
		{ID: "gw.limits", Title: "the gateway takes what the old server takes, and no more", RFC: "RFC 1870 section 6", When: before, Run: gwLimits},
		{ID: "gw.recipient", Title: "the gateway accepts a valid recipient", RFC: "RFC 5321 section 3.3", When: always, Run: gwRecipient},
		{ID: "gw.postmaster", Title: "the gateway accepts postmaster", RFC: "RFC 5321 section 4.5.1", When: always, Run: gwPostmaster},
		{ID: "gw.null", Title: "the gateway accepts bounces, which have no sender", RFC: "RFC 5321 section 4.5.5", When: always, Run: gwNull},
		{ID: "gw.unknown", Title: "the gateway refuses an unknown recipient at RCPT", RFC: "RFC 5321 section 3.3", When: always, Run: gwUnknown},
		{ID: "mx.loop", Title: "the next hop behind the gateway takes the domain as its own", RFC: "RFC 5321 section 6.3", When: twice, Run: mxLoop, Advice: true},
	}
}

// An endpoint is one address of one planned MX host.
type endpoint struct {
	host string
	addr netip.Addr
}

func (e endpoint) String() string { return rrset.Bare(e.host) + " " + e.addr.String() }

// endpoints are all addresses of all planned hosts of a domain.
func (c *Checker) endpoints(ctx context.Context, cut plan.Cutover) ([]endpoint, error) {
	hosts := cut.After().MX()
	if len(hosts) == 0 {
		hosts = c.Planned
	}
	var out []endpoint
	for _, m := range hosts {
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			out = append(out, endpoint{m.Host, a})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no planned MX host has an address")
	}
	return out, nil
}

// outside are the vantages that the gateway does not trust; all, if there is none.
func (c *Checker) outside() []Vantage {
	var out []Vantage
	for _, v := range c.Vantages {
		if !v.Inside {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return c.Vantages
	}
	return out
}

// here is the vantage from which mail is sent: the first that is outside.
func (c *Checker) here() Vantage { return c.outside()[0] }

// toward is the vantage to ask an address from: here, or, if no way leads there from
// here (a network without IPv6 before a gateway with both), the first outside from
// which one may.
func (c *Checker) toward(a netip.Addr) Vantage {
	for _, v := range c.outside() {
		if v.routes(a) {
			return v
		}
	}
	return c.here()
}

// routes tells whether this machine knows a way to an address. Nothing is sent: a
// datagram's socket is only given its peer. What an SSH host knows is seen when it
// is asked.
func (v Vantage) routes(a netip.Addr) bool {
	if v.Dial != nil {
		return true
	}
	var from *net.UDPAddr
	if v.Source.IsValid() {
		from = &net.UDPAddr{IP: v.Source.AsSlice()}
	}
	conn, err := net.DialUDP("udp", from, &net.UDPAddr{IP: a.AsSlice(), Port: 25, Zone: a.Zone()})
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

// refusal puts an SMTP conversation that did not succeed into a finding: the
// server's answer fails, "later" and our own troubles are unknown.
func refusal(target string, err error) plan.Finding {
	code, words := reply(err)
	switch {
	case code >= 500:
		f := fail(target, "%s", words)
		f.Evidence = words
		return f
	case code >= 400:
		f := unknown(target, "deferred until we gave up: %s", words)
		f.Evidence = words
		return f
	case unreachable(err):
		return unknown(target, "%v", err)
	}
	var conn *connectError
	if errors.As(err, &conn) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fail(target, "no SMTP there: %v", err)
	}
	return fail(target, "%v", err)
}

// accepted passes what a gateway took from a stranger. From inside its trust that
// tells nothing of others.
func accepted(v Vantage, f plan.Finding) plan.Finding {
	if v.Inside && f.Severity != plan.Unknown {
		f.Severity = plan.Unknown
		f.Detail = "inside: " + f.Detail + "; what it does for others cannot be known from within its trust, so name a vantage outside"
	}
	return f
}

// atEach asks at every endpoint, one finding each.
func (c *Checker) atEach(ctx context.Context, cut plan.Cutover, ask func(endpoint) plan.Finding) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	found := make([]plan.Finding, len(ends))
	inParallel(len(ends), func(i int) {
		found[i] = ask(ends[i])
		found[i].Vantage = c.toward(ends[i].addr).Name
	})
	return found, ctx.Err()
}

// fromOutside asks at every endpoint from every vantage outside.
func (c *Checker) fromOutside(ctx context.Context, cut plan.Cutover, ask func(Vantage, endpoint) plan.Finding) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	from := c.outside()
	found := make([]plan.Finding, len(ends)*len(from))
	inParallel(len(found), func(i int) {
		v := from[i%len(from)]
		found[i] = ask(v, ends[i/len(from)])
		found[i].Vantage = v.Name
	})
	for i := range ends {
		together(found[i*len(from) : (i+1)*len(from)])
	}
	return found, ctx.Err()
}

// fromEach asks at every endpoint from every vantage outside that has a way there: a
// gateway may well answer one place and not another (a blocklist, an anycast address,
// a firewall that looks into SMTP). The error is that of the conversation. What a
// vantage could not ask leaves nothing unknown that another one knows; that it has no
// way at all is told by gw.connect.
func (c *Checker) fromEach(ctx context.Context, cut plan.Cutover, ask func(Vantage, endpoint) (plan.Finding, error)) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	found := make([][]plan.Finding, len(ends))
	inParallel(len(ends), func(i int) {
		from := c.reach(ctx, ends[i])
		said, missed := make([]plan.Finding, len(from)), make([]bool, len(from))
		inParallel(len(from), func(j int) {
			f, err := ask(from[j], ends[i])
			f.Vantage = from[j].Name
			said[j], missed[j] = f, f.Severity == plan.Unknown && unreachable(err)
		})
		if k := slices.IndexFunc(said, func(f plan.Finding) bool { return f.Severity != plan.Unknown }); k >= 0 {
			for j := range said {
				if missed[j] {
					elsewhere(&said[j], said[k].Vantage)
				}
			}
		}
		found[i] = said
	})
	return slices.Concat(found...), ctx.Err()
}

// reach are the vantages outside from which a way leads to an endpoint; if there is
// none, the one that would be asked from.
func (c *Checker) reach(ctx context.Context, e endpoint) (from []Vantage) {
	outside := c.outside()
	for _, v := range outside {
		if !v.routes(e.addr) {
			continue
		}
		if v.Dial != nil && len(outside) > 1 { // what an SSH host knows is seen when it is asked
			var trouble *ownTrouble
			if _, err := c.look(ctx, v, e); errors.As(err, &trouble) {
				continue
			}
		}
		from = append(from, v)
	}
	if len(from) == 0 {
		return []Vantage{c.toward(e.addr)}
	}
	return from
}

// elsewhere turns what a vantage could not ask, and another one could, into a warning.
func elsewhere(f *plan.Finding, other string) {
	f.Severity = plan.Warn
	f.Detail = "not asked from here, but from " + vantageName(other) + ": " + f.Detail
}

// together weighs what several vantages say of one endpoint. A vantage that could
// not ask leaves nothing unknown that another one knows.
func together(found []plan.Finding) {
	known := func(f plan.Finding) bool { return f.Severity == plan.Pass || f.Severity == plan.Fail }
	i := slices.IndexFunc(found, known)
	if i < 0 {
		return
	}
	for j := range found {
		if f := &found[j]; f.Severity == plan.Unknown {
			elsewhere(f, found[i].Vantage)
		}
	}
}

func vantageName(name string) string {
	if name == "" {
		return "this machine"
	}
	return name
}
