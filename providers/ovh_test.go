package providers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceOVH(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "ovh", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := ovhBed(t); return b },
		Shortfalls: map[string]string{
			"name with an underscore": "OVHcloud refuses underscores in the names of hosts and of MX records",
		},
		Lacking: map[string]string{"two zones of one name": "OVHcloud has one zone of a name"},
		Golden:  "testdata/conformance/ovh.json",
	}.Run(t)
}

func ovhMX(ttl uint32, data ...string) rrset.Set {
	return must(rrset.New("d.example.test", "MX", ttl, data...))
}

// ovhChange is a change of a fake of its own, and the provider.
func ovhChange(t *testing.T) (*ovhFake, *conformance.Bed, providers.Provider, rrset.Change) {
	t.Helper()
	f, b := ovhBed(t)
	c := rrset.Change{Zone: b.Zone, Before: ovhMX(3600, "10 old.example.net."), After: ovhMX(300, "10 gw.example.net.")}
	if err := b.Edit(t.Context(), c.Before); err != nil {
		t.Fatal(err)
	}
	return f, b, must(conformance.Open(b.Kind, b.Settings)), c
}

func (f *ovhFake) is(t *testing.T, what string, want rrset.Set) {
	t.Helper()
	if got, err := f.served.Truth(t.Context(), want.Name, want.Type); err != nil || !got.Equal(want) {
		t.Errorf("%s: the servers have %v, %v; %v was expected", what, got, err, want)
	}
}

// A Replace whose refresh fails did not succeed, and the same again publishes,
// though After is there already.
func TestOVHRefreshFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unable func(w http.ResponseWriter)
		is     error
	}{
		"broken": {func(w http.ResponseWriter) { ovhAnswers().Broken(w, nil) }, providers.ErrTransient},
		"no right": {func(w http.ResponseWriter) {
			ovhError(w, http.StatusForbidden, "NOT_GRANTED_CALL", "This call has not been granted")
		}, providers.ErrCredential},
	} {
		f, _, p, change := ovhChange(t)
		f.unable = c.unable
		_, err := providers.Replace(t.Context(), p, change)
		if !errors.Is(err, providers.ErrHalf) || !errors.Is(err, c.is) || errors.Is(err, providers.ErrInDoubt) {
			t.Errorf("%s: %v", name, err)
		}
		f.is(t, name, change.Before)
		if _, err := providers.Replace(t.Context(), p, change); !errors.Is(err, providers.ErrHalf) {
			t.Errorf("%s, again: %v", name, err)
		}
		f.mu.Lock()
		f.unable = nil
		f.mu.Unlock()
		r, err := providers.Replace(t.Context(), p, change)
		if err != nil || r.Written || !r.Got.Equal(change.After) {
			t.Errorf("%s, mended: %+v, %v", name, r, err)
		}
		f.is(t, name+", mended", change.After)
	}
}

// Whoever wrote After, or took it back, may have died before the refresh.
func TestOVHDiedBeforeRefresh(t *testing.T) {
	t.Parallel()
	f, _, p, c := ovhChange(t)
	for _, c := range []rrset.Change{c, {Zone: c.Zone, Before: c.After, After: c.Before}} {
		if err := f.zone.Edit(t.Context(), c.After); err != nil { // written, and not refreshed
			t.Fatal(err)
		}
		f.is(t, "died", c.Before)
		if r, err := providers.Replace(t.Context(), p, c); err != nil || r.Written {
			t.Errorf("%+v, %v", r, err)
		}
		f.is(t, "again", c.After)
	}
}

