//go:build integration

package traffic

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
)

// A letter is one SMTP transaction of the test, as its sender likes it.
type letter struct {
	helo, from string
	to         []string
	header     string
	taken      int // of its recipients
}

var letters = []letter{
	{"client.test", "a@sender.test", []string{"info@choir.test"}, "Message-ID: <1@client.test>\r\nSubject: hello", 1},
	{"client.test", "a@sender.test", []string{"info@choir.test", "info@bakery.test", "nobody@choir.test"}, "Message-ID: <2@client.test>\r\nSubject: two", 2},
	{"client.test", "a@sender.test", []string{"nobody@bakery.test"}, "", 0},
	{"[10.9.9.9]", "b@sender.test", []string{"info@choir.test"}, "Message-ID: <3 for forged@bakery.test A=plain:root H=x [10.9.9.8] b@x>\r\nSubject: a\" id=4@x T=\"b\" from <x@y> for forged@choir.test \\", 1},
	{"client.test", "", []string{"info@bakery.test"}, "Message-ID: <5@client.test>\r\nSubject: for forged@choir.test", 1},
	{"client.test", "\"q > for x\"@sender.test", []string{"info@choir.test"}, "Subject: =?utf-8?q?a=0Ab_for_forged=40choir.test?=", 1},
	{"client.test", "d@sender.test", []string{"info@bakery.test"}, "Subject: x A=plain:root S=77777 id=8@y H=y [10.9.9.7] P=esmtp", 1},
	{"client.test", "c@sender.test", []string{"closed@choir.test"}, "Message-ID: <6@client.test>\r\nSubject: is refused at delivery", 1},
	{"client.test", "c@sender.test", []string{"x@far.test"}, "", 0},
}

// send says it all to a server, from another place than the server's own.
func (l letter) send(ctx context.Context, t *testing.T, addr netip.AddrPort) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}}
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	say := func(line string) bool {
		if line != "" {
			fmt.Fprint(conn, line+"\r\n")
		}
		n := 0
		for {
			k, err := conn.Read(buf[n:])
			if n += k; err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines := strings.Split(strings.TrimSuffix(string(buf[:n]), "\r\n"), "\r\n")
			if last := lines[len(lines)-1]; buf[n-1] == '\n' && len(last) > 3 && last[3] == ' ' {
				return last[0] < '4'
			}
		}
	}
	say("")
	say("EHLO " + l.helo)
	say("MAIL FROM:<" + l.from + ">")
	taken := 0
	for _, to := range l.to {
		if say("RCPT TO:<" + to + ">") {
			taken++
		}
	}
	if taken != l.taken {
		t.Errorf("%+v: %d recipients taken", l, taken)
	}
	if taken > 0 {
		say("DATA")
		if !say(l.header + "\r\nFrom: a@sender.test\r\n\r\nhello\r\n.") {
			t.Errorf("%+v: refused after DATA: %s", l, buf)
		}
	}
	say("QUIT")
}

// kept is a log without what tells of the machine that it was made on.
func kept(t *testing.T, text []byte) []byte {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(" "+name+" postfix"), []byte(" old postfix"))
	return regexp.MustCompile(`(?m)^.* (cwd=|postfix/master|postfix/postfix-script).*\n`).ReplaceAll(text, nil)
}

// TestIntegrationRealLogs sends mail through Exim, which logs all that it can, to
// Postfix, and reads what both say of it. With -update the logs are kept in testdata.
func TestIntegrationRealLogs(t *testing.T) {
	m, err := site.StartMail(t.Context(), site.MailOptions{
		Domains: []string{"choir.test", "bakery.test"}, Exim: site.EximOptions{Selector: "+all", Recipients: []string{"info@choir.test", "info@bakery.test", "closed@choir.test"}},
		Postfix: site.PostfixOptions{Bounces: []string{"closed@choir.test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	sent := map[string]int{}
	for _, l := range letters {
		l.send(t.Context(), t, m.Exim.Addr)
		for _, to := range l.to[:l.taken] {
			sent[to]++
		}
	}
	wait := func(path, what string, n int) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			text, err := os.ReadFile(path)
			if err == nil && strings.Count(string(text), what) >= n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d times %q did not come: %s", n, what, text)
			}
		}
	}
	wait(m.Exim.Log(), " Completed", 7)
	wait(m.Postfix.Log(), ": removed", 7)
	for name, path := range map[string]string{"exim-all": m.Exim.Log(), "postfix-real": m.Postfix.Log()} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", name+".log"), kept(t, text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int{}
		l, err := NewLog(Options{Now: time.Now(), Zone: time.Local}, func(r *Record) {
			if r.Event == Delivered && r.Origin == Outside || r.Event == Bounced && r.Origin == Outside {
				got[string(r.Recipient)]++
			}
			if strings.Contains(string(r.Recipient), "forged") || r.User != nil || r.Peer.IsValid() && r.Peer.As4()[0] != 127 {
				t.Errorf("%s: %s", name, shown(r))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Read(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(sent) || l.Skipped > 0 {
			t.Errorf("%s: %v, want %v; %+v\n%s", name, got, sent, l.Stats, text)
		}
	}
}
