//go:build integration

package site

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zoneText = "$TTL 300\n@ SOA ns.example.net. h.example.net. 1 3600 600 86400 300\n@ NS ns.example.net.\n@ MX 10 old.example.net.\n"

func loopback(t *testing.T) netip.AddrPort {
	t.Helper()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
}

func started(t *testing.T, o BINDOptions) *BIND {
	t.Helper()
	b, err := StartBIND(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A secondary keeps the old zone until it is told, however far the primary went.
func TestIntegrationSecondaryLags(t *testing.T) {
	t.Parallel()
	zones := map[string]string{"z.test.": zoneText}
	primary := started(t, BINDOptions{Addr: loopback(t), Zones: zones})
	secondary := started(t, BINDOptions{Addr: loopback(t), Zones: zones, Primary: primary.Addr, Key: primary.Key})
	m := new(dns.Msg)
	m.SetUpdate("z.test.")
	mx, err := dns.NewRR("z.test. 60 IN MX 20 new.example.net.")
	if err != nil {
		t.Fatal(err)
	}
	m.Insert([]dns.RR{mx})
	m.SetTsig(dns.Fqdn(primary.Key.Name), dns.HmacSHA256, 300, time.Now().Unix())
	c := &dns.Client{Net: "tcp", TsigSecret: map[string]string{dns.Fqdn(primary.Key.Name): primary.Key.Secret}}
	if r, _, err := c.ExchangeContext(t.Context(), m, primary.Addr.String()); err != nil || r.Rcode != dns.RcodeSuccess {
		t.Fatal(err, r)
	}
	serial := func(b *BIND) uint32 {
		s, err := b.Serial(t.Context(), "z.test.")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if p, s := serial(primary), serial(secondary); p != 2 || s != 1 {
		t.Fatalf("serials %d and %d after an update, want 2 and a secondary that lags with 1", p, s)
	}
	if err := secondary.Refresh(t.Context(), "z.test."); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); serial(secondary) != 2; {
		if time.Now().After(deadline) {
			t.Fatal("the secondary did not follow")
		}
	}
}

// BIND listens on interfaces' addresses only. Root can make another one; others
// are told.
func TestIntegrationAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	block, port, err := FreeBlock(1)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrFrom4([4]byte{block[0], block[1], block[2], 1})
	b, err := StartBIND(t.Context(), BINDOptions{Addr: netip.AddrPortFrom(addr, port), Zones: map[string]string{"z.test.": zoneText}})
	if os.Geteuid() != 0 {
		if err == nil || !strings.Contains(err.Error(), "as root: ip address add") {
			t.Errorf("without root: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Serial(t.Context(), "z.test."); err != nil {
		t.Error(err)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if strings.HasPrefix(a.String(), addr.String()+"/") {
			t.Errorf("%s is still there", a)
		}
	}
}