// A write without an answer is looked at, and published all the same; so is one
// that the caller gave up, and one that yields to somebody else.
func TestOVHPublishesWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, kind := range []conformance.FaultKind{conformance.Lost, conformance.Silent} {
		f, b, p, c := ovhChange(t)
		b.Faults.Inject(conformance.Fault{Kind: kind, Nth: 2})
		if r, err := providers.Replace(t.Context(), p, c); err != nil || !r.Written {
			t.Errorf("%+v, %v", r, err)
		}
		f.is(t, "without an answer", c.After)
	}
	f, b, p, c := ovhChange(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.Faults.Inject(conformance.Fault{Kind: conformance.Between, Nth: 2, Do: cancel})
	if _, err := providers.Replace(ctx, p, c); errors.Is(err, providers.ErrDrifted) {
		t.Errorf("given up: %v", err)
	}
	kept := must(f.zone.Truth(t.Context(), c.After.Name, "MX"))
	f.is(t, "given up", kept)

	f, b, p, c = ovhChange(t)
	other := ovhMX(3600, "10 other.example.net.")
	b.Faults.Inject(conformance.Fault{Kind: conformance.Between, Nth: 2, Do: func() {
		if err := b.Edit(t.Context(), rrset.Set{Name: other.Name, Type: "MX", TTL: 3600, Data: []string{"10 other.example.net.", "10 gw.example.net."}}); err != nil {
			t.Error(err)
		}
	}})
	_, err := providers.Replace(t.Context(), p, c)
	if err == nil {
		t.Error("somebody else's record was not seen")
	}
	f.is(t, "somebody else wrote", must(f.zone.Truth(t.Context(), c.After.Name, "MX")))
}

// A record that somebody edits under its ID is neither deleted nor changed.
func TestOVHRecordEditedInPlace(t *testing.T) {
	t.Parallel()
	f, b, p, c := ovhChange(t)
	edited := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
			for i, r := range recs {
				if r.Data == "10 old.example.net." {
					recs[i].Data = "10 theirs.example.net."
				}
			}
			return recs, nil
		}); err != nil {
			t.Error(err)
		}
		f.publish()
	}
	e := providers.Opened(p).(providers.Editor)
	records := must(e.Records(t.Context(), c.Zone, c.Before.Name, "MX"))
	edited()
	for name, write := range map[string]func(context.Context, string, providers.Record) error{"delete": e.DeleteRecord, "update": e.UpdateRecord} {
		if err := write(t.Context(), c.Zone, records[0]); !errors.Is(err, providers.ErrTransient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.is(t, "edited in place", ovhMX(3600, "10 theirs.example.net."))
	if _, err := providers.Replace(t.Context(), p, c); !errors.Is(err, providers.ErrDrifted) {
		t.Errorf("%v", err)
	}
	_ = b
}

// A clock that is set while we run is asked for anew; a signature is made for
// each request.
func TestOVHClock(t *testing.T) {
	t.Parallel()
	f, b, p, c := ovhChange(t)
	for _, skew := range []time.Duration{3 * time.Hour, -26 * time.Hour, 0} {
		f.mu.Lock()
		f.skew = skew
		f.mu.Unlock()
		if got, err := providers.Read(t.Context(), p, c.Zone, c.Before.Name, "MX"); err != nil || !got.Equal(c.Before) {
			t.Errorf("%v ahead: %v, %v", skew, got, err)
		}
	}
	wrong := must(conformance.Open(b.Kind, strings.Replace(b.Settings, "application_secret: {file: ", "application_secret: {file: "+conformance.SecretFile(t, "wrong-0123456789")+"} #", 1)))
	if _, err := providers.Read(t.Context(), wrong, c.Zone, c.Before.Name, "MX"); !errors.Is(err, providers.ErrCredential) {
		t.Errorf("a wrong secret: %v", err)
	}
}

// A service account's token is fetched anew when it is no longer accepted.
func TestOVHServiceAccount(t *testing.T) {
	t.Parallel()
	f, _, _, c := ovhChange(t)
	settings := func(secret string) string {
		return fmt.Sprintf("endpoint: %s/1.0\ntoken_url: %s/auth/oauth2/token\nclient_id: %s\nclient_secret: {file: %s}\ntimeout: 2s\nper_second: 10000\n",
			f.url, f.url, ovhTestClient, conformance.SecretFile(t, secret))
	}
	p := must(conformance.Open("ovh", settings(ovhTestSecret)))
	if _, err := providers.Replace(t.Context(), p, c); err != nil || f.tokens != 1 {
		t.Errorf("%v, %d tokens", err, f.tokens)
	}
	f.is(t, "service account", c.After)
	f.mu.Lock()
	f.tokens++ // ours is no longer accepted
	f.mu.Unlock()
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: c.Zone, Before: c.After, After: c.Before}); err != nil || f.tokens != 3 {
		t.Errorf("%v, %d tokens", err, f.tokens)
	}
	_, err := providers.Read(t.Context(), must(conformance.Open("ovh", settings("wrong-0123456789"))), c.Zone, c.Zone, "MX")
	if !errors.Is(err, providers.ErrCredential) || strings.Contains(err.Error(), "wrong-0123456789") {
		t.Errorf("a wrong secret: %v", err)
	}
}

