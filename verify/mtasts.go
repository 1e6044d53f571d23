package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// stsRecheck is how often a sender looks for another id, at the least (RFC 8461
// section 3.3 has it refresh once a day).
const stsRecheck = 24 * time.Hour

// stsName is where the id of a domain's policy stands.
func stsName(domain string) string { return "_mta-sts." + domain }

// sightings remember which ids of policies were seen while this process runs.
type sightings struct {
	mu   sync.Mutex
	seen map[string]sighting
}

type sighting struct {
	id     string
	lacked bool      // the policy did not list the new hosts while it had this id
	since  time.Time // when another id came before it; zero = it was the first seen
}

// note remembers an id; stale: the policy has got the new hosts, and its id is
// still the one that senders know.
func (s *sightings) note(domain, id string, lacks bool, now time.Time) (stale bool, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	had, ok := s.seen[domain]
	if s.seen == nil || len(s.seen) >= maxKept {
		s.seen = map[string]sighting{}
	}
	switch {
	case !ok:
		had = sighting{id: id, lacked: lacks}
	case had.id != id:
		had = sighting{id: id, lacked: lacks, since: now}
	default:
		had.lacked = had.lacked || lacks
	}
	s.seen[domain] = had
	return had.lacked && !lacks, had.since
}

// An stsTXT is what stands at _mta-sts.
type stsTXT struct {
	id     string // "" = no policy, or broken
	broken string // why senders go by none of the records; "" = they do
	ttl    time.Duration
}

func (c *Checker) stsTXT(ctx context.Context, name string) (stsTXT, error) {
	a, err := c.dns.Recurse(ctx, stsName(name), "TXT")
	if err != nil {
		return stsTXT{}, err
	}
	all, err := texts(a.Set)
	if err != nil {
		return stsTXT{}, err
	}
	out := stsTXT{ttl: seconds(a.Set.TTL)}
	if out.id, err = stsRecord(all); err != nil {
		out.broken = err.Error()
	}
	return out, nil
}

// mtastsFuture wants senders that hold the domain to its policy to be able to
// deliver to the new hosts before the MX names them.
func mtastsFuture(ctx context.Context, c *Checker, when When, cut plan.Cutover) (found []plan.Finding, err error) {
	name := asked(cut.Domain)
	record, err := c.stsTXT(ctx, name)
	if err != nil {
		return nil, err
	}
	switch {
	case record.broken != "":
		found = append(found, warn(cut.Domain, "%s; who has fetched the policy before goes on with that", record.broken))
	case record.id == "":
		return []plan.Finding{pass(cut.Domain, "no MTA-STS policy")}, nil
	}
	p, err := c.stsPolicy(ctx, name)
	switch {
	case errors.Is(err, errNoPolicy) && when == After:
		return append(found, warn(cut.Domain, "%v; who has fetched a policy before may hold the new MX hosts to it", err)), nil
	case errors.Is(err, errNoPolicy):
		return append(found, unknown(cut.Domain, "%v; who has fetched a policy before may refuse the new MX hosts by it: serve one that lists them, or mode none", err)), nil
	case err != nil:
		return found, err
	}
	more, err := c.heldTo(ctx, p, cut)
	return slices.Concat(found, more, c.stsAge(name, record, p, cut)), err
}

// stsAge tells of the id, which is what senders look at, and until when they may
// go by an older policy.
func (c *Checker) stsAge(name string, record stsTXT, p stsPolicy, cut plan.Cutover) []plan.Finding {
	lacks := len(p.lacks(cut.After().MX())) > 0
	if record.id == "" || p.mode == stsNone {
		return nil
	}
	switch stale, since := c.stsIDs.note(cut.Domain, record.id, lacks, c.Now()); {
	case lacks:
		return nil
	case stale:
		return []plan.Finding{severe(p.mode)(cut.Domain, "the policy lists the new MX hosts, and its id is still %s: senders that have the old policy do not fetch the new one; change the id at %s", record.id, rrset.Bare(stsName(name)))}
	case !since.IsZero():
		return []plan.Finding{pass(cut.Domain, "the id is %s since %s; every sender has looked by %s", record.id, stamp(since), stamp(since.Add(record.ttl+stsRecheck)))}
	}
	return []plan.Finding{pass(cut.Domain, "the id is %s; who has fetched a policy keeps it until %s at most, and looks again before giving up (RFC 8461 section 5.1)", record.id, stamp(c.Now().Add(p.maxAge)))}
}

