package providers_test

import (
	"errors"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// What somebody else creates, or deletes, between our reading and our writing is
// left as it is where the service compares.
func TestForeignCreationBetween(t *testing.T) {
	t.Parallel()
	none, there := must(rrset.New("n.example.test", "MX", 0)), must(rrset.New("n.example.test", "MX", 300, "10 there.example.net."))
	after := must(rrset.New("n.example.test", "MX", 300, "10 gw.example.net."))
	for name, bed := range map[string]func() *conformance.Bed{
		"azure":          func() *conformance.Bed { _, b := azureBed(t); return b },
		"googleclouddns": func() *conformance.Bed { _, b := googleBed(t); return b },
		"route53":        func() *conformance.Bed { _, b := route53Bed(t); return b },
	} {
		for _, c := range []struct{ before, meanwhile rrset.Set }{{none, there}, {there, none}} {
			b := bed()
			if err := b.Edit(t.Context(), c.before); err != nil {
				t.Fatal(err)
			}
			b.Faults.Inject(conformance.Fault{Kind: conformance.Between, Nth: 1, Do: func() {
				if err := b.Edit(t.Context(), c.meanwhile); err != nil {
					t.Error(err)
				}
			}})
			_, err := providers.Replace(t.Context(), must(conformance.Open(b.Kind, b.Settings)), rrset.Change{Zone: b.Zone, Before: c.before, After: after})
			var drift *providers.DriftError
			if !errors.As(err, &drift) || !drift.Found.Equal(c.meanwhile) || !must(b.Truth(t.Context(), after.Name, "MX")).Equal(c.meanwhile) {
				t.Errorf("%s, %v meanwhile: %v", name, c.meanwhile, err)
			}
		}
	}
}
