package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"mxcutover/plan"
	"mxcutover/rrset"
)

func gwRecipient(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	return c.fromEach(ctx, cut, func(v Vantage, e endpoint) (plan.Finding, error) {
		if err := c.askPatiently(ctx, v, e.addr, rcpt); err != nil {
			f := refusal(e.String(), err)
			f.Detail = rcpt + ": " + f.Detail
			return f, err
		}
		return accepted(v, pass(e.String(), "it accepts %s", rcpt)), nil
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

// atRcpt tells whether an answer was to RCPT.
func atRcpt(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "RCPT TO") }

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
