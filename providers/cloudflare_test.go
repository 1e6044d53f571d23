package providers_test

import (
	"errors"
	"strings"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformanceCloudflare(t *testing.T) {
	t.Parallel()
	const between = "an edit of a record in place keeps its ID; the RRset is read again right before it is written"
	conformance.Suite{
		Name: "cloudflare", Against: "a fake",
		Bed: func(t testing.TB) *conformance.Bed {
			_, b := cloudflareBed(t, strings.HasSuffix(t.Name(), "two_zones_of_one_name"))
			return b
		},
		Shortfalls: map[string]string{"foreign change between read and write": between, "foreign TTL between read and write": between},
		Lacking:    map[string]string{"TTL clamped by the host": "the service refuses a TTL below 60 or above 86400"},
		Golden:     "testdata/conformance/cloudflare.json",
	}.Run(t)
}

// What somebody else made anew has other IDs: then the batch fails as a whole, and
// their change stands.
func TestCloudflareSeesNewRecords(t *testing.T) {
	t.Parallel()
	f, b := cloudflareBed(t, false)
	zone := f.zones[1]
	before, after, foreign := cfMX(300, "10 old.example.net."), cfMX(300, "10 gw.example.net."), cfMX(300, "10 other.example.net.")
	if err := b.Edit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	b.Faults.Inject(conformance.Fault{Kind: conformance.Between, Nth: 1, Do: func() { zone.Edit(t.Context(), foreign) }})
	p := must(conformance.Open(b.Kind, b.Settings))
	_, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after})
	if now := must(zone.Truth(t.Context(), before.Name, "MX")); err == nil || !strings.Contains(err.Error(), "somebody else") || !now.Equal(foreign) {
		t.Errorf("%v; the zone has %v", err, now)
	}
}

// A record that goes becomes one that comes: at the name servers, which learn of
// single records, there is one at each moment.
func TestCloudflareTurnsRecordsIntoOthers(t *testing.T) {
	t.Parallel()
	f, b := cloudflareBed(t, false)
	before, after := cfMX(300, "10 old.example.net.", "20 old2.example.net.", "30 old3.example.net."), cfMX(300, "10 gw.example.net.", "15 old2.example.net.")
	if err := b.Edit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, r := range f.zones[1].Records() {
		ids[r.ID] = r.Data
	}
	p := must(conformance.Open(b.Kind, b.Settings))
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: after}); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.zones[1].Records() {
		if r.Type != "MX" {
			continue
		}
		if want := map[string]string{"10 gw.example.net.": "10 old.example.net.", "15 old2.example.net.": "20 old2.example.net."}[r.Data]; ids[r.ID] != want {
			t.Errorf("%q was %q before, want %q", r.Data, ids[r.ID], want)
		}
	}
}

// Automatic is served as 300, and a text without quotes is a text.
func TestCloudflareReads(t *testing.T) {
	t.Parallel()
	f, b := cloudflareBed(t, false)
	zone := f.zones[1]
	zone.Edit(t.Context(), rrset.Set{Name: b.Zone, Type: "MX", TTL: 1, Data: []string{"10 old.example.net."}})
	zone.Edit(t.Context(), rrset.Set{Name: b.Zone, Type: "TXT", TTL: 60, Data: []string{`v=spf1 -all; "x"`}})
	p := must(conformance.Open(b.Kind, b.Settings))
	for _, want := range []rrset.Set{
		cfMX(300, "10 old.example.net."), must(rrset.New(b.Zone, "TXT", 60, `"v=spf1 -all; \"x\""`)), must(rrset.New(b.Zone, "NS", 3600, "ns1.example.net.")),
	} {
		if got, err := providers.Read(t.Context(), p, b.Zone, b.Zone, want.Type); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", want.Type, got, err)
		}
	}
	_, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: cfMX(300, "10 old.example.net."), After: cfMX(1, "10 gw.example.net.")})
	if err == nil || !strings.Contains(err.Error(), "automatic") {
		t.Errorf("a TTL of 1: %v", err)
	}
	f.page, f.stuck = 1, true
	if _, err := providers.Zone(t.Context(), p, b.Zone); err == nil || !errors.Is(err, providers.ErrTransient) {
		t.Errorf("pages that repeat: %v", err)
	}
}

func cfMX(ttl uint32, data ...string) rrset.Set {
	return must(rrset.New("example.test", "MX", ttl, data...))
}

// The provider looks again right before it writes, since its write compares
// nothing.
func TestCloudflareLooksAgain(t *testing.T) {
	t.Parallel()
	f, b := cloudflareBed(t, false)
	looksAgain(t, b, f.zones[1])
}

func looksAgain(t *testing.T, b *conformance.Bed, zone *conformance.Zone) {
	t.Helper()
	there := cfMX(300, "10 other.example.net.")
	if err := b.Edit(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	p := providers.Opened(must(conformance.Open(b.Kind, b.Settings))).(providers.Setter)
	err := p.SetRRset(t.Context(), rrset.Change{Zone: b.Zone, Before: cfMX(300, "10 old.example.net."), After: cfMX(300, "10 gw.example.net.")})
	if now := must(zone.Truth(t.Context(), there.Name, "MX")); !errors.Is(err, providers.ErrDrifted) || !now.Equal(there) {
		t.Errorf("%v; the zone has %v", err, now)
	}
}
