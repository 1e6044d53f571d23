//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	real "mxcutover/lab/site"
	"mxcutover/plan"
)

// A shelf is a folder with a configuration, from which inventories are made.
type shelf struct{ dir string }

// holding is a provider of a shelf's configuration.
type holding struct {
	name, kind, view string
	compared         bool
	zones            []string
	settings         string
}

// rfc2136Of are the settings for a server's key.
func rfc2136Of(at netip.AddrPort, key real.Key) string {
	return fmt.Sprintf(`{server: "%s", key_name: %s, key_alg: hmac-sha256, key: {file: %s.key}}`, at, key.Name, key.Name)
}

// newShelf writes a configuration: resolvers by view, and providers.
func newShelf(t *testing.T, port uint16, resolvers map[string]netip.AddrPort, keys []real.Key, held ...holding) shelf {
	t.Helper()
	s := shelf{t.TempDir()}
	var b strings.Builder
	b.WriteString(`migration: views
old: {hosts: [mail.old.test], addresses: [192.0.2.10, "2001:db8::10"]}
mx: {records: [{preference: 10, host: gw1.gw.test}]}
probe: {from: probe@probe.test, recipients: {postmaster: true}}
state: {path: views.db}
dns: {rate: 10000}
`)
	fmt.Fprintf(&b, "ports: {dns: %d}\nresolvers:\n", port)
	for _, v := range slices.Sorted(maps.Keys(resolvers)) {
		fmt.Fprintf(&b, "  %s: [%q]\n", v, resolvers[v])
	}
	b.WriteString("providers:\n")
	for _, h := range held {
		fmt.Fprintf(&b, "  %s: {kind: %s, zones: [%s], settings: %s", h.name, h.kind, strings.Join(h.zones, ", "), h.settings)
		if h.view != "" {
			fmt.Fprintf(&b, ", view: %s, compare_only: %v", h.view, h.compared)
		}
		b.WriteString("}\n")
	}
	s.write(t, "mxcutover.yaml", b.String())
	for _, k := range keys {
		s.write(t, k.Name+".key", k.Secret)
	}
	return s
}

func (s shelf) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mxcutover runs a command in this process's code, and wants it done.
func (s shelf) mxcutover(t *testing.T, args ...string) string {
	t.Helper()
	var out, words bytes.Buffer
	if code := run(t.Context(), append([]string{"--config", filepath.Join(s.dir, "mxcutover.yaml")}, args...), strings.NewReader(""), &out, &words); code != 0 {
		t.Fatalf("mxcutover %s: exit code %d\n%s%s", strings.Join(args, " "), code, out.String(), words.String())
	}
	return out.String()
}

// An inventoried is the inventory's JSON, as far as it is compared.
type inventoried struct {
	Domains     []inventoriedDomain
	Delegated   []struct{ Name, Zone, View string }
	Differences []struct {
		Name, View, What, Why string
		Minor                 bool
		Here, There           []string
	}
}

type inventoriedDomain struct {
	Domain, Zone, Provider, View, Why, Plan string
	MX                                      []struct {
		Preference uint16
		Host       string
	}
	TTL      uint32
	PointsTo string `json:"points_to"`
	Views    []struct {
		View     string
		PointsTo string `json:"points_to"`
	}
}

// inventory is what inventory -o json says.
func (s shelf) inventory(t *testing.T, args ...string) (inv inventoried) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.mxcutover(t, append([]string{"inventory", "-o", "json"}, args...)...)), &inv); err != nil {
		t.Fatal(err)
	}
	return inv
}

// lines tell of each domain: where it leads and by which records, with or without TTL.
func (inv inventoried) lines(ttl bool) []string {
	var out []string
	for _, d := range inv.Domains {
		l := d.Domain + " " + d.PointsTo
		for _, m := range d.MX {
			l += fmt.Sprintf(" %d %s", m.Preference, m.Host)
		}
		if ttl {
			l += fmt.Sprint(" TTL ", d.TTL)
		}
		out = append(out, l)
	}
	return out
}

// differences tell of each disparity, in a line.
func (inv inventoried) differences() []string {
	var out []string
	for _, x := range inv.Differences {
		l := x.Name + " " + x.What
		if x.Minor {
			l += " minor"
		}
		out = append(out, l+": "+plan.Side(x.Here)+" | "+plan.Side(x.There))
	}
	return out
}

// same tells what one list has and the other lacks.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s: not told: %s", what, w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%s: told: %s", what, g)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d were told, and %d are expected", what, len(got), len(want))
	}
}

const siteHead = "$TTL 3600\n@ IN SOA ns1.infra.test. hostmaster.infra.test. 1 3600 600 86400 300\n@ IN NS ns1.infra.test.\n"

