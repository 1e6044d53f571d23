//go:build integration

package firewall

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/verify"
)

// A routed old server is behind a router, and everybody else before it: three vantages
// and the gateway, in both families. The router may hide their addresses.
type routed struct {
	hosts
	router  *site.Space
	spaces  [3]*site.Space // of the vantages
	gwSpace *site.Space
}

// The old server's addresses, and the gateway's.
const (
	routedOld4, routedOld6 = "192.0.2.130", "2001:db8:f::2"
	routedGW4, routedGW6   = "198.51.100.14", "2001:db8:103::2"
	routerIn4, routerIn6   = "192.0.2.129", "2001:db8:f::1"
	routedMasked           = "oifname \"toold\" masquerade"
)

func newRouted(t *testing.T) *routed {
	t.Helper()
	r := &routed{hosts: hosts{boot: t.TempDir() + "/boot.nft"}}
	r.net = spacesOf(t, map[string]**site.Space{
		"old": &r.old, "inner": &r.inner, "router": &r.router, "gateway": &r.gwSpace, "v0": &r.spaces[0], "v1": &r.spaces[1], "v2": &r.spaces[2],
	})
	if err := r.router.Forward(); err != nil {
		t.Fatal(err)
	}
	wire(t, r.net, site.End{Space: r.old, Device: "toworld", Addrs: networks(routedOld4+"/30", routedOld6+"/64"), Via: addrs(routerIn4, routerIn6)},
		site.End{Space: r.router, Device: "toold", Addrs: networks(routerIn4+"/30", routerIn6+"/64")})
	for i, at := range append(r.spaces[:], r.gwSpace) {
		v4, v6 := func(last int) string { return fmt.Sprintf("198.51.100.%d", 4*i+last) }, func(last int) string { return fmt.Sprintf("2001:db8:10%d::%d", i, last) }
		wire(t, r.net, site.End{Space: at, Device: "out", Addrs: networks(v4(2)+"/30", v6(2)+"/64"), Via: addrs(v4(1), v6(1))},
			site.End{Space: r.router, Device: fmt.Sprint("in", i), Addrs: networks(v4(1)+"/30", v6(1)+"/64")})
	}
	r.driver = r.local(t)
	r.listen(t, r.old, "25")
	r.open(t, r.gwSpace, "["+routedOld6+"]:25")
	return r
}

// checker asks from the vantages, whose own addresses are not told.
func (r *routed) checker(t *testing.T) *verify.Checker {
	t.Helper()
	s := verify.Settings{
		OldAddresses: []netip.Addr{netip.MustParseAddr(routedOld4), netip.MustParseAddr(routedOld6)}, Connect: 3 * time.Second,
		Resolvers: []verify.Resolver{{View: "public", Addr: netip.MustParseAddrPort("127.0.0.1:9")}},
	}
	for _, at := range r.spaces {
		s.Vantages = append(s.Vantages, verify.Vantage{Name: at.Name, Dial: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			in(t, at, func() { c, err = new(net.Dialer).DialContext(ctx, network, address) })
			return c, err
		}})
	}
	c, err := verify.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// sources asks what the gate asks of the old server's firewall.
func (r *routed) sources(t *testing.T, c *verify.Checker, ports []uint16, trust []netip.Prefix) []plan.Finding {
	t.Helper()
	d, ok := r.driver.(Witness)
	if !ok {
		t.Fatal("the driver is no witness")
	}
	if err := d.Witness(t.Context(), Rules{Ports: ports, Trust: trust}); err != nil {
		t.Fatal(err)
	}
	found := c.TrueSources(t.Context(), ports, trust, d.Callers)
	if err := d.Dismiss(t.Context()); err != nil {
		t.Fatal(err)
	}
	return found
}

func each(found []plan.Finding) (out string) {
	for _, f := range found {
		out += fmt.Sprintf("\n%s %s %s: %s", f.Severity, f.Target, f.Vantage, f.Detail)
	}
	return out
}

func trusted(addrs ...string) (out []netip.Prefix) {
	for _, a := range addrs {
		x := netip.MustParseAddr(a)
		out = append(out, netip.PrefixFrom(x, x.BitLen()))
	}
	return out
}

