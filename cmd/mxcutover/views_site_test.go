//go:build integration

package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mxcutover/config"
	real "mxcutover/lab/site"
	"mxcutover/providers"
)

// outsideZones and insideZones are what one BIND shows in two views: addresses inside
// are others, as they are with split DNS, and its mail differs in every way it can.
func outsideZones(server netip.Addr) map[string]string {
	zones := mailZones(server)
	zones["test"] = siteHead + "ns1.infra IN A " + server.String() + "\n" // has no lan.test
	zones["plain.test"] += `
only-out IN MX 10 mail.old.test.
moved IN MX 10 gw1.gw.test.
vanity IN MX 10 relay
relay IN A 192.0.2.99
cname IN CNAME lists
`
	return zones
}

func insideZones(server netip.Addr) map[string]string {
	zones := mailZones(server)
	for _, r := range [][2]string{
		{"@ IN MX 20 MX2.Old.Test.\n", ""},                                 // one member less
		{"MiXed 600 IN MX", "mixed IN MX"},                                 // another TTL
		{`\046dot.a\.b IN MX 10 mail.old.test.`, `\046dot.a\.b IN MX 0 .`}, // accepts no mail
		{"lists IN MX 10 mail.old.test.\n", ""},                            // its address is left
		{"*.people IN MX 10 mail.old.test.", "*.people IN MX 10 gw1.gw.test."},
		{"bare IN A 192.0.2.10", "bare IN A 192.0.2.80"},
		{"www IN CNAME plain.test.", "www IN MX 10 mail.old.test."},
		{"sub IN NS ns1.infra.test.\nglue.sub IN A 192.0.2.10\n", "host.sub IN MX 10 mail.old.test.\n"}, // no zone of its own inside
	} {
		if !strings.Contains(zones["plain.test"], r[0]) {
			panic(r[0])
		}
		zones["plain.test"] = strings.Replace(zones["plain.test"], r[0], r[1], 1)
	}
	delete(zones, "sub.plain.test")
	zones["plain.test"] += `
only-in IN MX 10 mail.old.test.
moved IN MX 10 mail.old.test.
vanity IN MX 10 relay
relay IN A 192.0.2.10
cname IN MX 10 mail.old.test.
`
	zones["lan.test"] = siteHead + "@ IN MX 10 mail.old.test.\n"
	zones["old.test"] = strings.Replace(zones["old.test"], "mx3 IN AAAA 2001:db8::10", "mx3 IN A 192.0.2.10", 1)
	return zones
}

// splitDifferences are all there are between the two views. What is not among them is
// the same in both: IDN, the wildcard's own.people and text.people, escaped names,
// third, backup, new, null.
var splitDifferences = []string{
	`\.dot.a\.b.plain.test null: 10 mail.old.test. | 0 .`,
	"*.people.plain.test mx: 10 mail.old.test. | 10 gw1.gw.test.",
	"bare.plain.test address: A 192.0.2.10 | A 192.0.2.80",
	"cname.plain.test cname: CNAME lists.plain.test. | 10 mail.old.test.",
	"ftp.plain.test leads: CNAME bare.plain.test. | CNAME bare.plain.test.", // by what it is an alias of
	"lan.test only: nothing | 10 mail.old.test.",
	"lists.plain.test implicit: 10 mail.old.test. | A 192.0.2.80",
	"moved.plain.test mx: 10 gw1.gw.test. | 10 mail.old.test.",
	"mx3.old.test address minor: AAAA 2001:db8::10 | A 192.0.2.10", // the same server
	"mixed.plain.test ttl minor: TTL 600 | TTL 3600",
	"only-in.plain.test only: nothing | 10 mail.old.test.",
	"only-out.plain.test only: 10 mail.old.test. | nothing",
	"plain.test mx: 10 mail.old.test., 20 mx2.old.test., 30 mx3.old.test. | 10 mail.old.test., 30 mx3.old.test.",
	"relay.plain.test address: A 192.0.2.99 | A 192.0.2.10",
	"sub.plain.test only: 10 mail.old.test. | nothing",
	"vanity.plain.test leads: 10 relay.plain.test. | 10 relay.plain.test.",
	"www.plain.test cname: CNAME plain.test. | 10 mail.old.test.",
}