// mailZones are zones with everything that is odd about mail, and the zones that these
// lead to, whose name server has an address.
func mailZones(server netip.Addr) map[string]string {
	return map[string]string{
		"plain.test": siteHead + `
@ IN MX 10 mail.old.test.
@ IN MX 20 MX2.Old.Test.
@ IN MX 30 mx3.old.test.
MiXed 600 IN MX 10 MAIL.OLD.TEST.
\046dot.a\.b IN MX 10 mail.old.test.
sp\032ace IN MX 10 mail.old.test.
lists IN MX 10 mail.old.test.
lists IN A 192.0.2.80
*.people IN MX 10 mail.old.test.
own.people IN MX 10 mx.elsewhere.test.
text.people IN TXT "here"
null IN MX 0 .
bare IN A 192.0.2.10
bare6 IN AAAA 2001:db8::10
web IN A 192.0.2.80
www IN CNAME plain.test.
ftp IN CNAME bare
news IN CNAME web
backup IN MX 10 gw1.gw.test.
backup IN MX 50 mail.old.test.
third IN MX 10 mail.old.test.
third IN MX 90 mx.elsewhere.test.
new IN MX 10 gw1.gw.test.
lost IN MX 10 nowhere.old.test.
sub IN NS ns1.infra.test.
glue.sub IN A 192.0.2.10
unread IN NS ns1.infra.test.
x.unread IN MX 10 mail.old.test.
`,
		"sub.plain.test":     siteHead + "@ IN MX 10 mail.old.test.\nhost IN MX 10 mail.old.test.\n",
		"xn--bcher-kva.test": siteHead + "@ IN MX 10 mail.old.test.\nxn--mller-kva IN MX 10 mail.old.test.\n",
		"old.test":           siteHead + "mail IN A 192.0.2.10\nmail IN AAAA 2001:db8::10\nmx2 IN A 192.0.2.10\nmx3 IN AAAA 2001:db8::10\n",
		"gw.test":            siteHead + "gw1 IN A 192.0.2.20\n",
		"elsewhere.test":     siteHead + "mx IN A 192.0.2.99\n",
		"infra.test":         siteHead + "ns1 IN A " + server.String() + "\n",
	}
}

// mailNames are what each way must tell of the zones above.
var mailNames = []string{
	`\.dot.a\.b.plain.test old 10 mail.old.test TTL 3600`, `*.people.plain.test old 10 mail.old.test TTL 3600`,
	"backup.plain.test both 10 gw1.gw.test 50 mail.old.test TTL 3600", "bare.plain.test implicit TTL 0", "bare6.plain.test implicit TTL 0",
	"ftp.plain.test implicit TTL 0", "host.sub.plain.test old 10 mail.old.test TTL 3600", "lists.plain.test old 10 mail.old.test TTL 3600",
	"lost.plain.test other 10 nowhere.old.test TTL 3600", "mixed.plain.test old 10 mail.old.test TTL 600", "new.plain.test new 10 gw1.gw.test TTL 3600",
	"null.plain.test null 0 . TTL 3600", "own.people.plain.test other 10 mx.elsewhere.test TTL 3600",
	"plain.test old 10 mail.old.test 20 mx2.old.test 30 mx3.old.test TTL 3600", `sp\032ace.plain.test old 10 mail.old.test TTL 3600`,
	"sub.plain.test old 10 mail.old.test TTL 3600", "third.plain.test old 10 mail.old.test 90 mx.elsewhere.test TTL 3600",
	"www.plain.test old TTL 0", "xn--bcher-kva.test old 10 mail.old.test TTL 3600", "xn--mller-kva.xn--bcher-kva.test old 10 mail.old.test TTL 3600",
}

// mailHeld are the zones that are listed; one is written as people write it.
var mailHeld = []string{"plain.test", "sub.plain.test", "bücher.test"}

// startResolver runs an Unbound that asks one server for all zones.
func startResolver(t *testing.T, at, server netip.AddrPort, zones map[string]string) {
	t.Helper()
	stubs := map[string][]netip.AddrPort{}
	for z := range zones {
		stubs[z] = []netip.AddrPort{server}
	}
	u, err := real.StartUnbound(t.Context(), real.UnboundOptions{Dir: t.TempDir(), Addr: at, Stubs: stubs})
	if err != nil {
		t.Fatal(err)
	}
	stopLater(t, u)
}

func stopLater(t *testing.T, s interface{ Stop() error }) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// freeAddresses are of a block of their own on loopback, with one port.
func freeAddresses(t *testing.T, octets ...byte) []netip.AddrPort {
	t.Helper()
	p, port, err := real.FreeBlock(octets...)
	if err != nil {
		t.Fatal(err)
	}
	var out []netip.AddrPort
	for _, o := range octets {
		out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{p[0], p[1], p[2], o}), port))
	}
	return out
}

