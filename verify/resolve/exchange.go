package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	retransmit = 500 * time.Millisecond
	udpSize    = 1232 // octets of a reply by UDP that no path breaks into pieces
)

// exchanger is how a Client's questions travel: by shared UDP sockets, and by
// one TCP connection a server where UDP does not do.
type exchanger struct {
	udp   [2][sockets]atomic.Pointer[socket] // by family
	turn  atomic.Uint32
	paces sync.Map // netip.Addr -> *pace

	landings sync.Pool // chan error

	running sync.WaitGroup
	mu      sync.Mutex
	paced   int
	lines   map[netip.AddrPort]*line
	live    map[closer]struct{} // all sockets and connections
	zones   map[string]*delegated
	closed  bool
}

// A closer is a socket or a connection.
type closer interface{ close(why error) }

// keep runs what reads of a socket or connection; mu is held.
func (c *Client) keep(x closer, read func()) {
	c.live[x] = struct{}{}
	c.running.Go(func() {
		read()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.live, x)
	})
}

// exchange asks one server one question and gives the reply, whose question and
// source are the right ones. Waiting in line has no limit but ctx; from then on
// Timeout counts.
func (c *Client) exchange(ctx context.Context, server netip.AddrPort, name string, qtype uint16, f flags) ([]byte, error) {
	q, err := pack(name, qtype, f)
	if err != nil {
		return nil, err
	}
	server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	p := c.paceOf(server.Addr())
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	reply, err := c.carry(ctx, server, p, q)
	p.leave(err == nil)
	if err == nil && reply[3]&0xf == dns.RcodeFormatError && !f.plain {
		f.plain = true // a server that is older than EDNS (RFC 6891 section 7)
		return c.exchange(ctx, server, name, qtype, f)
	}
	return reply, err
}

// carry asks by UDP with repeats, and by TCP when the answer is truncated or looks
// forged; through another host by TCP alone.
func (c *Client) carry(ctx context.Context, server netip.AddrPort, p *pace, q query) ([]byte, error) {
	if c.Dial != nil {
		return c.tcp(ctx, server, q)
	}
	f := &flight{query: q, ctx: ctx, server: server, pace: p, landed: c.landing()}
	err := c.fly(f)
	if errors.Is(err, errCase) || err == nil && f.reply[2]&bitTC != 0 {
		return c.tcp(ctx, server, q)
	}
	return f.reply, err
}

// landing is a channel for a flight by UDP, which is told of its landing once, and
// so can be used again.
func (c *Client) landing() chan error {
	if l, ok := c.landings.Get().(chan error); ok {
		return l
	}
	return make(chan error, 1)
}

// errSilent means that a server said nothing to any of the repeats.
var errSilent = fmt.Errorf("nothing came: %w", os.ErrDeadlineExceeded)

// fly sends a question by a shared socket, and waits until it has landed.
func (c *Client) fly(f *flight) error {
	family := 0
	if f.server.Addr().Is6() {
		family = 1
	}
	place := &c.udp[family][c.turn.Add(1)%sockets]
	for f.ctx.Err() == nil {
		s := place.Load()
		if s != nil && s.board(f) {
			err := <-f.landed
			c.landings.Put(f.landed)
			return err
		}
		if err := c.replace(place, s, f.server.Addr()); err != nil {
			return err
		}
	}
	return f.ctx.Err()
}

// replace puts a new socket in the place of one that takes no more questions.
func (c *Client) replace(place *atomic.Pointer[socket], was *socket, server netip.Addr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if place.Load() != was {
		return nil
	}
	s, err := c.openSocket(server)
	if err == nil {
		place.Store(s)
	}
	return err
}

// Close ends all sockets and connections and waits for it. Who asks afterwards
// gets [net.ErrClosed]. A Client that is not closed ends them by itself when they
// are not used.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	var live []closer
	for x := range c.live {
		live = append(live, x)
	}
	c.mu.Unlock()
	for _, x := range live {
		x.close(net.ErrClosed)
	}
	c.running.Wait()
}
