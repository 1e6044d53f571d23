package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A clock is set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestResolverHonoursTTL(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := start(t, Options{TTL: time.Minute, Lag: -1, Now: clock.now})
	mx := func() (string, uint32) {
		m := mustAsk(t, w, w.Facts().Resolver, "bakery.test", "MX")
		if !m.RecursionAvailable || m.Authoritative || len(m.Answer) != 1 {
			t.Fatalf("got %v", m)
		}
		return m.Answer[0].(*dns.MX).Mx, m.Answer[0].Header().Ttl
	}
	expect := func(host string, ttl uint32) {
		t.Helper()
		if h, got := mx(); h != host || got != ttl {
			t.Errorf("got %s with %d s, want %s with %d s", h, got, host, ttl)
		}
	}
	expect("mail.old.test.", 60)
	if err := w.Edit("bakery.test", "bakery.test", "MX", 30, "10 gw1.gw.test."); err != nil {
		t.Fatal(err)
	}
	await(t, "both servers changed", func() bool {
		return strings.Contains(short(mustAsk(t, w, w.Facts().NS2, "bakery.test", "MX")), "gw1")
	})
	clock.advance(21 * time.Second)
	expect("mail.old.test.", 39)
	clock.advance(38*time.Second + 900*time.Millisecond)
	expect("mail.old.test.", 1)
	clock.advance(100 * time.Millisecond)
	expect("gw1.gw.test.", 30)
	clock.advance(30 * time.Second)
	expect("gw1.gw.test.", 30)
}

func TestResolverRemembersAbsence(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := start(t, Options{TTL: 20 * time.Second, Lag: -1, Now: clock.now})
	resolver := w.Facts().Resolver
	for name, typ := range map[string]string{"new.bakery.test": "MX", "garden.test": "MX"} {
		if m := mustAsk(t, w, resolver, name, typ); len(m.Answer) != 0 || len(m.Ns) != 1 || m.Ns[0].Header().Ttl != 20 {
			t.Errorf("%s: %v", name, m)
		}
	}
	edit(t, w, "bakery.test", "new.bakery.test", "MX", "10 gw1.gw.test.")
	edit(t, w, "garden.test", "garden.test", "MX", "10 gw1.gw.test.")
	await(t, "both servers changed", func() bool {
		ns2 := w.Facts().NS2
		return len(mustAsk(t, w, ns2, "new.bakery.test", "MX").Answer)+len(mustAsk(t, w, ns2, "garden.test", "MX").Answer) == 2
	})
	clock.advance(19 * time.Second)
	if m := mustAsk(t, w, resolver, "new.bakery.test", "MX"); m.Rcode != dns.RcodeNameError || m.Ns[0].Header().Ttl != 1 {
		t.Errorf("forgotten too early: %v", m)
	}
	if m := mustAsk(t, w, resolver, "garden.test", "MX"); m.Rcode != 0 || len(m.Answer) != 0 {
		t.Errorf("forgotten too early: %v", m)
	}
	clock.advance(time.Second)
	for _, name := range []string{"new.bakery.test", "garden.test"} {
		if m := mustAsk(t, w, resolver, name, "MX"); len(m.Answer) != 1 {
			t.Errorf("%s is still absent: %v", name, m)
		}
	}
}

func TestResolverAsksByTurns(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := start(t, Options{Now: clock.now})
	w.Freeze()
	edit(t, w, "bakery.test", "bakery.test", "MX", "10 gw1.gw.test.")
	seen := map[string]int{}
	for range 8 {
		m := mustAsk(t, w, w.Facts().Resolver, "bakery.test", "MX")
		seen[m.Answer[0].(*dns.MX).Mx]++
		clock.advance(time.Minute)
	}
	if len(seen) != 2 {
		t.Errorf("the lag was not seen: %v", seen)
	}
}

func TestResolverWays(t *testing.T) {
	t.Parallel()
	w := start(t, Options{Lag: -1})
	resolver := w.Facts().Resolver
	edit(t, w, "choir.test", "www.choir.test", "CNAME", "gw1.gw.test.")
	await(t, "a CNAME into another zone is followed", func() bool {
		got := short(mustAsk(t, w, resolver, "www.choir.test", "A"))
		return got == "NOERROR gw1.gw.test. A "+w.Facts().Gateways[0].Addr.String()+", www.choir.test. CNAME gw1.gw.test."
	})
	m := new(dns.Msg)
	m.SetQuestion("museum.test.", dns.TypeMX)
	m.RecursionDesired = false
	if in, err := dns.Exchange(m, hostPort(resolver, w.block.dns)); err != nil || in.Rcode != dns.RcodeRefused {
		t.Errorf("without recursion: %v, %v", in, err)
	}
	for name, want := range map[string]string{
		"pilots.harbour.test":   "NOERROR pilots.harbour.test. MX 10 mail.old.test.",
		"x.y.no-such-zone.test": "NXDOMAIN auth: test. SOA",
		"example.org":           "NXDOMAIN auth: . SOA",
	} {
		if got := short(mustAsk(t, w, resolver, name, "MX")); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if in, err := askBy(w, "tcp", resolver, "bakery.test", "MX"); err != nil || len(in.Answer) != 1 {
		t.Errorf("over TCP: %v, %v", in, err)
	}
	if in := mustAsk(t, w, resolver, "bakery.test", "AXFR"); in.Rcode != dns.RcodeRefused {
		t.Errorf("AXFR: %v", in)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	r := &resolver{now: time.Now, cache: map[question]cached{}}
	a, err := dns.NewRR("a.test. 60 IN A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxCached + 50 {
		r.remember(question{fmt.Sprintf("h%d.test.", i), dns.TypeA}, cached{answer: []dns.RR{a}, came: time.Now()})
	}
	if len(r.cache) > maxCached {
		t.Errorf("%d answers are kept", len(r.cache))
	}
}

func TestNegativeAnswersLastForTheMinimum(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := &resolver{now: clock.now, cache: map[question]cached{}}
	soa, err := dns.NewRR("test. 3600 IN SOA ns.test. h.test. 1 3600 600 86400 5")
	if err != nil {
		t.Fatal(err)
	}
	q := question{"no.test.", dns.TypeMX}
	r.remember(q, cached{rcode: dns.RcodeNameError, authority: []dns.RR{soa}, came: clock.now()})
	clock.advance(4 * time.Second)
	if _, ok := r.recall(q); !ok {
		t.Error("forgotten too early")
	}
	clock.advance(time.Second)
	if _, ok := r.recall(q); ok {
		t.Error("kept beyond the SOA's minimum")
	}
}

func FuzzAnswer(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("a.test.", dns.TypeMX)
	m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "a.test."}}
	m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "test.", Rrtype: dns.TypeNS, Class: dns.ClassINET}, Ns: "ns.test."}}
	seed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := new(dns.Msg)
		if m.Unpack(wire) != nil {
			return
		}
		q := question{"a.test.", dns.TypeMX}
		if cut := referral(m, q.name, "."); cut != "" && !dns.IsSubDomain(cut, q.name) {
			t.Fatalf("led to %q", cut)
		}
		r := &resolver{now: time.Now, cache: map[question]cached{}, turns: map[string]int{}, root: netip.MustParseAddr("127.0.0.1")}
		r.remember(q, answered(m, q, "test.", r))
		if c, ok := r.recall(q); ok && c.expires.Sub(c.came) > maxTTL {
			t.Fatal("kept for too long")
		}
	})
}
