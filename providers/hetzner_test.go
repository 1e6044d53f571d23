package providers_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceHetzner(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "hetzner", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := hetznerBed(t); return b },
		Lacking: map[string]string{
			"two zones of one name":   "a project has one zone of a name",
			"TTL clamped by the host": "the service refuses a TTL below 60, and so do we before anything is written",
		},
		Golden: "testdata/conformance/hetzner.json",
	}.Run(t)
}

// The shape of the example at
// https://docs.hetzner.cloud/reference/cloud#tag/zone-rrsets, with other values.
const hetznerExample = `{"rrsets":[
{"id":"www/A","name":"www","type":"A","ttl":3600,"labels":{"environment":"prod"},"protection":{"change":false},"records":[{"value":"198.51.100.1","comment":"My web server."}],"zone":42},
{"id":"@/MX","name":"@","type":"MX","ttl":null,"labels":{},"protection":{"change":true},"records":[{"value":"0 Mail.example.org.","comment":""},{"value":"10 mail"},{"value":"20 @"}],"zone":42},
{"id":"@/SOA","name":"@","type":"SOA","ttl":null,"labels":{},"protection":{"change":false},"records":[{"value":"hydrogen.ns.hetzner.com. dns.hetzner.com. 2026010100 86400 10800 3600000 3600"}],"zone":42},
{"id":"*.t/TXT","name":"*.t","type":"TXT","ttl":60,"labels":{},"protection":{"change":false},"records":[{"value":"\"a \\\"b\\\" c\""}],"zone":42},
{"id":"_sip._tcp/SRV","name":"_sip._tcp","type":"SRV","ttl":60,"labels":{},"protection":{"change":false},"records":[{"value":"1 5 5060 sip"}],"zone":42}],
"meta":{"pagination":{"page":1,"per_page":25,"previous_page":null,"next_page":null,"last_page":1,"total_entries":5}}}`

const hetznerExampleZone = `{"zone":{"id":42,"name":"example.test","created":"2016-01-30T23:55:00Z","ttl":10800,"mode":"primary","primary_nameservers":[],"labels":{},
"authoritative_nameservers":{"assigned":["hydrogen.ns.hetzner.com."],"delegated":[],"delegation_last_check":null,"delegation_status":"unknown"},"protection":{"delete":false},
"registrar":"other","status":"ok","record_count":5}}`

// Values are relative to the zone without their final dot, and an RRset without a
// TTL has the zone's.
func TestHetznerReadsItsExample(t *testing.T) {
	t.Parallel()
	answers(t, "hetzner", map[string]string{"/zones/example.test/rrsets": hetznerExample, "/zones/example.test": hetznerExampleZone}, []rrset.Set{
		must(rrset.New("www.example.test", "A", 3600, "198.51.100.1")),
		must(rrset.New("example.test", "MX", 10800, "0 mail.example.org.", "10 mail.example.test.", "20 example.test.")),
		must(rrset.New("example.test", "SOA", 10800, "hydrogen.ns.hetzner.com. dns.hetzner.com. 2026010100 86400 10800 3600000 3600")),
		must(rrset.New("*.t.example.test", "TXT", 60, `"a \"b\" c"`)),
		must(rrset.New("_sip._tcp.example.test", "SRV", 60, "1 5 5060 sip.example.test.")),
	})
}

func TestHetznerHostileAnswers(t *testing.T) {
	t.Parallel()
	const sets = `{"rrsets":[{"id":"@/MX","name":"@","type":"MX","ttl":300,"records":[{"value":"10 mail.example.org."}],"zone":42}],"meta":{"pagination":{"next_page":null}}}`
	hostile(t, "hetzner", "/zones/example.test/rrsets", map[string]string{
		"cut":        sets[:50],
		"no rrsets":  `{"meta":{}}`,
		"a list":     `[]`,
		"TTL":        strings.Replace(sets, "300", "99999999999", 1),
		"TTL below":  strings.Replace(sets, "300", "-1", 1),
		"no TTL":     strings.Replace(sets, "300", "null", 1), // and no zone to ask
		"preference": strings.Replace(sets, "10 mail", "65536 mail", 1),
		"value":      strings.Replace(sets, "10 mail.example.org.", "mail.example.org.", 1),
		"two values": strings.Replace(sets, "10 mail.example.org.", `10 mail.example.org.\n@ 60 IN MX 20 evil.example.`, 1),
		"name":       strings.Replace(sets, `"name":"@"`, `"name":"a..b"`, 1),
		"no end":     strings.Replace(sets, "null", "2", 1),
		"page 0":     strings.Replace(sets, "null", "1", 1),
	})
}

