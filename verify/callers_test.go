package verify_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"mxcutover/plan"
	"mxcutover/verify"
)

// A kernel counts who connects, as the old server's firewall does.
type kernel struct {
	seen   map[netip.Addr]uint64
	always []netip.Addr // who speaks all the time
	err    error
}

func (k *kernel) callers(context.Context) (map[netip.Addr]uint64, error) {
	for _, a := range k.always {
		k.seen[a] += 100
	}
	return maps.Clone(k.seen), k.err
}

// vantage is one that the kernel sees as an address; "" = it does not see it.
func (k *kernel) vantage(name, source, as string, refuses error) verify.Vantage {
	v := verify.Vantage{Name: name, Dial: func(context.Context, string, string) (net.Conn, error) {
		if as != "" {
			k.seen[netip.MustParseAddr(as)] += 4
		}
		if refuses != nil {
			return nil, refuses
		}
		here, there := net.Pipe()
		there.Close()
		return here, nil
	}}
	if source != "" {
		v.Source = netip.MustParseAddr(source)
	}
	return v
}

// TestTrueSources has a firewall that sees true addresses, or not: where three vantages
// became one, or one became the gateway, it is told; and what is not known is not passed.
func TestTrueSources(t *testing.T) {
	t.Parallel()
	const nat, gateway, stranger = "192.0.2.1", "192.0.2.21", "198.51.100.99"
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	type who struct{ source, as string }
	for name, c := range map[string]struct {
		from   []who
		always []string
		err    error
		refuse error
		want   plan.Severity
		says   string
	}{
		"each its own":                  {from: []who{{"", "198.51.100.1"}, {"", "198.51.100.2"}}, want: plan.Pass, says: "another address from each other vantage"},
		"one, whose address is known":   {from: []who{{"198.51.100.1", "198.51.100.1"}}, want: plan.Pass, says: "the vantage's own"},
		"three vantages became one":     {from: []who{{"", nat}, {"", nat}, {"", nat}}, want: plan.Fail, says: "as from another vantage"},
		"one became another's":          {from: []who{{"198.51.100.1", nat}}, want: plan.Fail, says: "the vantage has 198.51.100.1"},
		"one became the gateway":        {from: []who{{"", gateway}, {"", "198.51.100.2"}}, want: plan.Fail, says: "isolate.trust lets in"},
		"one, whose address is unknown": {from: []who{{"", nat}}, want: plan.Unknown, says: "one vantage alone"},
		"another machine is asked":      {from: []who{{"198.51.100.1", ""}, {"", ""}}, want: plan.Fail, says: "another machine's"},
		"stopped on the way":            {from: []who{{"198.51.100.1", ""}}, refuse: refused, want: plan.Unknown, says: "stopped before"},
		"seen, and refused there":       {from: []who{{"198.51.100.1", "198.51.100.1"}}, refuse: refused, want: plan.Pass, says: "own"},
		"the gateway is busy":           {from: []who{{"", "198.51.100.1"}, {"", "198.51.100.2"}}, always: []string{gateway}, want: plan.Pass, says: "another address"},
		"hidden, and the gateway is not": {
			from: []who{{"", nat}, {"", nat}}, always: []string{gateway}, want: plan.Fail, says: "as from another vantage",
		},
		"strangers are busy, too": {from: []who{{"", "198.51.100.1"}, {"", "198.51.100.2"}}, always: []string{gateway, stranger, "198.51.100.98"}, want: plan.Pass, says: "another address"},
		"strangers are as busy as what hides the vantages": {
			from: []who{{"", nat}, {"", nat}}, always: []string{nat, stranger}, want: plan.Unknown, says: "spoke at once",
		},
		"strangers are busy, and the vantages are hidden": {from: []who{{"", nat}, {"", nat}}, always: []string{stranger}, want: plan.Fail, says: "as from another vantage"},
		"it cannot be read": {from: []who{{"", "198.51.100.1"}}, err: errors.New("ssh"), want: plan.Unknown, says: "ssh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &kernel{seen: map[netip.Addr]uint64{}, err: c.err}
			for _, a := range c.always {
				k.always = append(k.always, netip.MustParseAddr(a))
			}
			s := verify.Settings{OldAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Resolvers: []verify.Resolver{{View: "public", Addr: netip.MustParseAddrPort("127.0.0.1:9")}}}
			for i, w := range c.from {
				s.Vantages = append(s.Vantages, k.vantage(string(rune('a'+i)), w.source, w.as, c.refuse))
			}
			v, err := verify.New(s)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(v.Close)
			found := v.TrueSources(t.Context(), []uint16{25}, []netip.Prefix{netip.MustParsePrefix(gateway + "/32")}, k.callers)
			if len(found) != len(c.from) || plan.Judge(found) != c.want || !strings.Contains(words(found), c.says) {
				t.Errorf("%s, want %s: %s", words(found), c.want, c.says)
			}
			for _, f := range found {
				if f.Check != "old.source" || f.At.IsZero() || f.Target != "192.0.2.10:25" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// TestNodesUnseen has a gateway whose source the old server was told by a proxy, and
// its firewall did not see.
func TestNodesUnseen(t *testing.T) {
	t.Parallel()
	var gateways []netip.Addr
	world := in(func(_ *testing.T, b *bench, _ *verify.Settings, _ *plan.Cutover) {
		for _, g := range b.facts.Gateways {
			gateways = append(gateways, g.Addr)
		}
	})
	c, cut := world(t)
	var trust []netip.Prefix
	k := &kernel{seen: map[netip.Addr]uint64{}}
	for _, g := range gateways {
		trust = append(trust, netip.PrefixFrom(g, g.BitLen()))
		k.seen[g] = 3
	}
	if found := c.Nodes(t.Context(), cut, trust, k.callers); plan.Judge(found) != plan.Pass {
		t.Errorf("all are seen: %s", words(found))
	}
	delete(k.seen, gateways[0])
	if found := c.Nodes(t.Context(), cut, trust, k.callers); plan.Judge(found) != plan.Fail || !strings.Contains(words(found), "saw nothing of that") {
		t.Errorf("one is not seen: %s", words(found))
	}
	k.err = errors.New("ssh")
	if found := c.Nodes(t.Context(), cut, trust, k.callers); plan.Judge(found) != plan.Unknown {
		t.Errorf("it cannot be read: %s", words(found))
	}
}
