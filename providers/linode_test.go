package providers_test

import (
	"fmt"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceLinode(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "linode", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := linodeBed(t); return b },
		Shortfalls: map[string]string{
			"null MX":                 "the service takes no other MX beside a null MX, so that there would be a moment without any; refused before anything is written",
			"preference 0 and 65535":  "the service takes preferences from 0 to 255; refused before anything is written",
			"name with an underscore": "the service takes MX names of letters, digits and hyphens; refused before anything is written",
			"TLSA":                    "the service has no TLSA records; refused before anything is written",
		},
		Lacking: map[string]string{"two zones of one name": "a domain is unique among all accounts"},
		Golden:  "testdata/conformance/linode.json",
	}.Run(t)
}

const linodeExampleDomains = `{"data":[{"id":1234,"type":"master","domain":"example.test","group":null,"status":"active","description":null,
"soa_email":"admin@example.net","retry_sec":300,"master_ips":[],"axfr_ips":[],"expire_sec":300,"refresh_sec":300,"ttl_sec":0,"tags":["example tag"]}],
"page":1,"pages":1,"results":1}`

// The shape of the example at
// https://techdocs.akamai.com/linode-api/reference/get-domain-records, with other
// values.
const linodeExample = `{"data":[
{"id":234,"type":"A","name":"test","target":"192.0.2.0","priority":50,"weight":50,"port":80,"service":null,"protocol":null,"ttl_sec":604800,"tag":null,"created":"2018-01-01T00:01:01","updated":"2018-01-01T00:01:01"},
{"id":235,"type":"MX","name":"","target":"Mail.example.org","priority":0,"weight":0,"port":0,"service":null,"protocol":null,"ttl_sec":0,"tag":null},
{"id":236,"type":"MX","name":"","target":"mail2.example.org.","priority":255,"weight":0,"port":0,"service":null,"protocol":null,"ttl_sec":0,"tag":null},
{"id":237,"type":"MX","name":"null","target":"","priority":0,"ttl_sec":300},
{"id":238,"type":"SRV","name":"","target":"sip.example.net","priority":1,"weight":5,"port":5060,"service":"_sip","protocol":"_tcp","ttl_sec":300,"tag":null},
{"id":239,"type":"CAA","name":"","target":"ca.example.net","priority":0,"ttl_sec":300,"tag":"issue"},
{"id":240,"type":"TXT","name":"t","target":"a \"b\" \\ c","priority":0,"ttl_sec":300,"tag":null}],
"page":1,"pages":1,"results":7}`

func TestLinodeReadsItsExample(t *testing.T) {
	t.Parallel()
	answers(t, "linode", map[string]string{"/domains": linodeExampleDomains, "/domains/1234/records": linodeExample}, []rrset.Set{
		must(rrset.New("test.example.test", "A", 604800, "192.0.2.0")),
		must(rrset.New("example.test", "MX", 86400, "0 mail.example.org.", "255 mail2.example.org.")),
		must(rrset.New("null.example.test", "MX", 300, "0 .")),
		must(rrset.New("_sip._tcp.example.test", "SRV", 300, "1 5 5060 sip.example.net.")),
		must(rrset.New("example.test", "CAA", 300, `0 issue "ca.example.net"`)),
		must(rrset.New("t.example.test", "TXT", 300, `"a \"b\" \\ c"`)),
	})
}

func TestLinodeHostileAnswers(t *testing.T) {
	t.Parallel()
	const records = `{"data":[{"id":1,"type":"MX","name":"","target":"mail.example.org","priority":10,"ttl_sec":300}],"page":1,"pages":1,"results":1}`
	hostile(t, "linode", "/domains/1234/records", map[string]string{
		"cut":       records[:40],
		"no data":   `{"page":1,"pages":1}`,
		"a list":    `[]`,
		"TTL":       strings.Replace(records, "300", "99999999999", 1),
		"TTL below": strings.Replace(records, "300", "-1", 1),
		"priority":  strings.Replace(records, "10", "65536", 1),
		"wrong":     strings.Replace(records, "10", `"ten"`, 1),
		"name":      strings.Replace(records, `"name":""`, `"name":"a..b"`, 1),
		"host":      strings.Replace(records, "mail.example.org", "..", 1),
		"no target": strings.Replace(strings.Replace(records, "mail.example.org", "", 1), `"MX"`, `"A"`, 1),
		"no end":    strings.Replace(records, `"pages":1`, `"pages":9`, 1),
	}, "/domains", linodeExampleDomains)
	hostile(t, "linode", "/domains", map[string]string{
		"domains cut":     linodeExampleDomains[:60],
		"domains no data": `{}`,
		"another domain":  strings.Replace(linodeExampleDomains, "example.test", "example.net", 1),
		"two domains":     `{"data":[{"id":1,"type":"master","domain":"example.test"},{"id":2,"type":"master","domain":"EXAMPLE.test"}],"pages":1}`,
		"a secondary":     strings.Replace(linodeExampleDomains, "master\",\"domain", "slave\",\"domain", 1),
	}, "/domains/1234/records", records)
}

