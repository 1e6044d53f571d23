package providers_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceGoogleCloudDNS(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "googleclouddns", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed {
			f, b := googleBed(t)
			if strings.HasSuffix(t.Name(), "/two_zones_of_one_name") {
				f.twins = true
				b.Twin = &conformance.Twin{Ambiguous: b.Settings, Chosen: b.Settings + "managed_zones: {example.test: example-public}\n", Other: f.twin.Truth}
			}
			return b
		},
		Lacking: map[string]string{"TTL clamped by the host": "the service takes all TTLs"},
		Golden:  "testdata/conformance/googleclouddns.json",
	}.Run(t)
}

// A private zone alone is not taken for the public one, and a chosen zone must
// have the name.
func TestGoogleZones(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		private bool
		more    string
		zone    string
		says    string
	}{
		"private":         {true, "", "example.test.", "choose it by managed_zones"},
		"chosen private":  {true, "managed_zones: {example.test: example-public}\n", "example.test.", ""},
		"another's zone":  {false, "managed_zones: {other.test: example-public}\n", "other.test.", `has the DNS name "example.test."`},
		"nobody's zone":   {false, "managed_zones: {example.test: no-such}\n", "example.test.", "does not exist"},
		"another project": {false, "project: other\n", "example.test.", "Forbidden"},
	} {
		f, b := googleBed(t)
		f.private = c.private
		_, err := providers.Zone(t.Context(), must(conformance.Open(b.Kind, b.Settings+c.more)), c.zone)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// Sets with a routing policy are seen with all their data, and never written.
func TestGoogleRoutingPolicies(t *testing.T) {
	t.Parallel()
	f, b := googleBed(t)
	item := func(d string) any { return map[string]any{"weight": 1, "rrdatas": []string{d}} }
	f.extra = []map[string]any{
		{"kind": "dns#resourceRecordSet", "name": "wrr.example.test.", "type": "MX", "ttl": 60, "routingPolicy": map[string]any{"wrr": map[string]any{"items": []any{item("10 a.example.net."), item("10 b.example.net.")}}}},
		{"kind": "dns#resourceRecordSet", "name": "geo.example.test.", "type": "MX", "ttl": 60, "routingPolicy": map[string]any{"geo": map[string]any{"items": []any{item("10 c.example.net.")}}}},
		{"kind": "dns#resourceRecordSet", "name": "example.test.", "type": "ALIAS", "ttl": 60, "rrdatas": []string{"web.example.net."}},
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	got := map[string]string{}
	for _, s := range must(providers.Zone(t.Context(), p, b.Zone)) {
		got[s.Name+" "+s.Type] = strings.Join(s.Data, ", ")
	}
	for name, want := range map[string]string{"wrr.example.test. MX": "10 a.example.net., 10 b.example.net.", "geo.example.test. MX": "10 c.example.net.", "example.test. ALIAS": ""} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	before, after := must(rrset.New("wrr.example.test", "MX", 60, "10 a.example.net.", "10 b.example.net.")), must(rrset.New("wrr.example.test", "MX", 60, "10 gw.example.net."))
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after}); err == nil || !strings.Contains(err.Error(), "routing policy") {
		t.Errorf("written: %v", err)
	}
}