// servers are those whose zones are read by AXFR.
var servers = map[string]func(t *testing.T, at netip.AddrPort, zones map[string]string, key real.Key){
	"BIND": func(t *testing.T, at netip.AddrPort, zones map[string]string, key real.Key) {
		startNamed(t, real.BINDOptions{Addr: at, Zones: zones, Key: key, Extra: "check-names ignore;"})
	},
	"Knot": func(t *testing.T, at netip.AddrPort, zones map[string]string, key real.Key) {
		k, err := real.StartKnot(t.Context(), real.KnotOptions{Dir: t.TempDir(), Addr: at, Zones: zones, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		stopLater(t, k)
	},
	"PowerDNS": func(t *testing.T, at netip.AddrPort, zones map[string]string, key real.Key) {
		p, err := real.StartPowerDNS(t.Context(), real.PowerDNSOptions{Dir: t.TempDir(), Addr: at, Zones: zones, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		stopLater(t, p)
	},
}

// TestIntegrationInventoryAllWays: the same zones, transferred from each server, read
// as files, and asked for by DNS alone, make the same inventory.
func TestIntegrationInventoryAllWays(t *testing.T) {
	t.Parallel()
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := freeAddresses(t, 53, 55)
			zones, key := mailZones(at[0].Addr()), real.NewKey("mxcutover")
			start(t, at[0], zones, key)
			startResolver(t, at[1], at[0], zones)
			resolvers := map[string]netip.AddrPort{"public": at[1]}
			transferred := newShelf(t, at[0].Port(), resolvers, []real.Key{key}, holding{name: "p", kind: "rfc2136", zones: mailHeld, settings: rfc2136Of(at[0], key)})
			inv := transferred.inventory(t)
			same(t, "by AXFR", inv.lines(true), mailNames)
			if len(inv.Delegated) != 1 || inv.Delegated[0].Name != "unread.plain.test" {
				t.Errorf("delegated: %v", inv.Delegated)
			}

			files := newShelf(t, at[0].Port(), resolvers, nil, holding{name: "p", kind: "zonefile", zones: mailHeld, settings: `{file: "db.{zone}", reload: ["false"]}`})
			for z, text := range zones {
				files.write(t, "db."+z, "$ORIGIN "+z+".\n"+text)
			}
			read := files.inventory(t)
			same(t, "as files", read.lines(true), mailNames)
			for i, d := range read.Domains {
				if x := inv.Domains[i]; d.Plan != x.Plan || d.Why != x.Why || d.Zone != x.Zone {
					t.Errorf("as a file %+v, by AXFR %+v", d, x)
				}
			}
			byDNS(t, transferred, inv)
		})
	}
}

// byDNS asks for all names of an inventory by DNS alone, and for some that a zone
// tells more of.
func byDNS(t *testing.T, s shelf, zone inventoried) {
	t.Helper()
	var names strings.Builder
	for _, d := range zone.Domains {
		names.WriteString(d.Domain + "\n")
	}
	names.WriteString("anyone.people.plain.test\nText.People.plain.test\nnews.plain.test\nx.unread.plain.test\nmissing.plain.test\n")
	s.write(t, "names.txt", names.String())
	got := s.inventory(t, "--names", filepath.Join(s.dir, "names.txt"))
	want := append(zone.lines(false),
		"anyone.people.plain.test old 10 mail.old.test", // the wildcard's: only its zone tells that it is no name of its own
		"text.people.plain.test other",                  // it exists, so the wildcard is not for it (RFC 4592 section 2.2.1)
		"news.plain.test other",                         // an alias of a name without mail, which no inventory of a zone lists
		"x.unread.plain.test unknown",                   // its zone is served nowhere; a zone's inventory tells the delegation
		"missing.plain.test other",                      // asked for by name it is told, though there is none
	)
	same(t, "by DNS alone", got.lines(false), want)
	for _, d := range got.Domains {
		i := slices.IndexFunc(zone.Domains, func(x inventoriedDomain) bool { return x.Domain == d.Domain })
		if i < 0 {
			continue
		}
		// TTLs are a cache's, and a plan made from names alone asks for what only a zone
		// tells; but none that a zone's plan leaves is moved by it.
		if z := zone.Domains[i]; d.Zone != z.Zone || d.Provider != z.Provider || strings.HasPrefix(z.Plan, "q") && !strings.HasPrefix(d.Plan, "q") {
			t.Errorf("by DNS alone %+v, by its zone %+v", d, z)
		}
	}
}
