package providers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceScaleway(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "scaleway", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed { _, b := scalewayBed(t); return b },
		Shortfalls: map[string]string{
			"foreign change between read and write": "a set has no precondition; the RRset is read again right before it is written",
			"foreign TTL between read and write":    "a set has no precondition; the RRset is read again right before it is written",
		},
		Lacking: map[string]string{
			"two zones of one name":   "a zone is chosen by its name, which is unique",
			"TTL clamped by the host": "the service refuses TTLs that it does not take",
		},
		Golden: "testdata/conformance/scaleway.json",
	}.Run(t)
}

// What a record has beside its data is kept, or the record is not touched.
func TestScalewayKeepsWhatIsNotData(t *testing.T) {
	t.Parallel()
	set := func(ttl uint32, data ...string) rrset.Set {
		return must(rrset.New("d.example.test", "MX", ttl, data...))
	}
	const old, gw = "10 old.example.net.", "10 gw.example.net."
	for name, c := range map[string]struct {
		comment, dynamic string
		after            rrset.Set
		says             string
	}{
		"comment kept":  {comment: "ask the postmaster", after: set(60, old, gw)},
		"comment lost":  {comment: "ask the postmaster", after: set(60, gw), says: "has a comment"},
		"empty comment": {comment: "", after: set(60, gw)},
		"geo":           {dynamic: "geo_ip_config", after: set(60, old, gw), says: "dynamic"},
		"health check":  {dynamic: "http_service_config", after: set(60, gw), says: "dynamic"},
		"weight":        {dynamic: "weighted_config", after: set(0), says: "dynamic"},
		"view":          {dynamic: "view_config", after: set(60, gw), says: "dynamic"},
	} {
		f, b := scalewayBed(t)
		before := set(300, old)
		if err := b.Edit(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		recs := f.zone.Records()
		f.comment[recs[len(recs)-1].ID] = c.comment
		if c.dynamic != "" {
			f.dynamic[recs[len(recs)-1].ID] = c.dynamic
		}
		p := must(conformance.Open(b.Kind, b.Settings))
		r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: c.after})
		want := before
		if c.says == "" {
			want = c.after
		}
		if got := must(b.Truth(t.Context(), before.Name, "MX")); !got.Equal(want) {
			t.Errorf("%s: the zone has %v, want %v", name, got, want)
		}
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || errors.Is(err, providers.ErrInDoubt)) {
			t.Errorf("%s: %+v, %v; want %q", name, r, err, c.says)
		}
		kept := 0
		for _, r := range f.zone.Records() {
			if r.Of("d.example.test", "MX") && f.comment[r.ID] == c.comment {
				kept++
			}
		}
		if c.comment != "" && kept != 1 {
			t.Errorf("%s: %d records have the comment", name, kept)
		}
	}
}

