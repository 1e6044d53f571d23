//go:build integration

package providers_test

import (
	"net/netip"
	"testing"

	"mxcutover/lab/site"
	"mxcutover/providers"
	"mxcutover/providers/conformance"
)

func TestIntegrationConformanceBIND(t *testing.T) {
	t.Parallel()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	zone, zones := providers.ZonesForTests()
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	b, err := site.StartBIND(t.Context(), site.BINDOptions{Dir: t.TempDir(), Addr: addr, Zones: zones, Extra: "check-names ignore;"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	other := providers.NewDNSClient(addr.String(), b.Key.Name, b.Key.Secret)
	const faultless = "a real server does not fail when it is asked to; see rfc2136 on the tests' own server"
	conformance.Suite{
		Name: "rfc2136 (BIND)", Against: "BIND 9.18",
		Bed: func(t testing.TB) *conformance.Bed {
			return &conformance.Bed{
				Kind: "rfc2136", Zone: zone, Truth: other.Truth, Edit: other.EditOne, EditAll: other.Edit, Secrets: []string{b.Key.Secret},
				Settings: other.Settings(conformance.SecretFile(t, b.Key.Secret)),
			}
		},
		Lacking: map[string]string{
			"two zones of one name": "a key leads to one view of the server", "TTL clamped by the host": "BIND lowers TTLs, it raises none; see TestIntegrationClampedTTL",
			"rate limiting": "there is no such answer in DNS",

			"foreign change between read and write": "see TestIntegrationForeignTTL", "foreign TTL between read and write": "see TestIntegrationForeignTTL",
			"write that errors half way": faultless, "write that is refused half way": faultless,
			"write applied though it timed out": faultless, "write applied though its answer was cut off": faultless,
			"expired token": "see TestIntegrationKeys", "cancellation while the write is under way": faultless,
		},
		Golden: "testdata/conformance/rfc2136-bind.json",
	}.Run(t)
}
