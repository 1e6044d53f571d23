package verify

import (
	"bytes"
	"cmp"
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

// Bounds of what is remembered of stragglers.
const (
	maxStraggling = 1 << 17 // domains
	maxStragglers = 64      // peers of one domain; more are counted without their addresses
)

// stragglers counts, from the old server's log, what came past the gateway since each
// domain was published, by domain and peer.
type stragglers struct {
	mu     lock
	log    *follower
	polled time.Time
	last   time.Time // that the log tells of
	by     map[string]*straggling
}

// straggling is one domain's.
type straggling struct {
	peers map[netip.Addr]*peer
	more  uint64 // messages of peers that are not remembered
}

type peer struct {
	messages uint64 // since the domain was published
	last     time.Time
}

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
	n, who, last, err := c.straggling.since(ctx, c, cut.Domain, since, ends)
	switch {
	case err != nil:
		return nil, err
	case last.Before(since):
		return []plan.Finding{unknown(cut.Domain, "the old server's log ends at %s, before %s: is it the right one?", clock(last), clock(since))}, nil
	case n == 0:
		return []plan.Finding{pass(cut.Domain, "nobody has handed mail to the old server directly since %s", clock(since))}, nil
	}
	return []plan.Finding{warn(cut.Domain, "senders still come past the gateway after %s, with %s since the domain was published: %s", clock(since), describe(n, "message", "messages"), who)}, nil
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

// since tells of those who came for a domain after a time, and are none of the
// gateway's addresses.
func (s *stragglers) since(ctx context.Context, c *Checker, domain string, after time.Time, gateway []endpoint) (n uint64, who string, last time.Time, err error) {
	if err := s.mu.take(ctx); err != nil {
		return 0, "", last, err
	}
	defer s.mu.free()
	if err := s.poll(ctx, c); err != nil {
		return 0, "", last, err
	}
	d := s.by[domain]
	if d == nil {
		return 0, "", s.last, nil
	}
	var late []netip.Addr
	for a, p := range d.peers {
		if !p.last.Before(after) && !c.sends(a) && !slices.ContainsFunc(gateway, func(e endpoint) bool { return e.addr.Unmap() == a }) {
			late = append(late, a)
			n += p.messages
		}
	}
	slices.SortFunc(late, func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(d.peers[b].messages, d.peers[a].messages), a.Compare(b))
	})
	var names []string
	for _, a := range late[:min(len(late), 5)] {
		names = append(names, fmt.Sprintf("%s (%d, last %s)", a, d.peers[a].messages, clock(d.peers[a].last)))
	}
	if more := len(late) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more addresses", more))
	}
	if d.more > 0 {
		n += d.more
		names = append(names, fmt.Sprintf("so many others that their %d messages are not told apart", d.more))
	}
	return n, strings.Join(names, ", "), s.last, nil
}

// poll reads what is new in the old server's log.
func (s *stragglers) poll(ctx context.Context, c *Checker) error {
	if s.log == nil {
		s.by = map[string]*straggling{}
		s.log = c.follower(c.Mail.Old, func(r *traffic.Record) { s.add(c, r) })
	}
	if now := c.Now(); now.Sub(s.polled) >= pollEvery {
		if err := s.log.poll(ctx); err != nil {
			return err
		}
		s.polled = now
	}
	return nil
}

// add counts what another server handed over, or wanted to, once for each recipient.
func (s *stragglers) add(c *Checker, r *traffic.Record) {
	if r.At.After(s.last) {
		s.last = r.At
	}
	came := r.Event == traffic.Rejected && len(r.Queue) == 0 || r.Origin == traffic.Outside && r.First
	i := bytes.LastIndexByte(r.Recipient, '@')
	if i < 0 || !came || !r.Peer.IsValid() || itself(r.Peer) || bytes.EqualFold(r.Sender, []byte(c.From)) {
		return
	}
	domain := s.domain(c, strings.ToLower(string(r.Recipient[i+1:]))+".", r.At)
	if domain == "" {
		return
	}
	d := s.by[domain]
	if d == nil {
		if len(s.by) >= maxStraggling {
			return
		}
		d = &straggling{peers: map[netip.Addr]*peer{}}
		s.by[domain] = d
	}
	p := d.peers[r.Peer.Unmap()]
	if p == nil {
		if len(d.peers) >= maxStragglers {
			d.more++
			return
		}
		p = &peer{}
		d.peers[r.Peer.Unmap()] = p
	}
	p.messages++
	if r.At.After(p.last) {
		p.last = r.At
	}
}

// domain is the one of the plan that a name belongs to, itself or the wildcard
// above it, if that was published before a time.
func (s *stragglers) domain(c *Checker, name string, at time.Time) string {
	for up := name; ; up = rrset.Parent(up) {
		if t := c.publishedAt(name); !t.IsZero() {
			if at.Before(t) {
				return ""
			}
			return name
		}
		if up == "." {
			return ""
		}
		name = "*." + rrset.Parent(up)
	}
}

// itself tells whether a peer is the server itself, as a content filter is.
func itself(a netip.Addr) bool {
	return a.Unmap() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}

// close lets go of the log; a question after it begins anew.
func (s *stragglers) close() {
	if s.mu.take(context.Background()) != nil {
		return
	}
	defer s.mu.free()
	if s.log != nil {
		s.log.close()
		s.log = nil
	}
}

// describe is a count with its noun.
func describe(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
