package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceDeSEC(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "desec", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := desecBed(t); return b },
		Shortfalls: map[string]string{
			"foreign change between read and write": "PUT has no precondition; the RRset is read again right before it is written",
			"foreign TTL between read and write":    "PUT has no precondition; the RRset is read again right before it is written",
		},
		Lacking: map[string]string{"two zones of one name": "deSEC has one zone of a name"},
		Golden:  "testdata/conformance/desec.json",
	}.Run(t)
}

// The domain's own minimum counts, and the greatest TTL.
func TestDeSECTTLs(t *testing.T) {
	t.Parallel()
	f, b := desecBed(t)
	f.minTTL = 60
	p := must(conformance.Open(b.Kind, b.Settings))
	was := must(rrset.New("example.test", "MX", 0))
	for ttl, want := range map[uint32]uint32{30: 60, 300: 300, 3600: 3600, 86400: 86400, 604800: 86400} {
		after := must(rrset.New("example.test", "MX", ttl, fmt.Sprintf("%d gw.example.net.", ttl%1000)))
		r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: was, After: after})
		if err != nil || r.Got.TTL != want || r.Clamped != (ttl != want) {
			t.Errorf("TTL %d: %+v, %v", ttl, r, err)
		}
		was = r.Got
	}
	f.minTTL = 7200 // raised since: the API's own words are told
	after := must(rrset.New("example.test", "MX", 3600, "7 gw.example.net."))
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: was, After: after}); err == nil || !strings.Contains(err.Error(), "equal to 7200") {
		t.Errorf("a minimum above the usual one: %v", err)
	}
}

