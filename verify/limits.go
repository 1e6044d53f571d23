package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mxcutover/plan"
)

// limits are what a server takes, by its reply to EHLO.
type limits struct {
	size       int64 // bytes of a message at most (RFC 1870); 0 = it names none
	eight, utf bool  // 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531)
}

func limitsOf(l *look) (out limits) {
	out.size, _ = strconv.ParseInt(strings.TrimSpace(l.ext["SIZE"]), 10, 64) // none, 0 or nonsense: no limit that we know
	out.size = max(out.size, 0)
	_, out.eight = l.ext["8BITMIME"]
	_, out.utf = l.ext["SMTPUTF8"]
	return out
}

// gwLimits compares the gateway with the old server: what only the old one takes
// would be refused tomorrow, and what only the gateway takes would bounce.
func gwLimits(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	old, err := c.lookOld(ctx)
	if err != nil {
		return nil, fmt.Errorf("what the old server takes: %w", err)
	}
	found, err := c.fromEach(ctx, cut, func(v Vantage, e endpoint) (plan.Finding, error) {
		l, err := c.look(ctx, v, e)
		if err != nil {
			return refusal(e.String(), err), err
		}
		return c.compare(e, limitsOf(l), limitsOf(old)), nil
	})
	// What is announced is most often the same everywhere, and told once then.
	return slices.CompactFunc(found, func(a, b plan.Finding) bool {
		return a.Target == b.Target && a.Severity == b.Severity && a.Detail == b.Detail
	}), err
}

func (c *Checker) compare(e endpoint, gw, old limits) plan.Finding {
	need, whose := old.size, "the old server takes"
	if c.Largest > 0 {
		need, whose = c.Largest, "must pass (probe.largest)"
	}
	switch {
	case gw.size > 0 && need > gw.size:
		return fail(e.String(), "it takes messages of %d bytes, and %d %s; raise its limit, or say with probe.largest what is needed", gw.size, need, whose)
	case gw.size > 0 && need == 0:
		return warn(e.String(), "it takes messages of %d bytes at most, and the old server names no limit", gw.size)
	}
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	switch {
	case old.size > 0 && gw.size == 0:
		say("it names no limit to a message's size, and the old server takes %d bytes: what is larger bounces", old.size)
	case old.size > 0 && gw.size > old.size:
		say("it takes messages of %d bytes, and the old server takes %d: what is between bounces", gw.size, old.size)
	}
	for _, x := range []struct {
		name     string
		gw, old  bool
		one, two string
	}{
		{"8BITMIME", gw.eight, old.eight, "it must convert 8-bit mail for the old server, or bounces it", "senders must convert 8-bit mail"},
		{"SMTPUTF8", gw.utf, old.utf, "what it takes for addresses beyond ASCII bounces at the old server", "mail for addresses beyond ASCII, which the old server takes, is refused"},
	} {
		switch {
		case x.gw && !x.old:
			say("it offers %s, and the old server does not: %s", x.name, x.one)
		case x.old && !x.gw:
			say("the old server offers %s, and it does not: %s", x.name, x.two)
		}
	}
	if len(why) > 0 {
		return warn(e.String(), "%s", strings.Join(why, "; "))
	}
	return pass(e.String(), "as the old server: %s", gw)
}

func (l limits) String() string {
	out := "any size"
	if l.size > 0 {
		out = fmt.Sprintf("%d bytes", l.size)
	}
	if l.eight {
		out += ", 8BITMIME"
	}
	if l.utf {
		out += ", SMTPUTF8"
	}
	return out
}

// lookOld looks at the old server, at the first of its addresses that answers.
func (c *Checker) lookOld(ctx context.Context) (*look, error) {
	err := errors.New("no address of it is known")
	for _, a := range c.OldAddresses {
		var l *look
		if l, err = c.look(ctx, c.toward(a), endpoint{"", a}); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// askOld asks the old server for a recipient, at the first of its addresses that
// answers with SMTP.
func (c *Checker) askOld(ctx context.Context, sender, rcpt string) error {
	err := errors.New("no address of it is known")
	for _, a := range c.OldAddresses {
		err = c.patiently(ctx, func() error { return c.askFrom(ctx, c.toward(a), a, sender, rcpt) })
		if code, _ := reply(err); err == nil || code >= 500 {
			return err
		}
	}
	return err
}

// mxLoop asks the next hop for the domain. One that does not know it as its own
// sends it to where its MX leads: back to the gateway.
func mxLoop(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	old, err := c.lookOld(ctx)
	if err != nil && when == After {
		return nil, fmt.Errorf("the old server does not talk to us (it may be closed by now); probe.arrival proves the way: %w", err)
	} else if err != nil {
		return nil, err
	}
	found, err := c.atEach(ctx, cut, func(e endpoint) plan.Finding {
		l, err := c.look(ctx, c.toward(e.addr), e)
		switch {
		case err != nil:
			return unknown(e.String(), "%v", err)
		case !strings.Contains(l.calls(), ".") || !strings.Contains(old.calls(), "."):
			return unknown(e.String(), "how it and the old server call themselves does not tell them apart: %q and %q", l.calls(), old.calls())
		case strings.EqualFold(l.calls(), old.calls()):
			return fail(e.String(), "it and the old server call themselves %s both: a server that is greeted by its own name takes that for a loop, and bounces; or it is the old server itself, behind another address", l.calls())
		}
		return pass(e.String(), "it is %s, and the old server is %s", l.calls(), old.calls())
	})
	if err != nil {
		return found, err
	}
	err = c.askOld(ctx, c.From, rcpt)
	code, words := reply(err)
	switch {
	case err == nil && when == After:
		found = append(found, pass(cut.Domain, "the old server takes %s, and is its MX no more", rcpt))
	case err == nil:
		found = append(found, pass(cut.Domain, "the old server takes %s", rcpt))
	case code >= 500 && atRcpt(err): // what it says before that is about us
		f := fail(cut.Domain, "the next hop refuses %s, so that what the gateway takes bounces or comes back: %s", rcpt, words)
		f.Evidence = words
		found = append(found, f)
	default:
		return found, err
	}
	return found, nil
}
