//go:build integration

package traffic

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
)

// TestIntegrationFilterBeforeTheQueue has Postfix hand all mail to a filter before it
// takes it over (smtpd_proxy_filter), which here is another smtpd of it. The mail is
// from outside, though a loopback address hands it over. With -update the log is kept.
func TestIntegrationFilterBeforeTheQueue(t *testing.T) {
	front, back := freeAddr(t), freeAddr(t)
	p, err := site.StartPostfix(t.Context(), site.PostfixOptions{
		Addr: front, Name: "old.test", Domains: []string{"choir.test"}, CatchAll: true, Main: "smtpd_authorized_xforward_hosts = 127.0.0.1\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, args := range [][]string{
		{"postconf", "-c", p.Dir, "-M", fmt.Sprintf("%s/inet=%[1]s inet n - n - - smtpd", back)},
		{"postconf", "-c", p.Dir, "-P", fmt.Sprintf("%s/inet/smtpd_proxy_filter=%s", front, back)},
		{"postfix", "-c", p.Dir, "reload"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	until(t, "the filter listens", func() bool {
		conn, err := net.Dial("tcp", back.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for _, l := range []letter{
		{"client.test", "a@sender.test", []string{"info@choir.test"}, "Message-ID: <1@client.test>", 1},
		{"client.test", `"x>, size=999999, y"@sender.test`, []string{"b@choir.test"}, "Message-ID: <2@client.test>", 1},
		{"client.test", `"q; from=<a@b> to=<forged@bank.test> proto=ESMTP helo=<"@sender.test`, []string{"z@elsewhere.test"}, "", 0},
	} {
		l.send(t.Context(), t, front)
	}
	path := filepath.Join(p.Dir, "maillog")
	var text []byte
	until(t, "two messages are delivered, and one is refused", func() bool {
		text, err = os.ReadFile(path)
		return err == nil && bytes.Count(text, []byte(": removed")) >= 2 && bytes.Contains(text, []byte("to=<z@elsewhere.test>"))
	})
	if *update {
		if err := os.WriteFile("testdata/postfix-filter.log", kept(t, text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	delivered, refused := 0, 0
	readEach(t, text, func(r *Record) {
		switch {
		case strings.Contains(string(r.Recipient), "@bank.test"), r.Size > 99999, r.Origin != Outside, r.Peer != netip.MustParseAddr("127.9.9.9"):
			t.Error(shown(r))
		case r.Event == Delivered && strings.HasSuffix(string(r.Recipient), "@choir.test"):
			delivered++
		case r.Event == Rejected && string(r.Recipient) == "z@elsewhere.test":
			refused++
		}
	})
	if delivered != 2 || refused != 1 {
		t.Errorf("%d delivered, %d refused\n%s", delivered, refused, text)
	}
}

func readEach(t *testing.T, text []byte, emit func(*Record)) {
	t.Helper()
	l, err := NewLog(Options{Now: time.Now(), Zone: time.Local}, emit)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Read(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// freeAddr is an address on which nobody listens.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}
