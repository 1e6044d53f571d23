package providers

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

// A request is a message that was signed and sent.
type request struct {
	*dns.Msg
	mac string
}

// exchange sends messages at once, signed, and gives their answers in the same
// order, verified. An error is a [lost] one if a message was sent, so that it may
// have had an effect.
func (s *session) exchange(ctx context.Context, ms ...*dns.Msg) ([]*dns.Msg, error) {
	requests, err := s.send(ctx, ms...)
	if err != nil {
		return nil, err
	}
	replies := make([]*dns.Msg, len(ms))
	for range ms {
		raw, err := s.receive(ctx)
		if err != nil {
			return nil, err
		}
		i, reply, err := s.replyTo(requests, raw)
		if err != nil {
			return nil, err
		}
		if err := s.verified(reply, raw, requests[i].mac, false); err != nil {
			return nil, err
		}
		replies[i], requests[i].Msg = reply, nil
	}
	return replies, nil
}

// send signs and sends messages. An error means that none was sent whole, or
// none that changes anything: an update goes alone.
func (s *session) send(ctx context.Context, ms ...*dns.Msg) ([]request, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var wire []byte
	requests := make([]request, len(ms))
	first := dns.Id()
	for i, m := range ms {
		m.Id = first + uint16(i)
		b, mac, err := s.key.sign(m, s.now())
		if err != nil {
			return nil, fmt.Errorf("%s: a message cannot be made: %w", s.where(s.zone), err)
		}
		if len(b) > dns.MaxMsgSize {
			return nil, fmt.Errorf("%s: a message of %d octets is too long for DNS", s.where(s.zone), len(b))
		}
		requests[i] = request{m, mac}
		wire = append(binary.BigEndian.AppendUint16(wire, uint16(len(b))), b...)
	}
	s.conn.sent += len(ms)
	defer s.limit(ctx)()
	if _, err := s.conn.Write(wire); err != nil {
		s.drop()
		return nil, &transient{fmt.Errorf("%s: %w", s.where(s.zone), cause(ctx, err))}
	}
	return requests, nil
}

// lost is an error after a message was sent: what it did is not known.
type lost struct{ err error }

func (e *lost) Error() string        { return e.err.Error() }
func (e *lost) Unwrap() error        { return e.err }
func (e *lost) Is(target error) bool { return target == ErrTransient }

// receive reads one message. The connection may be gone: the context may have
// ended right after the sending.
func (s *session) receive(ctx context.Context) ([]byte, error) {
	var raw []byte
	err := net.ErrClosed
	if s.conn != nil {
		raw, err = s.readMessage(ctx)
	}
	if err != nil {
		s.drop()
		return nil, &lost{fmt.Errorf("%s: no answer: %w", s.where(s.zone), cause(ctx, err))}
	}
	return raw, nil
}

// replyTo finds the request that a message answers.
func (s *session) replyTo(requests []request, raw []byte) (int, *dns.Msg, error) {
	reply := new(dns.Msg)
	if err := reply.Unpack(raw); err == nil && reply.Response {
		for i, r := range requests {
			if r.Msg != nil && reply.Id == r.Id && reply.Opcode == r.Opcode {
				return i, reply, nil
			}
		}
	}
	s.drop()
	return 0, nil, &lost{fmt.Errorf("%s: the answer is no answer to what was asked", s.where(s.zone))}
}

// verified checks a message's signature against the MAC before it: that of the
// request, or in a zone transfer of the message before.
func (s *session) verified(reply *dns.Msg, raw []byte, mac string, timersOnly bool) error {
	if err := s.verify(reply, raw, mac, timersOnly); err != nil {
		s.drop()
		return err
	}
	return nil
}

func (s *session) readMessage(ctx context.Context) ([]byte, error) {
	defer s.limit(ctx)()
	var length [2]byte // RFC 1035 section 4.2.2
	if _, err := io.ReadFull(s.conn, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(s.conn, raw)
	return raw, err
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
