package verify_test

import (
	"net/netip"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// A node that the old server does not let in is found before it is cut off, by the
// address that the old server sees.
func TestNodes(t *testing.T) {
	t.Parallel()
	var gateways []netip.Addr
	world := in(func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
		for _, g := range b.facts.Gateways {
			gateways = append(gateways, g.Addr)
		}
	})
	c, cut := world(t)
	var trust []netip.Prefix
	for _, g := range gateways {
		trust = append(trust, netip.PrefixFrom(g, g.BitLen()))
	}
	found := c.Nodes(t.Context(), cut, trust)
	if len(found) != len(gateways) || plan.Judge(found) != plan.Pass || !strings.Contains(words(found), "the old server saw it come from "+gateways[0].String()) {
		t.Errorf("all are trusted: %s", words(found))
	}
	found = c.Nodes(t.Context(), cut, trust[1:])
	if plan.Judge(found) != plan.Fail || !strings.Contains(words(found), "from "+gateways[0].String()+", which isolate.trust does not let in") {
		t.Errorf("one is not trusted: %s", words(found))
	}
	if n := len(verify.NodesOf([]plan.Cutover{cut, cut})); n != 1 {
		t.Errorf("one set of MX hosts is asked %d times", n)
	}
}
