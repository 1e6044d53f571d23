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

// A way is one classic attempt to make a server pass mail on for a stranger.
type way struct {
	name     string
	from, to string // as they stand between the angle brackets
	local    bool   // a server that takes any address of our domain takes this one, too, and passes nothing on
}

// ways are the attempts: to is an address that is none of the gateway's; domain is
// one that it takes mail for. RFC 5321 appendix C speaks of source routes, and RFC
// 1123 section 5.2.16 of the percent sign; the rest is what relays were found by.
func ways(to, domain, host string, addr netip.Addr) []way {
	user, far, _ := strings.Cut(to, "@")
	literal := "[" + addr.String() + "]"
	if addr.Is6() {
		literal = "[IPv6:" + addr.String() + "]"
	}
	return []way{
		{"a stranger's mail for a stranger", to, to, false},
		{"a bounce for a stranger", "", to, false},
		{"from an address of our domain", "postmaster@" + domain, to, false},
		{"from the server's own name", "postmaster@" + host, to, false},
		{"from the server's address", "postmaster@" + literal, to, false},
		{"from a local user", "postmaster", to, false},
		{"the percent sign", to, user + "%" + far + "@" + domain, true},
		{"the percent sign at the server's name", to, user + "%" + far + "@" + host, true},
		{"the percent sign at the server's address", to, user + "%" + far + "@" + literal, true},
		{"the percent sign without a domain", to, user + "%" + far, true},
		{"a path of bangs", to, far + "!" + user, true},
		{"a path of bangs at our domain", to, far + "!" + user + "@" + domain, true},
		{"a path of bangs at the server's address", to, far + "!" + user + "@" + literal, true},
		{"a source route by our domain", to, "@" + domain + ":" + to, false},
		{"a source route by the server's address", to, "@" + literal + ":" + to, false},
		{"an address in quotes", to, `"` + to + `"`, true},
		{"an address in quotes at our domain", to, `"` + to + `"@` + domain, true},
		{"the percent sign in quotes at our domain", to, `"` + user + "%" + far + `"@` + domain, true},
		{"two at signs", to, to + "@" + domain, true},
		{"two at signs at the server's address", to, to + "@" + literal, true},
		{"a backslash before the at sign (RFC 822)", to, user + `\@` + far + "@" + domain, true},
	}
}

// relays remember what each server said to each way, so that one that hangs up on
// strangers' attempts is asked for the rest another time.
type relays struct {
	mu sync.Mutex
	by map[string]*relayed
}

type relayed struct {
	mu    lock
	begun time.Time
	heard map[string]error // by way; nil = accepted
}

// of gives what is remembered of a server; of more than an hour ago, nothing is.
func (r *relays) of(key string, now time.Time) *relayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.by[key]
	if got == nil || now.Sub(got.begun) > time.Hour {
		if got = (&relayed{begun: now, heard: map[string]error{}}); r.by == nil {
			r.by = map[string]*relayed{}
		}
		r.by[key] = got
	}
	return got
}

// forget begins anew after a round that came to its end.
func (r *relays) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.by, key)
}

// maxErrors is how often a server may say no in one conversation; many slow down or
// hang up after ten.
const maxErrors = 6

// gwRelay tries every way from every vantage outside, at each endpoint once for all
// domains. Nothing is delivered: what is accepted at RCPT is taken back.
func gwRelay(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	to := c.stranger(ctx, ends)
	if to.here {
		return []plan.Finding{unknown("", "mail for %s is delivery at the gateway, and no relaying: %s. Name a sender at a domain whose MX leads elsewhere, with probe.from or probe.strict_sender", to.address, to.why)}, nil
	}
	found, err := c.fromOutside(ctx, cut, func(v Vantage, e endpoint) plan.Finding {
		key := strings.Join([]string{"gw.relay", v.Name, e.host, e.addr.String(), to.address}, "|")
		one, err := c.rarely(ctx, key, func(ctx context.Context) ([]plan.Finding, error) {
			return []plan.Finding{c.relay(ctx, v, e, to, cut.Domain, key)}, ctx.Err()
		})
		if err != nil || len(one) == 0 {
			return unknown(e.String(), "%v", err)
		}
		return one[0]
	})
	trusted(found)
	return found, err
}

// trusted tells a vantage that the gateway relays for from an open relay, where
// another vantage shows that it does not relay for everybody.
func trusted(found []plan.Finding) {
	for i := range found {
		f := &found[i]
		if f.Severity == plan.Fail && slices.ContainsFunc(found, func(o plan.Finding) bool { return o.Severity == plan.Pass && o.Target == f.Target }) {
			f.Severity = plan.Warn
			f.Detail = "inside: it relays for this vantage, and not for another one; say inside: true of it in vantages. " + f.Detail
		}
	}
}

