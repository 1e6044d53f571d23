package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// burst is how many probes are sent at once: the old server sees them come from
// one client, the gateway, where it saw thousands before.
const burst = 20

// lacksStrict tells what is missing to try the old server's trust.
func lacksStrict(c *Checker) string {
	switch {
	case c.StrictSender == "":
		return "probe.strict_sender"
	case len(c.arrivals.places) == 0:
		return "probe.arrival"
	}
	return ""
}

// oldTrustsGateway asks whether the old server takes from the gateway what it would
// not take from anybody: mail of senders whose SPF does not name the gateway, as it
// does for no sender in the world, and more of it at once than from one client.
func oldTrustsGateway(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	if why, err := c.strict(ctx); err != nil {
		return nil, err
	} else if why != "" {
		return []plan.Finding{unknown(c.StrictSender, "%s", why)}, nil
	}
	found, err := c.sharedAtEach(ctx, "old.trusts_gateway", cut, func(ctx context.Context, e endpoint) plan.Finding {
		return c.trustedFrom(ctx, e, rcpt, rrset.Bare(cut.Domain))
	})
	if err != nil || plan.Judge(found) != plan.Pass {
		return found, err
	}
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return found, err
	}
	more, err := c.rarely(ctx, "old.trusts_gateway burst "+ends[0].String(), func(ctx context.Context) ([]plan.Finding, error) {
		return []plan.Finding{c.burstThrough(ctx, ends[0], rcpt, rrset.Bare(cut.Domain))}, ctx.Err()
	})
	return append(found, more...), err
}

// strict tells why the strict sender is none: its SPF must end in -all, or nobody
// would refuse it.
func (c *Checker) strict(ctx context.Context) (why string, err error) {
	_, domain, _ := strings.Cut(c.StrictSender, "@")
	a, err := c.dns.Recurse(ctx, domain+".", "TXT")
	if err != nil {
		return "", err
	}
	for _, text := range a.Set.Data {
		text = strings.Trim(strings.ReplaceAll(text, `" "`, ""), `"`) // the parts of one record (RFC 7208 section 3.3)
		if strings.HasPrefix(text, "v=spf1 ") && strings.HasSuffix(strings.TrimSpace(text), " -all") {
			return "", nil
		}
	}
	return fmt.Sprintf("the SPF of %s does not end in -all, so that a server which takes its mail from the gateway shows no trust (RFC 7208 section 5.1)", domain), nil
}

func (c *Checker) trustedFrom(ctx context.Context, e endpoint, rcpt, domain string) plan.Finding {
	p := c.newProbe(rcpt, domain)
	p.from = c.StrictSender
	s, _, err := c.dispatch(ctx, p, []endpoint{e})
	switch {
	case err != nil:
		f := refusal(e.String(), err)
		if f.Severity == plan.Fail { // the gateway's own opinion of us
			f.Severity, f.Detail = plan.Unknown, "the gateway itself does not take mail from "+p.from+": does its SPF name this vantage? "+f.Detail
		}
		return f
	case s.err != nil:
		f := s.missing(e.String(), e, c.Arrival)
		if f.Severity == plan.Fail {
			f.Detail = "mail from " + p.from + ", whose SPF does not name the gateway: " + f.Detail
		}
		return f
	}
	return pass(e.String(), "mail from %s arrived, though its SPF does not name the gateway", p.from)
}

// burstThrough sends many probes at once, with as many connections as are allowed.
func (c *Checker) burstThrough(ctx context.Context, e endpoint, rcpt, domain string) plan.Finding {
	came, errs := make([]sent, burst), make([]error, burst)
	var later atomic.Int32
	inParallel(burst, func(i int) {
		came[i], _, errs[i] = c.dispatch(ctx, c.newProbe(rcpt, domain), []endpoint{e})
		if code, _ := reply(errs[i]); code >= 400 && code < 500 {
			later.Add(1)
		}
	})
	var took []time.Duration
	for i, s := range came {
		switch {
		case errs[i] != nil && later.Load() > 0:
			return unknown(e.String(), "the gateway itself put %d of %d messages off: %v", later.Load(), burst, errs[i])
		case errs[i] != nil:
			f := refusal(e.String(), errs[i])
			f.Detail = fmt.Sprintf("one of %d messages at once: %s", burst, f.Detail)
			return f
		case s.err == nil:
			took = append(took, s.arrived)
		case !errors.Is(s.err, errNotArrived):
			return s.missing(e.String(), e, c.Arrival)
		}
	}
	spread := plan.SpreadOf(took)
	if spread.N < burst {
		f := fail(e.String(), "of %d messages at once %d arrived in %s: does the old server throttle the gateway as it would one client?", burst, spread.N, c.Arrival)
		for _, s := range came {
			if s.outcome.waits != "" {
				f.Evidence = s.outcome.waits
			}
		}
		return f
	}
	f := pass(e.String(), "%d messages at once arrived", burst)
	f.Evidence = spread.String()
	return f
}
