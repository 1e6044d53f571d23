package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/emersion/go-smtp"

	"mxcutover/rrset"
)

// shown is what a host shows as its certificate after STARTTLS, and those that it
// adds, whatever they are worth. It is asked by its name (SNI), as senders that
// want a certificate do (RFC 7672 section 8.1). [errNoTLS]: it offers none.
func (c *Checker) shown(ctx context.Context, from Vantage, e endpoint) ([]*x509.Certificate, error) {
	free, err := c.slots.take(ctx, e.addr)
	if err != nil {
		return nil, err
	}
	defer free()
	ctx, cancel := context.WithTimeout(ctx, 2*replyTime)
	defer cancel()
	conn, err := c.dial(ctx, from, e.addr, c.SMTPPort)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	client := smtp.NewClient(&boundedConn{Conn: conn, left: maxReply})
	defer client.Close()
	client.CommandTimeout = replyTime
	if err := client.Hello(c.Hello); err != nil {
		return nil, fmt.Errorf("%s: greeting: %w", e, err)
	}
	if offered, _ := client.Extension("STARTTLS"); !offered {
		_ = client.Quit() // nothing was begun
		return nil, errNoTLS
	}
	_ = client.Quit() // one more connection, whose EHLO the library says itself
	return c.handshake(ctx, from, e)
}

func (c *Checker) handshake(ctx context.Context, from Vantage, e endpoint) ([]*x509.Certificate, error) {
	conn, err := c.dial(ctx, from, e.addr, c.SMTPPort)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var chain []*x509.Certificate
	conf := &tls.Config{
		ServerName: rrset.Bare(e.host), MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // it is looked at, not trusted
		VerifyConnection: func(s tls.ConnectionState) error {
			chain = s.PeerCertificates
			return nil
		},
	}
	client, err := smtp.NewClientStartTLS(&boundedConn{Conn: conn, left: maxReply}, conf)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: STARTTLS: %w", e, err)
	}
	client.CommandTimeout = replyTime
	if err := client.Hello(c.Hello); err != nil {
		_ = client.Close() // the error counts
		return nil, fmt.Errorf("%s: EHLO after STARTTLS: %w", e, err)
	}
	_ = client.Quit() // the certificates are there
	_ = client.Close()
	if len(chain) == 0 {
		return nil, errors.New("it shows no certificate")
	}
	return chain, nil
}
