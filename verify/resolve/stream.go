package resolve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A stream is a TCP connection to one server, on which many questions are on
// their way at once (RFC 7766 section 6.2.1.1). Connections through another host
// know no deadlines, so timers close it.
type stream struct {
	conn  net.Conn
	timer *time.Timer // closes it when nothing has come for a while

	writing sync.Mutex
	mu      sync.Mutex
	open    map[uint16]*flight
	err     error // why it takes no more questions
}

// Bounds of questions on one connection, and of servers that are remembered.
const (
	perStream = 128
	maxLines  = 1 << 12
)

var (
	errBusy = errors.New("too many questions on one connection")
	errIdle = errors.New("nothing came for a while")
	errCut  = errors.New("the answer is cut short by TCP too") // half an RRset must not be taken for the whole
)

// tcp asks by TCP. A connection that was open may have been closed by the server
// meanwhile, which says nothing: then it is tried once more on a new one.
func (c *Client) tcp(ctx context.Context, server netip.AddrPort, q query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	for {
		s, fresh, err := c.stream(ctx, server)
		if err != nil {
			return nil, err
		}
		f := newFlight(ctx, query{append([]byte(nil), q.packet...), q.end}, server)
		switch err = s.ask(ctx, f); {
		case err == nil && f.reply[2]&bitTC != 0:
			return nil, errCut
		case err == nil:
			return f.reply, nil
		}
		if fresh || ctx.Err() != nil {
			return nil, err
		}
	}
}

// A line is the way to one server by TCP. Whoever has its turn opens a connection;
// the others wait for that.
type line struct {
	turn   chan struct{}
	stream *stream
}

// lineTo is the line to a server. Those that nobody uses are forgotten.
func (c *Client) lineTo(server netip.AddrPort) *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[server]
	if l == nil {
		if len(c.lines) >= maxLines {
			clear(c.lines) // connections that are open end when they are idle
		}
		l = &line{turn: make(chan struct{}, 1)}
		c.lines[server] = l
	}
	return l
}

// stream is the connection to a server; fresh: it was opened for this question.
func (c *Client) stream(ctx context.Context, server netip.AddrPort) (s *stream, fresh bool, err error) {
	l := c.lineTo(server)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if l.stream != nil && l.stream.takes() {
		return l.stream, false, nil
	}
	conn, err := c.dial(ctx, server)
	if err != nil {
		return nil, false, err
	}
	s = &stream{conn: conn, open: map[uint16]*flight{}}
	s.timer = time.AfterFunc(idle, func() { s.close(errIdle) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.close(net.ErrClosed)
		return nil, false, net.ErrClosed
	}
	l.stream = s
	c.keep(s, s.receive)
	return s, true, nil
}

func (c *Client) dial(ctx context.Context, server netip.AddrPort) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, "tcp", server.String())
	}
	d := net.Dialer{}
	if c.Source.IsValid() && c.Source.Unmap().Is4() == server.Addr().Is4() {
		d.LocalAddr = &net.TCPAddr{IP: c.Source.AsSlice()}
	}
	return d.DialContext(ctx, "tcp", server.String())
}

func (s *stream) takes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && len(s.open) < perStream
}

// ask sends a question and waits for its reply.
func (s *stream) ask(ctx context.Context, f *flight) error {
	if err := s.board(f); err != nil {
		return err
	}
	defer s.forget(f)
	message := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(f.packet)), uint16(len(f.packet)))
	message = append(message, f.packet...)
	stop := context.AfterFunc(ctx, func() { f.land(ctx.Err()) })
	defer stop()
	// A peer that reads nothing blocks the writer; the timer closes the connection.
	s.writing.Lock()
	_, err := s.conn.Write(message)
	s.writing.Unlock()
	if err != nil {
		s.close(err)
	}
	return <-f.landed
}

// board gives a question its ID.
func (s *stream) board(f *flight) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case len(s.open) >= perStream:
		return errBusy
	}
	for {
		var b [2]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		if f.id = binary.BigEndian.Uint16(b[:]); s.open[f.id] == nil {
			break
		}
	}
	binary.BigEndian.PutUint16(f.packet, f.id)
	s.open[f.id] = f
	s.timer.Reset(idle)
	return nil
}

func (s *stream) forget(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[f.id] == f {
		delete(s.open, f.id)
	}
}

// receive gives each message to its question until the connection ends.
func (s *stream) receive() {
	var size [2]byte
	for {
		if _, err := io.ReadFull(s.conn, size[:]); err != nil {
			s.close(fmt.Errorf("connection closed: %w", err))
			return
		}
		p := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(s.conn, p); err != nil {
			s.close(fmt.Errorf("connection closed: %w", err))
			return
		}
		s.take(p)
	}
}

func (s *stream) take(p []byte) {
	if len(p) < headerSize {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[binary.BigEndian.Uint16(p)]
	if f == nil {
		return
	}
	if ok, _ := f.answers(p); ok { // capitals do not matter on a connection
		s.timer.Reset(idle)
		delete(s.open, f.id)
		f.reply = p
		f.land(nil)
	}
}

// close ends the connection; who waits is told why.
func (s *stream) close(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = why
	s.timer.Stop()
	s.conn.Close()
	for _, f := range s.open {
		f.land(why)
	}
}
