package providers_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceAzure(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "azure", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := azureBed(t); return b },
		Shortfalls: map[string]string{
			"null MX": `the service refuses the host "."; it cannot be written, nor put back`,
			"TLSA":    "this version of the API has no TLSA records",
		},
		Lacking: map[string]string{"TTL clamped by the host": "the service refuses a TTL of 0 and takes all others"},
		Golden:  "testdata/conformance/azure.json",
	}.Run(t)
}

// What was noted at a record set stays with it. When only that changed between
// our reading and our writing, nothing is written, and it may be tried again.
func TestAzureKeepsMetadata(t *testing.T) {
	t.Parallel()
	f, b := azureBed(t)
	set := func(data ...string) rrset.Set { return must(rrset.New("m.example.test", "MX", 300, data...)) }
	if err := b.Edit(t.Context(), set("10 old.example.net.")); err != nil {
		t.Fatal(err)
	}
	note := func(owner string) { f.metadata["m.example.test. MX"] = map[string]string{"owner": owner} }
	note("finance")
	p := must(conformance.Open(b.Kind, b.Settings))
	change := rrset.Change{Zone: b.Zone, Before: set("10 old.example.net."), After: set("10 gw.example.net.", "20 gw2.example.net.")}
	b.Faults.Inject(conformance.Fault{Kind: conformance.Between, Nth: 1, Do: func() { f.mu.Lock(); defer f.mu.Unlock(); note("sales") }})
	if _, err := providers.Replace(t.Context(), p, change); !errors.Is(err, providers.ErrTransient) || !must(b.Truth(t.Context(), change.Before.Name, "MX")).Equal(change.Before) {
		t.Errorf("metadata changed meanwhile: %v", err)
	}
	for _, c := range []rrset.Change{change, change.Inverse()} {
		if r, err := providers.Replace(t.Context(), p, c); err != nil || !r.Got.Equal(c.After) || f.metadata["m.example.test. MX"]["owner"] != "sales" {
			t.Errorf("%+v, %v; metadata: %v", r, err, f.metadata)
		}
	}
}

