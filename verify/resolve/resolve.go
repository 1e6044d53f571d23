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
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"

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
	Rate      float64          // questions a second to one server; default 200
	Source    netip.Addr       // local address; none = any
}

// A Client asks questions. It may be used by many goroutines at once.
type Client struct {
	Settings
	mu     sync.Mutex
	limits map[netip.Addr]*rate.Limiter
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
	return &Client{Settings: s, limits: map[netip.Addr]*rate.Limiter{}}
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

const (
	retransmit = 500 * time.Millisecond
	udpSize    = 1232
)

// Ask asks one server one question.
func (c *Client) Ask(ctx context.Context, server netip.AddrPort, name, typ string, recurse bool) (Answer, error) {
	qtype, ok := dns.StringToType[typ]
	if !ok {
		return Answer{}, fmt.Errorf("unknown record type %q", typ)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := c.limit(server.Addr()).Wait(ctx); err != nil {
		return Answer{}, fmt.Errorf("%w from %s: %w", ErrNoAnswer, server, err)
	}
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = recurse
	m.SetEdns0(udpSize, false)
	reply, err := c.exchange(ctx, server, m)
	if err != nil {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, typ, err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %s", ErrNoAnswer, server, name, typ, dns.RcodeToString[reply.Rcode])
	}
	return read(reply, name, typ)
}

func (c *Client) limit(a netip.Addr) *rate.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limits[a] == nil {
		c.limits[a] = rate.NewLimiter(rate.Limit(c.Rate), 50)
	}
	return c.limits[a]
}

// exchange asks by UDP with repeats, and by TCP when the answer is truncated.
func (c *Client) exchange(ctx context.Context, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	var last error
	for ctx.Err() == nil {
		reply, err := c.once(ctx, "udp", server, m, retransmit)
		if err == nil && !reply.Truncated {
			return reply, nil
		}
		if err == nil {
			return c.once(ctx, "tcp", server, m, c.Timeout)
		}
		last = err
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return nil, err
		}
		m.Id = dns.Id()
	}
	return nil, errors.Join(last, ctx.Err())
}

func (c *Client) once(ctx context.Context, network string, server netip.AddrPort, m *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	d := net.Dialer{}
	if c.Source.IsValid() {
		d.LocalAddr = &net.UDPAddr{IP: c.Source.AsSlice()}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: c.Source.AsSlice()}
		}
	}
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline := time.Now().Add(wait)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	co := &dns.Conn{Conn: conn, UDPSize: udpSize}
	if err := co.WriteMsg(m); err != nil {
		return nil, err
	}
	return await(co, m)
}

// strays bounds how many packets that are no answer are passed over.
const strays = 20

// await reads until the answer to the question comes. The socket is connected,
// so the source is right; ID and question must be, too.
func await(co *dns.Conn, m *dns.Msg) (*dns.Msg, error) {
	var last error
	for range strays {
		reply, err := co.ReadMsg()
		var netErr net.Error
		switch {
		case err != nil && (reply == nil || errors.As(err, &netErr)):
			if errors.As(err, &netErr) || reply == nil && last != nil {
				return nil, err
			}
			last = err
		case err == nil && answers(reply, m):
			return reply, nil
		default:
			last = errors.New("the reply is to another question")
		}
	}
	return nil, last
}

func answers(reply, m *dns.Msg) bool {
	return reply.Id == m.Id && reply.Response && reply.Opcode == m.Opcode && len(reply.Question) == 1 &&
		reply.Question[0].Qtype == m.Question[0].Qtype && reply.Question[0].Qclass == m.Question[0].Qclass &&
		strings.EqualFold(reply.Question[0].Name, m.Question[0].Name)
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
