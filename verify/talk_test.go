package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
)

// scripted is a server that says its lines, one for each that it hears.
func scripted(t *testing.T, lines ...string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		heard := bufio.NewReader(far)
		for _, l := range lines {
			if _, err := io.WriteString(far, l); err != nil {
				return
			}
			if _, err := heard.ReadString('\n'); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		near.Close()
		<-done
	})
	return near
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says string
		code int
		err  string // "" = it is understood
	}{
		"one line":           {"220 gw.test ESMTP\r\n", 0, ""},
		"many":               {"220-gw.test\r\n220-be patient\r\n220 go\r\n", 0, ""},
		"bare newline":       {"220 gw.test\n", 0, ""},
		"code alone":         {"220\r\n", 0, ""},
		"refused":            {"554 5.7.1 not you\r\n", 554, ""},
		"two codes":          {"220-a\r\n250 b\r\n", 0, "no reply of SMTP"},
		"another protocol":   {"HTTP/1.1 400 Bad Request\r\n", 0, "no reply of SMTP"},
		"silence":            {"", 0, "i/o timeout"},
		"cut":                {"22", 0, "i/o timeout"},
		"endless line":       {"220 " + strings.Repeat("x", 2*maxLine), 0, "no end"},
		"endless reply":      {strings.Repeat("220-x\r\n", 2*maxLines), 0, "no end"},
		"control characters": {"220 \x1b[2J\r\n", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			talk, err := newTalk(scripted(t, c.says), 200*time.Millisecond)
			code, _ := reply(err)
			switch {
			case c.err == "" && c.code == 0 && err != nil, code != c.code:
				t.Errorf("%v, %d", err, code)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%v does not say %q", err, c.err)
			case talk == nil:
				t.Error("nothing to be closed")
			}
		})
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	talk, err := newTalk(scripted(t, "220 x\r\n", "502 what?\r\n", "250 old.test\r\n", "250 ok\r\n", "451-4.7.1 later\r\n451 4.7.1 please\r\n"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := talk.hello("probe.test"); err != nil || talk.name != "old.test" {
		t.Errorf("HELO where EHLO is not known: %q, %v", talk.name, err)
	}
	if err := talk.Mail("a@b", &smtp.MailOptions{Size: 7, UTF8: true}); err != nil {
		t.Error(err)
	}
	err = talk.Rcpt("c@d", nil)
	var e *smtp.SMTPError
	if !errors.As(err, &e) || e.Code != 451 || e.EnhancedCode != (smtp.EnhancedCode{4, 7, 1}) || e.Message != "later\nplease" {
		t.Errorf("%#v", err)
	}
	if err := talk.Rcpt("c@d>\r\nDATA", nil); err == nil || !strings.Contains(err.Error(), "line break") {
		t.Errorf("a command within an address: %v", err)
	}
}

// Words that come with the reply to STARTTLS were not said under TLS (RFC 3207
// section 6).
func TestInjectionBeforeTLS(t *testing.T) {
	t.Parallel()
	talk, err := newTalk(scripted(t, "220 x\r\n", "220 go\r\n250 injected\r\n"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := talk.startTLS(t.Context(), (&Checker{}).tlsFor("x.test.")); err == nil || !strings.Contains(err.Error(), "before TLS begins") {
		t.Errorf("%v", err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"220 x\r\n", "250-a\r\n250 b\r\n", "554 5.7.1 no\r\n", "451-4.7.1 a\n451 4.7.1 b\n", "2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		talk := &talk{in: bufio.NewReaderSize(bytes.NewReader(b), maxLine)}
		text, err := talk.reply()
		code, words := reply(err)
		if err != nil && code != 0 && (code < 400 || code > 599 || words == "") {
			t.Errorf("%q is refused with %d %q", b, code, words)
		}
		if len(text) > len(b) {
			t.Errorf("%q became %q", b, text)
		}
	})
}

func TestBrakes(t *testing.T) {
	t.Parallel()
	no := func(code int, class, subject int) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, 1}, Message: "no"}
	}
	a, now := netip.MustParseAddr("192.0.2.1"), time.Unix(1000, 0)
	for name, c := range map[string]struct {
		verb string
		err  error
		n    int
		want bool
	}{
		"421 anywhere":          {"RCPT", no(421, 4, 7), 1, true},
		"a greeting of 554":     {"greeting", no(554, 5, 3), 1, true},
		"policy at MAIL":        {"MAIL", no(550, 5, 7), 1, true},
		"a bad sender":          {"MAIL", no(550, 5, 1), 1, false},
		"a relay's right no":    {"RCPT", no(554, 5, 7), 1, false},
		"an unknown recipient":  {"RCPT", no(550, 5, 1), 100, false},
		"no to all":             {"RCPT", no(554, 5, 7), maxRefused, true},
		"greylisted":            {"RCPT", no(451, 4, 7), 100, false},
		"a connection that was": {"RCPT", io.EOF, 100, false},
	} {
		var b brakes
		for range c.n {
			b.heed("v", a, now, time.Minute, c.verb, c.err)
		}
		err := b.pressed("v", a, now)
		if (err != nil) != c.want || err != nil && !unreachable(err) {
			t.Errorf("%s: %v", name, err)
		}
		if b.pressed("v", a, now.Add(time.Minute)) != nil || b.pressed("w", a, now) != nil {
			t.Errorf("%s: too long, or for others too", name)
		}
	}
	var b brakes
	for range 3 {
		b.heed("v", a, now, time.Minute, "greeting", no(421, 4, 7))
	}
	if b.pressed("v", a, now.Add(3*time.Minute)) == nil || b.pressed("v", a, now.Add(4*time.Minute)) != nil {
		t.Error("the third time is no longer than the first")
	}
	b.heed("v", a, now, time.Minute, "RCPT", nil)
	b.heed("v", a, now, time.Minute, "RCPT", no(421, 4, 7))
	if b.pressed("v", a, now.Add(time.Minute)) != nil {
		t.Error("what went well is not forgiven")
	}
}

func TestRandomAddressesAreCountedByTheHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := netip.MustParseAddr("192.0.2.1")
		c := &Checker{Settings: Settings{RandomPerHour: 3, Arrival: time.Minute, Now: time.Now}}
		begun := time.Now()
		for range 3 {
			if err := c.draw(t.Context(), a, "choir.test."); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Minute)
		}
		if err := c.draw(t.Context(), a, "choir.test."); err == nil || !strings.Contains(err.Error(), begun.Add(time.Hour).UTC().Format(time.RFC3339)) {
			t.Errorf("the fourth: %v", err)
		}
		if err := c.draw(t.Context(), netip.MustParseAddr("192.0.2.2"), "choir.test."); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(29*time.Minute + 30*time.Second)
		if err := c.draw(t.Context(), a, "choir.test."); err != nil || time.Since(begun) != time.Hour {
			t.Errorf("it did not wait for its turn: %v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Arrival = time.Hour
		if err := c.draw(ctx, a, "choir.test."); err == nil || time.Since(begun) != time.Hour {
			t.Errorf("it waited for what cannot come in time: %v", err)
		}
	})
}

// Greylisting wants the same sender and recipient again; 421 wants peace.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Checker{Settings: Settings{Arrival: time.Minute, GreylistRetry: 10 * time.Second}}
		for code, want := range map[int]int{451: 7, 421: 1, 550: 1} {
			tries := 0
			err := c.patiently(t.Context(), func() error { tries++; return &smtp.SMTPError{Code: code} })
			if got, _ := reply(err); got != code || tries < want-1 || tries > want {
				t.Errorf("%d: asked %d times, then %v", code, tries, err)
			}
		}
		// As the configuration has both where it does not say: they are the same.
		c.Arrival = c.GreylistRetry
		tries := 0
		err := c.patiently(t.Context(), func() error {
			if tries++; tries == 1 {
				time.Sleep(time.Second)
				return &smtp.SMTPError{Code: 451}
			}
			return nil
		})
		if err != nil {
			t.Errorf("greylisting is not waited for when the wait is as long as a probe may take: %v", err)
		}
		if err := c.patiently(t.Context(), func() error { return syscall.ECONNREFUSED }); err == nil {
			t.Error("an error became none")
		}
	})
}
