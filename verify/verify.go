// Package verify asks and probes: DNS servers and caches, the gateway at every
// address, the old server, and the mailbox where a probe must arrive. Every
// answer is a [plan.Finding].
//
// It is used before a domain moves ([Before]), while it moves, and afterwards
// for as long as anybody likes ([After]): [Checker.Run] runs all checks of a
// time, [Checker.Only] some of them. What could not be asked is unknown, never
// passed and never failed; [Checker.Run] alone makes unknown from an error.
package verify

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// A When is a time at which checks run.
type When string

// The times.
const (
	Before When = "before" // anything is changed
	During When = "during" // the cutover
	After  When = "after"  // the new MX is published
)

// A Resolver is a recursive server, in one view of the DNS.
type Resolver struct {
	View string
	Addr netip.AddrPort
}

// A Vantage is a place to ask and probe from: here, by a local source address or
// the system's choice, or through an SSH host.
type Vantage struct {
	Name   string
	Source netip.Addr // of its connections; none = the system's choice
	Inside bool       // the gateway trusts it, so that what it does for others cannot be known from there

	// Dial opens connections ("tcp" only) from another host; nil = from here. Its
	// errors are those of a local connection (ECONNREFUSED, a time-out) where the
	// far side gave them; any other one is taken as our own trouble.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Recipients say whom a probe is addressed to, the first that applies.
type Recipients struct {
	File       map[string]string // bare domain -> address
	Postmaster bool              // postmaster at the domain
	Rewrite    string            // a local part that a rule at the old server rewrites
}

// IMAP is the mailbox where probes arrive.
type IMAP struct {
	Address  string // host:port
	User     string
	Password func() (string, error)
	TLS      string // "implicit" (default), "starttls" or "none"
	CAFile   string // PEM; "" = the system's
}

// Settings of a Checker.
type Settings struct {
	OldHosts      []string // canonical
	OldAddresses  []netip.Addr
	Planned       []rrset.MX
	Outbound      []netip.Addr // from which the old server sends
	DKIMSelectors []string     // of the keys that domains may have
	DNSPort       uint16       // default 53
	SMTPPort      uint16       // default 25
	HTTPSPort     uint16       // of MTA-STS policies; default 443
	HTTPSCA       string       // PEM file of an authority to trust besides the system's for those; "" = none
	Resolvers     []Resolver
	View          string    // in which domains move; "" = the public one, or the first resolver's
	Vantages      []Vantage // none = here
	Hello         string    // the EHLO name
	From          string    // the probes' sender
	Recipients    Recipients
	IMAP          IMAP                         // where probes arrive, and
	Maildir       string                       // the same mailbox as a local folder, and
	OldLog        string                       // Exim's main log or Postfix's, of the old server: the first of the three that shows a probe counts
	Bounces       IMAP                         // the mailbox of From, where bounces come back
	SpamMarks     []string                     // header fields of what the gateway takes for spam, "X-Spam-Flag: YES"; default that, and "X-Spam-Status: Yes"
	GatewaySends  []netip.Prefix               // from where the gateway hands mail on, besides the addresses of its MX hosts
	StrictSender  string                       // an address whose SPF lets only the vantage send; "" = the old server's trust is not tried
	Arrival       time.Duration                // how long a probe may take; default 5m
	Connect       time.Duration                // for a connection; default 30s
	GreylistRetry time.Duration                // between tries after a 4xx; default 60s
	CatchAll      bool                         // the gateway accepts any recipient of all domains, and that is known
	CatchAlls     []string                     // canonical: domains of which any address is valid, at the old server too
	Concurrency   int                          // SMTP connections to one address at once; default 4
	Shared        time.Duration                // how long an answer counts that many domains share; default 5m
	Pause         time.Duration                // how long a server is left alone that asked for it, at first; default 1m
	RandomPerHour int                          // addresses made up by chance that one gateway's address is asked for in an hour; default 1000
	Largest       int64                        // bytes of the largest message that must pass; 0 = what the old server takes
	Roots         *x509.CertPool               // authorities of the gateway's certificates; nil = the system's
	Mail          Mail                         // the servers' logs
	Valid         func(domain string) []string // addresses of a domain, without the final dot, that both servers are asked for; nil = none are known
	Now           func() time.Time

	DNSRate float64         // questions a second to one server; default 200, negative = no limit
	Anchors resolve.Anchors // where trust in signed zones begins; none = signatures are not checked

	// Holder tells which of our providers holds a name, and in which zone; nil or
	// not ok = none of ours.
	Holder func(name string) (zone, provider string, ok bool)
}

// A Checker asks. It may be used by many goroutines at once.
type Checker struct {
	Settings
	dns      *resolve.Client // by the resolvers of the first view
	views    []View          // that in which domains move first
	caches   caches
	chains   memo[resolve.Chain]
	arrivals *arrivals

	gatewayWatch *arrivals // the gateway's logs alone

	slots   slots
	memo    memo[[]plan.Finding]
	looks   memo[*look]
	relays  relays
	brakes  brakes
	random  hourly
	stsIDs  sightings
	logs    logs
	oldMail oldMail
}

// New makes a Checker. It asks nothing yet.
func New(s Settings) (*Checker, error) {
	if len(s.Resolvers) == 0 {
		return nil, errors.New("verify: no resolver to ask")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&s.Arrival, 5*time.Minute)
	def(&s.Connect, 30*time.Second)
	def(&s.GreylistRetry, time.Minute)
	def(&s.Shared, 5*time.Minute)
	def(&s.Pause, time.Minute)
	def(&s.Mail.Quiet, 24*time.Hour)
	s.Mail.Messages, s.Mail.Excess = cmp.Or(s.Mail.Messages, 20), cmp.Or(s.Mail.Excess, 0.2)
	if s.DNSPort == 0 {
		s.DNSPort = 53
	}
	if s.SMTPPort == 0 {
		s.SMTPPort = 25
	}
	if s.RandomPerHour <= 0 {
		s.RandomPerHour = 1000
	}
	if s.HTTPSPort == 0 {
		s.HTTPSPort = 443
	}
	if s.Concurrency == 0 {
		s.Concurrency = 4
	}
	if s.Hello == "" {
		s.Hello = "localhost"
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if len(s.SpamMarks) == 0 {
		s.SpamMarks = []string{"X-Spam-Flag: YES", "X-Spam-Status: Yes"}
	}
	if len(s.Vantages) == 0 {
		s.Vantages = []Vantage{{}}
	}
	c := &Checker{Settings: s, arrivals: newArrivals(s), gatewayWatch: gatewayArrivals(s), slots: slots{limit: s.Concurrency}}
	c.see()
	return c, nil
}

// Close ends what the checker has open, and waits for it. It asks nothing any more.
func (c *Checker) Close() {
	c.dns.Close()
	c.logs.close()
	c.oldMail.close()
}

// Run runs all checks of a time at one domain.
func (c *Checker) Run(ctx context.Context, when When, cut plan.Cutover) []plan.Finding {
	return c.Some(ctx, when, cut, func(string) bool { return true })
}

// Some is Run of the checks that are picked by their IDs.
func (c *Checker) Some(ctx context.Context, when When, cut plan.Cutover, picked func(id string) bool) []plan.Finding {
	var out []plan.Finding
	ctx = remembering(ctx)
	for _, check := range Checks() {
		if picked(check.ID) && slices.Contains(check.When, when) && check.asks(c) {
			out = append(out, c.one(ctx, check, when, cut)...)
		}
	}
	return out
}

// Only runs some checks as they are after publishing.
func (c *Checker) Only(ctx context.Context, cut plan.Cutover, ids ...string) []plan.Finding {
	var out []plan.Finding
	ctx = remembering(ctx)
	for _, check := range Checks() {
		if slices.Contains(ids, check.ID) {
			out = append(out, c.one(ctx, check, After, cut)...)
		}
	}
	return out
}

// one runs a check. Here, and nowhere else, an error becomes unknown; so does a
// check that found nothing.
func (c *Checker) one(ctx context.Context, check Check, when When, cut plan.Cutover) []plan.Finding {
	found, err := check.Run(ctx, c, when, cut)
	if err != nil {
		found = append(found, plan.Finding{Severity: plan.Unknown, Detail: "could not check: " + err.Error()})
	}
	if len(found) == 0 {
		found = []plan.Finding{{Severity: plan.Unknown, Detail: "could not check: nothing was found"}}
	}
	return c.stamp(found, check.ID, check.RFC, cut.Domain)
}

func (c *Checker) stamp(found []plan.Finding, id, rfc, target string) []plan.Finding {
	now := c.Now()
	for i := range found {
		f := &found[i]
		f.At = now
		if f.Check == "" {
			f.Check = id
		}
		if f.RFC == "" {
			f.RFC = rfc
		}
		if f.Target == "" {
			f.Target = target
		}
		f.Detail, f.Evidence = short(f.Detail), short(f.Evidence)
	}
	return found
}

// maxWords bounds a finding's texts, in bytes; what they quote is foreign.
const maxWords = 1000

func short(s string) string {
	if len(s) <= maxWords {
		return s
	}
	return strings.ToValidUTF8(s[:maxWords], "") + "..."
}

func pass(target, format string, args ...any) plan.Finding {
	return plan.Finding{Target: target, Severity: plan.Pass, Detail: fmt.Sprintf(format, args...)}
}

func warn(target, format string, args ...any) plan.Finding {
	return plan.Finding{Target: target, Severity: plan.Warn, Detail: fmt.Sprintf(format, args...)}
}

func fail(target, format string, args ...any) plan.Finding {
	return plan.Finding{Target: target, Severity: plan.Fail, Detail: fmt.Sprintf(format, args...)}
}

func unknown(target, format string, args ...any) plan.Finding {
	return plan.Finding{Target: target, Severity: plan.Unknown, Detail: fmt.Sprintf(format, args...)}
}
