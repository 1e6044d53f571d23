//go:build integration

package providers

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/lab/site"
	"mxcutover/rrset"
)

const bindFile = `; the zone of the example
$TTL 1h		; one hour
@	IN SOA	ns hostmaster (
		2020010100	; serial
		1h 15m 1w 5m )	; refresh retry expire minimum
	IN NS	ns
@	IN MX	10 old.example.net.	; the old server
	IN TXT	"v=spf1 mx -all"
ns	A	127.0.0.1

; hosts
w 5m IN A 127.0.0.1
     IN MX 10 old.example.net.
$ORIGIN sub.example.test.
deep	MX ( 10
	old.example.net. ) ; split`

// startStatic is a server of master files that are changed by hand.
func startStatic(t *testing.T) *site.BIND {
	t.Helper()
	ports := [2]uint16{must(site.FreePort()), must(site.FreePort())}
	local := netip.MustParseAddr("127.0.0.1")
	b, err := site.StartBIND(t.Context(), site.BINDOptions{
		Dir: t.TempDir(), Addr: netip.AddrPortFrom(local, ports[0]), Control: netip.AddrPortFrom(local, ports[1]),
		Zones: map[string]string{siteZone: bindFile}, Static: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Stop() })
	return b
}

func openStatic(t *testing.T, b *site.BIND, check bool) Provider {
	t.Helper()
	p, err := Open("zonefile", func(into any) error {
		s := into.(*zonefileSettings)
		s.Files = map[string]string{siteZone: b.MasterFile(siteZone)}
		s.Reload = b.RNDC("reload", "{zone}")
		if check {
			s.Check = command{"named-checkzone", "-m", "fail", "{zone}", "{file}"}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// servedBy is what the server answers.
func servedBy(t *testing.T, b *site.BIND, name string) rrset.Set {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeMX)
	r, err := dns.ExchangeContext(t.Context(), m, b.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return must(setOf(name, dns.TypeMX, r.Answer))
}

// BIND serves the file that we change, and nothing else of it changes.
func TestIntegrationZonefileBIND(t *testing.T) {
	t.Parallel()
	b := startStatic(t)
	p := openStatic(t, b, true)
	was := slices.Collect(strings.Lines(string(must(os.ReadFile(b.MasterFile(siteZone))))))
	sets := must(Zone(t.Context(), p, siteZone))
	for _, name := range []string{"@", "w", "deep.sub"} {
		before := must(Read(t.Context(), p, siteZone, set(name, "MX", 0).Name, "MX"))
		if served := servedBy(t, b, before.Name); !served.Equal(before) {
			t.Errorf("%s: served %v, read %v", name, served, before)
		}
		after := mx(name, 60, "10 gw.example.net.", "20 gw2.example.net.")
		for _, c := range []rrset.Change{
			{Zone: siteZone, Before: before, After: before.WithTTL(60)}, {Zone: siteZone, Before: before.WithTTL(60), After: after},
		} {
			old := must(b.Serial(t.Context(), siteZone))
			r, err := Replace(t.Context(), p, c)
			if err != nil || !r.Written {
				t.Fatalf("%s: %+v, %v", name, r, err)
			}
			// rndc reload returns before the zone is loaded; the engine waits likewise.
			for new := old; new == old; new = must(b.Serial(t.Context(), siteZone)) {
				if t.Context().Err() != nil {
					t.Fatal("the server does not load the file")
				}
			}
			if served := servedBy(t, b, after.Name); !served.Equal(c.After) {
				t.Errorf("%s: served %v, want %v", name, served, c.After)
			}
		}
		if _, err := Replace(t.Context(), p, rrset.Change{Zone: siteZone, Before: after, After: before}); err != nil {
			t.Fatal(err)
		}
	}
	back := must(Zone(t.Context(), p, siteZone))
	soa := func(s rrset.Set) bool { return s.Type == "SOA" }
	if !slices.EqualFunc(slices.DeleteFunc(sets, soa), slices.DeleteFunc(back, soa), rrset.Set.Equal) {
		t.Errorf("taken back, the zone is %v, was %v", back, sets)
	}
	is := slices.Collect(strings.Lines(string(must(os.ReadFile(b.MasterFile(siteZone))))))
	other := 0
	for i := range was {
		if i >= len(is) || is[i] != was[i] {
			other++
			t.Logf("was %q, is %q", was[i], is[min(i, len(is)-1)])
		}
	}
	if other > 4 || len(is) != len(was) {
		t.Errorf("%d of %d lines are others", other, len(was))
	}
}

// While BIND is down the reload is owed; when it is up again it is run. What BIND
// would not load is refused before it is in place.
func TestIntegrationZonefileFaults(t *testing.T) {
	t.Parallel()
	b := startStatic(t)
	c := rrset.Change{Zone: siteZone, Before: mx("@", 3600, oldMX), After: mx("@", 60, "10 192.0.2.1.")}
	was := must(os.ReadFile(b.MasterFile(siteZone)))
	if _, err := Replace(t.Context(), openStatic(t, b, true), c); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("an address as MX host: %v", err)
	}
	if is := must(os.ReadFile(b.MasterFile(siteZone))); !bytes.Equal(is, was) {
		t.Errorf("it was written all the same:\n%s", is)
	}
	c.After = mx("@", 60, gwMX)
	p := openStatic(t, b, false)
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := Replace(t.Context(), p, c); !errors.Is(err, ErrHalf) || !errors.Is(err, ErrTransient) {
		t.Errorf("while it is down: %v", err)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := Replace(t.Context(), p, c); err != nil || r.Written || !servedBy(t, b, siteZone).Equal(c.After) {
		t.Errorf("%+v, %v; served %v", r, err, servedBy(t, b, siteZone))
	}
}