// A domain with more records than fit on a page, and one whose pages never end.
func TestLinodePages(t *testing.T) {
	t.Parallel()
	f, b := linodeBed(t)
	for i := range 1010 {
		if err := b.Edit(t.Context(), must(rrset.New(fmt.Sprintf("h%d.example.test", i), "MX", 300, "10 old.example.net."))); err != nil {
			t.Fatal(err)
		}
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	if got := must(providers.Zone(t.Context(), p, b.Zone)); len(got) != 1011 { // and the NS
		t.Errorf("%d RRsets", len(got))
	}
	f.stuck = true
	if _, err := providers.Zone(t.Context(), p, b.Zone); err == nil || !strings.Contains(err.Error(), "listing repeats itself") {
		t.Errorf("pages without end: %v", err)
	}
}

// The domain's default TTL is read as such, and a new record that lost its TTL is
// given it.
func TestLinodeTTLs(t *testing.T) {
	t.Parallel()
	for _, ttl := range []int{0, 7200} {
		f, b := linodeBed(t)
		f.ttl, f.drops = ttl, true
		effective := uint32(86400)
		if ttl > 0 {
			effective = uint32(ttl)
		}
		set := func(ttl uint32, data ...string) rrset.Set { return must(rrset.New(b.Zone, "MX", ttl, data...)) }
		if err := b.Edit(t.Context(), set(0, "10 old.example.net.")); err != nil {
			t.Fatal(err)
		}
		p := must(conformance.Open(b.Kind, b.Settings))
		before := must(providers.Read(t.Context(), p, b.Zone, b.Zone, "MX"))
		if !before.Equal(set(effective, "10 old.example.net.")) {
			t.Errorf("read as %v", before)
		}
		for _, c := range []rrset.Change{
			{Zone: b.Zone, Before: before, After: set(300, "10 old.example.net.", "20 gw.example.net.")},
			{Zone: b.Zone, Before: set(300, "10 old.example.net.", "20 gw.example.net."), After: before},
		} {
			if r, err := providers.Replace(t.Context(), p, c); err != nil || !r.Got.Equal(c.After) {
				t.Errorf("%+v, %v; want %v", r, err, c.After)
			}
		}
	}
}

// A new record that lost its TTL, and could not be given it, is told as it is.
func TestLinodeTellsALostTTL(t *testing.T) {
	t.Parallel()
	f, b := linodeBed(t)
	f.drops = true
	set := func(data ...string) rrset.Set { return must(rrset.New(b.Zone, "MX", 300, data...)) }
	if err := b.Edit(t.Context(), set("10 old.example.net.")); err != nil {
		t.Fatal(err)
	}
	b.Faults.Inject(conformance.Fault{Kind: conformance.Refused, Nth: 2})
	p := must(conformance.Open(b.Kind, b.Settings))
	r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: set("10 old.example.net."), After: set("10 gw.example.net.")})
	if err != nil || !r.Clamped || !r.Got.Equal(set("10 gw.example.net.").WithTTL(86400)) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A TTL between those that the service keeps is told as it is.
func TestLinodeRoundsTTLs(t *testing.T) {
	t.Parallel()
	_, b := linodeBed(t)
	before := must(rrset.New(b.Zone, "MX", 86400, "10 old.example.net."))
	if err := b.Edit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: before.WithTTL(600)})
	if err != nil || !r.Clamped || r.Got.TTL != 3600 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What the service would refuse, cut, or not put back is refused before anything
// is written.
func TestLinodeRefuses(t *testing.T) {
	t.Parallel()
	set := func(name string, data ...string) rrset.Set { return must(rrset.New(name, "MX", 300, data...)) }
	for name, c := range map[string]struct{ before, after rrset.Set }{
		"preference":         {set("example.test", "10 old.example.net."), set("example.test", "256 gw.example.net.")},
		"preference to undo": {set("example.test", "256 old.example.net."), set("example.test", "10 gw.example.net.")},
		"host":               {set("example.test", "10 old.example.net."), set("example.test", "10 g_w.example.net.")},
		"host to undo":       {set("example.test", "10 4old.example.net."), set("example.test", "10 gw.example.net.")},
		"null MX":            {set("example.test", "10 old.example.net."), set("example.test", "0 .")},
		"null MX to undo":    {set("example.test", "0 ."), set("example.test", "10 gw.example.net.")},
		"the zone twice":     {set("a.example.test.example.test", "10 old.example.net."), set("a.example.test.example.test", "10 gw.example.net.")},
	} {
		_, b := linodeBed(t)
		b.Faults.Inject(conformance.Fault{Kind: conformance.Broken, Nth: 1})
		if err := b.Edit(t.Context(), c.before); err != nil {
			t.Fatal(err)
		}
		_, err := providers.Replace(t.Context(), must(conformance.Open(b.Kind, b.Settings)), rrset.Change{Zone: b.Zone, Before: c.before, After: c.after})
		if err == nil || !strings.Contains(err.Error(), "Linode") || b.Faults.Met() != 0 {
			t.Errorf("%s: %v, %d writes", name, err, b.Faults.Met())
		}
	}
}
