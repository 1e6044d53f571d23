package site

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Names of the site's hosts.
const (
	OldHost    = "mail.old.test"
	oldAlias   = "mx2.old.test" // another name of the old server
	SenderZone = "sender.test"  // of all who send; its mail goes to the senders' host
)

// GatewayHosts are the gateway's names, by preference.
var GatewayHosts = [2]string{"gw1.gw.test", "gw2.gw.test"}

// head begins each master file.
func (w *World) head() string {
	return fmt.Sprintf("$TTL %d\n@ IN SOA ns1.infra.test. hostmaster.infra.test. 1 5 5 86400 5\n@ IN NS ns1.infra.test.\n@ IN NS ns2.infra.test.\n", int(w.TTL/time.Second))
}

// hosts are names with the addresses that they have.
func (w *World) hosts() map[string]hostAddrs {
	return map[string]hostAddrs{
		"ns1.infra.test": PrimaryAddr, "ns2.infra.test": SecondaryAddr, OldHost: OldAddr, oldAlias: OldAddr,
		GatewayHosts[0]: GatewayAddr[0], GatewayHosts[1]: GatewayAddr[1], "mx." + SenderZone: SendersAddr, "vantage.probe.test": VantageAddr,
	}
}

// fixed are the zones that do not move.
func (w *World) fixed() map[string]string {
	zones := map[string]string{
		"infra.test": w.head(), "old.test": w.head(), "gw.test": w.head(),
		SenderZone:   w.head() + "@ IN MX 10 mx\n@ IN TXT \"v=spf1 mx -all\"\n",
		"probe.test": w.head() + "@ IN MX 10 " + OldHost + ".\n@ IN TXT \"v=spf1 ip4:" + VantageAddr.v4 + " ip6:" + VantageAddr.v6 + " ip4:" + OperatorAddr.v4 + " -all\"\n",
	}
	reverse := func(zone string) {
		zones[zone] = w.head()
	}
	for _, z := range reverseZones {
		reverse(z)
	}
	for _, name := range slices.Sorted(maps.Keys(w.hosts())) {
		a := w.hosts()[name]
		label, zone, _ := strings.Cut(name, ".")
		zones[zone] += fmt.Sprintf("%s IN A %s\n%[1]s IN AAAA %[3]s\n", label, a.v4, a.v6)
		if name == oldAlias {
			continue
		}
		for _, addr := range []netip.Addr{a.V4(), a.V6()} {
			arpa, err := dns.ReverseAddr(addr.String())
			if err != nil {
				panic(err) // it is an address
			}
			for _, z := range reverseZones {
				if dns.IsSubDomain(z+".", arpa) {
					zones[z] += fmt.Sprintf("%s IN PTR %s.\n", arpa, name)
				}
			}
		}
	}
	return zones
}

var reverseZones = []string{"2.0.192.in-addr.arpa", "113.0.203.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa"}

// moving are the zones that move, with their records.
func (w *World) moving() map[string]string {
	zones := map[string]string{}
	for _, z := range w.Zones {
		zones[z] = w.head() + "@ IN MX 10 " + OldHost + ".\n" + w.Records[z]
		if slices.Contains(w.TwoMX, z) {
			zones[z] += "@ IN MX 20 " + oldAlias + ".\n"
		}
	}
	for _, h := range w.Hosts {
		label, zone, _ := strings.Cut(h, ".")
		zones[zone] += label + " IN MX 10 " + OldHost + ".\n"
	}
	return zones
}