// A link to the next page is followed within the API alone.
func TestAzureNextLinks(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	t.Cleanup(thief.Close)
	path := func(next string) string { u := must(url.Parse(next)); return u.EscapedPath() + "?" + u.RawQuery }
	before := func(next string) string { path, _, _ := strings.Cut(next, "?"); return path }
	for name, c := range map[string]struct {
		link func(next string) string
		ok   bool
	}{
		"the API": {func(next string) string { return next }, true},
		"its own address": {func(next string) string {
			return "https://management.azure.com" + path(next)
		}, true},
		"another host":   {func(next string) string { return thief.URL + path(next) }, false},
		"another zone":   {func(next string) string { return strings.Replace(next, "example.test", "example.net", 1) }, false},
		"another scheme": {func(next string) string { return strings.Replace(next, "http://", "ftp://", 1) }, false},
		"a host within": {func(next string) string {
			return "https://management.azure.com@" + strings.TrimPrefix(next, "http://127.0.0.1")
		}, false},
		"no query": {func(next string) string { return before(next) }, false},
		"in a circle": {func(next string) string {
			return before(next) + "?$skipToken=7"
		}, false},
		"no address": {func(string) string { return "http://[::1" }, false},
	} {
		f, b := azureBed(t)
		f.link = c.link
		for i := range 20 {
			if err := b.Edit(t.Context(), must(rrset.New(fmt.Sprintf("n%02d.example.test", i), "MX", 300, "10 a.example.net."))); err != nil {
				t.Fatal(err)
			}
		}
		sets, err := providers.Zone(t.Context(), must(conformance.Open(b.Kind, b.Settings)), b.Zone)
		if (err == nil) != c.ok || c.ok && len(sets) != 22 {
			t.Errorf("%s: %d sets, %v", name, len(sets), err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("another host was asked with %q", <-asked)
	}
}

// Aliases are left out and never written; a zone that is not public is refused.
func TestAzureSpecialSets(t *testing.T) {
	t.Parallel()
	f, b := azureBed(t)
	f.extra = []map[string]any{
		{"name": "web", "type": "Microsoft.Network/dnszones/A", "etag": "1", "properties": map[string]any{"TTL": 60, "targetResource": map[string]string{"id": "/subscriptions/x"}, "ARecords": []any{map[string]string{"ipv4Address": "192.0.2.1"}}}},
		{"name": "new", "type": "Microsoft.Network/dnszones/TLSA", "etag": "1", "properties": map[string]any{"TTL": 60, "TLSARecords": []any{map[string]any{"usage": 3}}}},
		{"name": "empty", "type": "Microsoft.Network/dnszones/MX", "etag": "1", "properties": map[string]any{"TTL": 60, "MXRecords": []any{}}},
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	if sets := must(providers.Zone(t.Context(), p, b.Zone)); len(sets) != 2 {
		t.Errorf("read: %v", sets)
	}
	f.kind = "Private"
	if _, err := providers.Zone(t.Context(), p, b.Zone); !errors.Is(err, providers.ErrNoZone) || !strings.Contains(err.Error(), "Private") {
		t.Errorf("a private zone: %v", err)
	}
}

// The other types that are written, for those who look after their scratch names
// by the same provider.
func TestAzureWritesOtherTypes(t *testing.T) {
	t.Parallel()
	_, b := azureBed(t)
	p := must(conformance.Open(b.Kind, b.Settings))
	for _, c := range [][2]rrset.Set{
		{must(rrset.New("o.example.test", "A", 300, "192.0.2.1")), must(rrset.New("o.example.test", "A", 60, "192.0.2.1", "192.0.2.2"))},
		{must(rrset.New("o.example.test", "AAAA", 300, "2001:db8::1")), must(rrset.New("o.example.test", "AAAA", 300, "2001:db8::2"))},
		{must(rrset.New("c.example.test", "CNAME", 300, "www.example.net.")), must(rrset.New("c.example.test", "CNAME", 300, "web.example.net."))},
	} {
		states := []rrset.Set{must(rrset.New(c[0].Name, c[0].Type, 0)), c[0], c[1], must(rrset.New(c[0].Name, c[0].Type, 0))}
		for i, before := range states[:3] {
			if r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: states[i+1]}); err != nil || !r.Got.Equal(states[i+1]) {
				t.Errorf("to %v: %+v, %v", states[i+1], r, err)
			}
		}
	}
}

// Texts that the service documents no spelling for are refused before anything is
// sent, and a TTL of 0 by the service.
func TestAzureRefusals(t *testing.T) {
	t.Parallel()
	_, b := azureBed(t)
	p := must(conformance.Open(b.Kind, b.Settings))
	for _, after := range []rrset.Set{
		must(rrset.New("t.example.test", "TXT", 300, `"\200"`)), must(rrset.New("t.example.test", "MX", 0, "10 gw.example.net.")),
		must(rrset.New("t.example.test", "PTR", 300, "host.example.net.")), must(rrset.New("t.example.test", "TLSA", 300, "3 1 1 00")),
	} {
		before := must(rrset.New(after.Name, after.Type, 0))
		if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after}); err == nil || errors.Is(err, providers.ErrInDoubt) || errors.Is(err, providers.ErrLied) {
			t.Errorf("%v: %v", after, err)
		}
		if there := must(b.Truth(t.Context(), after.Name, after.Type)); !there.Absent() {
			t.Errorf("written: %v", there)
		}
	}
}

