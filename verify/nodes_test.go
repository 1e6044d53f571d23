package verify_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/rrset"
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
	found := c.Nodes(t.Context(), cut, trust, nil)
	if len(found) != len(gateways) || plan.Judge(found) != plan.Pass || !strings.Contains(words(found), "the old server saw it come from "+gateways[0].String()) {
		t.Errorf("all are trusted: %s", words(found))
	}
	found = c.Nodes(t.Context(), cut, trust[1:], nil)
	if plan.Judge(found) != plan.Fail || !strings.Contains(words(found), "from "+gateways[0].String()+", which isolate.trust does not let in") {
		t.Errorf("one is not trusted: %s", words(found))
	}
}

// Each MX host is asked, and for none of them more than one domain.
func TestNodesOf(t *testing.T) {
	t.Parallel()
	to := func(name string, data ...string) plan.Cutover {
		set := rrset.Set{Name: name, Type: "MX", Data: data}
		return plan.Cutover{Domain: name, Steps: []plan.Step{{ID: string(plan.Publish), Kind: plan.Publish, Change: &rrset.Change{After: set}}}}
	}
	var got []string
	for _, c := range verify.NodesOf([]plan.Cutover{
		to("a.test.", "10 gw1.", "20 gw2."), to("same.test.", "10 gw1.", "20 gw2."), to("less.test.", "5 gw2."),
		to("more.test.", "10 gw1.", "30 gw3."),
		{Domain: "kept.test."},
		{Domain: "again.test."},
	}) {
		got = append(got, c.Domain)
	}
	if want := []string{"a.test.", "more.test.", "kept.test."}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
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

// An old server of both families is asked over each from the vantages that have a way
// there: one that is bound to an IPv4 address has none to an IPv6 one.
func TestOldSourceOfEachFamily(t *testing.T) {
	t.Parallel()
	c, cut := in(func(_ *testing.T, b *bench, s *verify.Settings, _ *plan.Cutover) {
		four := verify.Vantage{Name: "four", Source: b.facts.Vantage}
		s.Vantages = []verify.Vantage{four, {Name: "both", Dial: sourced(b.facts.Sender)}}
		s.OldAddresses = append(slices.Clone(s.OldAddresses), netip.MustParseAddr("2001:db8::10"))
	})(t)
	asked := map[string]string{}
	for _, f := range c.Only(t.Context(), cut, "old.source") {
		asked[f.Target] += f.Vantage + " "
	}
	if asked["2001:db8::10"] != "both " {
		t.Errorf("the old server's IPv6 address was asked from %q, want both alone", asked["2001:db8::10"])
	}
	if len(asked) != 2 {
		t.Errorf("asked: %v", asked)
	}
}
