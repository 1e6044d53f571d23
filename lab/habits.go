package lab

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Habits are how a mail server of the world behaves. The zero value is how a good
// one does; each field spoils one thing.
type Habits struct {
	Name           string        // it greets by; "" = its own
	Greeting       string        // "554 ..." or "421 ...": said instead of a conversation
	GreetAfter     time.Duration // how long strangers wait for the greeting
	NoTLS          bool          // no STARTTLS is offered
	BrokenTLS      bool          // STARTTLS is offered, and the handshake fails
	Certificate    Certificate   // what it shows
	NoPTR          bool          // its address has no name; of the gateway only
	Relays         Relays        // for whom it relays though it should not
	CatchAll       bool          // takes any recipient of its domains
	NoPostmaster   bool          // refuses postmaster
	NoBounces      bool          // refuses the null sender
	Size           int64         // of a message, in octets; 0 = 1 MiB
	NoSMTPUTF8     bool          // does not offer SMTPUTF8
	HangsUpAfter   int           // replies of 5xx after which it says 421; 0 = never
	RefusesSenders bool          // refuses every MAIL by policy
}

// A Certificate says what is wrong with a server's certificate.
type Certificate string

// The certificates; "" is a good one of the world's own authority.
const (
	OtherName  Certificate = "other-name"  // of another host
	EndedCert  Certificate = "expired"     // ended yesterday
	Expiring   Certificate = "expiring"    // ends in five days
	SelfSigned Certificate = "self-signed" // signed by nobody else
)

// Relays says for whom a server relays though it should not.
type Relays string

// The ways to relay; "" is not at all.
const (
	Anybody   Relays = "anybody"    // for everybody to everywhere
	Percent   Relays = "percent"    // user%elsewhere@its.domain
	OwnSender Relays = "own-sender" // for whoever says to be of its domains
	BounceOut Relays = "bounces"    // whatever has the null sender
)

// serve applies habits to a server before it is started.
func (h Habits) serve(s *smtp.Server, authority *authority) error {
	if h.Name != "" {
		s.Domain = h.Name
	}
	s.MaxMessageBytes = orDefault(h.Size, maxMessage)
	s.EnableSMTPUTF8 = !h.NoSMTPUTF8
	switch {
	case h.NoTLS:
		return nil
	case h.BrokenTLS:
		s.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no certificate") }} //nolint:gosec // no handshake comes about
		return nil
	}
	pair, err := authority.issue(s.Domain, h.Certificate)
	if err != nil {
		return err
	}
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	return nil
}

// refuse says the bad greeting, if there is one, and ends the connection.
func (h Habits) refuse(c net.Conn) bool {
	if h.Greeting == "" {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a new connection takes so few words
	_, _ = fmt.Fprintf(c, "%s\r\n", h.Greeting)
	_ = c.Close() // it was told why
	return true
}

// mail judges a sender.
func (h Habits) mail(from string) error {
	switch {
	case h.RefusesSenders:
		return no(550, smtp.EnhancedCode{5, 7, 1}, "Sender refused by local policy")
	case from == "" && h.NoBounces:
		return no(550, smtp.EnhancedCode{5, 7, 1}, "Null sender not accepted")
	}
	return nil
}

// takes tells whether a recipient is accepted whatever the directory says, or
// refused.
func (h Habits) takes(d *directory, from, to string) (bool, error) {
	local, name := split(to)
	_, ours := d.find(name)
	_, sender := split(from)
	_, own := d.find(sender)
	switch {
	case h.NoPostmaster && local == "postmaster":
		return false, no(550, smtp.EnhancedCode{5, 1, 1}, "No such user")
	case h.Relays == Anybody, h.CatchAll && ours:
		return true, nil
	case h.Relays == Percent && ours && strings.Contains(local, "%"):
		return true, nil
	case h.Relays == OwnSender && own, h.Relays == BounceOut && from == "":
		return true, nil
	}
	return false, nil
}

// tarpit lets those who connect wait for the first word.
type tarpit struct {
	net.Listener
	after time.Duration
}

// Accept gives the next connection.
func (t tarpit) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil || t.after == 0 {
		return c, err
	}
	return &slow{Conn: c, after: t.after}, nil
}

type slow struct {
	net.Conn
	after time.Duration
	once  sync.Once
}

// Write writes, the first time after the wait.
func (s *slow) Write(p []byte) (int, error) {
	s.once.Do(func() { time.Sleep(s.after) })
	return s.Conn.Write(p)
}
