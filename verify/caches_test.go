package verify_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/plan"
	"mxcutover/verify"
)

// keeper is a resolver that gives one MX with one TTL, whatever the world says.
func keeper(t *testing.T, s *verify.Settings, view, record string) {
	t.Helper()
	at := resolver(t, func(q *dns.Msg) *dns.Msg {
		m := new(dns.Msg)
		m.SetReply(q)
		if rr, err := dns.NewRR(q.Question[0].Name + " " + record); err == nil && q.Question[0].Qtype == rr.Header().Rrtype {
			m.Answer = []dns.RR{rr}
		}
		return m
	})
	s.Resolvers = append(s.Resolvers, verify.Resolver{View: view, Addr: at})
}

// The countdown names the time at which the last honest cache lets go, from what
// was seen before the change; beyond it an answer is stale.
func TestCountdown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := atomic.Pointer[time.Time]{}
	clock.Store(&now)
	c := b.checker(t, func(s *verify.Settings) {
		s.Now = func() time.Time { return *clock.Load() }
		keeper(t, s, "hours", "7200 IN MX 10 mail.old.test.")
		keeper(t, s, "seconds", "3 IN MX 10 mail.old.test.")
	})
	choir := cut(t, "choir.test.", old, gws)
	said := func(view string) string {
		for _, f := range c.Only(t.Context(), choir, "cache.resolver") {
			if strings.HasPrefix(f.Target, view) {
				return string(f.Severity) + " " + f.Detail
			}
		}
		return "nothing"
	}
	want := func(view, says string) {
		t.Helper()
		if got := said(view); !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", view, got, says)
		}
	}
	want("seconds", "warn it still answers 10 mail.old.test.; it must ask again in 3 seconds, at 2026-03-01 12:00:03 UTC")
	c.Served(t.Context(), "choir.test.", "choir.test.", "MX") // TTL 5
	b.publish(t, "choir.test", "choir.test", gws...)
	want("seconds", "from 2026-03-01 12:00:05 UTC no cache that honours TTLs holds it")
	want("hours", "at 2026-03-01 14:00:00 UTC, which is later than any TTL that was served allows: 2026-03-01 12:00:05 UTC")
	later := now.Add(time.Minute)
	clock.Store(&later)
	want("seconds", "which no cache that honours TTLs holds since 2026-03-01 12:00:05 UTC")
	c.Expect("choir.test.", now.Add(time.Hour)) // the journal knows of a higher TTL
	want("seconds", "from 2026-03-01 13:00:00 UTC no cache")
}

// What one view says of a planned host is not taken for what another says.
func TestViewsAreAskedApart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	choir := cut(t, "choir.test.", old, []string{"10 gw1.gw.test."})
	c := b.checker(t, func(s *verify.Settings) {
		keeper(t, s, "inside", "60 IN A "+b.facts.Old.Addr.String())
		s.Resolvers[0], s.Resolvers[1] = s.Resolvers[1], s.Resolvers[0]
	})
	found := c.Only(t.Context(), choir, "mx.target")
	judge(t, "inside the host leads to the old server", found, plan.Fail, "gw1.gw.test (inside): it leads to the old server")
	judge(t, "and not outside", found[:1], plan.Pass, "gw1.gw.test (public)")
	judge(t, "servers are looked for outside", c.Only(t.Context(), choir, "ns.delegation"), plan.Pass, "")
}

// From another host all of DNS goes by TCP through its connections.
func TestQuestionsFromAnotherHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var dialled atomic.Int32
	c := b.checker(t, func(s *verify.Settings) {
		s.Vantages = []verify.Vantage{{Name: "far", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}}
	})
	choir := cut(t, "choir.test.", old, gws)
	judge(t, "through another host", c.Only(t.Context(), choir, "mx.target", "ns.delegation", "dnssec.valid", "ns.negative"), plan.Pass, "")
	if n := dialled.Load(); n < 3 || n > 12 {
		t.Errorf("%d connections to four servers", n)
	}
	refused := b.checker(t, func(s *verify.Settings) {
		s.Vantages = []verify.Vantage{{Name: "far", Dial: func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded }}}
	})
	judge(t, "the host is gone", refused.Only(t.Context(), choir, "mx.target", "dnssec.valid"), plan.Unknown, "could not check")
}
