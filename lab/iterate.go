package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// Bounds of one iteration.
const (
	maxReferrals = 12
	maxServers   = 8
)

var errServers = errors.New("no server answered")

// resolve asks from the root down (RFC 1034 section 5.3.3).
func (r *resolver) resolve(ctx context.Context, q question, depth int) (cached, error) {
	if depth > 2 {
		return cached{}, fmt.Errorf("resolve %s: name servers' names lead too deep", q.name)
	}
	servers, zone := []netip.Addr{r.root}, "."
	for range maxReferrals {
		m, err := r.askOne(ctx, servers, zone, q)
		if err != nil {
			return cached{}, fmt.Errorf("resolve %s: %w", q.name, err)
		}
		cut := referral(m, q.name, zone)
		if cut == "" {
			return answered(m, q, zone, r), nil
		}
		zone = cut
		if servers = r.nameservers(ctx, m, cut, depth); len(servers) == 0 {
			break
		}
	}
	return cached{}, fmt.Errorf("resolve %s: %w", q.name, errServers)
}

// askOne asks the servers by turns until one has a usable answer.
func (r *resolver) askOne(ctx context.Context, servers []netip.Addr, zone string, q question) (*dns.Msg, error) {
	first := r.turn(zone)
	for i := range servers {
		m, err := r.ask(ctx, servers[(first+i)%len(servers)], q)
		if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
			return m, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, errServers
}

// ask sends one question over UDP, and over TCP if the answer was cut short.
func (r *resolver) ask(ctx context.Context, server netip.Addr, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.typ)
	m.RecursionDesired = false
	m.SetEdns0(udpSize, true)
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: askTimeout, Dialer: dialFrom(network, r.source)}
		in, _, err := c.ExchangeContext(ctx, m, hostPort(server, r.port))
		if err != nil {
			return nil, err
		}
		if len(in.Question) != 1 || in.Question[0] != m.Question[0] {
			return nil, fmt.Errorf("%s answered another question", server)
		}
		if !in.Truncated {
			return in, nil
		}
	}
	return nil, fmt.Errorf("%s: answer cut short over TCP", server)
}

// dialFrom is a dialer with a source address.
func dialFrom(network string, source netip.Addr) *net.Dialer {
	d := &net.Dialer{Timeout: askTimeout}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: source.AsSlice()}
	} else {
		d.LocalAddr = &net.TCPAddr{IP: source.AsSlice()}
	}
	return d
}

// referral is the zone cut that an answer leads to, if it is below the zone
// asked and above the name.
func referral(m *dns.Msg, name, zone string) string {
	if m.Authoritative || len(m.Answer) > 0 || m.Rcode != dns.RcodeSuccess {
		return ""
	}
	for _, rr := range m.Ns {
		cut := dns.CanonicalName(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeNS && cut != zone && dns.IsSubDomain(zone, cut) && dns.IsSubDomain(cut, name) {
			return cut
		}
	}
	return ""
}

// nameservers are the addresses behind a referral, from its glue or by asking.
func (r *resolver) nameservers(ctx context.Context, m *dns.Msg, cut string, depth int) []netip.Addr {
	glue := map[string]netip.Addr{}
	for _, rr := range m.Extra {
		if a, ok := rr.(*dns.A); ok {
			if addr, ok := netip.AddrFromSlice(a.A.To4()); ok {
				glue[dns.CanonicalName(a.Hdr.Name)] = addr
			}
		}
	}
	var out []netip.Addr
	for _, rr := range m.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok || len(out) == maxServers || dns.CanonicalName(ns.Hdr.Name) != cut {
			continue
		}
		host := dns.CanonicalName(ns.Ns)
		if addr, ok := glue[host]; ok {
			out = append(out, addr)
			continue
		}
		found, err := r.resolve(ctx, question{host, dns.TypeA}, depth+1)
		if err != nil {
			continue
		}
		for _, rr := range found.answer {
			if a, ok := rr.(*dns.A); ok {
				if addr, ok := netip.AddrFromSlice(a.A.To4()); ok {
					out = append(out, addr)
				}
			}
		}
	}
	return out
}

// answered keeps of a message what belongs to the question and to the zone that
// was asked.
func answered(m *dns.Msg, q question, zone string, r *resolver) cached {
	c := cached{rcode: m.Rcode, came: r.now()}
	name := q.name
	for _, rr := range m.Answer {
		h := rr.Header()
		if sig, ok := rr.(*dns.RRSIG); ok && q.typ != dns.TypeRRSIG {
			if sig.TypeCovered == q.typ || sig.TypeCovered == dns.TypeCNAME {
				c.answer = append(c.answer, rr)
			}
			continue
		}
		if dns.CanonicalName(h.Name) == name && (h.Rrtype == q.typ || h.Rrtype == dns.TypeCNAME) {
			c.answer = append(c.answer, rr)
			if cname, ok := rr.(*dns.CNAME); ok && q.typ != dns.TypeCNAME {
				name = dns.CanonicalName(cname.Target)
			}
		}
	}
	for _, rr := range m.Ns {
		if belongs(rr.Header().Rrtype) && dns.IsSubDomain(zone, dns.CanonicalName(rr.Header().Name)) {
			c.authority = append(c.authority, rr)
		}
	}
	return c
}

// belongs are the types of the authority section that answers are kept with.
func belongs(typ uint16) bool {
	return typ == dns.TypeSOA || typ == dns.TypeNSEC || typ == dns.TypeRRSIG
}
