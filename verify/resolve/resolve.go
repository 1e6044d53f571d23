// Package resolve asks name servers: one question, one server, one checked
// answer. Checks and the inventory use it, and its [Client] finds a zone's
// authoritative servers and a host's addresses by a recursive resolver.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

var (
	// ErrNoAnswer means that a server could not be asked, or said nothing usable.
	ErrNoAnswer = errors.New("no answer")
	// ErrLame means that a server answers without authority for the zone.
	ErrLame = errors.New("answers without authority")
)

// Settings of a Client.
type Settings struct {
	Port      uint16           // of authoritative servers; default 53
	Resolvers []netip.AddrPort // recursive; the first that answers counts
	Timeout   time.Duration    // of one question with its repeats; default 5s
	Rate      float64          // questions a second to one server; default 200, negative = no limit
	Source    netip.Addr       // local address; none = any

	// Dial opens TCP connections from another host, and then all questions go by
	// TCP; nil = from here. What it opens need not know deadlines.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Client asks questions. It may be used by many goroutines at once.
type Client struct {
	Settings
	exchanger
}

// New makes a Client.
func New(s Settings) *Client {
	if s.Port == 0 {
		s.Port = 53
	}
	if s.Timeout == 0 {
		s.Timeout = 5 * time.Second
	}
	if s.Rate == 0 {
		s.Rate = 200
	}
	return &Client{Settings: s, exchanger: exchanger{streams: map[netip.AddrPort]*stream{}, live: map[closer]struct{}{}}}
}

// An Answer is what a server said about one name and type.
type Answer struct {
	Set      rrset.Set // absent: there is none
	RCode    string    // "NOERROR" or "NXDOMAIN"
	AA       bool
	CNAME    string // canonical name, if the name is an alias
	Negative uint32 // seconds that a negative answer may be kept (RFC 2308 section 5)
	Serial   uint32 // of the SOA, if it is in the answer
	NS       []string
}

// Ask asks one server one question.
func (c *Client) Ask(ctx context.Context, server netip.AddrPort, name, typ string, recurse bool) (Answer, error) {
	qtype, ok := dns.StringToType[typ]
	if !ok {
		return Answer{}, fmt.Errorf("unknown record type %q", typ)
	}
	p, err := c.exchange(ctx, server, name, qtype, flags{recurse: recurse})
	if err != nil {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, typ, err)
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(p); err != nil {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, typ, err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %s", ErrNoAnswer, server, name, typ, dns.RcodeToString[reply.Rcode])
	}
	return read(reply, name, typ)
}

// maxChain bounds how many CNAMEs are followed within an answer.
const maxChain = 10

// read takes an answer apart. A recursive server's chain of CNAMEs is followed.
func read(reply *dns.Msg, name, typ string) (Answer, error) {
	a := Answer{RCode: dns.RcodeToString[reply.Rcode], AA: reply.Authoritative}
	owner := name
	for range maxChain {
		data, ttl, alias, err := at(reply.Answer, owner, typ)
		if err != nil {
			return a, err
		}
		if alias != "" && typ != "CNAME" {
			owner = alias
			if a.CNAME == "" {
				a.CNAME = alias
			}
			continue
		}
		if a.Set, err = rrset.New(name, typ, ttl, data...); err != nil {
			return a, err
		}
		break
	}
	if a.Set.Name == "" {
		a.Set = rrset.Set{Name: name, Type: typ}
	}
	for _, rr := range append(reply.Answer[:len(reply.Answer):len(reply.Answer)], reply.Ns...) {
		switch v := rr.(type) {
		case *dns.SOA:
			a.Serial, a.Negative = v.Serial, min(v.Hdr.Ttl, v.Minttl)
		case *dns.NS:
			if n, err := rrset.CanonicalName(v.Ns); err == nil {
				a.NS = append(a.NS, n)
			}
		}
	}
	return a, nil
}

// at gives the data of a name and type, and where the name leads as an alias.
func at(rrs []dns.RR, owner, typ string) (data []string, ttl uint32, alias string, err error) {
	for _, rr := range rrs {
		n, err := rrset.CanonicalName(rr.Header().Name)
		if err != nil {
			return nil, 0, "", err
		}
		if n != owner {
			continue
		}
		switch {
		case dns.TypeToString[rr.Header().Rrtype] == typ:
			ttl = max(ttl, min(rr.Header().Ttl, rrset.MaxTTL))
			data = append(data, strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Header().String())))
		case rr.Header().Rrtype == dns.TypeCNAME:
			alias, err = rrset.CanonicalName(rr.(*dns.CNAME).Target)
			if err != nil {
				return nil, 0, "", err
			}
		}
	}
	return data, ttl, alias, nil
}
