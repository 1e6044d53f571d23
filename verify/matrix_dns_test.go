package verify_test

import (
	"net/netip"
	"testing"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixDNS are the rows of name servers and caches.
func matrixDNS() []row {
	after := func(hosts ...string) world {
		return in(func(t *testing.T, _ *bench, _ *verify.Settings, c *plan.Cutover) {
			*c = cut(t, "choir.test.", old, hosts)
		})
	}
	deaf := in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) { nobody(s) })
	rows := []row{
		{check: "mx.target", breaks: "the old server at a high preference", when: verify.Before, good: in(nil), broken: after("10 gw1.gw.test.", "90 mail.old.test."), says: "old server"},
		{check: "mx.target", breaks: "no address", when: verify.Before, good: in(nil), broken: after("10 nowhere.gw.test."), says: "no address"},
		{check: "mx.target", breaks: "an alias", when: verify.Before, good: in(nil), says: "alias for gw1.gw.test", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
			b.edit(t, "choir.test", "mx.choir.test", "CNAME", "gw1.gw.test.")
			*c = cut(t, "choir.test.", old, []string{"10 mx.choir.test."})
		})},
		{check: "mx.target", breaks: "the old server by another name", when: verify.After, good: in(nil), broken: after("10 gw1.gw.test.", "20 mx2.old.test."), says: "leads to the old server"},
		{check: "mx.target", breaks: "no resolver", when: verify.Before, good: in(nil), broken: deaf, want: plan.Unknown, says: "could not check"},
		{check: "mx.null", breaks: "beside another", when: verify.After, good: published(gws...), broken: published("0 .", "10 gw1.gw.test."), says: "null MX beside others"},
		{check: "mx.null", breaks: "planned", when: verify.Before, good: in(nil), broken: after("0 ."), says: "accept no mail"},
		{check: "mx.null", breaks: "taken away by the cutover", when: verify.Before, good: in(nil), broken: published("0 ."), want: plan.Warn, says: "accepts no mail"},
		{check: "mx.implicit", breaks: "the MX is gone", when: verify.After, good: published(gws...), says: "nobody can send to it", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
			b.edit(t, "choir.test", "choir.test", "MX")
		})},
		{check: "mx.implicit", breaks: "never published", when: verify.After, good: published(gws...), says: "the old server", broken: in(func(t *testing.T, _ *bench, _ *verify.Settings, c *plan.Cutover) {
			*c = cut(t, "bare.test.", nil, gws)
		})},
		{check: "mx.wildcard", breaks: "not published", when: verify.After, good: wildcard(gws...), broken: wildcard(old...), says: "below the wildcard"},
		{check: "mx.wildcard", breaks: "an MX hides it", when: verify.Before, good: in(nil), want: plan.Warn, says: "loses [TXT]", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
			b.edit(t, "choir.test", "*.choir.test", "TXT", "\"v=spf1 -all\"")
			*c = cut(t, "new.choir.test.", nil, gws)
			c.Zone = "choir.test."
		})},
		{check: "mx.views", breaks: "before, the other view has the old server", when: verify.Before, good: twoViews("10 gw1.gw.test."), broken: twoViews("10 mail.old.test."), want: plan.Warn, says: "the plan does not change that"},
		{check: "mx.views", breaks: "moved by half", when: verify.After, good: twoViews("10 elsewhere.test."), broken: twoViews("90 mail.old.test."), says: "moved by half"},
		{check: "mx.views", breaks: "the other view's resolver is down", when: verify.After, good: twoViews("10 gw1.gw.test."), want: plan.Unknown, says: "could not check", broken: in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Resolvers = append(s.Resolvers, verify.Resolver{View: "inside", Addr: netip.MustParseAddrPort("127.0.0.1:1")})
		})},
		{check: "mx.duplicate", breaks: "a host twice", when: verify.Before, good: in(nil), broken: after("10 gw1.gw.test.", "20 gw1.gw.test."), want: plan.Warn, says: "stands twice"},
		{check: "mx.duplicate", breaks: "one machine with two names", when: verify.Before, good: in(nil), want: plan.Warn, says: "when one is down, both are", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
			b.edit(t, "choir.test", "mx.choir.test", "A", b.facts.Gateways[0].Addr.String())
			*c = cut(t, "choir.test.", old, []string{"10 gw1.gw.test.", "20 mx.choir.test."})
		})},
	}
	return append(append(rows, matrixServers()...), matrixCaches()...)
}

