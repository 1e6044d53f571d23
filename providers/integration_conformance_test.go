//go:build integration

package providers_test

import (
	"fmt"
	"maps"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os/exec"
	"regexp"
	"testing"

	"mxcutover/lab/site"
	"mxcutover/providers/conformance"
)

// plainZone is what the cases write in.
const plainZone = "$TTL 3600\n@ SOA ns1.example.net. hostmaster.example.net. 1 3600 600 86400 300\n@ NS ns1.example.net.\n"

// dnsBed is a bed before a name server.
func dnsBed(t testing.TB, d conformance.DNS) *conformance.Bed {
	f := conformance.NewDNSFront(t, d)
	return &conformance.Bed{
		Kind: "rfc2136", Zone: d.Zone, Truth: d.Truth, Edit: d.EditOne, EditAll: d.Edit, Faults: f, Secrets: []string{d.Secret},
		Settings: fmt.Sprintf("server: %s\nkey_name: %s\nkey: {file: %q}\ntimeout: 2s\n", f.Addr, d.Key, conformance.SecretFile(t, d.Secret)),
	}
}

// dnsLacks is what no name server can do, and more.
func dnsLacks(more map[string]string) map[string]string {
	lacks := map[string]string{
		"rate limiting":           "DNS has no answer that asks to come later",
		"TTL clamped by the host": "name servers raise no TTLs; BIND lowers them (max-zone-ttl), see TestIntegrationClampedTTL",
	}
	maps.Copy(lacks, more)
	return lacks
}

// A real server has a zone for each case: in one zone they would make each
// other's prerequisites fail.
type realZones struct{ left chan string }

func newRealZones() (realZones, map[string]string) {
	n := len(conformance.Cases())
	z, texts := realZones{make(chan string, n)}, map[string]string{}
	for i := range n {
		zone := fmt.Sprintf("c%d.example.test.", i)
		texts[zone] = plainZone
		z.left <- zone
	}
	return z, texts
}

// of is a zone that no case has had, at a server.
func (z realZones) of(d conformance.DNS) conformance.DNS {
	d.Zone = <-z.left
	return d
}

func realAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
}

func stopAfter(t *testing.T, s interface{ Stop() error }) {
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// against is the server and its version, and the file of the results on it: none
// for another version than that which they were written on.
func against(t *testing.T, server, recorded, program, flag, file string) (name, golden string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, flag).CombinedOutput()
	found := regexp.MustCompile(`(?:BIND|DNS\)?, version|Server) (\d+\.\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("%s %s: %v: %s", program, flag, err, out)
	}
	name = server + " " + string(found[1])
	if string(found[1]) != recorded {
		t.Logf("%s: the recorded results are of %s", name, recorded)
		return name, ""
	}
	return name, "testdata/conformance/" + file + ".json"
}

func TestIntegrationConformanceBIND(t *testing.T) {
	t.Parallel()
	zones, texts := newRealZones()
	b, err := site.StartBIND(t.Context(), site.BINDOptions{
		Dir: t.TempDir(), Addr: realAddr(t), Zones: texts, Extra: "check-names ignore;", Inside: site.NewKey("inside"),
	})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, b)
	outside := conformance.DNS{Server: b.Addr.String(), Key: b.Key.Name, Secret: b.Key.Secret}
	name, golden := against(t, "BIND", "9.18", "named", "-v", "rfc2136-bind")
	conformance.Suite{
		Name: "rfc2136 (BIND)", Against: name, Golden: golden,
		Bed: func(t testing.TB) *conformance.Bed {
			bed := dnsBed(t, zones.of(outside))
			inside := conformance.DNS{Server: b.Addr.String(), Key: b.Inside.Name, Secret: b.Inside.Secret, Zone: bed.Zone}
			bed.Twin = &conformance.Twin{Chosen: bed.Settings, Other: inside.Truth} // the key leads to one view
			return bed
		},
		Lacking: dnsLacks(nil),
	}.Run(t)
}

func TestIntegrationConformanceKnot(t *testing.T) {
	t.Parallel()
	zones, texts := newRealZones()
	k, err := site.StartKnot(t.Context(), site.KnotOptions{Dir: t.TempDir(), Addr: realAddr(t), Zones: texts})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, k)
	name, golden := against(t, "Knot DNS", "3.2", "knotd", "--version", "rfc2136-knot")
	conformance.Suite{
		Name: "rfc2136 (Knot)", Against: name, Golden: golden,
		Bed: func(t testing.TB) *conformance.Bed {
			return dnsBed(t, zones.of(conformance.DNS{Server: k.Addr.String(), Key: k.Key.Name, Secret: k.Key.Secret}))
		},
		Lacking: dnsLacks(map[string]string{"two zones of one name": "Knot has no views"}),
	}.Run(t)
}

// startRealPowerDNS is one server that both kinds write to, with caches as by
// default.
func startRealPowerDNS(t *testing.T) (*site.PowerDNS, realZones, conformance.DNS) {
	t.Helper()
	zones, texts := newRealZones()
	p, err := site.StartPowerDNS(t.Context(), site.PowerDNSOptions{Dir: t.TempDir(), Addr: realAddr(t), Zones: texts, Caches: true})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, p)
	return p, zones, conformance.DNS{Server: p.Addr.String(), Key: p.Key.Name, Secret: p.Key.Secret}
}

func TestIntegrationConformancePowerDNSUpdates(t *testing.T) {
	t.Parallel()
	_, zones, d := startRealPowerDNS(t)
	name, golden := against(t, "PowerDNS", "4.7", "pdns_server", "--version", "rfc2136-powerdns")
	conformance.Suite{
		Name: "rfc2136 (PowerDNS)", Against: name, Golden: golden,
		Bed:     func(t testing.TB) *conformance.Bed { return dnsBed(t, zones.of(d)) },
		Lacking: dnsLacks(map[string]string{"two zones of one name": "a server has one zone of a name"}),
	}.Run(t)
}

func TestIntegrationConformancePowerDNSAPI(t *testing.T) {
	t.Parallel()
	p, zones, d := startRealPowerDNS(t)
	api, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	name, golden := against(t, "PowerDNS", "4.7", "pdns_server", "--version", "powerdns-real")
	conformance.Suite{
		Name: "powerdns (real)", Against: name, Golden: golden,
		Serial: true, // two writers at once, and SQLite makes one of them fail (SERVFAIL, 500)
		Bed: func(t testing.TB) *conformance.Bed {
			d := zones.of(d)
			front := conformance.NewFront(t, httputil.NewSingleHostReverseProxy(api), powerdnsAnswers())
			settings := fmt.Sprintf("endpoint: %s\napi_key: {file: %q}\ntimeout: 2s\nper_second: 10000\n", front.URL, conformance.SecretFile(t, p.APIKey))
			return &conformance.Bed{Kind: "powerdns", Settings: settings, Zone: d.Zone, Truth: d.Truth, Edit: d.EditOne, EditAll: d.Edit, Faults: front, Secrets: []string{p.APIKey}}
		},
		Shortfalls: powerdnsShortfalls(), Lacking: powerdnsLacks(),
	}.Run(t)
}
