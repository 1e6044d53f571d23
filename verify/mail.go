package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// Mail says where real mail is read about, and what it must be like.
type Mail struct {
	Gateway []string       // globs of the gateway's logs; none = real mail is not looked at
	Old     []string       // of the old server's
	Format  string         // of package traffic; "" = found
	Zone    *time.Location // of times without one; nil = this machine's
	Domains []string       // canonical: what lies in one of these is counted; none = everything
	Trusted []netip.Prefix // that may come to the old server directly, besides the gateway

	Messages int           // fewer tell too little to fail a domain; default 20
	Excess   float64       // share that may be refused, or bounce, above what it was before; default 0.2
	Quiet    time.Duration // after so long, no mail is little traffic; default 24h

	// Published tells when a domain's mail began to go to the gateway; nil, or zero =
	// not known, and all that the log has counts.
	Published func(domain string) time.Time
}

// mailChecks read what the servers' logs say of real mail.
func mailChecks() []Check {
	return []Check{{
		ID: "mail.real", Title: "real mail passes the gateway as it passed the old server", RFC: "RFC 5321 section 4.2.5", When: always,
		Run: realMail, Advice: true, Lacks: func(c *Checker) string {
			if len(c.Mail.Gateway) == 0 {
				return "traffic.gateway_logs"
			}
			return ""
		},
	}}
}

// realMail tells of real mail, and before there is any, whether its log can be read:
// after publishing would be late to find out.
func realMail(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	if when == Before {
		return c.shared(ctx, "mail.real", func(ctx context.Context) ([]plan.Finding, error) {
			p, err := c.logs.picture(ctx, c, "", time.Time{})
			return []plan.Finding{pass("", "the gateway's log can be read: %d lines so far, %d of them understood", p.stats.Lines, p.stats.Parsed)}, err
		})
	}
	var since time.Time
	if c.Mail.Published != nil {
		since = c.Mail.Published(cut.Domain)
	}
	return c.realSince(ctx, cut, since)
}

// RealMail tells what became of a domain's real mail since it was published. There
// is no finding where no log of the gateway is configured.
func (c *Checker) RealMail(ctx context.Context, cut plan.Cutover, since time.Time) []plan.Finding {
	check := mailChecks()[0]
	if !check.asks(c) {
		return nil
	}
	check.Run = func(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
		return c.realSince(ctx, cut, since)
	}
	return c.one(ctx, check, During, cut)
}

func (c *Checker) realSince(ctx context.Context, cut plan.Cutover, since time.Time) ([]plan.Finding, error) {
	p, err := c.logs.picture(ctx, c, rrset.Bare(cut.Domain), since)
	if err != nil {
		return nil, err
	}
	verdict, words := p.judge(c.Mail)
	return []plan.Finding{{Severity: verdict, Detail: words}}, nil
}

// logs are the servers' logs, read once for all domains.
type logs struct {
	mu      lock
	gateway *follower
	now     traffic.Tally  // the gateway's
	before  traffic.Tally  // the old server's, as it was when the first domain was asked about
	all     traffic.Counts // of that, of all domains
	read    bool           // the old server's
	zones   map[string]bool
	polled  time.Time
}

// pollEvery is how soon the gateway's logs are read again.
const pollEvery = time.Second

// picture gives one domain's counts, with what is new in the logs.
func (l *logs) picture(ctx context.Context, c *Checker, domain string, since time.Time) (p picture, err error) {
	if err := l.mu.take(ctx); err != nil {
		return p, err
	}
	defer l.mu.free()
	if err := l.readOld(ctx, c); err != nil {
		return p, err
	}
	if l.gateway == nil {
		l.now = c.tally(l.before.Known)
		l.gateway = c.follower(c.Mail.Gateway, l.now.Add)
	}
	if now := c.Now(); now.Sub(l.polled) >= pollEvery {
		if err := l.gateway.poll(ctx); err != nil {
			return p, err
		}
		l.polled = now
	}
	s := l.gateway.stats()
	if s.Lines > 0 && s.Parsed == 0 {
		return p, fmt.Errorf("none of the %d lines of %s is of a format that is known (%s)", s.Lines, strings.Join(c.Mail.Gateway, ", "), strings.Join(traffic.Formats(), ", "))
	}
	if l.hidden(domain) {
		return p, fmt.Errorf("%s tells of so many names that %d of its records are not told apart, and perhaps those of %s", strings.Join(c.Mail.Gateway, ", "), l.now.Left, domain)
	}
	p = picture{stats: s, since: since, now: l.now.Between(domain, since, time.Time{}), last: l.now.Last}
	if p.since.IsZero() {
		p.since = l.now.First
	}
	p.lasts = c.Now().Sub(p.since)
	if p.since.IsZero() {
		p.lasts = 0
	}
	p.own = l.before.Between(domain, time.Time{}, since)
	p.all = l.all
	end := l.before.Last
	if !since.IsZero() && since.Before(end) {
		end = since
	}
	p.span = end.Sub(l.before.First)
	return p, nil
}

// close lets go of the logs; a question after it opens them again.
func (l *logs) close() {
	if l.mu.take(context.Background()) != nil {
		return
	}
	defer l.mu.free()
	if l.gateway != nil {
		l.gateway.close()
		l.gateway = nil
	}
}

// readOld reads the old server's logs, once.
func (l *logs) readOld(ctx context.Context, c *Checker) error {
	if l.read {
		return nil
	}
	l.zones = map[string]bool{}
	for _, z := range c.Mail.Domains {
		l.zones[rrset.Bare(z)] = true
	}
	l.before = c.tally(traffic.NewAddresses())
	if len(c.Mail.Old) > 0 {
		f := c.follower(c.Mail.Old, func(r *traffic.Record) {
			if r.Event == traffic.Delivered {
				l.before.Known.Add(r.Recipient)
			}
			l.before.Add(r)
		})
		defer f.close()
		if err := f.poll(ctx); err != nil {
			return err
		}
	}
	l.read, l.all = true, l.before.Total(time.Time{}, time.Time{})
	l.all.Add(l.before.Others)
	return nil
}

func (c *Checker) follower(globs []string, emit func(*traffic.Record)) *follower {
	zone := c.Mail.Zone
	if zone == nil {
		zone = time.Local
	}
	return &follower{globs: globs, format: c.Mail.Format, zone: zone, emit: emit}
}

// tally counts what is no probe of ours, for the domains that matter.
func (c *Checker) tally(known *traffic.Addresses) traffic.Tally {
	return traffic.Tally{Known: known, Wanted: c.logs.wanted, Always: c.logs.named, Skip: func(r *traffic.Record) bool {
		return c.Probes(r) || slices.ContainsFunc(c.Vantages, func(v Vantage) bool { return v.Source.IsValid() && v.Source == r.Peer })
	}}
}

// hidden tells whether a domain's mail may be among what the gateway's log has no room
// for.
func (l *logs) hidden(domain string) bool {
	return l.now.Others != (traffic.Counts{}) && !l.named([]byte(domain)) && l.now.Between(domain, time.Time{}, time.Time{}) == (traffic.Counts{})
}

// named tells whether a domain is one of those that matter itself: however many names
// below them somebody sends to, it is counted.
func (l *logs) named(domain []byte) bool { return l.zones[string(domain)] }

// wanted tells whether a recipient's domain lies in one of those that matter.
func (l *logs) wanted(domain []byte) bool {
	for len(l.zones) > 0 && !l.zones[string(domain)] {
		i := bytes.IndexByte(domain, '.')
		if i < 0 {
			return false
		}
		domain = domain[i+1:]
	}
	return true
}
