package providers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// dotted is somebody else at a vendor where a host without its final dot is below
// the zone: who means an absolute host writes the dot.
func dotted(edit func(context.Context, rrset.Set) error) func(context.Context, rrset.Set) error {
	return func(ctx context.Context, s rrset.Set) error {
		if s.Type == "MX" || s.Type == "CNAME" {
			data := make([]string, len(s.Data))
			for i, d := range s.Data {
				data[i] = dns.Fqdn(d)
			}
			s.Data = data
		}
		return edit(ctx, s)
	}
}

func TestConformanceGandi(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "gandi", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := gandiBed(t, "Bearer", "token"); return b },
		Shortfalls: map[string]string{
			"foreign change between read and write": "PUT has no precondition; the RRset is read again right before it is written",
			"foreign TTL between read and write":    "PUT has no precondition; the RRset is read again right before it is written",
		},
		Lacking: map[string]string{"two zones of one name": "LiveDNS has one zone of a name"},
		Golden:  "testdata/conformance/gandi.json",
	}.Run(t)
}

// The older key is sent in its own way, and one credential is to be set.
func TestGandiCredentials(t *testing.T) {
	t.Parallel()
	f, b := gandiBed(t, "Apikey", "api_key")
	set := must(rrset.New("d.example.test", "MX", 3600, "10 old.example.net."))
	if err := b.Edit(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	got, err := providers.Read(t.Context(), must(conformance.Open(b.Kind, b.Settings)), f.zone.Name, set.Name, "MX")
	if err != nil || !got.Equal(set) {
		t.Errorf("with an API key: %v, %v", got, err)
	}
	file := conformance.SecretFile(t, "x")
	for name, settings := range map[string]string{
		"none": "{}\n", "both": fmt.Sprintf("token: {file: %s}\napi_key: {file: %s}\n", file, file),
		"unset":    "token: {env: MXCUTOVER_TEST_NONE}\n",
		"endpoint": fmt.Sprintf("token: {file: %s}\nendpoint: http://192.0.2.1/\n", file),
	} {
		if _, err := conformance.Open("gandi", settings); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Names that somebody wrote in capitals are read, and written where they are;
// hosts without their final dot are below the zone.
func TestGandiSpellings(t *testing.T) {
	t.Parallel()
	f, b := gandiBed(t, "Bearer", "token")
	f.page = 3
	add := func(name, data string) {
		if err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
			return append(recs, conformance.Rec{ID: f.zone.NewID(), Name: name, Type: "MX", TTL: 3600, Data: data}), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		add(fmt.Sprintf("h%d.example.test.", i), "10 x.example.net.")
	}
	add("Loud.example.test.", "10 mail")
	p := must(conformance.Open(b.Kind, b.Settings))
	before := must(rrset.New("loud.example.test", "MX", 3600, "10 mail.example.test."))
	after := must(rrset.New("loud.example.test", "MX", 300, "10 gw.example.net."))
	r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
	if err != nil || !r.Got.Equal(after) {
		t.Fatalf("%+v, %v", r, err)
	}
	n := 0
	for _, x := range f.zone.Records() {
		if strings.EqualFold(x.Name, "loud.example.test.") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d records of the name; there was one", n)
	}
	add("LOUD.example.test.", "10 third.example.net.")
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: after, After: before}); err == nil || !strings.Contains(err.Error(), "spelling") && !strings.Contains(err.Error(), "changed") {
		t.Errorf("two spellings: %v", err)
	}
}

func TestGandiLooksAgain(t *testing.T) {
	t.Parallel()
	f, b := gandiBed(t, "Bearer", "token")
	looksAgain(t, b, f.zone)
}

// The shape of the documentation's example (https://api.gandi.net/docs/livedns/),
// with other values.
func TestGandiExample(t *testing.T) {
	t.Parallel()
	read := gandiRead(t, `[{"rrset_name": "@", "rrset_ttl": 10800, "rrset_type": "MX", "rrset_values": ["10 spool.example.net.", "50 fb.example.net."],
		"rrset_href": "https://api.test/v5/livedns/domains/example.com/records/%40/MX"},
		{"rrset_name": "@", "rrset_ttl": 10800, "rrset_type": "TXT", "rrset_values": ["\"v=spf1 include:_mailcust.example.net ?all\""],
		"rrset_href": "https://api.test/v5/livedns/domains/example.com/records/%40/TXT"}]`, nil)
	want := must(rrset.New("example.test", "MX", 10800, "10 spool.example.net.", "50 fb.example.net."))
	if got, err := read(); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v", got, err)
	}
}

// gandiRead reads the MX of the apex from a server that always answers so.
func gandiRead(t testing.TB, body string, head http.Header) func() (rrset.Set, error) {
	return answered(t, "gandi", "/v5/livedns", "token: {file: %s}\n", func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range head {
			w.Header()[k] = v
		}
		w.Write([]byte(body))
	})
}

// answered reads the MX of the apex of example.test from a server.
func answered(t testing.TB, kind, path, settings string, answer http.HandlerFunc) func() (rrset.Set, error) {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	p := must(conformance.Open(kind, fmt.Sprintf("endpoint: %s%s\ntimeout: 2s\nper_second: 10000\n"+settings, s.URL, path, conformance.SecretFile(t, "secret-0123456789"))))
	return func() (rrset.Set, error) {
		return providers.Read(t.Context(), p, "example.test.", "example.test.", "MX")
	}
}

// Answers that nobody should send are errors.
func TestGandiHostileAnswers(t *testing.T) {
	t.Parallel()
	set := func(name, typ string, ttl any, values ...string) string {
		return string(must(json.Marshal([]map[string]any{{"rrset_name": name, "rrset_type": typ, "rrset_ttl": ttl, "rrset_values": values}})))
	}
	for name, body := range map[string]string{
		"truncated":          `[{"rrset_name": "@", "rrset_ty`,
		"an object":          `{"rrset_name": "@"}`,
		"TTL of text":        set("@", "MX", "300", "10 a.example.net."),
		"TTL below 0":        set("@", "MX", -1, "10 a.example.net."),
		"TTL above 2^31":     set("@", "MX", 1<<32+300, "10 a.example.net."),
		"preference":         set("@", "MX", 300, "65536 a.example.net."),
		"no host":            set("@", "MX", 300, "10"),
		"control characters": set("@", "MX", 300, "10 a\x00.example.net.\n"),
		"line break":         set("@", "MX", 300, "10 a.example.net.\n@ 300 IN MX 0 b.example.net."),
		"long name":          set(strings.Repeat("a.", 200)+"a", "MX", 300, "10 a.example.net."),
		"nothing":            ``,
	} {
		if got, err := gandiRead(t, body, nil)(); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	endless := gandiRead(t, `[]`, http.Header{"Link": {`<https://api.test/?page=1>; rel="next"`}})
	if got, err := endless(); err == nil || !strings.Contains(err.Error(), "end") {
		t.Errorf("a listing without end: %+v, %v", got, err)
	}
	if got, err := gandiRead(t, `[]`, http.Header{"Total-Count": {"7"}})(); err == nil {
		t.Errorf("a listing that is not whole: %+v", got)
	}
}
