//go:build integration

package providers

import (
	"net/netip"
	"testing"

	"mxcutover/lab/site"
)

// served is a server that runs, and how it is stopped.
type served interface{ Stop() error }

// freeAddr is an address that nobody uses.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
}

func stopAfter(t *testing.T, s served) {
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// startKnot runs a primary with the zones.
func startKnot(t *testing.T, zones map[string]string) bed {
	t.Helper()
	k, err := site.StartKnot(t.Context(), site.KnotOptions{Dir: t.TempDir(), Addr: freeAddr(t), Zones: zones})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, k)
	return bed{k.Addr.String(), k.Key.Name, k.Key.Secret}
}

// startPowerDNS runs a primary, set by the options.
func startPowerDNS(t *testing.T, o site.PowerDNSOptions) (bed, *site.PowerDNS) {
	t.Helper()
	o.Dir, o.Addr = t.TempDir(), freeAddr(t)
	p, err := site.StartPowerDNS(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, p)
	return bed{p.Addr.String(), p.Key.Name, p.Key.Secret}, p
}

// primaries are the servers that RFC 2136 is proven on.
var primaries = map[string]func(t *testing.T, zones map[string]string) bed{
	"BIND": func(t *testing.T, zones map[string]string) bed { return startBIND(t, zones, anyNames) },
	"Knot": startKnot,
	"PowerDNS": func(t *testing.T, zones map[string]string) bed {
		b, _ := startPowerDNS(t, site.PowerDNSOptions{Zones: zones})
		return b
	},
	"PowerDNS with caches": func(t *testing.T, zones map[string]string) bed {
		b, _ := startPowerDNS(t, site.PowerDNSOptions{Zones: zones, Caches: true})
		return b
	},
}

// everywhere runs a test on each of the servers.
func everywhere(t *testing.T, test func(t *testing.T, b bed)) {
	for name := range primaries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startPrimary(t, name))
		})
	}
}

// startPrimary runs one of the primaries with the test's zones.
func startPrimary(t *testing.T, name string) bed {
	t.Helper()
	return primaries[name](t, testZones())
}

func TestIntegrationServersCases(t *testing.T) {
	t.Parallel()
	everywhere(t, runCases)
}

func TestIntegrationServersRefusals(t *testing.T) {
	t.Parallel()
	everywhere(t, runRefusals)
}

func TestIntegrationServersInventory(t *testing.T) {
	t.Parallel()
	everywhere(t, runInventory)
}

func TestIntegrationServersCrowd(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b bed) { runCrowd(t, b, 10) })
}
