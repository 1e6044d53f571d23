package providers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// fudge is for how long after its signing a message is taken, in seconds (RFC
// 8945 section 5.2.3). It bounds how late a write can still be carried out.
const fudge = 30

// A session is one connection to the server, for one caller at a time, about one
// zone.
type session struct {
	*rfc2136
	zone  string // canonical
	conn  net.Conn
	stale bool // from an earlier session: the server may have closed it
}

// session waits for a connection. Errors are transient.
func (r *rfc2136) session(ctx context.Context, zone string) (*session, error) {
	conn, err := r.conns.get(ctx)
	if err != nil {
		return nil, &transient{fmt.Errorf("%s: waiting for a connection: %w", r.where(zone), err)}
	}
	s := &session{rfc2136: r, zone: zone, conn: conn, stale: conn != nil}
	if err := s.ready(ctx); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// ready dials if there is no connection.
func (s *session) ready(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.conns.dial(ctx)
	if err != nil {
		return &transient{fmt.Errorf("%s: %w", s.where(s.zone), err)}
	}
	s.conn, s.stale = conn, false
	return nil
}

func (s *session) end() { s.conns.put(s.conn) }

func (s *session) drop() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// query asks one question. The answer is signed, with authority, and NOERROR or
// NXDOMAIN. A connection that the server closed meanwhile is dialed anew, once.
func (s *session) query(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	stale := s.stale
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.RecursionDesired = false
	reply, err := s.exchange(ctx, m)
	if gone := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE); gone && stale {
		reply, err = s.exchange(ctx, m)
	}
	if err != nil {
		return nil, err
	}
	q := reply.Question
	switch {
	case len(q) != 1 || !sameName(q[0].Name, name) || q[0].Qtype != typ || q[0].Qclass != dns.ClassINET:
		return nil, fmt.Errorf("%s: the answer is to another question than %s %s", s.where(s.zone), name, dns.Type(typ))
	case reply.Truncated:
		return nil, fmt.Errorf("%s: a truncated answer over TCP", s.where(s.zone))
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, s.refused(reply.Rcode, duringQuery)
	case !reply.Authoritative:
		return nil, fmt.Errorf("%s: no answer with authority for %s: the zone is not served there, or the name lies below a zone cut", s.where(s.zone), name)
	}
	return reply, nil
}

// exchange sends one message, signed, and gives its answer, verified. An error
// is a [lost] one if the message was sent, so that it may have had an effect.
func (s *session) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	mac, err := s.send(ctx, m)
	if err != nil {
		return nil, err
	}
	reply, _, err := s.receive(ctx, m, mac, false)
	return reply, err
}

// send signs and sends a message. An error means that it was not sent whole.
func (s *session) send(ctx context.Context, m *dns.Msg) (mac string, err error) {
	m.Id = dns.Id()
	m.Extra = nil
	m.SetTsig(s.key.name, s.key.algorithm, fudge, s.now().Unix())
	wire, mac, err := dns.TsigGenerateWithProvider(m, s.key, "", false)
	if err != nil {
		return "", fmt.Errorf("%s: a message cannot be made: %w", s.where(s.zone), err)
	}
	defer s.limit(ctx)()
	if _, err := (&dns.Conn{Conn: s.conn}).Write(wire); err != nil {
		s.drop()
		return "", &transient{fmt.Errorf("%s: %w", s.where(s.zone), cause(ctx, err))}
	}
	return mac, nil
}

// lost is an error after a message was sent: what it did is not known.
type lost struct{ err error }

func (e *lost) Error() string        { return e.err.Error() }
func (e *lost) Unwrap() error        { return e.err }
func (e *lost) Is(target error) bool { return target == ErrTransient }

// receive reads one message and verifies it against the MAC before it: that of
// the request, or in a zone transfer of the message before.
func (s *session) receive(ctx context.Context, m *dns.Msg, mac string, timersOnly bool) (*dns.Msg, []byte, error) {
	raw, err := s.readMessage(ctx)
	if err != nil {
		s.drop()
		return nil, nil, &lost{fmt.Errorf("%s: no answer: %w", s.where(s.zone), cause(ctx, err))}
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(raw); err != nil || reply.Id != m.Id || !reply.Response || reply.Opcode != m.Opcode {
		s.drop()
		return nil, nil, &lost{fmt.Errorf("%s: the answer is no answer to what was asked", s.where(s.zone))}
	}
	if err := s.verify(reply, raw, mac, timersOnly); err != nil {
		s.drop()
		return nil, nil, err
	}
	s.stale = false
	return reply, raw, nil
}

func (s *session) readMessage(ctx context.Context) ([]byte, error) {
	if s.conn == nil {
		return nil, net.ErrClosed // the context ended just after the message was sent
	}
	defer s.limit(ctx)()
	return (&dns.Conn{Conn: s.conn}).ReadMsgHeader(nil)
}

// limit bounds what is done with the connection until the returned function is
// called: by the timeout, and by the context.
func (s *session) limit(ctx context.Context) func() {
	conn, until := s.conn, time.Now().Add(s.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	_ = conn.SetDeadline(until) // a closed one fails when it is used
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return func() {
		if !stop() && s.conn == conn {
			s.drop()
		}
	}
}

// cause is the context's error where it was that which ended the connection.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