// TestIntegrationNAT has a router hide source addresses before the old server: three
// vantages became one, in either family, and that is seen before anything is closed.
// What would follow is shown: either the gateway is cut off, or nobody is.
func TestIntegrationNAT(t *testing.T) {
	t.Parallel()
	r := newRouted(t)
	c := r.checker(t)
	gateway, router := trusted(routedGW4, routedGW6), trusted(routerIn4, routerIn6)
	before := list(t, r.old)
	if found := r.sources(t, c, []uint16{25}, gateway); len(found) != 6 || plan.Judge(found) != plan.Pass {
		t.Fatalf("without NAT: %s", each(found))
	}
	for i := range dialects {
		r.driver.(*NFT).as = &dialects[i]
		if found := r.sources(t, c, []uint16{25}, gateway); plan.Judge(found) != plan.Pass {
			t.Errorf("without NAT, by %s: %s", dialects[i].name, each(found))
		}
	}
	ruleset(t, r.router, "table inet hides { chain out { type nat hook postrouting priority srcnat; "+routedMasked+"; }; }")
	for i := range dialects {
		r.driver.(*NFT).as = &dialects[i]
		for name, trust := range map[string][]netip.Prefix{"the gateway is trusted": gateway, "the router is trusted": router} {
			found := r.sources(t, c, []uint16{25}, trust)
			if len(found) != 6 {
				t.Errorf("%s: %s", name, each(found))
			}
			for _, f := range found {
				if f.Severity != plan.Fail || !strings.Contains(f.Detail, "hidden (NAT)") {
					t.Errorf("%s, by %s: %s", name, dialects[i].name, each([]plan.Finding{f}))
				}
			}
		}
	}
	if after := list(t, r.old); after != before {
		t.Errorf("it left something behind:\n%s\nbefore:\n%s", after, before)
	}
	r.open(t, r.spaces[0], routedOld4+":25")
	r.driver.(*NFT).as = best
	arm := func(trust []netip.Prefix) {
		t.Helper()
		if err := r.driver.Apply(t.Context(), Rules{Ports: []uint16{25}, Trust: trust}, until(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	arm(gateway)
	r.closed(t, r.gwSpace, routedOld4+":25")
	r.closed(t, r.gwSpace, "["+routedOld6+"]:25")
	arm(router)
	r.open(t, r.spaces[1], routedOld4+":25")
	r.open(t, r.spaces[1], "["+routedOld6+"]:25")
}

// TestIntegrationSourcesOfAContainer asks at a port that the old server forwards to a
// container, and at one that our own rules have closed: both are seen.
func TestIntegrationSourcesOfAContainer(t *testing.T) {
	t.Parallel()
	r := newRouted(t)
	r.container(t)
	c := r.checker(t)
	gateway := trusted(routedGW4, routedGW6)
	for i := range dialects {
		r.driver.(*NFT).as = &dialects[i]
		if found := r.sources(t, c, []uint16{25, 465}, gateway); len(found) != 12 || plan.Judge(found) != plan.Pass {
			t.Errorf("by %s: %s", dialects[i].name, each(found))
		}
	}
	r.driver.(*NFT).as = best
	if err := r.driver.Apply(t.Context(), Rules{Ports: []uint16{25, 465}, Trust: gateway}, until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if found := r.sources(t, c, []uint16{25, 465}, gateway); len(found) != 12 || plan.Judge(found) != plan.Pass {
		t.Errorf("closed by us: %s", each(found))
	}
	r.closed(t, r.spaces[2], routedOld4+":465")
	r.closed(t, r.spaces[2], "["+routedOld6+"]:465")
	r.open(t, r.gwSpace, routedOld4+":465")
	// Lifting takes a table along that notes who connects, too.
	d := r.driver.(*NFT)
	if err := d.Witness(t.Context(), Rules{Ports: []uint16{25}, Trust: gateway}); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), Rules{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if text := list(t, r.old); strings.Contains(text, "mxcutover") {
		t.Errorf("left after lift:\n%s", text)
	}
	if _, err := d.Callers(t.Context()); err == nil {
		t.Error("nobody notes who connects, and it is said who did")
	}
}
