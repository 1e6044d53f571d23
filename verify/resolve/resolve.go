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

// A refusedError is a response code that is no answer.
type refusedError int

func (e refusedError) Error() string { return dns.RcodeToString[int(e)] }

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
	*exchanger
	unjudging bool // resolvers are told not to validate (CD)
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
	return &Client{Settings: s, exchanger: &exchanger{
		lines: map[netip.AddrPort]*line{}, live: map[closer]struct{}{}, zones: map[string]*delegated{},
	}}
}

// With is the same client with other resolvers: another view of the DNS. It shares
// sockets and limits, and what it finds out about zones is its own.
func (c *Client) With(resolvers []netip.AddrPort) *Client {
	s := c.Settings
	s.Resolvers = resolvers
	return &Client{Settings: s, exchanger: c.exchanger}
}

// An Answer is what a server said about one name and type.
type Answer struct {
	Set      rrset.Set // absent: there is none
	RCode    string    // "NOERROR" or "NXDOMAIN"
	AA, AD   bool
	CNAME    string // canonical name, if the name is an alias
	Negative uint32 // seconds that a negative answer may be kept (RFC 2308 section 5)
	Serial   uint32 // of the SOA, if it is in the answer
	Zone     string // of the SOA, or of a referral's NS; "" = the answer does not tell
}

// Ask asks one server one question.
func (c *Client) Ask(ctx context.Context, server netip.AddrPort, name, typ string, recurse bool) (Answer, error) {
	qtype, ok := dns.StringToType[typ]
	if !ok {
		return Answer{}, fmt.Errorf("unknown record type %q", typ)
	}
	p, err := c.exchange(ctx, server, name, qtype, flags{recurse: recurse, checking: recurse && c.unjudging})
	if err != nil {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, typ, err)
	}
	if rcode := rcodeOf(p); rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError {
		return Answer{}, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, typ, refusedError(rcode))
	}
	a, err := read(p, name, qtype)
	if err != nil {
		err = fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, typ, err)
	}
	return a, err
}