// names starts the name servers and the resolvers. The zone test is the parent of all
// others, and signed: validation begins there.
func (w *World) names(ctx context.Context) error {
	zones, within := w.moving(), map[string]string{}
	for _, z := range w.Split {
		within[z] = zones[z]
	}
	maps.Copy(zones, w.fixed())
	parent := w.head()
	for _, z := range slices.Sorted(maps.Keys(zones)) {
		if strings.HasSuffix(z, ".test") {
			parent += z + ". IN NS ns1.infra.test.\n" + z + ". IN NS ns2.infra.test.\n"
		}
	}
	for _, n := range []string{"ns1.infra.test", "ns2.infra.test"} {
		a := w.hosts()[n]
		parent += fmt.Sprintf("%s. IN A %s\n%[1]s. IN AAAA %[3]s\n", n, a.v4, a.v6)
	}
	zones["test"] = parent
	err := w.Primary.In(func() (err error) {
		w.BIND, err = StartBIND(ctx, BINDOptions{
			Addr: PrimaryAddr.at(53), Also: []netip.Addr{PrimaryAddr.V6()}, Zones: zones, Key: w.Key, Told: []netip.AddrPort{SecondaryAddr.at(53)},
			Signed: append([]string{"test"}, w.Signed...), Inside: w.InsideKey, Within: within, Clients: []netip.Addr{InsideAddr.V4(), InsideAddr.V6()},
		})
		return err
	})
	if err != nil {
		return err
	}
	if err := w.trust(ctx); err != nil {
		return err
	}
	err = w.Second.In(func() (err error) {
		w.Knot, err = StartKnot(ctx, KnotOptions{
			Addr: SecondaryAddr.at(53), Also: []netip.Addr{SecondaryAddr.V6()}, Zones: zones, Key: w.Key, Primary: PrimaryAddr.at(53),
			Extra: []string{"refresh-max-interval: 5", "retry-max-interval: 2"},
		})
		return err
	})
	if err != nil {
		return err
	}
	return w.resolvers(ctx, zones, within)
}

// trust puts the DS records of the signed zones into their parent, and learns the
// parent's.
func (w *World) trust(ctx context.Context) (err error) {
	var in strings.Builder
	fmt.Fprintf(&in, "server %s\nzone test\n", PrimaryAddr.v4)
	for _, z := range w.Signed {
		ds, err := w.BIND.DS(ctx, z)
		if err != nil {
			return err
		}
		f := strings.Fields(ds) // name IN DS ...
		fmt.Fprintf(&in, "update add %s 5 %s\n", f[0], strings.Join(f[1:], " "))
	}
	if w.Anchor, err = w.BIND.DS(ctx, "test"); err != nil {
		return err
	}
	if len(w.Signed) == 0 {
		return nil
	}
	return w.Update(ctx, w.Key, in.String())
}

// Update sends a dynamic update, as nsupdate reads it, from the operator's host.
func (w *World) Update(ctx context.Context, key Key, text string) error {
	return w.Operator.In(func() error {
		return (&process{dir: w.Operator.dir}).run(ctx, text+"send\n", "nsupdate", "-y", "hmac-sha256:"+key.Name+":"+key.Secret)
	})
}

// resolvers start those of the world, and of the inside view, which asks the world's
// about all that has no such view.
func (w *World) resolvers(ctx context.Context, zones, within map[string]string) error {
	stubs := map[string][]netip.AddrPort{"test": {PrimaryAddr.at(53), SecondaryAddr.at(53), netip.AddrPortFrom(PrimaryAddr.V6(), 53), netip.AddrPortFrom(SecondaryAddr.V6(), 53)}}
	for z := range zones {
		if strings.HasSuffix(z, ".arpa") {
			stubs[z] = stubs["test"]
		}
	}
	inside := map[string][]netip.AddrPort{}
	for z := range within {
		inside[z] = []netip.AddrPort{PrimaryAddr.at(53)}
	}
	for _, r := range []struct {
		space *Space
		at    **Unbound
		o     UnboundOptions
	}{
		{w.Resolver, &w.Public, UnboundOptions{Addr: ResolverAddr.at(53), Also: []netip.Addr{ResolverAddr.V6()}, Open: true, Stubs: stubs, Anchor: w.Anchor}},
		{w.Operator, &w.Inside, UnboundOptions{Addr: InsideAddr.at(53), Open: true, Stubs: inside, Forward: []netip.AddrPort{ResolverAddr.at(53)}}},
	} {
		err := r.space.In(func() (err error) {
			*r.at, err = StartUnbound(ctx, r.o)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", r.space.Name, err)
		}
	}
	return nil
}