// A zone with more RRsets than fit on a page, and one whose pages never end.
func TestHetznerPages(t *testing.T) {
	t.Parallel()
	f, b := hetznerBed(t)
	for i := range 210 {
		if err := b.Edit(t.Context(), must(rrset.New(fmt.Sprintf("h%d.example.test", i), "MX", 300, "10 old.example.net."))); err != nil {
			t.Fatal(err)
		}
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	if got := must(providers.Zone(t.Context(), p, b.Zone)); len(got) != 212 { // and SOA and NS
		t.Errorf("%d RRsets", len(got))
	}
	f.stuck = true
	if _, err := providers.Zone(t.Context(), p, b.Zone); err == nil || !strings.Contains(err.Error(), "listing") {
		t.Errorf("pages without end: %v", err)
	}
}

// Actions are waited for: those that are carried out late, those that fail, and
// those that do not end.
func TestHetznerActions(t *testing.T) {
	t.Parallel()
	set := func(data ...string) rrset.Set { return must(rrset.New("example.test", "MX", 300, data...)) }
	before, after := set("10 old.example.net."), set("10 gw.example.net.")
	for name, c := range map[string]struct {
		becomes func(a *hetznerFakeAction)
		there   rrset.Set
		doubt   bool
	}{
		"late":          {func(a *hetznerFakeAction) { a.looks, a.late = 2, true }, after, false},
		"failed":        {func(a *hetznerFakeAction) { a.late, a.failure = true, "name servers\nare away" }, before, true},
		"told as other": {func(a *hetznerFakeAction) { a.failure = "but it was carried out" }, after, false},
		"never":         {func(a *hetznerFakeAction) { a.looks, a.late = -1, true }, before, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, b := hetznerBed(t)
			f.next = c.becomes
			if err := b.Edit(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			p := must(conformance.Open(b.Kind, strings.Replace(b.Settings, "2s", "500ms", 1)))
			r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
			if errors.Is(err, providers.ErrInDoubt) != c.doubt || c.doubt != (err != nil) || !c.doubt && !r.Got.Equal(after) || c.doubt && providers.Fence(err) <= 0 {
				t.Errorf("%+v, %v", r, err)
			}
			if got := must(f.zone.Truth(t.Context(), before.Name, "MX")); !got.Equal(c.there) {
				t.Errorf("the zone has %v", got)
			}
		})
	}
}

// What has the zone's default TTL is read so, keeps it while its members change,
// and gets its own where the TTL changes.
func TestHetznerDefaultTTL(t *testing.T) {
	t.Parallel()
	f, b := hetznerBed(t)
	set := func(ttl uint32, data ...string) rrset.Set { return must(rrset.New(b.Zone, "MX", ttl, data...)) }
	if err := b.Edit(t.Context(), set(0, "10 old.example.net.")); err != nil {
		t.Fatal(err)
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	for i, c := range []struct {
		after rrset.Set
		own   uint32
	}{
		{set(3600, "10 gw.example.net."), 0}, {set(3600, "10 old.example.net."), 0}, {set(60, "10 gw.example.net."), 60}, {set(3600, "10 old.example.net."), 3600},
	} {
		before := must(providers.Read(t.Context(), p, b.Zone, b.Zone, "MX"))
		if i == 0 && !before.Equal(set(3600, "10 old.example.net.")) {
			t.Errorf("read as %v", before)
		}
		r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: c.after})
		if err != nil || !r.Got.Equal(c.after) {
			t.Errorf("%+v, %v; want %v", r, err, c.after)
		}
		if kept := must(f.zone.Truth(t.Context(), b.Zone, "MX")); kept.TTL != c.own {
			t.Errorf("its own TTL is %d, want %d", kept.TTL, c.own)
		}
	}
}

// What cannot be written is told with its cure, and nothing is written.
func TestHetznerRefuses(t *testing.T) {
	t.Parallel()
	before := must(rrset.New("example.test", "MX", 300, "10 old.example.net."))
	after := must(rrset.New("example.test", "MX", 300, "10 gw.example.net."))
	for name, c := range map[string]struct {
		set   func(f *hetznerFake)
		after rrset.Set
		says  string
	}{
		"protected": {func(f *hetznerFake) { f.guarded = true }, after, "take the protection off"},
		"secondary": {func(f *hetznerFake) { f.mode = "secondary" }, after, "write at its primary"},
		"TTL":       {func(*hetznerFake) {}, after.WithTTL(59), "60 or more"},
	} {
		f, b := hetznerBed(t)
		if err := b.Edit(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		c.set(f)
		_, err := providers.Replace(t.Context(), must(conformance.Open(b.Kind, b.Settings)), rrset.Change{Zone: b.Zone, Before: before, After: c.after})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if got := must(f.zone.Truth(t.Context(), before.Name, "MX")); !got.Equal(before) {
			t.Errorf("%s: the zone has %v", name, got)
		}
	}
}

// A lock is waited for. A conflict is not written over: it is read anew first.
func TestHetznerLocksAndConflicts(t *testing.T) {
	t.Parallel()
	before := must(rrset.New("example.test", "MX", 300, "10 old.example.net."))
	after := must(rrset.New("example.test", "MX", 300, "10 gw.example.net."))
	for _, e := range []hetznerRefusal{
		{http.StatusLocked, "locked", "another action is running"},
		{http.StatusConflict, "conflict", "the resource has changed during the request"},
	} {
		f, b := hetznerBed(t)
		if err := b.Edit(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		p := must(conformance.Open(b.Kind, b.Settings))
		f.refuse = &e
		_, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
		if lock := e.code == "locked"; lock != (err == nil) || !lock && !errors.Is(err, providers.ErrTransient) {
			t.Errorf("%s: %v", e.code, err)
		}
	}
}
