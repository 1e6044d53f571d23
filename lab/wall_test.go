package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"mxcutover/firewall"
)

// wallDo speaks to the firewall over its socket and gives the status and body.
func wallDo(t *testing.T, w *World, method, path, body string) (int, string) {
	t.Helper()
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.Facts().Firewall)
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://lab"+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// arm closes the old server to all but the gateways.
func arm(t *testing.T, w *World, action firewall.Action, until time.Time) {
	t.Helper()
	f := w.Facts()
	r := ruling{Rules: firewall.Rules{Ports: []uint16{f.SMTPPort}, Action: action}, Until: until}
	for _, g := range f.Gateways {
		r.Rules.Trust = append(r.Rules.Trust, netip.PrefixFrom(g.Addr, 32))
	}
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := wallDo(t, w, "PUT", "/rules", string(body)); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
}

// banner connects to the old server from a source and reads its first bytes.
func banner(w *World, source netip.Addr) (string, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}
	c, err := d.Dial("tcp4", w.oldAddr().String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	b := make([]byte, 4)
	_, err = io.ReadFull(c, b)
	return string(b), err
}

func TestFirewall(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := start(t, Options{Now: clock.now})
	f := w.Facts()
	open := func(a netip.Addr) bool {
		got, err := banner(w, a)
		return err == nil && got == "220 "
	}
	if !open(f.Vantage) || !open(f.Gateways[0].Addr) {
		t.Fatal("closed from the start")
	}
	arm(t, w, "", clock.now().Add(time.Minute))
	if _, err := banner(w, f.Vantage); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("armed, from outside: %v", err)
	}
	if !open(f.Gateways[0].Addr) || !open(f.Gateways[1].Addr) {
		t.Error("armed, a gateway is kept out")
	}
	if code, got := wallDo(t, w, "GET", "/seen", ""); code != 200 || got != fmt.Sprintf("[{\"addr\":\"%s:%d\",\"count\":1}]\n", f.Vantage, f.SMTPPort) {
		t.Errorf("seen: %d %s", code, got)
	}
	clock.advance(59 * time.Second)
	if open(f.Vantage) {
		t.Error("open before its deadline")
	}
	clock.advance(time.Second)
	if !open(f.Vantage) {
		t.Error("still closed at its deadline")
	}
	if _, got := wallDo(t, w, "GET", "/rules", ""); got != fmt.Sprintf("{\"rules\":{\"ports\":[],\"trust\":[\"%s/32\",\"%s/32\"]},\"until\":\"0001-01-01T00:00:00Z\"}\n", f.Gateways[0].Addr, f.Gateways[1].Addr) {
		t.Errorf("lapsed: %s", got)
	}
	arm(t, w, firewall.Reject, time.Time{})
	clock.advance(1000 * time.Hour)
	if open(f.Vantage) {
		t.Error("confirmed, and open")
	}
	if code, _ := wallDo(t, w, "PUT", "/rules", `{"rules":{"ports":[]}}`); code != 200 || !open(f.Vantage) {
		t.Errorf("lifted: %d, and closed", code)
	}
	stats := w.Old.Stats()
	if stats.Refused != 3 || stats.Sources[f.Vantage].Refused != 3 || stats.Gateway != 3 || stats.Direct != 3 {
		t.Errorf("counted %+v", stats)
	}
}

func TestFirewallDropIsSilent(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	arm(t, w, firewall.Drop, time.Time{})
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: w.Facts().Vantage.AsSlice()}}
	c, err := d.Dial("tcp4", w.oldAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	await(t, "it is counted", func() bool { return w.Old.Stats().Refused == 1 })
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %d octets, %v", n, err)
	}
}

func TestFirewallRefusesNonsense(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	for _, body := range []string{
		``, `[]`, `{"rules":{"ports":[70000]}}`, `{"rules":{"ports":[25],"action":"burn"}}`, `{"rules":{"ports":[25]},"odd":1}`,
		`{"rules":{"ports":[25],"trust":["everybody"]}}`, `{"rules":{"ports":[25],"trust":[""]}}`, `{"rules":{"ports":[25]},"until":"2001-01-01T00:00:00Z"}`,
	} {
		if code, _ := wallDo(t, w, "PUT", "/rules", body); code != 400 {
			t.Errorf("%s: %d", body, code)
		}
	}
	if _, got := wallDo(t, w, "GET", "/rules", ""); got != "{\"rules\":{\"ports\":[],\"trust\":[]},\"until\":\"0001-01-01T00:00:00Z\"}\n" {
		t.Errorf("in force: %s", got)
	}
	if code, _ := wallDo(t, w, "DELETE", "/rules", ""); code != 405 {
		t.Errorf("DELETE: %d", code)
	}
}