func (c *Checker) relay(ctx context.Context, v Vantage, e endpoint, to stranger, domain, key string) plan.Finding {
	all := ways(to.address, mailDomain(domain), rrset.Bare(e.host), e.addr)
	memory := c.relays.of(key, c.Now())
	if err := memory.mu.take(ctx); err != nil {
		return unknown(e.String(), "%v", err)
	}
	defer memory.mu.free()
	err := c.patiently(ctx, func() error { return c.try(ctx, v, e, all, memory.heard) })
	var open, perhaps []string
	for _, w := range all {
		switch said, known := memory.heard[w.name]; {
		case !known || said != nil:
		case w.local:
			perhaps = append(perhaps, w.name)
		default:
			open = append(open, w.name)
		}
	}
	switch {
	case len(open) > 0 || len(perhaps) > 0:
		c.relays.forget(key)
		return c.relaying(ctx, v, e, to, domain, open, perhaps)
	case err != nil && len(memory.heard) > 0:
		if code, _ := reply(err); code >= 500 {
			return unknown(e.String(), "%d of %d ways were asked before it said %v; the rest is asked another time", len(memory.heard), len(all), err)
		}
		f := refusal(e.String(), err)
		f.Severity = plan.Unknown
		f.Detail = fmt.Sprintf("it refused %d of %d ways, and the rest could not be asked yet: %s", len(memory.heard), len(all), f.Detail)
		return f
	case err != nil:
		return refusal(e.String(), err)
	}
	c.relays.forget(key)
	return accepted(v, pass(e.String(), "it relays in none of %d ways", len(all)))
}

// relaying says what it means that some ways were accepted.
func (c *Checker) relaying(ctx context.Context, v Vantage, e endpoint, to stranger, domain string, open, perhaps []string) plan.Finding {
	if len(open) > 0 && to.why != "" {
		return unknown(e.String(), "it accepts mail for %s, and that may be delivery, and no relaying: %s. Name a sender at a domain whose MX leads elsewhere, with probe.from or probe.strict_sender. Accepted: %s", to.address, to.why, strings.Join(open, "; "))
	}
	if len(open) > 0 {
		f := fail(e.String(), "it accepts mail of strangers for %s, a domain of others: %s. If it trusts this vantage, say inside: true of that in vantages, and name one outside", to.address, strings.Join(open, "; "))
		if l, err := c.look(ctx, v, e); err == nil && l.local.IsPrivate() && e.addr.IsPrivate() {
			f.Severity = plan.Unknown
			f.Detail = fmt.Sprintf("inside: this vantage (%s) and the gateway are in a private network, from which no stranger comes. %s", l.local, f.Detail)
		}
		return accepted(v, f)
	}
	n, err := c.askMadeUp(ctx, v, e.addr, domain)
	if err != nil {
		return unknown(e.String(), "%v", err)
	}
	err = n.said
	code, _ := reply(err)
	switch words := strings.Join(perhaps, "; "); {
	case err == nil:
		return warn(e.String(), "it accepts any address of %s, so that it cannot be told whether it passes these on: %s", rrset.Bare(domain), words)
	case code >= 500:
		return accepted(v, fail(e.String(), "it accepts addresses that lead on to others: %s", words))
	}
	return refusal(e.String(), err)
}

// try goes through the ways that are not decided yet, a few in each conversation. An
// error is of the server: it wants to be asked later, or does not talk.
func (c *Checker) try(ctx context.Context, v Vantage, e endpoint, all []way, heard map[string]error) error {
	var later error
	left := slices.DeleteFunc(slices.Clone(all), func(w way) bool { _, known := heard[w.name]; return known })
	for len(left) > 0 {
		n, err := c.tryFew(ctx, v, e, left, heard, &later)
		if err != nil {
			return err
		}
		left = left[n:]
	}
	return later
}

// tryFew tries some ways in one conversation, and gives how many are decided.
func (c *Checker) tryFew(ctx context.Context, v Vantage, e endpoint, left []way, heard map[string]error, later *error) (int, error) {
	t, err := c.meet(ctx, v, e.addr, e.host)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	full := t.heed
	t.heed = func(verb string, err error) { // a no is what is hoped for here
		if code, _ := reply(err); code == 421 {
			full(verb, err)
		}
	}
	for n, w := range left[:min(len(left), maxErrors)] {
		err := t.Mail(w.from, nil)
		if err == nil {
			err = t.Rcpt(w.to, nil)
		}
		code, _ := reply(err)
		switch {
		case err == nil || code >= 500:
			heard[w.name] = err
		case code == 421:
			return n, err
		case code >= 400:
			*later = fmt.Errorf("RCPT TO: %w", err)
		case n > 0: // it hung up on us: the rest in another conversation
			return n, nil
		default:
			return n, err
		}
		if err := t.Reset(); err != nil {
			if code, _ := reply(err); code == 421 || errors.Is(err, context.Canceled) {
				return n + 1, err
			}
			return n + 1, nil
		}
	}
	return min(len(left), maxErrors), nil
}
