package providers_test

import (
	"fmt"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceDigitalOcean(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "digitalocean", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := digitaloceanBed(t); return b },
		Shortfalls: map[string]string{
			"null MX":         "the service holds no null MX; refused before anything is written",
			"TXT with quotes": "the service takes no backslash in a text; refused before anything is written",
			"TLSA":            "the service has no TLSA records; refused before anything is written",
		},
		Lacking: map[string]string{
			"two zones of one name":   "a domain can be added once",
			"TTL clamped by the host": "the service refuses a TTL below 30, and so do we before anything is written",
		},
		Golden: "testdata/conformance/digitalocean.json",
	}.Run(t)
}

// The shape of the example at
// https://docs.digitalocean.com/products/networking/dns/reference/api/domain-records/,
// with other values.
const digitaloceanExample = `{"domain_records":[
{"id":3352892,"type":"NS","name":"@","data":"ns1.example.net","priority":null,"port":null,"ttl":1800,"weight":null,"flags":null,"tag":null},
{"id":3352893,"type":"SOA","name":"@","data":"1800","priority":null,"port":null,"ttl":1800,"weight":null,"flags":null,"tag":null},
{"id":3352894,"type":"MX","name":"@","data":"@","priority":0,"port":null,"ttl":1800,"weight":null,"flags":null,"tag":null},
{"id":3352895,"type":"MX","name":"@","data":"Mail.example.org","priority":10,"port":null,"ttl":1800,"weight":null,"flags":null,"tag":null},
{"id":3352896,"type":"A","name":"blog","data":"192.0.2.1","priority":null,"port":null,"ttl":30,"weight":null,"flags":null,"tag":null},
{"id":3352897,"type":"CAA","name":"@","data":"ca.example.net","priority":null,"port":null,"ttl":1800,"weight":null,"flags":0,"tag":"issue"},
{"id":3352898,"type":"SRV","name":"_sip._tcp","data":"sip.example.net","priority":1,"port":5060,"ttl":1800,"weight":5,"flags":null,"tag":null},
{"id":3352899,"type":"TXT","name":"*.t","data":"v=spf1 \"a\"","priority":null,"port":null,"ttl":1800,"weight":null,"flags":null,"tag":null}],
"links":{},"meta":{"total":8}}`

func TestDigitalOceanReadsItsExample(t *testing.T) {
	t.Parallel()
	answers(t, "digitalocean", map[string]string{"/v2/domains/example.test/records": digitaloceanExample}, []rrset.Set{
		must(rrset.New("example.test", "NS", 1800, "ns1.example.net.")),
		must(rrset.New("example.test", "MX", 1800, "0 example.test.", "10 mail.example.org.")),
		must(rrset.New("blog.example.test", "A", 30, "192.0.2.1")),
		must(rrset.New("example.test", "CAA", 1800, `0 issue "ca.example.net"`)),
		must(rrset.New("_sip._tcp.example.test", "SRV", 1800, "1 5 5060 sip.example.net.")),
		must(rrset.New("*.t.example.test", "TXT", 1800, `"v=spf1 \"a\""`)),
	})
}

func TestDigitalOceanHostileAnswers(t *testing.T) {
	t.Parallel()
	const record = `{"id":1,"type":"MX","name":"@","data":"mail.example.org","priority":10,"ttl":300}`
	hostile(t, "digitalocean", "/v2/domains/example.test/records", map[string]string{
		"cut":         `{"domain_records":[` + record,
		"no records":  `{"links":{}}`,
		"null":        `{"domain_records":null}`,
		"a list":      `[]`,
		"a text":      `"` + cannedToken + `"`,
		"TTL":         strings.Replace(`{"domain_records":[`+record+`]}`, "300", "99999999999", 1),
		"TTL below":   strings.Replace(`{"domain_records":[`+record+`]}`, "300", "-1", 1),
		"TTL text":    strings.Replace(`{"domain_records":[`+record+`]}`, "300", `"300"`, 1),
		"priority":    strings.Replace(`{"domain_records":[`+record+`]}`, "10", "65536", 1),
		"no priority": strings.Replace(`{"domain_records":[`+record+`]}`, "10", "null", 1),
		"name":        strings.Replace(`{"domain_records":[`+record+`]}`, "@", "a..b", 1),
		"long name":   strings.Replace(`{"domain_records":[`+record+`]}`, "@", strings.Repeat("a", 64), 1),
		"host":        strings.Replace(`{"domain_records":[`+record+`]}`, "mail.example.org", "..", 1),
		"next page":   `{"domain_records":[` + record + `],"links":{"pages":{"next":"https://evil.example/?x=1"}}}`,
		"no end":      `{"domain_records":[` + record + `],"links":{"pages":{"next":"https://api.digitalocean.com/v2/domains/example.test/records?page=2"}}}`,
	})
}

// A domain with more records than fit on a page, and one whose pages never end.
func TestDigitalOceanPages(t *testing.T) {
	t.Parallel()
	f, b := digitaloceanBed(t)
	for i := range 410 {
		if err := b.Edit(t.Context(), must(rrset.New(fmt.Sprintf("h%d.example.test", i), "MX", 300, "10 old.example.net."))); err != nil {
			t.Fatal(err)
		}
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	if got := must(providers.Zone(t.Context(), p, b.Zone)); len(got) != 411 { // and the NS; the SOA is no record
		t.Errorf("%d RRsets", len(got))
	}
	f.stuck = true
	if _, err := providers.Zone(t.Context(), p, b.Zone); err == nil || !strings.Contains(err.Error(), "listing") {
		t.Errorf("pages without end: %v", err)
	}
}

// What the service would refuse or lose is refused before anything is written.
func TestDigitalOceanRefuses(t *testing.T) {
	t.Parallel()
	before := must(rrset.New("example.test", "MX", 300, "10 old.example.net."))
	for name, after := range map[string]rrset.Set{
		"TTL":       before.WithTTL(29),
		"null MX":   must(rrset.New("example.test", "MX", 300, "0 .")),
		"long text": must(rrset.New("example.test", "TXT", 300, `"`+strings.Repeat("a", 255)+`" "`+strings.Repeat("a", 255)+`"`)),
		"no text":   must(rrset.New("example.test", "TXT", 300, `""`)),
	} {
		_, b := digitaloceanBed(t)
		b.Faults.Inject(conformance.Fault{Kind: conformance.Broken, Nth: 1})
		was := before
		if after.Type != "MX" {
			was = must(rrset.New("example.test", after.Type, 0))
		} else if err := b.Edit(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		_, err := providers.Replace(t.Context(), must(conformance.Open(b.Kind, b.Settings)), rrset.Change{Zone: b.Zone, Before: was, After: after})
		if err == nil || !strings.Contains(err.Error(), "DigitalOcean") || b.Faults.Met() != 0 {
			t.Errorf("%s: %v, %d writes", name, err, b.Faults.Met())
		}
	}
}
