package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Limits towards one server.
const (
	maxConns = 8
	maxIdle  = 5 * time.Second // an older kept connection may be closed by now
	fudge    = 30              // seconds, RFC 8945 section 5.2.3
)

// connPool keeps at most maxConns TCP connections to one server.
type connPool struct {
	server netip.AddrPort
	source netip.Addr
	slots  chan struct{}
	mu     sync.Mutex
	idle   []idleConn
}

type idleConn struct {
	net.Conn
	since time.Time
}

func newConnPool(server netip.AddrPort, source netip.Addr) *connPool {
	return &connPool{server: server, source: source, slots: make(chan struct{}, maxConns)}
}

// take gives a kept connection, or a new one. Each take is followed by one give.
func (c *connPool) take(ctx context.Context) (net.Conn, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if conn := c.kept(); conn != nil {
		return conn, nil
	}
	conn, err := c.dial(ctx)
	if err != nil {
		<-c.slots
	}
	return conn, err
}

func (c *connPool) kept() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.idle) > 0 {
		last := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if time.Since(last.since) < maxIdle {
			return last.Conn
		}
		last.Close()
	}
	return nil
}

func (c *connPool) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{}
	if c.source.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: c.source.AsSlice()}
	}
	conn, err := d.DialContext(ctx, "tcp", c.server.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return conn, nil
}

// give takes a connection back; a spent one is closed.
func (c *connPool) give(conn net.Conn, spent bool) {
	if spent {
		conn.Close()
	} else {
		c.mu.Lock()
		c.idle = append(c.idle, idleConn{conn, time.Now()})
		c.mu.Unlock()
	}
	<-c.slots
}

// errNoAnswer means that a question went out and no answer came.
var errNoAnswer = errors.New("no answer")

// exchange sends one signed message and gives the verified reply.
func (p *rfc2136) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := p.conns.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.server, err)
	}
	deadline, _ := ctx.Deadline()
	spent := conn.SetDeadline(deadline) != nil
	defer func() { p.conns.give(conn, spent) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// A fresh dns.Conn for each exchange: a kept one remembers the MAC, and the
	// next signature would be made over it.
	c := &dns.Conn{Conn: conn, TsigSecret: p.key.secrets}
	m.SetTsig(p.key.name, p.key.alg, fudge, time.Now().Unix())
	if err := c.WriteMsg(m); err != nil {
		spent = true
		return nil, fmt.Errorf("%s: %w: %w", p.server, errNoAnswer, err)
	}
	reply, err := c.ReadMsg()
	if err := p.checkReply(m, reply, err); err != nil {
		spent = true
		return nil, err
	}
	return reply, nil
}

// checkReply refuses a reply that is not to our question, or not signed.
func (p *rfc2136) checkReply(m, reply *dns.Msg, err error) error {
	if reply == nil || reply.MsgHdr.Id != m.Id || !reply.Response || reply.Opcode != m.Opcode {
		if err == nil {
			err = errors.New("the reply is to another question")
		}
		return fmt.Errorf("%s: %w: %w", p.server, errNoAnswer, err)
	}
	t := reply.IsTsig()
	switch {
	case t != nil && t.Error != dns.RcodeSuccess:
		return p.tsigError(t)
	case reply.Rcode == dns.RcodeNotAuth || reply.Rcode == dns.RcodeRefused || reply.Rcode == dns.RcodeFormatError:
		return nil // may come unsigned; it is a refusal in any case
	case err != nil:
		return fmt.Errorf("%s: %w: the reply's signature: %w", p.server, errNoAnswer, err)
	case t == nil:
		return fmt.Errorf("%s: %w: the reply is not signed", p.server, errNoAnswer)
	}
	return nil
}

func (p *rfc2136) tsigError(t *dns.TSIG) error {
	what := map[uint16]string{
		dns.RcodeBadKey:  "it does not know the key; check settings.key_name and the server's configuration",
		dns.RcodeBadSig:  "the key's secret or algorithm is another one there (BADSIG)",
		dns.RcodeBadTime: "its clock and ours differ by more than 30 s (BADTIME); set both by NTP",
	}[t.Error]
	if what == "" {
		what = "TSIG error " + dns.RcodeToString[int(t.Error)]
	}
	return fmt.Errorf("%w: %s, key %s: %s", ErrRefused, p.server, p.key.name, what)
}

// rcodeError puts an error code into words. Codes that may pass are transient.
func (p *rfc2136) rcodeError(rcode int, zone, what string) error {
	cure := map[int]string{
		dns.RcodeRefused:        "not allowed for this key, or a planned MX host in the zone has no address",
		dns.RcodeNotAuth:        "it is not the primary of the zone, or does not know the key",
		dns.RcodeNotZone:        "a name is outside the zone",
		dns.RcodeFormatError:    "it does not understand the message",
		dns.RcodeNotImplemented: "it does not do this",
	}[rcode]
	kind := ErrRefused
	if rcode == dns.RcodeServerFailure {
		kind, cure = ErrTransient, "it failed; its log tells why"
	}
	return fmt.Errorf("%w: %s, zone %s, key %s: %s: %s: %s", kind, p.server, zone, p.key.name, what, dns.RcodeToString[rcode], cure)
}