// severe is how bad it is when a host is not as the policy wants it.
func severe(m stsMode) func(string, string, ...any) plan.Finding {
	switch m {
	case stsEnforce:
		return fail
	case stsTesting:
		return warn
	}
	return pass
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// heldTo holds the new hosts against a policy: that it lists them, and, since it
// wants that too, that they show certificates for their names (RFC 8461 section 4).
func (c *Checker) heldTo(ctx context.Context, p stsPolicy, cut plan.Cutover) ([]plan.Finding, error) {
	domain, members := cut.Domain, cut.After().MX()
	if p.mode == stsNone {
		return []plan.Finding{pass(domain, "the MTA-STS policy has mode none")}, nil
	}
	if lacks := p.lacks(members); len(lacks) > 0 {
		f := severe(p.mode)(domain, "the MTA-STS policy (mode %s) does not list %s; add them to https://mta-sts.%s/.well-known/mta-sts.txt, then change the id, before the MX moves",
			p.mode, strings.Join(lacks, ", "), rrset.Bare(asked(cut.Domain)))
		f.Evidence = "the file's new text:\n" + p.with(lacks)
		return []plan.Finding{f}, nil
	}
	found := []plan.Finding{pass(domain, "the MTA-STS policy (mode %s, max_age %s) lists the new MX hosts", p.mode, p.maxAge)}
	ends, err := c.endpoints(ctx, cut)
	if err != nil {
		return found, err
	}
	for _, e := range ends {
		f, err := c.webPKI(ctx, e)
		if err != nil {
			return found, err
		}
		if f[0].Severity == plan.Fail {
			f[0].Severity = severe(p.mode)("", "").Severity
		}
		found = append(found, f...)
	}
	return append(found, c.leftovers(ctx, p, cut)...), nil
}

// webPKI wants STARTTLS and a certificate of a known authority for the host's
// name, asked once for all domains, from each vantage outside that has a way there.
func (c *Checker) webPKI(ctx context.Context, e endpoint) ([]plan.Finding, error) {
	return c.shared(ctx, "mta-sts certificate "+e.String(), func(ctx context.Context) ([]plan.Finding, error) {
		var found []plan.Finding
		var missed error
		for _, v := range c.reach(ctx, e) {
			f, err := c.webPKIFrom(ctx, v, e)
			switch {
			case err != nil:
				missed = err
			case f.Severity == plan.Fail:
				return []plan.Finding{f}, nil
			default:
				found = []plan.Finding{f}
			}
		}
		if len(found) == 0 || missed != nil && !unreachable(missed) {
			return nil, missed
		}
		return found, nil
	})
}

func (c *Checker) webPKIFrom(ctx context.Context, v Vantage, e endpoint) (f plan.Finding, err error) {
	chain, err := c.certificate(ctx, v, e)
	switch {
	case errors.Is(err, errNoTLS):
		f = fail(e.String(), "%v; senders that follow the MTA-STS policy want TLS", err)
		f.Vantage = v.Name
		return f, nil
	case err != nil:
		return f, err
	}
	rest := x509.NewCertPool()
	for _, x := range chain[1:] {
		rest.AddCert(x)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{DNSName: rrset.Bare(e.host), Roots: c.Roots, Intermediates: rest, CurrentTime: c.Now()})
	f = pass(e.String(), "its certificate is valid for its name until %s", stamp(chain[0].NotAfter))
	if err != nil {
		f = fail(e.String(), "senders that follow the MTA-STS policy do not take its certificate: %v", err)
	}
	f.Vantage = v.Name
	return f, nil
}

// leftovers warns of old hosts in the policy once nothing leads to them any more:
// the MX is served with the TTL that it has for good.
func (c *Checker) leftovers(ctx context.Context, p stsPolicy, cut plan.Cutover) []plan.Finding {
	last, ok := cut.Step(plan.Settle)
	if !ok || last.Change == nil || last.Change.After.TTL == cut.After().TTL {
		return nil
	}
	served, _ := c.Served(ctx, cut.Zone, cut.Domain, "MX")
	if len(served) == 0 {
		return nil
	}
	for _, s := range served {
		if !s.Equal(last.Change.After) {
			return nil
		}
	}
	var old []string
	for _, m := range cut.Before().MX() {
		if !m.Null() && p.lists(m.Host) && !holds(cut.After(), m.Host) {
			old = append(old, rrset.Bare(m.Host))
		}
	}
	if len(old) == 0 {
		return nil
	}
	return []plan.Finding{warn(cut.Domain, "the domain has settled, and the MTA-STS policy still lists %s; take them out, then change the id", strings.Join(old, ", "))}
}

func holds(s rrset.Set, host string) bool {
	for _, m := range s.MX() {
		if m.Host == host {
			return true
		}
	}
	return false
}
