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

// How long a message took straight to the old server is told, once for all domains.
func TestOldSourceTellsHowLong(t *testing.T) {
	t.Parallel()
	c, cut := in(nil)(t)
	for first := range 2 {
		found := c.Only(t.Context(), cut, "old.source")
		if len(found) == 0 {
			t.Fatal("nothing was found")
		}
		for _, f := range found {
			l, ok := plan.ParseLegs(f.Evidence)
			if told := ok && l.Arrived > 0; told != (first == 0) {
				t.Errorf("asked %d times: %q", first+1, f.Evidence)
			}
		}
	}
}