// The objects have the shapes of the vendor's examples
// (https://cloud.google.com/dns/docs/reference/rest/v1/resourceRecordSets/list,
// https://cloud.google.com/dns/docs/reference/rest/v1/managedZones/list).
func TestGooglePublishedAnswers(t *testing.T) {
	t.Parallel()
	p := googleAt(t, `{"kind":"dns#resourceRecordSetsListResponse","header":{"operationId":"1"},"rrsets":[
{"kind":"dns#resourceRecordSet","name":"example.test.","type":"MX","ttl":21600,"rrdatas":["0 Mail.example.test.","10 mail2.example.test."],"signatureRrdatas":[]},
{"kind":"dns#resourceRecordSet","name":"example.test.","type":"TXT","ttl":300,"rrdatas":["\"v=spf1 -all\""],"routingPolicy":null},
{"kind":"dns#resourceRecordSet","name":"*.example.test.","type":"A","ttl":60,"rrdatas":["192.0.2.1"]}]}`)
	var text strings.Builder
	for _, s := range must(providers.Zone(t.Context(), p, "example.test.")) {
		text.WriteString(s.String())
	}
	want := "*.example.test.\t60\tIN\tA\t192.0.2.1\nexample.test.\t21600\tIN\tMX\t0 mail.example.test.\nexample.test.\t21600\tIN\tMX\t10 mail2.example.test.\nexample.test.\t300\tIN\tTXT\t\"v=spf1 -all\"\n"
	if text.String() != want {
		t.Errorf("read:\n%swant:\n%s", text.String(), want)
	}
}

// Answers that are no answers are errors, and nothing is taken from them.
func TestGoogleHostileAnswers(t *testing.T) {
	t.Parallel()
	list := func(set string) string {
		return `{"kind":"dns#resourceRecordSetsListResponse","rrsets":[` + set + `]}`
	}
	for name, answer := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"another object":       `{"kind":"dns#managedZonesListResponse"}`,
		"cut off":              `{"kind":"dns#resourceRecordSetsListResponse","rrsets":[{"name":"example.test.","type":"MX","ttl":300,"rrdatas":["10 a.example."]`,
		"no end":               `{"kind":"dns#resourceRecordSetsListResponse","rrsets":[],"nextPageToken":"x"}`,
		"no TTL":               list(`{"name":"example.test.","type":"MX","rrdatas":["10 a.example."]}`),
		"TTL above all":        list(`{"name":"example.test.","type":"MX","ttl":4294967296,"rrdatas":["10 a.example."]}`),
		"TTL below 0":          list(`{"name":"example.test.","type":"MX","ttl":-1,"rrdatas":["10 a.example."]}`),
		"TTL of another type":  list(`{"name":"example.test.","type":"MX","ttl":"300","rrdatas":["10 a.example."]}`),
		"data of another type": list(`{"name":"example.test.","type":"MX","ttl":300,"rrdatas":"10 a.example."}`),
		"name outside":         list(`{"name":"notexample.test.","type":"MX","ttl":300,"rrdatas":["10 a.example."]}`),
		"control character":    list(`{"name":"example.test.","type":"MX","ttl":300,"rrdatas":["10 a\u0000.example."]}`),
		"line break":           list(`{"name":"example.test.","type":"TXT","ttl":300,"rrdatas":["\"a\"\n\"b\""]}`),
		"no preference":        list(`{"name":"example.test.","type":"MX","ttl":300,"rrdatas":["a.example."]}`),
		"preference above all": list(`{"name":"example.test.","type":"MX","ttl":300,"rrdatas":["65536 a.example."]}`),
		"policy of a string":   list(`{"name":"example.test.","type":"MX","ttl":300,"routingPolicy":"wrr"}`),
		"deep":                 strings.Repeat("[", 100_000),
	} {
		if sets, err := providers.Zone(t.Context(), googleAt(t, answer), "example.test."); err == nil {
			t.Errorf("%s: %v", name, sets)
		}
	}
}

// An answer to a change that tells no status leaves it in doubt, and looking
// settles it.
func TestGoogleUnreadableWrite(t *testing.T) {
	t.Parallel()
	f, b := googleBed(t)
	before, after := must(rrset.New("w.example.test", "MX", 300, "10 old.example.net.")), must(rrset.New("w.example.test", "MX", 300, "10 gw.example.net."))
	if err := b.Edit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []string{"", "{}", "<html>"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/changes") {
				f.ServeHTTP(httptest.NewRecorder(), r)
				fmt.Fprint(w, answer)
				return
			}
			f.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		p := must(conformance.Open(b.Kind, strings.Replace(b.Settings, "endpoint: ", "endpoint: "+s.URL+"/dns/v1 # ", 1)))
		r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
		if err != nil || !r.Written || !r.Got.Equal(after) {
			t.Errorf("answer %q: %+v, %v", answer, r, err)
		}
		before, after = after, before
	}
}

