package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// A look is what a mail server shows of itself in one conversation without mail.
// Checks that ask nothing else share it.
type look struct {
	banner, name string
	clear, ext   map[string]string // what it offers, before TLS and after
	secure       *tls.ConnectionState
	noTLS        error // STARTTLS was offered, and came to nothing
	local        netip.Addr
	greeted      time.Duration // from the connection to the greeting
}

// calls is how the server calls itself: in reply to EHLO, or, as some say only
// "Hello" there, in its greeting.
func (l *look) calls() string {
	if strings.Contains(l.name, ".") {
		return l.name
	}
	name, _, _ := strings.Cut(l.banner, " ")
	return name
}

// look looks at an endpoint from a vantage.
func (c *Checker) look(ctx context.Context, from Vantage, e endpoint) (*look, error) {
	key := strings.Join([]string{from.Name, e.host, e.addr.String()}, "|")
	return recall(ctx, c, &c.looks, key, func(*look) time.Duration { return c.Shared }, func(ctx context.Context) (l *look, err error) {
		err = c.patiently(ctx, func() error {
			t, err := c.meet(ctx, from, e.addr, e.host)
			if err != nil {
				return err
			}
			defer t.Close()
			l = &look{banner: t.banner, name: t.name, clear: t.clear, ext: t.ext, secure: t.secure, noTLS: t.noTLS, greeted: t.greeted}
			if l.clear == nil {
				l.clear = l.ext
			}
			if a, err := netip.ParseAddrPort(t.conn.LocalAddr().String()); err == nil {
				l.local = a.Addr().Unmap()
			}
			return nil
		})
		return l, err
	})
}

var errNoTLS = errors.New("it does not offer STARTTLS")

// certificate is the chain of certificates that a mail server shows at one of its
// addresses, its own first, as senders see it that begin TLS under the host's name.
func (c *Checker) certificate(ctx context.Context, from Vantage, e endpoint) ([]*x509.Certificate, error) {
	l, err := c.look(ctx, from, e)
	switch {
	case err != nil:
		return nil, err
	case l.secure != nil:
		return l.secure.PeerCertificates, nil
	case l.noTLS != nil:
		return nil, l.noTLS
	}
	return nil, errNoTLS
}

// slow is a greeting that is told of: some gateways let strangers wait on purpose.
const slow = time.Second

func gwConnect(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.fromOutside(ctx, cut, func(v Vantage, e endpoint) plan.Finding {
		l, err := c.look(ctx, v, e)
		if err != nil {
			return refusal(e.String(), err)
		}
		if l.greeted >= slow {
			return accepted(v, pass(e.String(), "it answers with SMTP, and greets after %s", l.greeted.Round(time.Second)))
		}
		return accepted(v, pass(e.String(), "it answers with SMTP"))
	})
}

// gwStartTLS wants TLS to work where it is offered. Senders that are told to insist
// on it (MTA-STS, DANE) are the matter of checks of policy.
func gwStartTLS(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.fromEach(ctx, cut, func(v Vantage, e endpoint) (plan.Finding, error) {
		l, err := c.look(ctx, v, e)
		if err != nil {
			return refusal(e.String(), err), err
		}
		return l.startTLS(e), l.noTLS
	})
}

// startTLS judges how TLS came about, or did not.
func (l *look) startTLS(e endpoint) plan.Finding {
	switch {
	case l.noTLS != nil:
		code, _ := reply(l.noTLS)
		if unreachable(l.noTLS) || code/100 == 4 {
			return unknown(e.String(), "%v", l.noTLS)
		}
		return fail(e.String(), "it offers STARTTLS, and TLS does not come about, so that senders give up or try for ever: %v", l.noTLS)
	case l.secure == nil && masked(l):
		return warn(e.String(), "something between hides what it offers (a firewall that rewrites SMTP?): %s", l.banner)
	case l.secure == nil:
		return warn(e.String(), "%v", errNoTLS)
	case l.secure.Version < tls.VersionTLS12:
		return warn(e.String(), "it speaks no more than %s, which many senders have given up (RFC 8996)", tls.VersionName(l.secure.Version))
	}
	return pass(e.String(), "%s, %s", tls.VersionName(l.secure.Version), tls.CipherSuiteName(l.secure.CipherSuite))
}

// masked tells that a firewall has put asterisks, or X, in place of words.
func masked(l *look) bool {
	if strings.Contains(l.banner, "****") {
		return true
	}
	for keyword := range l.clear {
		if len(keyword) > 3 && strings.Trim(keyword, "X*") == "" {
			return true
		}
	}
	return false
}

// soon is how long before its end a certificate should have been renewed.
const soon = 14 * 24 * time.Hour

// gwCert looks at the certificate. Most senders do not (RFC 7435): what is wrong
// with it is a warning here.
func gwCert(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.fromEach(ctx, cut, func(v Vantage, e endpoint) (plan.Finding, error) {
		chain, err := c.certificate(ctx, v, e)
		if code, _ := reply(err); errors.Is(err, errNoTLS) {
			return warn(e.String(), "there is none: %v", err), nil
		} else if err != nil && (unreachable(err) || code/100 == 4) {
			return unknown(e.String(), "%v", err), err
		} else if err != nil {
			return warn(e.String(), "there is none to be seen: %v", err), nil
		}
		if why := c.doubts(chain, e.host); len(why) > 0 {
			return warn(e.String(), "%s", strings.Join(why, "; ")), nil
		}
		return pass(e.String(), "of %s, signed by %s, until %s", rrset.Bare(e.host), chain[0].Issuer, chain[0].NotAfter.UTC().Format(time.DateOnly)), nil
	})
}

// doubts are what a sender that looks at a certificate would not like.
func (c *Checker) doubts(chain []*x509.Certificate, host string) (why []string) {
	if len(chain) == 0 {
		return []string{"the server shows none"}
	}
	leaf, now := chain[0], c.Now()
	if err := leaf.VerifyHostname(rrset.Bare(host)); err != nil {
		why = append(why, fmt.Sprintf("it is none of %s: %v", rrset.Bare(host), err))
	}
	switch left := leaf.NotAfter.Sub(now); {
	case left < 0:
		return append(why, "it ended at "+leaf.NotAfter.UTC().Format(time.RFC3339))
	case left < soon:
		why = append(why, fmt.Sprintf("it ends in %d days, at %s", int(left/(24*time.Hour)), leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	between := x509.NewCertPool()
	for _, x := range chain[1:] {
		between.AddCert(x)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.Roots, Intermediates: between, CurrentTime: now}); err != nil {
		why = append(why, fmt.Sprintf("no authority vouches for it: %v", err))
	}
	return why
}
