//go:build integration

package site

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
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

func TestIntegrationBrokenZoneIsTold(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"no SOA": "$TTL 1\n@ NS ns.example.net.\n", "syntax": zoneText + "x MX ten mail.\n"} {
		b, err := StartBIND(t.Context(), BINDOptions{Addr: loopback(t), Zones: map[string]string{"broken.test.": text}})
		if err == nil {
			t.Errorf("%s: started: %v", name, b.Stop())
		} else if !strings.Contains(err.Error(), "named-checkconf") || !strings.Contains(err.Error(), "broken.test") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := StartBIND(t.Context(), BINDOptions{Addr: loopback(t), Zones: map[string]string{"z.test.": zoneText}, Extra: "no-such-option yes;"})
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("a broken option: %v", err)
	}
}

// A killed server comes back with what it had, an update included.
func TestIntegrationKillAndRestart(t *testing.T) {
	t.Parallel()
	b := started(t, BINDOptions{Addr: loopback(t), Zones: map[string]string{"z.test.": zoneText}})
	c := exec.CommandContext(t.Context(), "nsupdate", "-y", "hmac-sha256:"+b.Key.Name+":"+b.Key.Secret)
	c.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone z.test\nupdate add z.test 5 MX 20 mx.example.net.\nsend\n", b.Addr.Addr(), b.Addr.Port()))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v: %s", err, out)
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Serial(t.Context(), "z.test."); err == nil {
		t.Error("it answers after it was killed")
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Serial(t.Context(), "z.test."); err != nil || s != 2 {
		t.Errorf("serial %d, %v after the restart, want 2", s, err)
	}
}

func TestIntegrationStopLeavesNothing(t *testing.T) {
	t.Parallel()
	addr := loopback(t)
	b, err := StartBIND(t.Context(), BINDOptions{Addr: addr, Zones: map[string]string{"z.test.": zoneText}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if b.cmd.ProcessState == nil {
		t.Error("named was not waited for")
	}
	if _, err := os.Stat(b.Dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder: %v", err)
	}
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatalf("the port is still in use: %v", err)
	}
	l.Close()
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
