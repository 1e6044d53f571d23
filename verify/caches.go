package verify

import (
	"context"
	"strings"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// caches remembers which answers the authoritative servers gave, and so until when
// a cache may hold one that they give no longer.
type caches struct {
	mu       sync.Mutex
	given    map[string]map[string]time.Time // name -> data -> when no cache may hold it any more
	expected map[string]time.Time            // name -> when no cache may hold what was there before; see Expect
}

// Bounds of what is remembered.
const (
	maxNames   = 1 << 16
	maxAnswers = 8 // of one name
)

// saw remembers an answer with authority: from now on a cache may hold it for its
// whole TTL. The TTL that counts is the highest that was seen.
func (k *caches) saw(a resolve.Answer, now time.Time) {
	ttl := a.Set.TTL
	if a.Set.Absent() {
		ttl = a.Negative
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.given == nil || len(k.given) >= maxNames {
		k.given = map[string]map[string]time.Time{}
	}
	answers := k.given[a.Set.Name]
	if answers == nil || len(answers) >= maxAnswers {
		answers = map[string]time.Time{}
		k.given[a.Set.Name] = answers
	}
	key := answerKey(a.Set)
	if until := now.Add(time.Duration(ttl) * time.Second); until.After(answers[key]) {
		answers[key] = until
	}
}

func answerKey(s rrset.Set) string { return s.Type + " " + strings.Join(s.Data, ", ") }

// until is when no cache that honours TTLs holds an answer; zero: nobody knows.
func (k *caches) until(name string, s rrset.Set) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	until := k.given[name][answerKey(s)]
	if e := k.expected[name]; e.After(until) {
		until = e
	}
	return until
}

// Expect tells the checker when no cache that honours TTLs may hold what a domain
// had before: the time at which the last server stopped serving it, and the
// highest TTL that was seen with it. The journal knows both, also of before a
// restart.
func (c *Checker) Expect(domain string, until time.Time) {
	c.caches.mu.Lock()
	defer c.caches.mu.Unlock()
	if c.caches.expected == nil || len(c.caches.expected) >= maxNames {
		c.caches.expected = map[string]time.Time{}
	}
	c.caches.expected[domain] = until
}

// cacheResolver asks each resolver. A name that was never asked for by anybody is
// in no cache; a wildcard is asked for by a name that it makes up.
func cacheResolver(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	name := asked(cut.Domain)
	want := cut.After()
	if when == Before {
		want = cut.Before()
	}
	found := make([]plan.Finding, len(c.Resolvers))
	inParallel(len(found), func(i int) {
		r := c.Resolvers[i]
		target := r.View + " " + r.Addr.String()
		a, err := c.dns.Ask(ctx, r.Addr, name, "MX", true)
		if err != nil {
			found[i] = unknown(target, "%v", err)
			return
		}
		got, left := a.Set, a.Set.TTL
		if got.Absent() {
			left = a.Negative
		}
		got.Name = want.Name
		switch {
		case got.SameData(want):
			found[i] = pass(target, "it answers %s, for %d more seconds", got.InLine(), left)
		case when == Before:
			found[i] = warn(target, "it answers %s, for %d more seconds, and not what the servers serve", got.InLine(), left)
		default:
			found[i] = c.held(target, cut.Domain, got, left)
		}
		found[i].Evidence = got.String()
	})
	return found, ctx.Err()
}

// slack is how far a resolver's clock and ours, and the rounding of TTLs, may
// differ.
const slack = 2 * time.Second

// held judges a resolver that answers as before: until when it may, and whether
// that time is over.
func (c *Checker) held(target, domain string, got rrset.Set, left uint32) plan.Finding {
	now := c.Now()
	until := c.caches.until(domain, got)
	again := now.Add(time.Duration(left) * time.Second)
	switch {
	case until.IsZero():
		return warn(target, "it still answers %s; it must ask again in %d seconds, at %s", got.InLine(), left, clock(again))
	case now.After(until.Add(slack)):
		return warn(target, "it still answers %s, which no cache that honours TTLs holds since %s: it serves stale answers (RFC 8767), the record is pinned there, or its view has a zone of its own", got.InLine(), clock(until))
	case again.After(until.Add(slack)):
		return warn(target, "it still answers %s; it must ask again in %d seconds, at %s, which is later than any TTL that was served allows: %s", got.InLine(), left, clock(again), clock(until))
	}
	return warn(target, "it still answers %s; it must ask again in %d seconds, at %s; from %s no cache that honours TTLs holds it", got.InLine(), left, clock(again), clock(until))
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// asked is a name to ask for: below a wildcard, one that only it answers.
func asked(domain string) string {
	if rrset.IsWildcard(domain) {
		return randomLabel() + domain[1:]
	}
	return domain
}