// A quota of records is answered by status 403, and is no fault of the credential.
func TestGoogleQuota(t *testing.T) {
	t.Parallel()
	_, b := googleBed(t)
	before, after := must(rrset.New("q.example.test", "MX", 0)), must(rrset.New("q.example.test", "MX", 300, "10 gw.example.net."))
	b.Faults.Inject(conformance.Fault{Kind: conformance.Refused, Nth: 1})
	_, err := providers.Replace(t.Context(), must(conformance.Open(b.Kind, b.Settings)), rrset.Change{Zone: b.Zone, Before: before, After: after})
	if err == nil || errors.Is(err, providers.ErrCredential) || errors.Is(err, providers.ErrTransient) || !strings.Contains(err.Error(), "quota") {
		t.Errorf("%v", err)
	}
}

func TestGoogleSettings(t *testing.T) {
	t.Parallel()
	_, b := googleBed(t)
	good, private := googleKeyFile(googleTestKey(), "https://oauth2.googleapis.com/token")
	for name, c := range map[string]struct{ key, more, says string }{
		"no JSON":       {"-----BEGIN PRIVATE KEY-----", "", "no JSON key file"},
		"another kind":  {`{"type":"authorized_user"}`, "", "no key of a service account"},
		"no key":        {strings.Replace(good, "BEGIN PRIVATE", "BEGIN NO", 1), "", "no PEM block"},
		"broken key":    {strings.Replace(good, "MIIE", "AAAA", 1), "", "no RSA key"},
		"plain token":   {strings.Replace(good, "https://oauth2", "http://oauth2", 1), "", "token_uri"},
		"zone":          {good, "managed_zones: {a..b: x}\n", "managed_zones"},
		"no project":    {strings.Replace(good, "example-dns\"", "\"", 1), "", "project: is missing"},
		"bad endpoint":  {good, "endpoint: http://dns.googleapis.com\n", "https was expected"},
		"unknown key":   {good, "credentials: x\n", "credentials"},
		"nothing wrong": {good, "", ""},
	} {
		_, err := conformance.Open(b.Kind, fmt.Sprintf("service_account: {file: %s}\n%s", conformance.SecretFile(t, c.key), c.more))
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), private[30:60])) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := conformance.Open(b.Kind, "service_account: {env: MXCUTOVER_TEST_NONE}\n"); err == nil || !strings.Contains(err.Error(), "not set") {
		t.Errorf("unset: %v", err)
	}
	_, err := providers.Zone(t.Context(), must(conformance.Open(b.Kind, fmt.Sprintf("service_account: {file: %s}\nproject: example-dns\n", conformance.SecretFile(t, strings.Replace(good, "https://oauth2.googleapis.com", "https://127.0.0.1:1", 1))))), "example.test.")
	if !errors.Is(err, providers.ErrTransient) {
		t.Errorf("no token endpoint: %v", err)
	}
}

// googleAt opens a provider whose zone has this listing.
func googleAt(t *testing.T, list string) providers.Provider {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"access_token":"t","expires_in":3599,"token_type":"Bearer"}`)
		case strings.HasSuffix(r.URL.Path, "/rrsets"):
			fmt.Fprint(w, list)
		default:
			fmt.Fprint(w, `{"kind":"dns#managedZonesListResponse","managedZones":[{"kind":"dns#managedZone","name":"z","dnsName":"example.test.","id":"1","visibility":"public"}]}`)
		}
	}))
	t.Cleanup(s.Close)
	text, _ := googleKeyFile(googleTestKey(), s.URL+"/token")
	return must(conformance.Open("googleclouddns", fmt.Sprintf("endpoint: %s\nservice_account: {file: %s}\ntimeout: 5s\nper_second: 10000\n", s.URL, conformance.SecretFile(t, text))))
}