// Records without a TTL have the zone's; an empty filter may filter nothing; SPF
// is TXT; a host without its final dot is below the zone.
func TestOVHReadings(t *testing.T) {
	t.Parallel()
	f, _, p, c := ovhChange(t)
	f.noTTL, f.loose = true, true
	if err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		return append(recs,
			conformance.Rec{ID: "x1", Name: "example.test.", Type: "MX", Data: "0 mail"},
			conformance.Rec{ID: "x2", Name: "example.test.", Type: "SPF", Data: `v=spf1 mx -all`},
			conformance.Rec{ID: "x3", Name: "a_b.example.test.", Type: "TXT", Data: `"this"`},
			conformance.Rec{ID: "x4", Name: "axb.example.test.", Type: "TXT", Data: `"not this"`},
		), nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []rrset.Set{
		must(rrset.New("example.test", "MX", 3600, "0 mail.example.test.")),
		must(rrset.New("example.test", "TXT", 3600, `"v=spf1 mx -all"`)),
		must(rrset.New("a_b.example.test", "TXT", 3600, `"this"`)),
	} {
		if got, err := providers.Read(t.Context(), p, c.Zone, want.Name, want.Type); err != nil || !got.Equal(want) {
			t.Errorf("%v, %v; %v was expected", got, err, want)
		}
	}
	sets, err := providers.Zone(t.Context(), p, c.Zone)
	if err != nil || len(sets) < 5 {
		t.Errorf("%v, %v", sets, err)
	}
}

// ovhServed is an account at a server that answers each path by its end.
func ovhServed(t testing.TB, answers map[string]string) providers.Provider {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for end, body := range answers {
			if strings.HasSuffix(r.URL.Path, end) {
				fmt.Fprint(w, body)
				return
			}
		}
		ovhError(w, http.StatusNotFound, "Client::NotFound", "The requested object does not exist")
	}))
	t.Cleanup(s.Close)
	file := conformance.SecretFile(t, ovhTestSecret)
	return must(conformance.Open("ovh", fmt.Sprintf("endpoint: %s/1.0\napplication_key: x\napplication_secret: {file: %s}\nconsumer_key: {file: %s}\ntimeout: 2s\nper_second: 10000\n", s.URL, file, file)))
}

// The shape of the documentation's objects, domain.zone.Record
// (https://api.ovh.com/console/#/domain/zone), and of an export as its guide shows
// it, with other values.
func TestOVHExample(t *testing.T) {
	t.Parallel()
	p := ovhServed(t, map[string]string{
		"/auth/time": "1457018875", "/record": "[5012345678]",
		"/record/5012345678": `{"id":5012345678,"zone":"example.test","subDomain":"","fieldType":"MX","target":"1 mx1.example.net.","ttl":0}`,
		"/export": string(must(json.Marshal(`$TTL 3600
@	IN SOA dns200.example.net. tech.example.net. (2024051800 86400 3600 3600000 60)
                  IN NS     ns200.example.net.
                  IN MX     1 mx1.example.net.
                  IN MX     5 mx2.example.net.
                  IN TXT    "v=spf1 include:mx.example.net -all"
www            60 IN A      192.0.2.113
`))),
	})
	got, err := providers.Read(t.Context(), p, "example.test.", "example.test.", "MX")
	if want := must(rrset.New("example.test", "MX", 3600, "1 mx1.example.net.")); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v", got, err)
	}
	sets, err := providers.Zone(t.Context(), p, "example.test.")
	if want := must(rrset.New("example.test", "MX", 3600, "1 mx1.example.net.", "5 mx2.example.net.")); err != nil || len(sets) != 5 || !sets[0].Equal(want) {
		t.Errorf("%v, %v", sets, err)
	}
}