// The objects have the shapes of the vendor's examples
// (https://learn.microsoft.com/en-us/rest/api/dns/record-sets/list-by-dns-zone,
// https://learn.microsoft.com/en-us/rest/api/dns/record-sets/get).
func TestAzurePublishedAnswers(t *testing.T) {
	t.Parallel()
	set := func(name, typ, properties string) string {
		return fmt.Sprintf(`{"id":"/subscriptions/subid/resourceGroups/rg1/providers/Microsoft.Network/dnsZones/example.test/%[2]s/%[1]s","etag":"00000000-0000-0000-0000-000000000000",
"name":"%[1]s","type":"Microsoft.Network/dnsZones/%[2]s","properties":{"metadata":{"key1":"value1"},"TTL":3600,"fqdn":"%[1]s.example.test",%[3]s}}`, name, typ, properties)
	}
	p := azureAt(t, `{"value":[`+strings.Join([]string{
		set("record1", "A", `"ARecords":[{"ipv4Address":"192.0.2.1"}]`),
		set("record1", "AAAA", `"AAAARecords":[{"ipv6Address":"2001:DB8::1"}]`),
		set("record1", "CAA", `"caaRecords":[{"flags":0,"tag":"issue","value":"ca.example.net"}]`),
		set("record2", "CNAME", `"CNAMERecord":{"cname":"example.net"}`),
		set("@", "MX", `"MXRecords":[{"preference":0,"exchange":"mail.example.net"},{"preference":10,"exchange":"Mail2.example.net."}]`),
		set("@", "NS", `"NSRecords":[{"nsdname":"ns1.example.net"}]`),
		set("1", "PTR", `"PTRRecords":[{"ptrdname":"host.example.net"}]`),
		set("@", "SOA", `"SOARecord":{"host":"ns1.example.net","email":"hostmaster.example.net","serialNumber":1,"refreshTime":3600,"retryTime":300,"expireTime":2419200,"minimumTTL":300}`),
		set("_sip._tcp", "SRV", `"SRVRecords":[{"priority":0,"weight":10,"port":80,"target":"sip.example.net"}]`),
		set("record1", "TXT", `"TXTRecords":[{"value":["string1","string \"2\""]},{"value":[]}]`),
	}, ",")+`]}`)
	var text strings.Builder
	for _, s := range must(providers.Zone(t.Context(), p, "example.test.")) {
		text.WriteString(s.String())
	}
	want := `1.example.test. PTR host.example.net.
_sip._tcp.example.test. SRV 0 10 80 sip.example.net.
example.test. MX 0 mail.example.net.
example.test. MX 10 mail2.example.net.
example.test. NS ns1.example.net.
example.test. SOA ns1.example.net. hostmaster.example.net. 1 3600 300 2419200 300
record1.example.test. A 192.0.2.1
record1.example.test. AAAA 2001:db8::1
record1.example.test. CAA 0 issue "ca.example.net"
record1.example.test. TXT ""
record1.example.test. TXT "string1" "string \"2\""
record2.example.test. CNAME example.net.
`
	got := strings.ReplaceAll(strings.ReplaceAll(text.String(), "\t3600\tIN\t", " "), "\t", " ")
	if got != want {
		t.Errorf("read:\n%swant:\n%s", got, want)
	}
}

