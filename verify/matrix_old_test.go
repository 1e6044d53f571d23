package verify_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixOld are the rows of the old server.
func matrixOld() []row {
	behind := func(source bool, names ...string) func(*testing.T) (*verify.Checker, plan.Cutover) {
		return in(func(_ *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Vantages = nil
			for _, n := range names {
				v := verify.Vantage{Name: n, Dial: sourced(b.facts.Sender)}
				if source {
					v.Source = b.facts.Vantage
				}
				s.Vantages = append(s.Vantages, v)
			}
		})
	}
	two := in(func(_ *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
		s.Vantages = []verify.Vantage{{Name: "a", Dial: sourced(b.facts.Sender)}, {Name: "b", Dial: sourced(b.facts.Vantage)}}
	})
	closed := in(func(_ *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
		s.OldAddresses = []netip.Addr{netip.MustParseAddr(host(b.facts, 250))}
	})
	sends := func(t *testing.T) (*verify.Checker, plan.Cutover) {
		c, cut := called("192.0.2.77")(t)
		c.GatewaySends = []netip.Prefix{netip.MustParsePrefix("192.0.2.64/26")}
		return c, cut
	}
	return []row{
		{check: "old.stragglers", breaks: "where the gateway sends from is not said", when: verify.After, good: sends, broken: called("192.0.2.77"), want: plan.Warn, says: "192.0.2.77"},
		{check: "old.source", breaks: "another address than the vantage has", when: verify.Before, good: in(nil), broken: behind(true, "outside"), want: plan.Warn, says: "source addresses hidden (NAT)"},
		{check: "old.source", breaks: "two vantages have one address", when: verify.Before, good: two, broken: behind(false, "a", "b"), want: plan.Warn, says: "as from another vantage"},
		{check: "old.source", breaks: "one vantage of unknown address", when: verify.Before, good: two, broken: behind(false, "a"), want: plan.Unknown, says: "cannot be known from one vantage alone"},
		{check: "old.source", breaks: "nobody takes the message", when: verify.Before, good: in(nil), broken: closed, want: plan.Unknown, says: "does not take a message"},
		{check: "old.stragglers", breaks: "a sender has the old address", when: verify.After, good: called("gateway"), broken: called("192.0.2.77"), want: plan.Warn, says: "past the gateway after 2026-11-25 12:00:10 UTC, with 40 messages since the domain was published: 192.0.2.77 (40, last"},
		{check: "old.stragglers", breaks: "many senders", when: verify.After, good: called("gateway"), broken: called("192.0.2.%d"), want: plan.Warn, says: "35 more addresses"},
		{check: "old.stragglers", breaks: "the log is an old one", when: verify.After, good: called("gateway"), want: plan.Unknown, says: "is it the right one?", broken: in(func(t *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Mail.Old = []string{written(t, logOf(3, "=> %s R=r T=smtp C=\"250 OK\""))}
			s.Mail.Published = func(string) time.Time { return logTime.Add(time.Hour) }
		})},
	}
}

// sourced dials from an address.
func sourced(from netip.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
		return d.DialContext(ctx, network, address)
	}
}

// called is a world with a log of the old server: before the domain was published
// strangers called there, then for ten seconds still, as caches may let them, and
// after that only who is named. "%d" makes many of one.
func called(who string) func(*testing.T) (*verify.Checker, plan.Cutover) {
	return func(t *testing.T) (*verify.Checker, plan.Cutover) {
		t.Helper()
		c, cut := in(func(t *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			from := who
			if who == "gateway" {
				from = b.facts.Gateways[0].Addr.String()
			}
			var log strings.Builder
			for i := -20; i < 50; i++ {
				peer := "198.51.100.9"
				if i >= 10 {
					peer = from
				}
				if strings.Contains(peer, "%d") {
					peer = fmt.Sprintf(peer, i)
				}
				id := fmt.Sprintf("%06d-00000000000-0000 ", i+20)
				stamp := logTime.Add(time.Duration(i) * time.Second).Format("2006-01-02 15:04:05 -0700 ")
				log.WriteString(stamp + id + "<= a@sender.example H=x [" + peer + "] P=esmtp S=100\n")
				log.WriteString(stamp + id + "=> user@choir.test R=r T=smtp C=\"250 OK\"\n")
			}
			s.Mail.Old = []string{written(t, log.String())}
			s.Mail.Published = func(string) time.Time { return logTime }
		})(t)
		c.Expect(cut.Domain, logTime.Add(10*time.Second))
		return c, cut
	}
}
