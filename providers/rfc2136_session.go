package providers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/miekg/dns"
)

// fudge is for how long after its signing a message is taken, in seconds (RFC
// 8945 section 5.2.3). It bounds how late a write can still be carried out.
const fudge = 30

// A session is one connection to the server, for one caller at a time, about one
// zone.
type session struct {
	*rfc2136
	zone string // canonical
	conn *buffered
}

// session waits for a connection. Errors are transient.
func (r *rfc2136) session(ctx context.Context, zone string) (*session, error) {
	conn, err := r.conns.get(ctx)
	if err != nil {
		return nil, &transient{fmt.Errorf("%s: waiting for a connection: %w", r.where(zone), err)}
	}
	s := &session{rfc2136: r, zone: zone, conn: conn}
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
	s.conn = conn
	return nil
}

func (s *session) end() { s.conns.put(s.conn) }

func (s *session) drop() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// A question is a name and a type that are asked for.
type question struct {
	name string
	typ  uint16
}

// query asks one question; see [session.queries].
func (s *session) query(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	replies, err := s.queries(ctx, question{name, typ})
	if err != nil {
		return nil, err
	}
	return replies[0], nil
}

// queries asks questions at once; the server may answer them in any order, as of
// any moment (RFC 7766 section 6.2.1.1). The answers are signed, with authority,
// and NOERROR or NXDOMAIN. Where the server closes the connection instead of answering,
// as it may at any time (RFC 7766 section 6.2.4), they are asked anew, once.
func (s *session) queries(ctx context.Context, asked ...question) ([]*dns.Msg, error) {
	replies, err := s.exchange(ctx, messages(asked)...)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		replies, err = s.exchange(ctx, messages(asked)...)
	}
	if err != nil {
		return nil, err
	}
	for i, q := range asked {
		if err := s.answers(replies[i], q); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

func messages(asked []question) []*dns.Msg {
	out := make([]*dns.Msg, len(asked))
	for i, q := range asked {
		out[i] = new(dns.Msg)
		out[i].SetQuestion(q.name, q.typ)
		out[i].RecursionDesired = false
	}
	return out
}

// answers checks that a reply answers a question, with authority.
func (s *session) answers(reply *dns.Msg, asked question) error {
	q := reply.Question
	switch {
	case len(q) != 1 || !sameName(q[0].Name, asked.name) || q[0].Qtype != asked.typ || q[0].Qclass != dns.ClassINET:
		return fmt.Errorf("%s: the answer is to another question than %s %s", s.where(s.zone), asked.name, dns.Type(asked.typ))
	case reply.Truncated:
		return fmt.Errorf("%s: a truncated answer over TCP", s.where(s.zone))
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return s.refused(reply.Rcode, duringQuery)
	case !reply.Authoritative:
		return fmt.Errorf("%s: no answer with authority for %s: the zone is not served there, or the name lies below a zone cut", s.where(s.zone), asked.name)
	}
	return nil
}
