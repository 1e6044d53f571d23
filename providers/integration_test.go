//go:build integration

package providers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/lab/site"
	"mxcutover/rrset"
)

// startBIND runs a primary with the zones.
func startBIND(t *testing.T, zones map[string]string, extra string) bed {
	t.Helper()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	b, err := site.StartBIND(t.Context(), site.BINDOptions{Dir: t.TempDir(), Addr: addr, Zones: zones, Extra: extra})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return bed{addr.String(), b.Key.Name, b.Key.Secret}
}

// Names that are no host names stand in the zone on purpose.
const anyNames = "check-names ignore;"

func TestIntegrationCases(t *testing.T) {
	t.Parallel()
	runCases(t, startBIND(t, testZones(), anyNames))
}

func TestIntegrationRefusals(t *testing.T) {
	t.Parallel()
	runRefusals(t, startBIND(t, testZones(), anyNames))
}

func TestIntegrationInventory(t *testing.T) {
	t.Parallel()
	runInventory(t, startBIND(t, testZones(), anyNames))
}

func TestIntegrationCrowd(t *testing.T) {
	t.Parallel()
	for _, providers := range []int{1, 10} {
		t.Run(fmt.Sprint(providers), func(t *testing.T) {
			t.Parallel()
			runCrowd(t, startBIND(t, testZones(), anyNames), providers)
		})
	}
}

func TestIntegrationManyZones(t *testing.T) {
	t.Parallel()
	zones := map[string]string{}
	for z := range 20 {
		text := "$TTL 300\n@ SOA ns.example.net. h.example.net. 1 3600 600 86400 300\n@ NS ns.example.net.\n"
		for h := range 10 {
			text += fmt.Sprintf("h%d MX 10 old.example.net.\n", h)
		}
		zones[fmt.Sprintf("z%d.test.", z)] = text
	}
	p := startBIND(t, zones, "").open(t)
	var group sync.WaitGroup
	start := time.Now()
	for zone := range zones {
		for h := range 10 {
			name := fmt.Sprintf("h%d.%s", h, zone)
			group.Go(func() {
				c := rrset.Change{Zone: zone, Before: must(rrset.New(name, "MX", 300, oldMX)), After: must(rrset.New(name, "MX", 60, gwMX))}
				if r, err := Replace(t.Context(), p, c); err != nil || !r.Written || !r.Got.Equal(c.After) {
					t.Errorf("%s: %+v, %v", name, r, err)
				}
			})
		}
	}
	group.Wait()
	t.Logf("200 changes in %v", time.Since(start))
}

// What BIND clamps is a success, with the TTL that it has.
func TestIntegrationClampedTTL(t *testing.T) {
	t.Parallel()
	zone := map[string]string{siteZone: "$TTL 60\n@ SOA ns.example.net. h.example.net. 1 3600 600 86400 60\n@ NS ns.example.net.\nttl 60 MX 10 old.example.net.\n"}
	b := startBIND(t, zone, "max-zone-ttl 120;")
	r, err := Replace(t.Context(), b.open(t), rrset.Change{Zone: siteZone, Before: mx("ttl", 60, oldMX), After: mx("ttl", 86400, gwMX)})
	if err != nil || !r.Clamped || !r.Got.Equal(mx("ttl", 120, gwMX)) {
		t.Errorf("Replace: %+v, %v", r, err)
	}
	if got := b.truth(t, "ttl."+siteZone, "MX"); !got.Equal(mx("ttl", 120, gwMX)) {
		t.Errorf("the zone has %v", got)
	}
}

func TestIntegrationTargetWithoutAddress(t *testing.T) {
	t.Parallel()
	b := startBIND(t, testZones(), anyNames)
	_, err := Replace(t.Context(), b.open(t), rrset.Change{Zone: siteZone, Before: mx("ttl", 86400, oldMX), After: mx("ttl", 300, "10 nowhere."+siteZone)})
	if err == nil || errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), "REFUSED") || !strings.Contains(err.Error(), "has no address") {
		t.Errorf("Replace: %v", err)
	}
	if got := b.truth(t, "ttl."+siteZone, "MX"); !got.Equal(mx("ttl", 86400, oldMX)) {
		t.Errorf("the zone has %v", got)
	}
}