// More RRsets than a page has come by cursors, of a name, too.
func TestDeSECPages(t *testing.T) {
	t.Parallel()
	f, b := desecBed(t)
	f.page = 3
	for _, s := range []rrset.Set{
		must(rrset.New("example.test", "A", 3600, "192.0.2.1")), must(rrset.New("example.test", "AAAA", 3600, "2001:db8::1")),
		must(rrset.New("example.test", "TXT", 3600, `"x"`)), must(rrset.New("example.test", "MX", 3600, "0 a.example.net.")),
		must(rrset.New("w.example.test", "CNAME", 3600, "example.test.")),
	} {
		if err := b.Edit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	sets, err := providers.Zone(t.Context(), p, b.Zone)
	if err != nil || len(sets) != 6 || f.mustCursor { // with NS
		t.Errorf("%d RRsets, %v; without a cursor: %v", len(sets), err, f.mustCursor)
	}
	mx, err := providers.Read(t.Context(), p, b.Zone, b.Zone, "MX")
	if err != nil || !mx.Equal(must(rrset.New("example.test", "MX", 3600, "0 a.example.net."))) {
		t.Errorf("%v, %v", mx, err)
	}
}

// A deletion is a PATCH of no records, and nothing but one RRset is ever sent.
func TestDeSECWrites(t *testing.T) {
	t.Parallel()
	f, b := desecBed(t)
	p := must(conformance.Open(b.Kind, b.Settings))
	none, some := must(rrset.New("example.test", "MX", 0)), must(rrset.New("example.test", "MX", 3600, "0 a.example.net."))
	for _, c := range []rrset.Change{{Zone: b.Zone, Before: none, After: some}, {Zone: b.Zone, Before: some, After: none}} {
		if _, err := providers.Replace(t.Context(), p, c); err != nil {
			t.Fatal(err)
		}
	}
	want := `[{"records":["0 a.example.net."],"subname":"","ttl":3600,"type":"MX"}] [{"records":[],"subname":"","type":"MX"}]`
	if got := strings.Join(f.sent, " "); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

func TestDeSECLooksAgain(t *testing.T) {
	t.Parallel()
	f, b := desecBed(t)
	looksAgain(t, b, f.zone)
}

// A wait that is too long is not waited for: nothing was written.
func TestDeSECThrottledForLong(t *testing.T) {
	t.Parallel()
	_, b := desecBed(t)
	before, after := must(rrset.New("example.test", "MX", 3600, "0 a.example.net.")), must(rrset.New("example.test", "MX", 3600, "0 b.example.net."))
	if err := b.Edit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	b.Faults.Inject(conformance.Fault{Kind: conformance.Busy, Nth: 3, Wait: time.Hour}) // the write
	_, err := providers.Replace(t.Context(), must(conformance.Open(b.Kind, b.Settings)), rrset.Change{Zone: b.Zone, Before: before, After: after})
	if !errors.Is(err, providers.ErrTransient) || errors.Is(err, providers.ErrInDoubt) || !strings.Contains(err.Error(), "throttled") {
		t.Errorf("%v", err)
	}
	if got, _ := b.Truth(t.Context(), after.Name, "MX"); !got.Equal(before) {
		t.Errorf("written nevertheless: %v", got)
	}
}

// desecRead reads the MX of the apex from a server that always answers so.
func desecRead(t testing.TB, body string, head http.Header) func() (rrset.Set, error) {
	return answered(t, "desec", "/api/v1", "token: {file: %s}\n", func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range head {
			w.Header()[k] = v
		}
		w.Write([]byte(body))
	})
}

// The shape of the documentation's RRset object
// (https://desec.readthedocs.io/en/latest/dns/rrsets.html), with other values.
func TestDeSECExample(t *testing.T) {
	t.Parallel()
	got, err := desecRead(t, `[{"created": "2020-01-02T03:04:05.510368Z", "domain": "example.test", "subname": "", "name": "example.test.", "type": "MX",
		"records": ["10 mail.example.net.", "20 mail2.example.net."], "ttl": 3600, "touched": "2021-01-02T03:04:05.987436Z"}]`, nil)()
	if err != nil || !got.Equal(must(rrset.New("example.test", "MX", 3600, "10 mail.example.net.", "20 mail2.example.net."))) {
		t.Errorf("%v, %v", got, err)
	}
}

// Answers that nobody should send are errors.
func TestDeSECHostileAnswers(t *testing.T) {
	t.Parallel()
	set := func(name string, ttl any, records any) string {
		return string(must(json.Marshal([]map[string]any{{"subname": "", "name": name, "type": "MX", "ttl": ttl, "records": records}})))
	}
	for name, body := range map[string]string{
		"truncated":            `[{"name": "example.test.", "typ`,
		"an object":            `{"detail": "x"}`,
		"no TTL":               `[{"name": "example.test.", "type": "MX", "records": ["0 a.example.net."]}]`,
		"TTL of text":          set("example.test.", "3600", []string{"0 a.example.net."}),
		"TTL below 0":          set("example.test.", -1, []string{"0 a.example.net."}),
		"TTL above 2^31":       set("example.test.", int64(1)<<40, []string{"0 a.example.net."}),
		"outside the zone":     set("notexample.test.", 3600, []string{"0 a.example.net."}),
		"records of text":      set("example.test.", 3600, "0 a.example.net."),
		"negative preference":  set("example.test.", 3600, []string{"-1 a.example.net."}),
		"control characters":   set("example.test.", 3600, []string{"0 a\x01\n.example.net."}),
		"an answer of nothing": ``,
	} {
		if got, err := desecRead(t, body, nil)(); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, link := range []string{`<https://desec.io/?cursor=x>; rel="next"`, `<::>; rel="next"`, `<https://desec.io/>; rel="next"`} {
		if got, err := desecRead(t, `[]`, http.Header{"Link": {link}})(); err == nil {
			t.Errorf("link %s: %+v", link, got)
		}
	}
}

func TestDeSECSettings(t *testing.T) {
	t.Parallel()
	file := conformance.SecretFile(t, "x")
	for name, settings := range map[string]string{
		"no token": "{}\n", "unset": "token: {env: MXCUTOVER_TEST_NONE}\n", "endpoint": fmt.Sprintf("token: {file: %s}\nendpoint: desec.io\n", file),
		"unknown": fmt.Sprintf("token: {file: %s}\nttl: 5\n", file),
	} {
		if _, err := conformance.Open("desec", settings); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
