package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Bounds of the SMTP servers.
const (
	maxMessage    = 1 << 20 // octets
	maxRecipients = 100
	smtpTimeout   = 30 * time.Second
)

// A receiver decides what a mail server takes. Its errors are SMTP replies.
type receiver interface {
	recipient(in *inbound, to string) error
	message(in *inbound, data []byte) error
}

// An inbound is one SMTP session and the message it is about.
type inbound struct {
	by     receiver
	habits Habits
	peer   netip.Addr
	helo   string
	from   string
	to     []string
	no     int // refusals
}

// serveSMTP serves a listener until stop is called, which waits for the last
// session.
func serveSMTP(l *limited, host string, by receiver, habits Habits, authority *authority) (stop func(), err error) {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &inbound{by: by, habits: habits, peer: peer(c.Conn()), helo: c.Hostname()}, nil
	}))
	s.Domain = host
	if err := habits.serve(s, authority); err != nil {
		return nil, err
	}
	s.MaxRecipients = maxRecipients
	s.ReadTimeout, s.WriteTimeout = smtpTimeout, smtpTimeout
	s.ErrorLog = log.New(io.Discard, "", 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(tarpit{l, habits.GreetAfter}) // ends when the listener is closed
	}()
	return func() {
		_ = l.Close() // closed by its block too
		<-ended
		_ = s.Shutdown(context.Background()) // waits for the sessions, whose connections are closed
	}, nil
}

// Mail begins a message. The null sender is as good as any (RFC 5321 section 4.5.5).
func (in *inbound) Mail(from string, _ *smtp.MailOptions) error {
	in.from, in.to = from, nil
	return in.count(in.habits.mail(from))
}

// count counts refusals, and loses patience with them.
func (in *inbound) count(err error) error {
	if !lasting(err) {
		return err
	}
	if in.no++; in.habits.HangsUpAfter > 0 && in.no > in.habits.HangsUpAfter {
		return no(421, smtp.EnhancedCode{4, 7, 0}, "Too many errors")
	}
	return err
}

// Rcpt adds a recipient.
func (in *inbound) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := in.count(in.by.recipient(in, to)); err != nil {
		return err
	}
	in.to = append(in.to, to)
	return nil
}

// Data takes the message.
func (in *inbound) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return in.by.message(in, data)
}

// Reset forgets the message.
func (in *inbound) Reset() { in.from, in.to = "", nil }

// Logout ends the session.
func (in *inbound) Logout() error { return nil }

// received is the trace field of RFC 5321 section 4.4. A recipient is named only
// if there is no other who would learn of it.
func (in *inbound) received(by, id string, now time.Time) string {
	helo := in.helo
	if helo == "" || strings.Trim(strings.ToLower(helo), "abcdefghijklmnopqrstuvwxyz0123456789-.[]:_") != "" {
		helo = "unknown"
	}
	to := ""
	if len(in.to) == 1 {
		to = "\r\n\tfor <" + in.to[0] + ">"
	}
	return fmt.Sprintf("from %s ([%s])\r\n\tby %s with ESMTP id %s%s;\r\n\t%s", helo, in.peer, by, id, to, now.Format(time.RFC1123Z))
}

// no is an SMTP reply that refuses.
func no(code int, enhanced smtp.EnhancedCode, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// lasting tells whether a reply refuses for good, so that asking again is vain.
func lasting(err error) bool {
	var reply *smtp.SMTPError
	return errors.As(err, &reply) && reply.Code >= 500
}

// A route is one way to a mail server.
type route struct {
	source netip.Addr
	helo   string
	server netip.AddrPort
}

// transmit hands over a message. Its errors by recipient are SMTP replies; err
// says why no recipient got the message.
func transmit(ctx context.Context, r route, from string, to []string, data []byte) (refused map[string]error, err error) {
	d := net.Dialer{Timeout: smtpTimeout, LocalAddr: &net.TCPAddr{IP: r.source.AsSlice()}}
	conn, err := d.DialContext(ctx, "tcp4", r.server.String())
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := smtp.NewClient(conn)
	defer c.Close()
	c.CommandTimeout, c.SubmissionTimeout = smtpTimeout, smtpTimeout
	if err := c.Hello(r.helo); err != nil {
		return nil, err
	}
	if err := c.Mail(from, nil); err != nil {
		return nil, err
	}
	refused = map[string]error{}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt, nil); err != nil {
			refused[rcpt] = err
			var reply *smtp.SMTPError
			if !errors.As(err, &reply) {
				return nil, err
			}
		}
	}
	if len(refused) == len(to) {
		_ = c.Quit() // nothing is left to be said
		return refused, nil
	}
	w, err := c.Data()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	_ = c.Quit() // the message was taken
	return refused, nil
}
