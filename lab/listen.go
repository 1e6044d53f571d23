package lab

import (
	"net"
	"net/netip"
	"sync"
)

// limited is a listener that bounds how many connections are open, and that
// closes those that are open when it is closed.
type limited struct {
	net.Listener
	refuse func(net.Conn) bool // takes a connection away before it is served; may be nil

	mu     sync.Mutex
	open   map[*counted]struct{}
	closed bool
	served sync.WaitGroup
}

// maxOpen bounds the connections to one server.
const maxOpen = 512

type counted struct {
	net.Conn
	from *limited
	once sync.Once
}

// Accept gives the next connection that is let in.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.refuse != nil && l.refuse(c) {
			continue
		}
		if cc := l.take(c); cc != nil {
			return cc, nil
		}
		_ = c.Close() // above the limit: the peer sees it closed
	}
}

func (l *limited) take(c net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.open) >= maxOpen {
		return nil
	}
	if l.open == nil {
		l.open = map[*counted]struct{}{}
	}
	cc := &counted{Conn: c, from: l}
	l.open[cc] = struct{}{}
	l.served.Add(1)
	return cc
}

// Close closes the listener and all that it gave.
func (l *limited) Close() error {
	err := l.Listener.Close()
	l.cut()
	return err
}

// cut closes all connections; their servers see the error.
func (l *limited) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.open {
		_ = c.Conn.Close() // its server closes it once more
	}
}

// wait returns when, after Close, the servers are done with all connections.
func (l *limited) wait() { l.served.Wait() }

// Close closes the connection; its server is done with it.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.from.mu.Lock()
		delete(c.from.open, c)
		c.from.mu.Unlock()
		c.from.served.Done()
	})
	return err
}

// reset closes a connection such that the peer gets a TCP reset.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // on failure the peer gets a FIN, which it takes as a refusal too
	}
	_ = c.Close() // nothing was written
}

// peer is the address of the far end.
func peer(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