// splitSite is a BIND with two views, told apart by TSIG key and by who asks, a resolver
// in each, and the configuration of both. The zones of hosts are listed, too.
func splitSite(t *testing.T) shelf {
	t.Helper()
	at := freeAddresses(t, 53, 55, 56)
	outside, inside := outsideZones(at[0].Addr()), insideZones(at[0].Addr())
	keys := []real.Key{real.NewKey("outside"), real.NewKey("inside")}
	startNamed(t, real.BINDOptions{
		Addr: at[0], Zones: outside, Key: keys[0], Within: inside, Inside: keys[1], Clients: []netip.Addr{at[2].Addr()}, Extra: "check-names ignore;",
	})
	startResolver(t, at[1], at[0], outside)
	startResolver(t, at[2], at[0], inside)
	held := append(slices.Clone(mailHeld), "old.test")
	return newShelf(t, at[0].Port(), map[string]netip.AddrPort{"outside": at[1], "inside": at[2]}, keys,
		holding{name: "out", kind: "rfc2136", view: "outside", zones: held, settings: rfc2136Of(at[0], keys[0])},
		holding{name: "in", kind: "rfc2136", view: "inside", compared: true, zones: []string{"plain.test", "bücher.test", "old.test", "lan.test"}, settings: rfc2136Of(at[0], keys[1])},
	)
}

// TestIntegrationInventoryOfTwoViews: a zone in two views of BIND, read by AXFR with a
// key for each, is compared record by record; by DNS alone as far as resolvers tell;
// and no domain that another view still leads to the old server counts as moved.
func TestIntegrationInventoryOfTwoViews(t *testing.T) {
	t.Parallel()
	s := splitSite(t)
	inv := s.inventory(t)
	same(t, "by AXFR", inv.differences(), splitDifferences)
	leads := map[string]string{}
	for _, d := range inv.Domains {
		leads[d.Domain] = d.View + " " + d.PointsTo
		for _, v := range d.Views {
			leads[d.Domain] += ", " + v.View + " " + v.PointsTo
		}
		if d.Provider == "in" && d.Plan != "question" && d.PointsTo == "old" {
			t.Errorf("%s is in the plan as %q, and leads to the old server inside alone", d.Domain, d.Plan)
		}
	}
	for name, want := range map[string]string{
		"plain.test": " old, inside old", "moved.plain.test": " new, inside old", "vanity.plain.test": " other, inside old", "lists.plain.test": " old, inside other",
		"only-in.plain.test": "inside old", "lan.test": "inside old", "only-out.plain.test": " old, inside other", "www.plain.test": " old, inside old",
		"cname.plain.test": " old, inside old", "bare.plain.test": " implicit, inside other", "bare6.plain.test": " implicit, inside implicit",
		"*.people.plain.test": " old, inside new", "own.people.plain.test": " other, inside other", "xn--mller-kva.xn--bcher-kva.test": " old, inside old",
		"sub.plain.test": " old, inside other", "host.sub.plain.test": " old, inside old", "null.plain.test": " null, inside null",
	} {
		if leads[name] != want {
			t.Errorf("%s leads to %q, want %q", name, leads[name], want)
		}
	}
	if out := s.mxcutover(t, "inventory", "--explain", "moved.plain.test"); !strings.Contains(out, "does not move it before you decide: in view inside, which this migration does not move, it leads to the old server: mail.old.test.") {
		t.Errorf("moved by half, and --explain says\n%s", out)
	}
	s.byDNS(t, inv)
	s.closing(t)
}

// byDNS asks for the names of an inventory in each view.
func (s shelf) byDNS(t *testing.T, inv inventoried) {
	t.Helper()
	var names strings.Builder
	for _, d := range inv.Domains {
		names.WriteString(d.Domain + "\n")
	}
	s.write(t, "names.txt", names.String())
	var want []string
	for _, l := range splitDifferences {
		switch name, _, _ := strings.Cut(l, " "); name {
		case "mixed.plain.test": // TTLs are caches'
		default:
			want = append(want, l)
		}
	}
	same(t, "by DNS alone", s.inventory(t, "--names", filepath.Join(s.dir, "names.txt")).differences(), want)
}

// closing asks what isolation asks of each name: live DNS, in every view.
func (s shelf) closing(t *testing.T) {
	t.Helper()
	cfg, err := config.Load(filepath.Join(s.dir, "mxcutover.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	site, err := openSite(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer site.checker.Close()
	if out, in := providers.ModeOf(site.providers["out"]), providers.ModeOf(site.providers["in"]); out != providers.Swap || in != "" {
		t.Errorf("outside is written in mode %q, inside in mode %q", out, in)
	}
	for name, want := range map[string]string{
		"moved.plain.test.": "in view inside", "vanity.plain.test.": "in view inside", "own.people.plain.test.": "", "null.plain.test.": "",
		"only-in.plain.test.": "in view inside", "new.plain.test.": "", "only-out.plain.test.": "says ns1.infra.test.", "www.plain.test.": "in view outside",
	} {
		leads, why, err := site.checker.LeadsToOld(t.Context(), "plain.test.", name)
		if err != nil || leads != (want != "") || !strings.Contains(why, want) {
			t.Errorf("%s: %v (%s), %v; want %q", name, leads, why, err, want)
		}
	}
	if leads, why, err := site.checker.LeadsToOld(t.Context(), "", "lan.test."); err != nil || !leads {
		t.Errorf("lan.test., of the inside view alone: %v (%s), %v", leads, why, fmt.Sprint(err))
	}
}
