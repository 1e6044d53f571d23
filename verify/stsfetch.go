package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// Bounds of one fetch (RFC 8461 section 3.3 advises a minute).
const (
	fetchTime = time.Minute
	maxHead   = 16 << 10 // bytes of a reply's header
)

// errNoPolicy means that a policy host answered, and that its answer is no policy:
// senders go on with the one they have, or with none.
var errNoPolicy = errors.New("no policy")

// stsPolicy fetches the policy of a domain, at most once in Settings.Shared for
// all that ask. [errNoPolicy]: what its host says is none.
func (c *Checker) stsPolicy(ctx context.Context, domain string) (stsPolicy, error) {
	host := "mta-sts." + rrset.Bare(domain)
	found, err := c.shared(ctx, "mta-sts "+host, func(ctx context.Context) ([]plan.Finding, error) {
		text, err := c.fetchPolicy(ctx, host)
		switch {
		case errors.Is(err, errNoPolicy):
			return []plan.Finding{fail(host, "%v", err)}, nil
		case err != nil:
			return nil, err
		}
		f := pass(host, "it answers")
		if p, err := readSTS(text); err != nil || len(p.lacks(c.Planned)) > 0 {
			f.Severity = plan.Warn // somebody is to mend it: look again soon
		}
		f.Evidence = text
		return []plan.Finding{f}, nil
	})
	if err != nil {
		return stsPolicy{}, fmt.Errorf("policy at https://%s: %w", host, err)
	}
	if found[0].Severity == plan.Fail {
		return stsPolicy{}, fmt.Errorf("%w: %s", errNoPolicy, found[0].Detail)
	}
	p, err := readSTS(found[0].Evidence)
	if err != nil {
		return p, fmt.Errorf("%w: https://%s: %w", errNoPolicy, host, err)
	}
	return p, nil
}

// fetchPolicy gets https://host/.well-known/mta-sts.txt as a sender does: the
// certificate is checked, no redirect is followed, the answer must be text/plain
// (RFC 8461 section 3.3).
func (c *Checker) fetchPolicy(ctx context.Context, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	roots, err := c.roots()
	if err != nil {
		return "", err
	}
	t := &http.Transport{
		DialContext: c.dialWeb, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxHead, TLSHandshakeTimeout: c.Connect,
	}
	client := http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at := host
	if c.HTTPSPort != 443 {
		at = net.JoinHostPort(host, strconv.Itoa(int(c.HTTPSPort)))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "mxcutover")
	reply, err := client.Do(req)
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		return "", fmt.Errorf("%w: https://%s: %w", errNoPolicy, at, bad.Err)
	case err != nil:
		return "", err
	}
	defer reply.Body.Close()
	return policyText(reply, at)
}

// policyText takes a reply's text, if it may be a policy's.
func policyText(reply *http.Response, at string) (string, error) {
	if reply.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: https://%s answers %d", errNoPolicy, at, reply.StatusCode)
	}
	kind := reply.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); err != nil || media != "text/plain" {
		return "", fmt.Errorf("%w: https://%s answers with content of type %.40q, and not text/plain", errNoPolicy, at, kind)
	}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxPolicy+1))
	switch {
	case err != nil:
		return "", err
	case len(body) > maxPolicy:
		return "", fmt.Errorf("%w: https://%s answers with more than %d octets", errNoPolicy, at, maxPolicy)
	}
	return string(body), nil
}

// dialWeb connects to a web server by our own resolvers, from the first vantage.
func (c *Checker) dialWeb(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	name, err := rrset.CanonicalName(host)
	if err != nil {
		return nil, err
	}
	addrs, err := c.Addresses(ctx, name)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no address", rrset.Bare(name))
	for _, a := range addrs {
		var conn net.Conn
		if conn, err = c.dial(ctx, c.here(), a, c.HTTPSPort); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// roots are the authorities that policy hosts are trusted by: the system's, and the
// configured one.
func (c *Checker) roots() (*x509.CertPool, error) {
	if c.HTTPSCA == "" {
		return nil, nil // the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pem, err := os.ReadFile(c.HTTPSCA)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", c.HTTPSCA)
	}
	return pool, nil
}
