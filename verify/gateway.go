package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// gatewayChecks ask the gateway, at each address of each planned MX host.
func gatewayChecks() []Check {
	return []Check{
		{ID: "gw.connect", Title: "each planned MX host answers at each address", RFC: "RFC 5321 section 3.1", When: []When{Before, After}, Run: gwConnect},
		{ID: "gw.recipient", Title: "the gateway accepts a valid recipient", RFC: "RFC 5321 section 3.3", When: always, Run: gwRecipient},
		{ID: "gw.unknown", Title: "the gateway refuses an unknown recipient at RCPT", RFC: "RFC 5321 section 3.3", When: always, Run: gwUnknown},
	}
}

// An endpoint is one address of one planned MX host.
type endpoint struct {
	host string
	addr netip.Addr
}

func (e endpoint) String() string { return rrset.Bare(e.host) + " " + e.addr.String() }

// endpoints are all addresses of all planned hosts of a domain.
func (c *Checker) endpoints(ctx context.Context, cut plan.Cutover) ([]endpoint, error) {
	hosts := cut.After().MX()
	if len(hosts) == 0 {
		hosts = c.Planned
	}
	var out []endpoint
	for _, m := range hosts {
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			out = append(out, endpoint{m.Host, a})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no planned MX host has an address")
	}
	return out, nil
}

// here is the vantage from which mail is sent: the first.
func (c *Checker) here() Vantage { return c.Vantages[0] }

// unreachable tells whether it is our own network, and not the server, that
// kept us from asking.
func unreachable(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, context.Canceled)
}

// refusal puts an SMTP conversation that did not succeed into a finding: the
// server's answer fails, "later" and our own troubles are unknown.
func refusal(target string, err error) plan.Finding {
	code, words := reply(err)
	switch {
	case code >= 500:
		f := fail(target, "%s", words)
		f.Evidence = words
		return f
	case code >= 400:
		f := unknown(target, "deferred until we gave up: %s", words)
		f.Evidence = words
		return f
	case unreachable(err):
		return unknown(target, "%v", err)
	}
	var conn *connectError
	if errors.As(err, &conn) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fail(target, "no SMTP there: %v", err)
	}
	return fail(target, "%v", err)
}

func gwConnect(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		t, err := c.greet(ctx, c.here(), e.addr)
		if err != nil {
			return refusal(e.String(), err)
		}
		t.Close()
		return pass(e.String(), "it answers with SMTP")
	})
}

func gwRecipient(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		if err := c.askPatiently(ctx, c.here(), e.addr, rcpt); err != nil {
			f := refusal(e.String(), err)
			f.Detail = rcpt + ": " + f.Detail
			return f
		}
		return pass(e.String(), "it accepts %s", rcpt)
	})
}

// gwUnknown wants an address that nobody has to be refused at RCPT: a gateway
// that accepts it would have to bounce it later, to forged senders.
func gwUnknown(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt := randomLabel() + "@" + mailDomain(cut.Domain)
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		err := c.askPatiently(ctx, c.here(), e.addr, rcpt)
		code, words := reply(err)
		switch {
		case err == nil && c.CatchAll:
			return pass(e.String(), "it accepts any recipient, as the configuration says")
		case err == nil:
			return fail(e.String(), "it accepts a recipient that does not exist; if it is a catch-all, say so with probe.expect: catchall")
		case code >= 500 && strings.HasPrefix(err.Error(), "RCPT TO"):
			return pass(e.String(), "it refuses an unknown recipient: %s", words)
		}
		return refusal(e.String(), err)
	})
}

// atEach asks at every endpoint, one finding each.
func (c *Checker) atEach(ctx context.Context, cut plan.Cutover, ask func(endpoint) plan.Finding) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	found := make([]plan.Finding, len(ends))
	inParallel(len(ends), func(i int) {
		found[i] = ask(ends[i])
		found[i].Vantage = c.here().Name
	})
	return found, ctx.Err()
}

// recipient is whom a probe for a domain is addressed to.
func (c *Checker) recipient(domain string) (string, error) {
	name := mailDomain(domain)
	r := c.Recipients
	switch {
	case r.File[rrset.Bare(domain)] != "":
		return r.File[rrset.Bare(domain)], nil
	case r.Rewrite != "":
		return r.Rewrite + "@" + name, nil
	case r.Postmaster:
		return "postmaster@" + name, nil
	}
	return "", fmt.Errorf("probe.recipients names no recipient for %s", name)
}

// mailDomain is a domain as it stands in an address: below a wildcard, a name
// that only it answers.
func mailDomain(domain string) string { return rrset.Bare(asked(domain)) }
