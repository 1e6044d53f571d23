package verify

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// gwUnknown wants an address that nobody has to be refused at RCPT: a gateway
// that accepts it would have to bounce it later, to forged senders.
func gwUnknown(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.fromEach(ctx, cut, func(v Vantage, e endpoint) (plan.Finding, error) {
		n, err := c.askMadeUp(ctx, v, e.addr, cut.Domain)
		if err != nil {
			return unknown(e.String(), "%v", err), nil
		}
		rcpt, err := n.rcpt, n.said
		code, words := reply(err)
		switch {
		case c.catchAll(cut.Domain) && (err == nil || code >= 500 && atRcpt(err)):
			return accepted(v, c.anyAddress(ctx, when, e, rcpt, err)), nil
		case err == nil && c.CatchAll:
			return accepted(v, pass(e.String(), "it accepts any recipient, as the configuration says")), nil
		case err == nil:
			return accepted(v, c.unmask(ctx, e, rcpt, rrset.Bare(cut.Domain))), nil
		case code >= 500 && atRcpt(err):
			return pass(e.String(), "it refuses an unknown recipient: %s", words), nil
		}
		return refusal(e.String(), err), err
	})
}

// catchAll tells whether the configuration says that any address of a domain is valid.
func (c *Checker) catchAll(domain string) bool { return slices.Contains(c.CatchAlls, domain) }

// unmask tells a domain that takes any address from a gateway that does not know the
// addresses. Of the former nothing can be proven before a person says that it is one:
// where no address is invalid, none is refused.
func (c *Checker) unmask(ctx context.Context, e endpoint, rcpt, domain string) plan.Finding {
	err := c.askOld(ctx, c.From, rcpt)
	code, words := reply(err)
	switch {
	case err == nil:
		return unknown(e.String(), "it accepts %s, made up by chance, and so does the old server: is %s a catch-all? Then that unknown recipients are refused cannot be tried; if it is one, say so: probe.catch_all: [%s]. If the old server bounces later what it does not know, let the gateway refuse it", rcpt, domain, domain)
	case code >= 500 && atRcpt(err):
		return fail(e.String(), "it accepts a recipient that does not exist, which the old server refuses (%s): it would bounce what it has accepted. Let it verify recipients; if it cannot for any domain, and that is known, say so with probe.expect: catchall", words)
	}
	return fail(e.String(), "it accepts a recipient that does not exist, and what the old server says of it is not known: %v. If %s is a catch-all there, say so: probe.catch_all: [%s]", err, domain, domain)
}

// anyAddress judges a domain of which any address is valid, as the configuration says:
// the old server must say so too. A gateway that refuses one loses mail there.
func (c *Checker) anyAddress(ctx context.Context, when When, e endpoint, rcpt string, said error) plan.Finding {
	err := c.askOld(ctx, c.From, rcpt)
	code, words := reply(err)
	_, refuses := reply(said)
	oldRefuses := code >= 500 && atRcpt(err)
	switch {
	case said != nil && oldRefuses:
		return warn(e.String(), "it refuses an unknown recipient (%s), and so does the old server: this is no catch-all, take it out of probe.catch_all", refuses)
	case said != nil:
		f := fail(e.String(), "any address of a domain in probe.catch_all is valid, and it refuses %s: that mail would be lost. Let the gateway accept any address there, too; or take the domain out, if it is none: %s", rcpt, refuses)
		f.Evidence = refuses
		return f
	case err == nil:
		return warn(e.String(), "it accepts any recipient, as the old server does and probe.catch_all says: that unknown ones are refused cannot be tried")
	case oldRefuses:
		return fail(e.String(), "probe.catch_all says that any address is valid, and the old server refuses one that the gateway accepts (%s): it would bounce what it has accepted. Take the domain out of probe.catch_all, and let the gateway verify its recipients", words)
	case when == After:
		return warn(e.String(), "it accepts any recipient, as probe.catch_all says; the old server could not be asked: %v", err)
	}
	return unknown(e.String(), "it accepts any recipient, as probe.catch_all says, and whether the old server does could not be asked: %v", err)
}

// A madeUp is an address made up by chance, and what a server says of it.
type madeUp struct {
	rcpt string
	said error // nil = it accepts it
}

// askMadeUp asks a server from a vantage for an address of a domain that nobody has. In one
// run there is one such address for each address of a server: all vantages and all
// checks ask for the same, and each vantage once.
func (c *Checker) askMadeUp(ctx context.Context, v Vantage, addr netip.Addr, domain string) (madeUp, error) {
	m, _ := ctx.Value(memoryKey{}).(*memory)
	if m == nil {
		m = &memory{}
	}
	always := func(string) time.Duration { return time.Hour }
	rcpt, err := recall(ctx, c, &m.random, addr.String()+" "+domain, always, func(ctx context.Context) (string, error) {
		return randomLabel() + "@" + mailDomain(domain), c.draw(ctx, addr, domain)
	})
	if err != nil {
		return madeUp{}, err
	}
	return recall(ctx, c, &m.answers, v.Name+"|"+addr.String()+" "+domain, func(madeUp) time.Duration { return time.Hour }, func(ctx context.Context) (madeUp, error) {
		return madeUp{rcpt, c.askPatiently(ctx, v, addr, rcpt)}, ctx.Err()
	})
}
