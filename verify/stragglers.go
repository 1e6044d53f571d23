package verify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/traffic"
)

// oldStragglers asks who still hands mail to the old server directly, though the MX
// leads to the gateway and no cache that honours its TTL says otherwise any more.
func oldStragglers(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	since := c.publishedAt(cut.Domain)
	if since.IsZero() {
		return []plan.Finding{unknown(cut.Domain, "when it was published is not known, so neither is who comes late")}, nil
	}
	if until := c.expected(cut.Domain); until.After(since) {
		since = until
	}
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return nil, err
	}
	late, last, left, err := c.straggling(ctx, cut.Domain, since, ends)
	var n uint64
	for i := range late {
		n += late[i].Count()
	}
	switch {
	case err != nil:
		return nil, err
	case last.Before(since):
		return []plan.Finding{unknown(cut.Domain, "the old server's log ends at %s, before %s: is it the right one?", clock(last), clock(since))}, nil
	case n == 0 && left.Accepted > 0:
		return []plan.Finding{unknown(cut.Domain, "so many come past the gateway that %d messages of all domains are not told apart", left.Accepted)}, nil
	case n == 0:
		return []plan.Finding{pass(cut.Domain, "nobody has handed mail to the old server directly since %s", clock(since))}, nil
	}
	f := warn(cut.Domain, "senders still come past the gateway after %s, with %s since the domain was published: %s", clock(since), describe(n, "message", "messages"), who(late))
	f.Evidence = why(late)
	return []plan.Finding{f}, nil
}

// publishedAt is when a domain began to lead to the gateway; zero = not known.
func (c *Checker) publishedAt(domain string) (t time.Time) {
	if c.Mail.Published != nil {
		t = c.Mail.Published(domain)
	}
	return t
}

// expected is when the last cache lets go of what was before; zero = not known.
func (c *Checker) expected(domain string) time.Time {
	c.caches.mu.Lock()
	defer c.caches.mu.Unlock()
	return c.caches.expected[domain]
}

// straggling are those who came for a domain after a time, and are none of the
// gateway's addresses, nor trusted.
func (c *Checker) straggling(ctx context.Context, domain string, after time.Time, gateway []endpoint) (late []traffic.Straggler, last time.Time, left traffic.Left, err error) {
	o := &c.oldMail
	if err := o.mu.take(ctx); err != nil {
		return nil, last, left, err
	}
	defer o.mu.free()
	if err := o.readPublished(ctx, c); err != nil {
		return nil, last, left, err
	}
	q := traffic.Call{Domain: domain, From: after, Trusted: func(_ string, a netip.Addr) bool { return c.comesRightly(a, gateway) }}
	q.Reverse = o.reverse(ctx, c, traffic.Sources(o.replay.List(q)))
	return o.replay.List(q), o.replay.Last, o.replay.Left, ctx.Err()
}

// told is how many stragglers are named in one finding.
const told = 5

// who names stragglers.
func who(late []traffic.Straggler) string {
	var names []string
	for i := range late[:min(len(late), told)] {
		x := &late[i]
		names = append(names, fmt.Sprintf("%s (%d, last %s, %s)", named(x), x.Count(), clock(x.Last), x.Guess))
	}
	if more := len(late) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more addresses", more))
	}
	return strings.Join(names, ", ")
}

// why is the evidence of what they are guessed to be.
func why(late []traffic.Straggler) string {
	var lines []string
	for i := range late[:min(len(late), told)] {
		lines = append(lines, fmt.Sprintf("%s: %s; from %s", late[i].Source, late[i].Evidence(), strings.Join(late[i].Senders, ", ")))
	}
	return strings.Join(lines, "\n")
}

// named is a source with its name, where that is known.
func named(x *traffic.Straggler) string {
	if x.Reverse.Name != "" {
		return x.Source.String() + " " + x.Reverse.Name
	}
	return x.Source.String()
}

// describe is a count with its noun.
func describe(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
