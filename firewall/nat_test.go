//go:build integration

package firewall

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/verify"
)

// A routed old server is behind a router, and everybody else before it: three vantages
// and the gateway, in both families. The router may hide their addresses.
type routed struct {
	hosts
	router  string
	spaces  []string // of the vantages
	gwSpace string
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
	id := fmt.Sprintf("mn%05x", rand.Uint32()&0xfffff)
	r := &routed{hosts: hosts{old: id + "o", inner: id + "c", boot: t.TempDir() + "/boot.nft"}, router: id + "r", gwSpace: id + "v3"}
	r.spaces = []string{id + "v0", id + "v1", id + "v2"}
	for _, ns := range append([]string{r.old, r.router, r.gwSpace, r.inner}, r.spaces...) {
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		ip(t, "-n", ns, "link", "set", "lo", "up")
	}
	in(t, r.router, func() {
		for _, f := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+f, []byte("1"), 0); err != nil {
				t.Error(err)
			}
		}
	})
	wire := func(ns, dev, v4, v6 string, bits4 int, far, rdev, r4, r6 string) {
		t.Helper()
		ip(t, "link", "add", dev, "netns", ns, "type", "veth", "peer", "name", rdev, "netns", far)
		for _, end := range []struct{ ns, dev, v4, v6 string }{{ns, dev, v4, v6}, {far, rdev, r4, r6}} {
			ip(t, "-n", end.ns, "addr", "add", fmt.Sprintf("%s/%d", end.v4, bits4), "dev", end.dev)
			ip(t, "-n", end.ns, "addr", "add", end.v6+"/64", "dev", end.dev, "nodad")
			ip(t, "-n", end.ns, "link", "set", end.dev, "up")
		}
		ip(t, "-n", ns, "route", "add", "default", "via", r4)
		ip(t, "-n", ns, "-6", "route", "add", "default", "via", r6)
	}
	wire(r.old, "toworld", routedOld4, routedOld6, 30, r.router, "toold", routerIn4, routerIn6)
	for i, ns := range append(r.spaces, r.gwSpace) {
		wire(ns, "out", fmt.Sprintf("198.51.100.%d", 4*i+2), fmt.Sprintf("2001:db8:10%d::2", i), 30,
			r.router, fmt.Sprintf("in%d", i), fmt.Sprintf("198.51.100.%d", 4*i+1), fmt.Sprintf("2001:db8:10%d::1", i))
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
	for _, ns := range r.spaces {
		s.Vantages = append(s.Vantages, verify.Vantage{Name: ns, Dial: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			in(t, ns, func() { c, err = new(net.Dialer).DialContext(ctx, network, address) })
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
	r.container(t, strings.TrimSuffix(r.old, "o"))
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