// An alias that comes up after we have read is found by reading back: BIND says
// NOERROR and ignores an MX there. Here the raw update shows that it does.
func TestIntegrationAliasIsIgnoredByUpdates(t *testing.T) {
	t.Parallel()
	b := startBIND(t, testZones(), anyNames)
	b.edit(t, mx("alias", 300, gwMX))
	if got := b.truth(t, "alias."+siteZone, "MX"); !got.Absent() {
		t.Errorf("the zone has %v", got)
	}
	c := rrset.Change{Zone: siteZone, Before: mx("alias", 0), After: mx("alias", 300, gwMX)}
	if _, err := Replace(t.Context(), b.open(t), c); !errors.Is(err, ErrCNAME) {
		t.Errorf("Replace: %v", err)
	}
}

// interposed reads as rfc2136 does, and lets somebody else write before each update.
type interposed struct {
	in      *rfc2136
	foreign func()
}

func (b interposed) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return b.in.GetRecords(ctx, zone)
}

func (b interposed) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	return b.in.Read(ctx, zone, name, typ)
}

func (b interposed) Swap(ctx context.Context, c rrset.Change) error {
	w := must(newWanted(c.Zone, c.After.Name, c.After.Type))
	s, err := b.in.session(ctx, w.zone)
	if err != nil {
		return err
	}
	defer s.end()
	soa, err := s.soa(ctx)
	if err != nil {
		return err
	}
	b.foreign()
	return s.update(ctx, updateOf(w, soa, must(recordsOf(c.Before)), must(recordsOf(c.After))))
}

// A TTL that somebody else changed between our reading and our update stops the
// update: without the SOA among the prerequisites BIND would let it through.
func TestIntegrationForeignTTL(t *testing.T) {
	t.Parallel()
	b := startBIND(t, testZones(), anyNames)
	foreign := mx("ttl", 4711, oldMX)
	p := interposed{opened(b.open(t)).(*rfc2136), func() { b.edit(t, foreign) }}
	_, err := Replace(t.Context(), p, rrset.Change{Zone: siteZone, Before: mx("ttl", 86400, oldMX), After: mx("ttl", 300, gwMX)})
	if !errors.Is(err, errPrerequisite) {
		t.Errorf("Replace: %v", err)
	}
	if got := b.truth(t, foreign.Name, "MX"); !got.Equal(foreign) {
		t.Errorf("the zone has %v; the foreign TTL was overwritten", got)
	}
}

func TestIntegrationKeys(t *testing.T) {
	t.Parallel()
	b := startBIND(t, testZones(), anyNames)
	for name, c := range map[string]struct {
		bed  bed
		late time.Duration
		says string
	}{
		"name":   {bed{b.server, "nobody", b.secret}, 0, "BADKEY"},
		"secret": {bed{b.server, b.keyName, testSecret}, 0, "BADSIG"},
		"clock":  {b, -time.Hour, "seconds ahead of ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := c.bed.open(t)
			opened(p).(*rfc2136).now = func() time.Time { return time.Now().Add(c.late) }
			_, err := Replace(t.Context(), p, someChange)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.bed.secret) {
				t.Errorf("Replace: %v", err)
			}
			if _, err := Zone(t.Context(), p, siteZone); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Zone: %v", err)
			}
		})
	}
}

// That a zone may be written is proven without a trace: the serial stays.
func TestIntegrationInspect(t *testing.T) {
	t.Parallel()
	b := startBIND(t, testZones(), anyNames)
	serial := func() string { return must(b.tryTruth(siteZone, "SOA")).Data[0] }
	was := serial()
	if proven, err := Inspect(t.Context(), b.open(t), siteZone); !proven || err != nil {
		t.Errorf("%v, %v", proven, err)
	}
	if now := serial(); now != was {
		t.Errorf("the SOA is %s, was %s", now, was)
	}
	s := startStatic(t) // takes no updates
	if _, err := Inspect(t.Context(), (bed{s.Addr.String(), s.Key.Name, s.Key.Secret}).open(t), siteZone); err == nil || !strings.Contains(err.Error(), "allow the key to update") {
		t.Errorf("without the right: %v", err)
	}
}