// Answers that nobody should send are errors.
func TestOVHHostileAnswers(t *testing.T) {
	t.Parallel()
	record := func(fields string) map[string]string {
		return map[string]string{"/auth/time": "1457018875", "/record": "[7]", "/record/7": `{"zone":"example.test","fieldType":"MX",` + fields + `}`, "/export": `"$TTL x\n"`}
	}
	for name, answers := range map[string]map[string]string{
		"time of text":       {"/auth/time": `"now"`, "/record": "[]"},
		"time of ages":       {"/auth/time": "9223372036854775807", "/record": "[]"},
		"truncated":          {"/auth/time": "1", "/record": "[7"},
		"an object":          {"/auth/time": "1", "/record": `{"message":"x"}`},
		"IDs of text":        {"/auth/time": "1", "/record": `["7"]`},
		"too many IDs":       {"/auth/time": "1", "/record": "[" + strings.Repeat("7,", 1000) + "7]"},
		"another record":     record(`"id":8,"subDomain":"","target":"0 a.example.net.","ttl":300`),
		"TTL below 0":        record(`"id":7,"subDomain":"","target":"0 a.example.net.","ttl":-1`),
		"TTL above 2^31":     record(`"id":7,"subDomain":"","target":"0 a.example.net.","ttl":4294967596`),
		"no default TTL":     record(`"id":7,"subDomain":"","target":"0 a.example.net.","ttl":0`),
		"name":               record(`"id":7,"subDomain":"a..b","target":"0 a.example.net.","ttl":300`),
		"preference":         record(`"id":7,"subDomain":"","target":"70000 a.example.net.","ttl":300`),
		"no preference":      record(`"id":7,"subDomain":"","target":"a.example.net.","ttl":300`),
		"control characters": record(`"id":7,"subDomain":"","target":"0 a\u0000.example.net.\n","ttl":300`),
	} {
		if got, err := providers.Read(t.Context(), ovhServed(t, answers), "example.test.", "example.test.", "MX"); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, export := range []string{
		"$TTL 3600\n$INCLUDE /etc/passwd\n", "$TTL 3600\n$GENERATE 1-2000000000 h$ A 192.0.2.1\n", "$TTL 3600\n@ IN MX 70000 a.\n",
		"$TTL 3600\n$ORIGIN example.net.\n@ IN MX 0 a.\n", "$TTL 3600\n@ IN SOA ( a", "@ IN MX 0 a.\n",
	} {
		p := ovhServed(t, map[string]string{"/auth/time": "1", "/export": string(must(json.Marshal(export)))})
		if got, err := providers.Zone(t.Context(), p, "example.test."); err == nil {
			t.Errorf("%q: %+v", export, got)
		}
	}
}

func TestOVHSettings(t *testing.T) {
	t.Parallel()
	file := "{file: " + conformance.SecretFile(t, "x") + "}"
	keys := "application_key: a\napplication_secret: " + file + "\nconsumer_key: " + file + "\n"
	for name, settings := range map[string]string{
		"": keys, "none": "{}\n", "both": keys + "client_id: a\nclient_secret: " + file + "\n", "region": keys + "region: ovh-mars\n",
		"no key": strings.Replace(keys, "application_key: a\n", "", 1), "no consumer": strings.Split(keys, "consumer")[0],
		"no client": "client_secret: " + file + "\n", "no secret": "client_id: a\n", "unset": "client_id: a\nclient_secret: {env: MXCUTOVER_TEST_NONE}\n",
		"token_url": "client_id: a\nclient_secret: " + file + "\ntoken_url: http://192.0.2.1/\n", "endpoint": keys + "endpoint: http://192.0.2.1/\n",
	} {
		if _, err := conformance.Open("ovh", settings); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