// Answers that are no answers are errors, and nothing is taken from them.
func TestAzureHostileAnswers(t *testing.T) {
	t.Parallel()
	mx := func(name, ttl, record string) string {
		return fmt.Sprintf(`{"value":[{"name":%s,"type":"Microsoft.Network/dnszones/MX","etag":"1","properties":{%s"MXRecords":[%s]}}]}`, name, ttl, record)
	}
	const good, ttl = `{"preference":10,"exchange":"a.example"}`, `"TTL":300,`
	for name, answer := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"no list":              `{"error":{}}`,
		"cut off":              mx(`"@"`, ttl, good)[:60],
		"no end":               `{"value":[],"nextLink":"https://management.azure.com/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.test/recordsets?$skipToken=1"}`,
		"no TTL":               mx(`"@"`, "", good),
		"TTL above all":        mx(`"@"`, `"TTL":4294967296,`, good),
		"TTL below 0":          mx(`"@"`, `"TTL":-1,`, good),
		"TTL of another type":  mx(`"@"`, `"TTL":"300",`, good),
		"no preference":        mx(`"@"`, ttl, `{"exchange":"a.example"}`),
		"preference above all": mx(`"@"`, ttl, `{"preference":65536,"exchange":"a.example"}`),
		"no host":              mx(`"@"`, ttl, `{"preference":10}`),
		"control character":    mx(`"@"`, ttl, `{"preference":10,"exchange":"a\u0001.example"}`),
		"two names":            mx(`"a b"`, ttl, good),
		"name of another type": mx(`7`, ttl, good),
		"name too long":        mx(`"`+strings.Repeat("a.", 130)+`"`, ttl, good),
		"deep":                 strings.Repeat("[", 100_000),
	} {
		if sets, err := providers.Zone(t.Context(), azureAt(t, answer), "example.test."); err == nil {
			t.Errorf("%s: %v", name, sets)
		}
	}
	// One record set that is another than was asked for, or has no ETag to compare by.
	before, after := must(rrset.New("example.test", "MX", 300, "10 a.example.")), must(rrset.New("example.test", "MX", 300, "10 gw.example."))
	for _, answer := range []string{
		`{"name":"www","type":"Microsoft.Network/dnszones/MX","etag":"1","properties":{"TTL":300,"MXRecords":[` + good + `]}}`,
		`{"name":"@","type":"Microsoft.Network/dnszones/TXT","etag":"1","properties":{"TTL":300,"MXRecords":[` + good + `]}}`,
		`{"name":"@","type":"Microsoft.Network/dnszones/MX","properties":{"TTL":300,"MXRecords":[` + good + `]}}`,
		`{"name":"@","type":"Microsoft.Network/dnszones/MX","etag":"*","properties":{"TTL":300,"MXRecords":[` + good + `]}}`,
	} {
		if r, err := providers.Replace(t.Context(), azureAt(t, answer), rrset.Change{Zone: "example.test.", Before: before, After: after}); err == nil || errors.Is(err, providers.ErrInDoubt) {
			t.Errorf("%s: %+v, %v", answer, r, err)
		}
	}
}

func TestAzureSettings(t *testing.T) {
	t.Parallel()
	_, b := azureBed(t)
	for name, c := range map[string]struct{ old, new, says string }{
		"no secret":      {"client_secret: ", "client_secret: {env: MXCUTOVER_TEST_NONE} # ", "client_secret: secret is not set"},
		"cloud":          {"timeout: 2s", "cloud: moon", "china"},
		"endpoint":       {"endpoint: ", "endpoint: http://management.azure.com # ", "https was expected"},
		"authority":      {"authority: ", "authority: http://login.microsoftonline.com # ", "authority: endpoint"},
		"no group":       {"resource_group: dns", "", "resource_group"},
		"empty tenant":   {"tenant_id: ", `tenant_id: "" # `, "tenant_id"},
		"unknown key":    {"timeout: 2s", "managed_identity: true", "managed_identity"},
		"another cloud":  {"timeout: 2s", "cloud: usgov", ""},
		"another secret": {"client_secret: ", "client_secret: {file: " + conformance.SecretFile(t, "wrong-secret") + "} # ", ""},
	} {
		p, err := conformance.Open(b.Kind, strings.Replace(b.Settings, c.old, c.new, 1))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if c.says != "" {
			continue
		}
		if _, err := providers.Zone(t.Context(), p, b.Zone); !errors.Is(err, providers.ErrCredential) || !strings.Contains(err.Error(), "AADSTS7000215") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// azureAt opens a provider that gets this answer for lists and record sets.
func azureAt(t *testing.T, answer string) providers.Provider {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			fmt.Fprint(w, `{"access_token":"t","expires_in":3599,"token_type":"Bearer"}`)
		case strings.HasSuffix(r.URL.Path, "/example.test"):
			fmt.Fprint(w, `{"name":"example.test","type":"Microsoft.Network/dnszones","properties":{"zoneType":"Public"}}`)
		case r.Method != http.MethodGet:
			t.Errorf("%s %s was sent", r.Method, r.URL)
		default:
			fmt.Fprint(w, answer)
		}
	}))
	t.Cleanup(s.Close)
	return must(conformance.Open("azure", fmt.Sprintf("endpoint: %[1]s\nauthority: %[1]s\ntenant_id: t\nclient_id: c\nclient_secret: {file: %s}\nsubscription_id: s\nresource_group: dns\ntimeout: 5s\nper_second: 10000\n",
		s.URL, conformance.SecretFile(t, "none"))))
}
