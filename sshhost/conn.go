package sshhost

import (
	"errors"
	"io"
	"net"
	"sync"
)

// conn is a connection from the host. SSH channels have no deadlines, and a local
// pipe has: two goroutines carry the bytes between them.
type conn struct {
	net.Conn // our end of the pipe
	local    net.Addr
	remote   net.Addr

	mu     sync.Mutex
	cause  error // why the far end is over; nil = the far side closed it
	closed bool  // by us
	end    func()
}

// pump carries bytes between a channel and a new connection.
func (h *Host) pump(l *line, ch net.Conn, network, address string, end func()) net.Conn {
	near, far := net.Pipe()
	c := &conn{Conn: near, local: ch.LocalAddr(), remote: farAddr{network, address}}
	var once sync.Once
	c.end = func() {
		once.Do(func() {
			c.mu.Lock()
			c.closed = true
			c.mu.Unlock()
			near.Close()
			far.Close()
			ch.Close()
			end()
		})
	}
	h.running.Go(func() {
		_, _ = io.Copy(far, ch) // ends when either is over
		c.mu.Lock()
		closed := c.closed
		c.mu.Unlock()
		// A channel that is over may be the far side's doing, or that of a line which is
		// lost: then nothing is known of the far side.
		if !closed && !l.alive(aliveTime) {
			c.mu.Lock()
			c.cause = h.trouble("the SSH connection was lost")
			c.mu.Unlock()
		}
		far.Close()
	})
	h.running.Go(func() {
		_, _ = io.Copy(ch, far) // what could not be written is seen by the reader
		c.end()
	})
	return c
}

// Read reads what the far side sent.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.why(err)
}

// Write writes to the far side.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.why(err)
}

// why puts the line's loss in place of what it looks like.
func (c *conn) why(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cause != nil {
			return c.cause
		}
	}
	return err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.end()
	return nil
}

// LocalAddr is not known: it is an address of the host.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is what was dialled.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

type farAddr struct{ network, address string }

func (a farAddr) Network() string { return a.network }
func (a farAddr) String() string  { return a.address }