// Records of one RRset with several TTLs are told, not made one.
func TestScalewaySeveralTTLs(t *testing.T) {
	t.Parallel()
	f, b := scalewayBed(t)
	err := f.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
		return append(recs,
			conformance.Rec{ID: "a", Name: "d.example.test.", Type: "MX", TTL: 300, Data: "10 a.example.net."},
			conformance.Rec{ID: "b", Name: "d.example.test.", Type: "MX", TTL: 600, Data: "10 b.example.net."}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	if _, err := providers.Read(t.Context(), p, b.Zone, "d.example.test", "MX"); !errors.Is(err, providers.ErrMixed) {
		t.Errorf("Read: %v", err)
	}
	if sets, err := providers.Zone(t.Context(), p, b.Zone); err != nil || len(sets) != 2 {
		t.Errorf("Zone: %v, %v", sets, err)
	}
}

// A zone that changes between two pages of it is read again, and one that never
// stops changing is told.
func TestScalewayChangesBetweenPages(t *testing.T) {
	t.Parallel()
	for _, times := range []int32{1, 9} {
		f, b := scalewayBed(t)
		f.most = 2
		for i := range 5 {
			if err := b.Edit(t.Context(), must(rrset.New(fmt.Sprintf("h%d.example.test", i), "MX", 300, "10 old.example.net."))); err != nil {
				t.Fatal(err)
			}
		}
		var n atomic.Int32
		f.paged = func(page int) {
			if page == 1 && n.Add(1) <= times { // h0 goes to the first page, and h1 is read twice or never
				s := must(rrset.New("a.example.test", "A", 300, "192.0.2.1"))
				if n.Load()%2 == 0 {
					s = must(rrset.New("a.example.test", "A", 0))
				}
				if err := b.Edit(context.Background(), s); err != nil {
					t.Error(err)
				}
			}
		}
		p := must(conformance.Open(b.Kind, b.Settings))
		sets, err := providers.Zone(t.Context(), p, b.Zone)
		switch {
		case times == 1 && (err != nil || len(sets) != 7):
			t.Errorf("changed once: %v, %v", sets, err)
		case times == 9 && !errors.Is(err, providers.ErrTransient):
			t.Errorf("changed always: %v, %v", sets, err)
		}
	}
}

// Answers of the shape that the vendor publishes, and such as nobody should send.
func TestScalewayAnswers(t *testing.T) {
	t.Parallel()
	// In the order and with the fields of
	// https://www.scaleway.com/en/developers/api/domains-and-dns/#path-records-list-records-within-a-dns-zone.
	const documented = `{"total_count":4,"records":[
		{"data":"ns0.example.org.","name":"","priority":0,"ttl":1800,"type":"NS","comment":null,"id":"6c1c0a2e-0000-4000-8000-000000000001"},
		{"data":"10 mx1.example.org.","name":"","priority":10,"ttl":3600,"type":"MX","comment":"first","id":"6c1c0a2e-0000-4000-8000-000000000002"},
		{"data":"0 mx0.bücher.example.","name":"","priority":0,"ttl":3600,"type":"MX","comment":null,"id":"6c1c0a2e-0000-4000-8000-000000000003"},
		{"data":"\"v=DMARC1; p=none\"","name":"_dmarc.bücher","priority":0,"ttl":3600,"type":"TXT","comment":null,"id":"6c1c0a2e-0000-4000-8000-000000000004"}]}`
	one := func(fields string) string {
		return `{"total_count":1,"records":[{"id":"a","name":"","type":"MX","ttl":300,` + fields + `}]}`
	}
	for name, c := range map[string]struct{ body, want string }{
		"documented":    {documented, "0 mx0.xn--bcher-kva.example.|10 mx1.example.org."},
		"bare host":     {one(`"data":"mx.example.org.","priority":7`), "7 mx.example.org."},
		"cut off":       {documented[:200], ""},
		"no count":      {strings.Replace(documented, `"total_count":4,`, "", 1), ""},
		"too few":       {strings.Replace(documented, `:4,`, `:5,`, 1), ""},
		"text as TTL":   {strings.Replace(documented, `"ttl":1800`, `"ttl":"1800"`, 1), ""},
		"negative TTL":  {strings.Replace(documented, `"ttl":3600`, `"ttl":-1`, 1), ""},
		"huge TTL":      {strings.Replace(documented, `"ttl":3600`, `"ttl":99999999999`, 1), ""},
		"no ID":         {strings.Replace(documented, `"id":"6c1c0a2e-0000-4000-8000-000000000002"`, `"id":""`, 1), ""},
		"one ID twice":  {strings.ReplaceAll(documented, "000000000003", "000000000002"), ""},
		"preference":    {one(`"data":"65536 mx.example.org."`), ""},
		"huge priority": {one(`"data":"mx.example.org.","priority":70000`), ""},
		"line break":    {one(`"data":"10 mx.example\n.org."`), ""},
		"control":       {one(`"data":"10 mx\u0007.example.org."`), ""},
		"empty":         {one(`"data":""`), ""},
		"no records":    {`{"total_count":0,"records":[]}`, ""},
		"empty object":  {`{}`, ""},
		"not JSON":      {"<html>", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("page") != "1" {
					fmt.Fprint(w, `{"total_count":5,"records":[]}`)
					return
				}
				fmt.Fprint(w, c.body)
			}))
			defer s.Close()
			p := must(conformance.Open("scaleway", fmt.Sprintf("endpoint: %s\nsecret_key: {file: %s}\nper_second: 1000\n", s.URL, conformance.SecretFile(t, "k"))))
			got, err := providers.Read(t.Context(), p, "example.test.", "example.test.", "MX")
			if (err == nil) != (c.want != "") || err == nil && strings.Join(got.Data, "|") != c.want {
				t.Errorf("%v, %v; want %q", got, err, c.want)
			}
		})
	}
}
