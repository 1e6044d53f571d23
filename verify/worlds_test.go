package verify_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
	"mxcutover/verify/resolve"
)

// edit changes an RRset of the lab at once, with a TTL of 5 s; no data deletes it.
func (b *bench) edit(t *testing.T, zone, name, typ string, data ...string) {
	t.Helper()
	if err := b.world.Edit(zone, name, typ, 5, data...); err != nil {
		t.Fatal(err)
	}
}

// published is a world in which choir.test has an MX.
func published(data ...string) world {
	return in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
		b.publish(t, "choir.test", "choir.test", data...)
	})
}

// wildcard is a world in which *.wild.test has an MX, and is to have the gateway's.
func wildcard(data ...string) world {
	return in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
		b.publish(t, "wild.test", "*.wild.test", data...)
		*c = cut(t, "*.wild.test.", old, gws)
	})
}

// signed is a world with the signed zone of a domain.
func signed(f lab.Fault) world {
	return in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
		if err := b.world.Break("signed.test", f); err != nil {
			t.Fatal(err)
		}
		*c = cut(t, "signed.test.", old, gws)
	})
}

func rootAnchors(t *testing.T) resolve.Anchors {
	t.Helper()
	a, err := resolve.RootAnchors()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// inside adds a resolver of a view of its own, which answers every MX alike.
func inside(t *testing.T, s *verify.Settings, mx string) {
	t.Helper()
	at := resolver(t, func(q *dns.Msg) *dns.Msg {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		if name := q.Question[0].Name; q.Question[0].Qtype == dns.TypeMX {
			rr, err := dns.NewRR(name + " 60 IN MX " + mx)
			if err == nil {
				m.Answer = []dns.RR{rr}
			}
		} else if strings.HasSuffix(strings.ToLower(name), ".gw.test.") && q.Question[0].Qtype == dns.TypeA {
			rr, err := dns.NewRR(name + " 60 IN A 192.0.2.1")
			if err == nil {
				m.Answer = []dns.RR{rr}
			}
		}
		return m
	})
	s.Resolvers = append([]verify.Resolver{{View: "inside", Addr: at}}, s.Resolvers...)
}

// twoViews is a world with a view inside that answers every MX alike.
func twoViews(mx string) world {
	return in(func(t *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) { inside(t, s, mx) })
}

// resolver answers by a function.
func resolver(t *testing.T, answer func(*dns.Msg) *dns.Msg) netip.AddrPort {
	t.Helper()
	ready := make(chan struct{})
	s := &dns.Server{
		Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(ready) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(answer(q)) }),
	}
	go func() { _ = s.ListenAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown() })
	return netip.MustParseAddrPort(s.PacketConn.LocalAddr().String())
}

// forwarded puts a forwarder before the lab's resolver that passes on what it likes, and
// fails at the rest.
func forwarded(t *testing.T, b *bench, s *verify.Settings, likes func(*dns.Msg) bool) {
	t.Helper()
	at := resolver(t, func(q *dns.Msg) *dns.Msg {
		m, _, err := (&dns.Client{UDPSize: 4096}).Exchange(q.Copy(), netip.AddrPortFrom(b.facts.Resolver, b.facts.DNSPort).String())
		if !likes(q) || err != nil {
			m = new(dns.Msg)
			m.SetRcode(q, dns.RcodeServerFailure)
		}
		return m
	})
	s.Resolvers = []verify.Resolver{{View: "public", Addr: at}}
}

// unaware puts a forwarder before the lab's resolver that knows no EDNS, and so no
// DNSSEC.
func unaware(t *testing.T, b *bench, s *verify.Settings) {
	t.Helper()
	at := resolver(t, func(q *dns.Msg) *dns.Msg {
		plain := new(dns.Msg)
		plain.SetQuestion(q.Question[0].Name, q.Question[0].Qtype)
		m, _, err := (&dns.Client{}).Exchange(plain, netip.AddrPortFrom(b.facts.Resolver, b.facts.DNSPort).String())
		if err != nil {
			m = new(dns.Msg)
			m.SetRcode(q, dns.RcodeServerFailure)
		}
		m.Id = q.Id
		return m
	})
	s.Resolvers = []verify.Resolver{{View: "public", Addr: at}}
}
