package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

func gwRecipient(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		if err := c.askPatiently(ctx, c.toward(e.addr), e.addr, rcpt); err != nil {
			f := refusal(e.String(), err)
			f.Detail = rcpt + ": " + f.Detail
			return f
		}
		return accepted(c.toward(e.addr), pass(e.String(), "it accepts %s", rcpt))
	})
}

// gwNull offers what a bounce looks like. A gateway that refuses it leaves senders
// without word of what became of their mail.
func gwNull(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		err := c.patiently(ctx, func() error { return c.askFrom(ctx, c.toward(e.addr), e.addr, "", rcpt) })
		if err != nil {
			f := refusal(e.String(), err)
			f.Detail = "MAIL FROM:<>, " + rcpt + ": " + f.Detail
			return f
		}
		return accepted(c.toward(e.addr), pass(e.String(), "it accepts MAIL FROM:<> for %s", rcpt))
	})
}

// gwPostmaster wants postmaster to be accepted. Where the old server refuses it
// too, nothing gets worse.
func gwPostmaster(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt := "postmaster@" + mailDomain(cut.Domain)
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		err := c.askPatiently(ctx, c.toward(e.addr), e.addr, rcpt)
		code, words := reply(err)
		switch {
		case err == nil:
			return accepted(c.toward(e.addr), pass(e.String(), "it accepts %s", rcpt))
		case code < 500 || !atRcpt(err):
			f := refusal(e.String(), err)
			f.Detail = rcpt + ": " + f.Detail
			return f
		}
		oldErr := c.askOld(ctx, c.From, rcpt)
		oldCode, _ := reply(oldErr)
		switch {
		case oldErr == nil:
			return fail(e.String(), "it refuses %s, which the old server accepts: %s", rcpt, words)
		case oldCode >= 500 && atRcpt(oldErr):
			return warn(e.String(), "it refuses %s, as the old server does: %s", rcpt, words)
		case when == After:
			return warn(e.String(), "it refuses %s: %s", rcpt, words)
		}
		return unknown(e.String(), "it refuses %s, and whether the old server does could not be asked: %v", rcpt, oldErr)
	})
}

// gwUnknown wants an address that nobody has to be refused at RCPT: a gateway
// that accepts it would have to bounce it later, to forged senders.
func gwUnknown(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt := randomLabel() + "@" + mailDomain(cut.Domain)
	return c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		if err := c.draw(ctx, e.addr); err != nil {
			return unknown(e.String(), "%v", err)
		}
		err := c.askPatiently(ctx, c.toward(e.addr), e.addr, rcpt)
		code, words := reply(err)
		switch {
		case c.catchAll(cut.Domain) && (err == nil || code >= 500 && atRcpt(err)):
			return accepted(c.toward(e.addr), c.anyAddress(ctx, when, e, rcpt, err))
		case err == nil && c.CatchAll:
			return accepted(c.toward(e.addr), pass(e.String(), "it accepts any recipient, as the configuration says"))
		case err == nil:
			return accepted(c.toward(e.addr), c.unmask(ctx, e, rcpt, rrset.Bare(cut.Domain)))
		case code >= 500 && atRcpt(err):
			return pass(e.String(), "it refuses an unknown recipient: %s", words)
		}
		return refusal(e.String(), err)
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

// atRcpt tells whether an answer was to RCPT.
func atRcpt(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "RCPT TO") }

// hourly counts what each server was asked in the last hour. Addresses made up by
// chance look like a harvest, and a server may well shut out who asks for many.
type hourly struct {
	mu sync.Mutex
	by map[netip.Addr][]time.Time // the newest last
}

// take counts one more if that keeps within a limit, and else tells when it will.
func (h *hourly) take(addr netip.Addr, limit int, now time.Time) (next time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	had := h.by[addr]
	for len(had) > 0 && !now.Before(had[0].Add(time.Hour)) {
		had = had[1:]
	}
	if len(had) >= limit {
		return had[len(had)-limit].Add(time.Hour), false
	}
	if h.by == nil {
		h.by = map[netip.Addr][]time.Time{}
	}
	h.by[addr] = append(had, now)
	return now, true
}

// draw waits for its turn to ask for an address made up by chance, as long as a
// probe may take.
func (c *Checker) draw(ctx context.Context, addr netip.Addr) error {
	deadline := c.Now().Add(c.Arrival)
	for {
		next, ok := c.random.take(addr, c.RandomPerHour, c.Now())
		if ok {
			return nil
		}
		if d, has := ctx.Deadline(); next.After(deadline) || has && next.After(d) {
			return fmt.Errorf("%d addresses made up by chance were asked for within the hour (probe.random_per_hour); the next one may be at %s", c.RandomPerHour, next.UTC().Format(time.RFC3339))
		}
		t := time.NewTimer(next.Sub(c.Now()))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
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

// atEachOnce is atEach for what is the same for all domains.
func (c *Checker) atEachOnce(ctx context.Context, cut plan.Cutover, check string, ask func(context.Context, endpoint) (plan.Finding, error)) ([]plan.Finding, error) {
	var mu sync.Mutex
	var errs []error
	found, err := c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		one, err := c.shared(ctx, check+"|"+e.host+"|"+e.addr.String(), func(ctx context.Context) ([]plan.Finding, error) {
			f, err := ask(ctx, e)
			return []plan.Finding{f}, err
		})
		if err != nil || len(one) == 0 {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, fmt.Errorf("%s: %w", e, err))
			return plan.Finding{}
		}
		return one[0]
	})
	if len(errs) > 0 {
		kept := found[:0]
		for _, f := range found {
			if f.Severity != "" {
				kept = append(kept, f)
			}
		}
		return kept, errors.Join(append(errs, err)...)
	}
	return found, err
}
