package verify_test

import (
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixDNS are the rows of name servers and caches.
func matrixDNS() []row {
	after := func(hosts ...string) func(*testing.T) (*verify.Checker, plan.Cutover) {
		return in(func(t *testing.T, _ *bench, _ *verify.Settings, c *plan.Cutover) {
			*c = cut(t, "choir.test.", old, hosts)
		})
	}
	published := in(func(t *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
		b.publish(t, "choir.test", "choir.test", gws...)
	})
	return []row{
		{check: "mx.target", breaks: "the old server at a high preference", when: verify.Before, good: in(nil), broken: after("10 gw1.gw.test.", "90 mail.old.test."), says: "old server"},
		{check: "mx.target", breaks: "no address", when: verify.Before, good: in(nil), broken: after("10 nowhere.gw.test."), says: "no address"},
		{check: "ns.sync", breaks: "nothing published", when: verify.After, good: published, broken: in(nil), says: "was expected"},
		{check: "ns.ttl", breaks: "no resolver", when: verify.Before, good: in(nil), broken: in(func(_ *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) { nobody(s) }), want: plan.Unknown},
		{check: "cache.resolver", breaks: "it still has the old answer", when: verify.After, good: published, want: plan.Warn, says: "it must ask again in", broken: in(func(t *testing.T, b *bench, s *verify.Settings, c *plan.Cutover) {
			b.checker(t, nil).Run(t.Context(), verify.Before, *c)
			b.publish(t, "choir.test", "choir.test", gws...)
		})},
	}
}
