package providers

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// maxConns bounds the TCP connections to one server (RFC 7766 section 6.2.2 asks
// for few).
const maxConns = 8

// maxMessages is how many messages a connection is used for. A server may close one
// at any time (RFC 7766 section 6.2.4); some do after 128 messages, and an update that is
// under way then is in doubt.
const maxMessages = 100

// conns keeps TCP connections to one server open between uses.
type conns struct {
	network net.Dialer
	server  string
	slots   chan struct{} // one for each connection in use

	mu   sync.Mutex
	idle []*buffered
}

func newConns(server string, source net.Addr, timeout time.Duration) *conns {
	return &conns{
		server: server, slots: make(chan struct{}, maxConns),
		network: net.Dialer{Timeout: timeout, LocalAddr: source},
	}
}

// get waits for its turn. The connection is an old one, or nil: then the caller
// dials. Each get is followed by a put.
func (c *conns) get(ctx context.Context) (*buffered, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return conn, nil
	}
	return nil, nil
}

func (c *conns) dial(ctx context.Context) (*buffered, error) {
	conn, err := c.network.DialContext(ctx, "tcp", c.server)
	if err != nil {
		return nil, err
	}
	return newBuffered(conn), nil
}

// readSize is about what a few answers have.
const readSize = 4096

// buffered reads a message and its length, and several messages, at once.
type buffered struct {
	net.Conn
	reader *bufio.Reader
	sent   int // messages
}

func newBuffered(conn net.Conn) *buffered {
	return &buffered{Conn: conn, reader: bufio.NewReaderSize(conn, readSize)}
}

func (b *buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

// put takes a connection back, or nil if it was closed.
func (c *conns) put(conn *buffered) {
	if conn != nil && conn.sent >= maxMessages {
		conn.Close()
		conn = nil
	}
	if conn != nil {
		c.mu.Lock()
		c.idle = append(c.idle, conn)
		c.mu.Unlock()
	}
	<-c.slots
}

// close closes the connections that are not in use.
func (c *conns) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
	return nil
}