// matrixServers are the rows of delegations, versions and signatures.
func matrixServers() []row {
	deaf := in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) { nobody(s) })
	elsewhere := func(zone string, ns ...string) world {
		return in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
			b.edit(t, zone, "choir.test", "NS", ns...)
		})
	}
	return []row{
		{check: "ns.delegation", breaks: "the parent names one more", when: verify.Before, good: in(nil), broken: elsewhere("choir.test", "ns1.nic.test."), want: plan.Warn, says: "its parent delegates to ns2.nic.test"},
		{check: "ns.delegation", breaks: "a server without an address", when: verify.Before, good: in(nil), broken: elsewhere("choir.test", "ns1.nic.test.", "ns2.nic.test.", "ns9.nic.test."), want: plan.Warn, says: "has no address"},
		{check: "ns.delegation", breaks: "lame", when: verify.Before, good: in(nil), broken: elsewhere("choir.test", "ns1.nic.test.", "ns2.nic.test.", "a.nic.test."), says: "lame"},
		{check: "ns.delegation", breaks: "the name is in another zone", when: verify.Before, good: in(nil), says: "it is in zone sub.choir.test", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
			b.edit(t, "choir.test", "sub.choir.test", "NS", "ns1.other.test.")
			*c = cut(t, "sub.choir.test.", old, gws)
			c.Zone = "choir.test."
		})},
		{check: "ns.delegation", breaks: "no resolver", when: verify.Before, good: in(nil), broken: deaf, want: plan.Unknown},
		{check: "ns.sync", breaks: "nothing published", when: verify.After, good: published(gws...), broken: in(nil), says: "was expected"},
		{check: "ns.sync", breaks: "one server is behind", when: verify.After, good: published(gws...), says: "mail.old.test", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
			b.world.Freeze()
			b.publish(t, "choir.test", "choir.test", gws...)
		})},
		{check: "ns.sync", breaks: "another version, the same MX", when: verify.Before, good: in(nil), want: plan.Warn, says: "several versions", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
			b.world.Freeze()
			b.edit(t, "choir.test", "www.choir.test", "A", "192.0.2.1")
		})},
		{check: "ns.sync", breaks: "an alias", when: verify.Before, good: in(nil), says: "is an alias for choir.test", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, c *plan.Cutover) {
			b.edit(t, "choir.test", "news.choir.test", "CNAME", "choir.test.")
			*c = cut(t, "news.choir.test.", old, gws)
			c.Zone = "choir.test."
		})},
		{check: "ns.ttl", breaks: "no resolver", when: verify.Before, good: in(nil), broken: deaf, want: plan.Unknown},
		{check: "ns.ttl", breaks: "several", when: verify.Before, good: in(nil), want: plan.Warn, says: "several TTLs: [5 7]", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
			b.world.Freeze()
			if err := b.world.Edit("choir.test", "choir.test", "MX", 7, old...); err != nil {
				t.Fatal(err)
			}
		})},
		{check: "ns.negative", breaks: "no resolver", when: verify.Before, good: in(nil), broken: deaf, want: plan.Unknown},
		{check: "ns.negative", breaks: "for a week", when: verify.Before, good: in(nil), want: plan.Warn, says: "604800 seconds", broken: in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
			if err := b.world.Edit("choir.test", "choir.test", "SOA", 604800, "ns1.nic.test. h.nic.test. 9 3600 600 86400 604800"); err != nil {
				t.Fatal(err)
			}
		})},
		{check: "dnssec.valid", breaks: "ended signatures", when: verify.Before, good: signed(lab.Sound), broken: signed(lab.Expired), says: "ended at"},
		{check: "dnssec.valid", breaks: "no signatures", when: verify.During, good: signed(lab.Sound), broken: signed(lab.Stripped), says: "no signature"},
		{check: "dnssec.valid", breaks: "another key", when: verify.After, good: signed(lab.Sound), broken: signed(lab.Rekeyed), says: "none of the keys"},
		{check: "dnssec.valid", breaks: "another anchor", when: verify.Before, good: in(nil), says: "none of the keys of .", broken: in(func(t *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Anchors = rootAnchors(t)
		})},
		{check: "dnssec.valid", breaks: "a resolver without DNSSEC", when: verify.Before, good: in(nil), want: plan.Warn, says: "seems to be unsigned", broken: in(func(t *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			unaware(t, b, s)
		})},
		{check: "dnssec.valid", breaks: "a resolver without DNSSEC, at a signed zone", when: verify.Before, good: signed(lab.Sound), want: plan.Unknown, says: "do not know DNSSEC", broken: in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			unaware(t, b, s)
			*c = cut(t, "signed.test.", old, gws)
		})},
		{check: "dnssec.valid", breaks: "no resolver", when: verify.Before, good: in(nil), broken: deaf, want: plan.Unknown},
		{check: "dnssec.valid", breaks: "one resolver of two is down", when: verify.Before, good: signed(lab.Sound), want: plan.Warn, says: "127.0.0.1:1: the resolver does not answer", broken: oneDown},
		{check: "dnssec.valid", breaks: "one resolver is down, and the other gives no signatures", when: verify.Before, good: signed(lab.Sound), want: plan.Unknown, says: "could not check", broken: in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			unaware(t, b, s)
			down(s)
			*c = cut(t, "signed.test.", old, gws)
		})},
	}
}

// oneDown is the world of a signed zone with a second resolver that nobody runs.
func oneDown(t *testing.T) (*verify.Checker, plan.Cutover) {
	t.Helper()
	return in(func(t *testing.T, _ *bench, s *verify.Settings, c *plan.Cutover) {
		down(s)
		*c = cut(t, "signed.test.", old, gws)
	})(t)
}

// down adds a resolver that does not answer.
func down(s *verify.Settings) {
	s.Resolvers = append(s.Resolvers, verify.Resolver{View: "public", Addr: netip.MustParseAddrPort("127.0.0.1:1")})
}

// matrixCaches are the rows of resolvers.
func matrixCaches() []row {
	return []row{
		{check: "cache.resolver", breaks: "it still has the old answer", when: verify.After, good: published(gws...), want: plan.Warn, says: "it must ask again in", broken: in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			b.checker(t, nil).Run(t.Context(), verify.Before, *c)
			b.publish(t, "choir.test", "choir.test", gws...)
		})},
		{check: "cache.resolver", breaks: "another answer in a view", when: verify.Before, good: in(nil), want: plan.Warn, says: "inside 127", broken: in(func(t *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
			inside(t, s, "10 elsewhere.test.")
		})},
	}
}
