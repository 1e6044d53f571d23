package providers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceRoute53(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "route53", Against: "a fake",
		Bed:     func(t testing.TB) *conformance.Bed { _, b := route53Bed(t); return b },
		Lacking: map[string]string{"TTL clamped by the host": "the service takes all TTLs"},
		Golden:  "testdata/conformance/route53.json",
	}.Run(t)
}

// A private zone alone is not taken for the public one, and a chosen ID must have
// the name.
func TestRoute53Zones(t *testing.T) {
	t.Parallel()
	f, b := route53Bed(t)
	for name, c := range map[string]struct{ settings, says string }{
		"two of a name":   {b.Twin.Ambiguous, "zone_ids"},
		"another's ID":    {strings.ReplaceAll(b.Twin.Chosen, "example.test: Z111PUBLIC", "other.test: Z111PUBLIC"), `is the hosted zone of "example.test."`},
		"an ID of nobody": {strings.ReplaceAll(b.Twin.Chosen, "Z111PUBLIC", "Z000"), "NoSuchHostedZone"},
	} {
		zone := b.Zone
		if name == "another's ID" {
			zone = "other.test."
		}
		if _, err := providers.Zone(t.Context(), must(conformance.Open(b.Kind, c.settings)), zone); !errors.Is(err, providers.ErrNoZone) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	f.zone, f.twin = f.twin, f.zone // the only one that the first key sees is private now
	f.twin = f.zone
	if _, err := providers.Zone(t.Context(), must(conformance.Open(b.Kind, b.Settings)), b.Zone); !errors.Is(err, providers.ErrNoZone) || !strings.Contains(err.Error(), "private") {
		t.Errorf("a private zone alone: %v", err)
	}
}

// A zone that was made anew is found again after the first refusal.
func TestRoute53ForgetsZones(t *testing.T) {
	t.Parallel()
	f, b := route53Bed(t)
	p := must(conformance.Open(b.Kind, b.Settings))
	must(providers.Zone(t.Context(), p, b.Zone))
	f.zone = conformance.NewZone("Z333ANEW", b.Zone)
	if _, err := providers.Zone(t.Context(), p, b.Zone); !errors.Is(err, providers.ErrNoZone) {
		t.Errorf("the zone of before: %v", err)
	}
	if _, err := providers.Zone(t.Context(), p, b.Zone); err != nil {
		t.Errorf("the zone made anew: %v", err)
	}
}

// A batch is spelled as the schema has it, in its order.
func TestRoute53Batch(t *testing.T) {
	t.Parallel()
	f, b := route53Bed(t)
	before, after := must(rrset.New("*.example.test", "MX", 300, "10 old.example.net.")), must(rrset.New("*.example.test", "MX", 60, "0 gw.example.net.", "20 gw2.example.net."))
	loud := rrset.Set{Name: before.Name, Type: "MX", TTL: 300, Data: []string{"10 Old.Example.net"}}
	if err := b.Edit(t.Context(), loud); err != nil {
		t.Fatal(err)
	}
	var sent []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sent = must(io.ReadAll(r.Body))
			r.Body = io.NopCloser(bytes.NewReader(sent))
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p := must(conformance.Open(b.Kind, strings.Replace(b.Settings, "endpoint: ", "endpoint: "+s.URL+" # ", 1)))
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after}); err != nil {
		t.Fatal(err)
	}
	set := func(action, name, ttl string, values ...string) string {
		return "<Change><Action>" + action + "</Action><ResourceRecordSet><Name>" + name + "</Name><Type>MX</Type><TTL>" + ttl + "</TTL><ResourceRecords><ResourceRecord><Value>" +
			strings.Join(values, "</Value></ResourceRecord><ResourceRecord><Value>") + "</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>"
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Comment>mxcutover</Comment><Changes>` +
		set("DELETE", `\052.example.test.`, "300", "10 Old.Example.net") + set("CREATE", "*.example.test.", "60", "0 gw.example.net.", "20 gw2.example.net.") + `</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`
	if string(sent) != want {
		t.Errorf("sent:\n%s\nwant:\n%s", sent, want)
	}
}

// Aliases and routed sets are seen with what they lead to, and never written.
func TestRoute53SpecialRecords(t *testing.T) {
	t.Parallel()
	f, b := route53Bed(t)
	ttl := int64(60)
	records := func(v string) []route53FakeRecord { return []route53FakeRecord{{v}} }
	f.extra = []route53FakeSet{
		{Name: "alias.example.test.", Type: "MX", Alias: &route53FakeAlias{ZoneID: f.zone.ID, Name: "real.example.test."}},
		{Name: "away.example.test.", Type: "A", Alias: &route53FakeAlias{ZoneID: "Z2FDTNDATAQYW2", Name: "d111111abcdef8.cloudfront.net."}},
		{Name: "loop.example.test.", Type: "MX", Alias: &route53FakeAlias{ZoneID: f.zone.ID, Name: "loop.example.test."}},
		{Name: "policy.example.test.", Type: "MX", TTL: &ttl, Records: records("10 policy.example.net."), Policy: "11111111-2222-3333-4444-555555555555"},
		{Name: "web.example.test.", Type: "CNAME", Alias: &route53FakeAlias{ZoneID: "Z2FDTNDATAQYW2", Name: "d111111abcdef8.cloudfront.net."}},
		{Name: "weighted.example.test.", Type: "MX", Identifier: "blue", Weight: "1", TTL: &ttl, Records: records("10 blue.example.net.")},
		{Name: "weighted.example.test.", Type: "MX", Identifier: "green", Weight: "1", TTL: &ttl, Records: records("10 green.example.net.")},
	}
	real := must(rrset.New("real.example.test", "MX", 300, "10 old.example.net."))
	if err := b.Edit(t.Context(), real); err != nil {
		t.Fatal(err)
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	sets := must(providers.Zone(t.Context(), p, b.Zone))
	got := map[string]string{}
	for _, s := range sets {
		got[s.Name+" "+s.Type] = strings.Join(s.Data, ", ")
	}
	for name, want := range map[string]string{
		"alias.example.test. MX": "10 old.example.net.", "weighted.example.test. MX": "10 blue.example.net., 10 green.example.net.",
		"policy.example.test. MX": "10 policy.example.net.", "away.example.test. A": "", "loop.example.test. MX": "",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"alias", "weighted", "policy", "loop", "web"} {
		before := must(rrset.New(name+".example.test", "MX", 60, "10 blue.example.net."))
		after := must(rrset.New(name+".example.test", "MX", 60, "10 gw.example.net."))
		_, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
		if name == "web" && !errors.Is(err, providers.ErrCNAME) || name != "web" && (err == nil || !strings.Contains(err.Error(), "simple record")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the service escapes in octal is read and written so.
func TestRoute53Escapes(t *testing.T) {
	t.Parallel()
	_, b := route53Bed(t)
	p := must(conformance.Open(b.Kind, b.Settings))
	for _, c := range [][2]rrset.Set{
		{must(rrset.New(`a\032b\@c\;.example.test`, "MX", 300, `10 x\046y.example.net.`)), must(rrset.New(`a\032b\@c\;.example.test`, "MX", 300, `10 z\255.example.net.`))},
		{must(rrset.New(`*.t.example.test`, "TXT", 300, `"\000\200\255 \\052 \"q\""`)), must(rrset.New(`*.t.example.test`, "TXT", 300, `"plain"`, `"two" "\127 parts"`))},
	} {
		if err := b.Edit(t.Context(), c[0]); err != nil {
			t.Fatal(err)
		}
		for _, change := range []rrset.Change{{Zone: b.Zone, Before: c[0], After: c[1]}, {Zone: b.Zone, Before: c[1], After: c[0]}} {
			r, err := providers.Replace(t.Context(), p, change)
			if truth := must(b.Truth(t.Context(), c[0].Name, c[0].Type)); err != nil || !r.Got.Equal(change.After) || !truth.Equal(change.After) {
				t.Errorf("%v: %+v, %v; there: %v", change.After, r, err, truth)
			}
		}
	}
}

// The documents have the shapes of the vendor's examples
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html,
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html).
func TestRoute53PublishedAnswers(t *testing.T) {
	t.Parallel()
	const xmlns = ` xmlns="https://route53.amazonaws.com/doc/2013-04-01/"`
	zones := `<?xml version="1.0" encoding="UTF-8"?>
<ListHostedZonesByNameResponse` + xmlns + `><HostedZones><HostedZone><Id>/hostedzone/Z111111QQQQQQQ</Id><Name>example.test.</Name>
<CallerReference>MyUniqueIdentifier1</CallerReference><Config><Comment>This is my first hosted zone.</Comment><PrivateZone>false</PrivateZone></Config>
<ResourceRecordSetCount>4</ResourceRecordSetCount></HostedZone></HostedZones><DNSName>example.test.</DNSName><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems></ListHostedZonesByNameResponse>`
	sets := `<?xml version="1.0"?>
<ListResourceRecordSetsResponse` + xmlns + `><ResourceRecordSets>
<ResourceRecordSet><Name>example.test.</Name><Type>MX</Type><TTL>900</TTL><ResourceRecords><ResourceRecord><Value>10 mail1.example.test</Value></ResourceRecord>
<ResourceRecord><Value>0 Mail2.example.test.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>
<ResourceRecordSet><Name>\052.example.test.</Name><Type>A</Type><SetIdentifier>Mumbai</SetIdentifier><Region>ap-south-1</Region><TTL>60</TTL>
<ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords><HealthCheckId>abcdef11-2222-3333-4444-555555fedcba</HealthCheckId></ResourceRecordSet>
<ResourceRecordSet><Name>www.example.test.</Name><Type>A</Type><AliasTarget><HostedZoneId>Z3DZXE0Q79N41H</HostedZoneId><DNSName>lb.us-west-2.elb.amazonaws.com.</DNSName>
<EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget></ResourceRecordSet>
</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>300</MaxItems></ListResourceRecordSetsResponse>`
	p := route53At(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/rrset") {
			fmt.Fprint(w, sets)
			return
		}
		fmt.Fprint(w, zones)
	})
	got := must(providers.Zone(t.Context(), p, "example.test."))
	want := "*.example.test.\t60\tIN\tA\t192.0.2.1\nexample.test.\t900\tIN\tMX\t0 mail2.example.test.\nexample.test.\t900\tIN\tMX\t10 mail1.example.test.\n"
	var text strings.Builder
	for _, s := range got {
		text.WriteString(s.String())
	}
	if text.String() != want {
		t.Errorf("read:\n%swant:\n%s", text.String(), want)
	}
}

// Answers that are no answers are errors, and nothing is taken from them.
func TestRoute53HostileAnswers(t *testing.T) {
	t.Parallel()
	head := `<ListResourceRecordSetsResponse><ResourceRecordSets>`
	set := func(name, typ, ttl, value string) string {
		return head + "<ResourceRecordSet><Name>" + name + "</Name><Type>" + typ + "</Type><TTL>" + ttl + "</TTL><ResourceRecords><ResourceRecord><Value>" + value +
			"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></ResourceRecordSets>"
	}
	end := "<IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>"
	for name, answer := range map[string]string{
		"nothing":               "",
		"not XML":               "{}",
		"another document":      "<ListHostedZonesResponse><IsTruncated>false</IsTruncated></ListHostedZonesResponse>",
		"cut off":               set("example.test.", "MX", "300", "10 a.example."),
		"no word of an end":     set("example.test.", "MX", "300", "10 a.example.") + "</ListResourceRecordSetsResponse>",
		"no end":                set("a.example.test.", "MX", "300", "10 a.example.") + "<IsTruncated>true</IsTruncated><NextRecordName>a.example.test.</NextRecordName><NextRecordType>MX</NextRecordType></ListResourceRecordSetsResponse>",
		"TTL above all":         set("example.test.", "MX", "4294967296", "10 a.example.") + end,
		"TTL below 0":           set("example.test.", "MX", "-1", "10 a.example.") + end,
		"TTL that is no number": set("example.test.", "MX", "soon", "10 a.example.") + end,
		"name outside":          set("notexample.test.", "MX", "300", "10 a.example.") + end,
		"control character":     set("example.test.", "MX", "300", "10 a.\x01example.") + end,
		"escaped line break":    set("example.test.", "MX", "300", "10 a&#10;b.example.") + end,
		"no preference":         set("example.test.", "MX", "300", "a.example.") + end,
		"preference above all":  set("example.test.", "MX", "300", "65536 a.example.") + end,
		"deep":                  strings.Repeat("<a>", 100_000),
	} {
		p := route53At(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/rrset") {
				fmt.Fprint(w, answer)
				return
			}
			fmt.Fprint(w, `<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>example.test.</Name></HostedZone></HostedZones><IsTruncated>false</IsTruncated></ListHostedZonesByNameResponse>`)
		})
		if sets, err := providers.Zone(t.Context(), p, "example.test."); err == nil {
			t.Errorf("%s: %v", name, sets)
		}
	}
}

// An answer to a write that cannot be read leaves it in doubt, and looking settles
// it.
func TestRoute53UnreadableWrite(t *testing.T) {
	t.Parallel()
	f, b := route53Bed(t)
	before, after := must(rrset.New("w.example.test", "MX", 300, "10 old.example.net.")), must(rrset.New("w.example.test", "MX", 300, "10 gw.example.net."))
	if err := b.Edit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []string{"", "<ChangeResourceRecordSetsResponse/>", "<html>"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				f.ServeHTTP(httptest.NewRecorder(), r)
				fmt.Fprint(w, answer)
				return
			}
			f.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		p := must(conformance.Open(b.Kind, strings.Replace(b.Settings, "endpoint: ", "endpoint: "+s.URL+" # ", 1)))
		r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
		if err != nil || !r.Written || !r.Got.Equal(after) {
			t.Errorf("answer %q: %+v, %v", answer, r, err)
		}
		before, after = after, before
	}
}

func TestRoute53Settings(t *testing.T) {
	t.Parallel()
	_, b := route53Bed(t)
	for name, c := range map[string]struct{ old, new, says string }{
		"no secret":     {"secret_access_key: ", "secret_access_key: {env: MXCUTOVER_TEST_NONE} # ", "secret_access_key: secret is not set"},
		"no ID":         {"access_key_id: ", "access_key_id: {env: MXCUTOVER_TEST_NONE} # ", "access_key_id: secret is not set"},
		"no token":      {"session_token: ", "session_token: {env: MXCUTOVER_TEST_NONE} # ", "session_token: secret is not set"},
		"endpoint":      {"endpoint: ", "endpoint: http://route53.amazonaws.com # ", "https was expected"},
		"zone ID":       {"timeout: 2s", "zone_ids: {example.test: ../change/C1}", "no ID of a hosted zone"},
		"zone name":     {"timeout: 2s", "zone_ids: {a..b: Z1}", "zone_ids"},
		"unknown key":   {"timeout: 2s", "profile: default", "profile"},
		"zone ID twice": {"timeout: 2s", "zone_ids: {example.test: Z1, Example.test.: Z2}", "twice"},
	} {
		_, err := conformance.Open(b.Kind, strings.Replace(b.Settings, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// route53At opens a provider that speaks to h.
func route53At(t *testing.T, h http.HandlerFunc) providers.Provider {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return must(conformance.Open("route53", fmt.Sprintf("endpoint: %s\ntimeout: 5s\nper_second: 10000\naccess_key_id: {file: %s}\nsecret_access_key: {file: %s}\n",
		s.URL, conformance.SecretFile(t, "AKIAEXAMPLE"), conformance.SecretFile(t, "none"))))
}
