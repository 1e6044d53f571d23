package providers_test

import (
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

func TestConformancePowerDNS(t *testing.T) {
	t.Parallel()
	conformance.Suite{
		Name: "powerdns", Against: "a fake",
		Bed:        func(t testing.TB) *conformance.Bed { _, b := powerdnsBed(t); return b },
		Shortfalls: powerdnsShortfalls(), Lacking: powerdnsLacks(),
		Golden: "testdata/conformance/powerdns.json",
	}.Run(t)
}

func powerdnsShortfalls() map[string]string {
	return map[string]string{
		"foreign change between read and write": "REPLACE has no precondition; the RRset is read again right before it is written",
		"foreign TTL between read and write":    "REPLACE has no precondition; the RRset is read again right before it is written",
	}
}

func powerdnsLacks() map[string]string {
	return map[string]string{
		"two zones of one name":   "a server has one zone of a name",
		"TTL clamped by the host": "the server takes all TTLs",
	}
}

// Records that are disabled, which the API sends and the server does not answer
// with, stay where they are.
func TestPowerDNSKeepsDisabledRecords(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		f, b := powerdnsBed(t)
		f.whole = whole
		set := func(data ...string) rrset.Set { return must(rrset.New("d.example.test", "MX", 300, data...)) }
		if err := b.Edit(t.Context(), set("10 old.example.net.")); err != nil {
			t.Fatal(err)
		}
		f.disabled["d.example.test. MX"] = []string{"99 spare.example.net."}
		p := must(conformance.Open(b.Kind, b.Settings))
		states := []rrset.Set{set("10 old.example.net."), set("10 gw.example.net."), set(), set("10 old.example.net.")}
		for i, before := range states[:3] {
			r, err := providers.Replace(t.Context(), p, rrset.Change{Zone: b.Zone, Before: before, After: states[i+1]})
			if err != nil || !r.Got.Equal(states[i+1]) || len(f.disabled["d.example.test. MX"]) != 1 {
				t.Errorf("to %v: %+v, %v; disabled: %v", states[i+1], r, err, f.disabled)
			}
		}
	}
}

// The provider looks again right before it writes.
func TestPowerDNSLooksAgain(t *testing.T) {
	t.Parallel()
	f, b := powerdnsBed(t)
	looksAgain(t, b, f.zone)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
