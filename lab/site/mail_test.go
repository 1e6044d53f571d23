//go:build integration

package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mailSite(t *testing.T, o MailOptions) *Mail {
	t.Helper()
	if o.Domains == nil {
		o.Domains = []string{"choir.test"}
	}
	m, err := StartMail(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// submit hands a message over; its error is the server's reply.
func submit(addr fmt.Stringer, from, to, subject, body string) error {
	c, err := smtp.Dial(addr.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n\r\n%s\r\n", from, to, subject, body)
	return w.Close()
}

// code is an error's SMTP reply code, 250 of none.
func code(err error) int {
	var e *textproto.Error
	switch {
	case err == nil:
		return 250
	case errors.As(err, &e):
		return e.Code
	}
	return 0
}

// arrived waits for a message by its subject, and reads it.
func arrived(t *testing.T, m *Mail, subject string) *mail.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		files, err := filepath.Glob(filepath.Join(m.Dovecot.Maildir, "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if msg, err := mail.ReadMessage(bytes.NewReader(text)); err == nil && msg.Header.Get("Subject") == subject {
				return msg
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	t.Fatalf("%q did not arrive%s%s", subject, m.Exim.log(), m.Postfix.log())
	return nil
}

const gtubeText = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// The good site takes, tags, traces, refuses and bounces as it should.
func TestIntegrationMailSite(t *testing.T) {
	t.Parallel()
	m := mailSite(t, MailOptions{Postfix: PostfixOptions{Bounces: []string{"closed@choir.test"}}})
	gw := m.Exim.Addr
	for what, w := range map[string]struct {
		from, to string
		want     int
	}{
		"valid":         {Prober, "info@choir.test", 250},
		"null sender":   {"", "postmaster@choir.test", 250},
		"unknown":       {Prober, "nobody@choir.test", 550},
		"relay":         {Prober, "info@elsewhere.test", 550},
		"bounces later": {Prober, "closed@choir.test", 250},
	} {
		if got := submit(gw, w.from, w.to, what, "text"); code(got) != w.want {
			t.Errorf("%s: %v, want %d", what, got, w.want)
		}
	}
	for subject, w := range map[string]struct{ body, flag string }{"clean": {"good morning", "NO"}, "spam": {gtubeText, "YES"}} {
		if err := submit(gw, Prober, "mxprobe@choir.test", subject, w.body); err != nil {
			t.Fatal(err)
		}
		msg := arrived(t, m, subject)
		if got := msg.Header.Get("X-Spam-Flag"); got != w.flag {
			t.Errorf("%s: X-Spam-Flag: %s", subject, got)
		}
		trace := msg.Header["Received"]
		if len(trace) != 2 || !strings.Contains(trace[0], gw.Addr().String()) || !strings.Contains(trace[0], "by old.site.test") || !strings.Contains(trace[1], "by gw.site.test") {
			t.Errorf("%s: traced as %q", subject, trace)
		}
	}
	if ndr := arrived(t, m, "Undelivered Mail Returned to Sender"); !strings.HasPrefix(ndr.Header.Get("Content-Type"), "multipart/report") {
		t.Errorf("the bounce is %s", ndr.Header.Get("Content-Type"))
	}
}

// Each way to break the site does just that.
func TestIntegrationBrokenMailSites(t *testing.T) {
	t.Parallel()
	for what, w := range map[string]struct {
		o                  MailOptions
		from, to, body     string
		first, then, third int // replies to the same, one after the other; 0 = not asked
	}{
		"unverified":            {MailOptions{Exim: EximOptions{Unverified: true}}, Prober, "nobody@choir.test", "", 250, 250, 0},
		"open relay":            {MailOptions{Exim: EximOptions{OpenRelay: true}}, Prober, "a@elsewhere.test", "", 250, 0, 0},
		"greylist":              {MailOptions{Exim: EximOptions{Greylist: []string{"*"}}}, Prober, "info@choir.test", "", 451, 250, 250},
		"refuses spam":          {MailOptions{Exim: EximOptions{Refuses: true}}, Prober, "info@choir.test", gtubeText, 550, 550, 0},
		"size":                  {MailOptions{Exim: EximOptions{Size: 50000}}, Prober, "info@choir.test", strings.Repeat("0123456789\r\n", 9000), 552, 0, 0},
		"catch-all behind it":   {MailOptions{Postfix: PostfixOptions{CatchAll: true}}, Prober, "nobody@choir.test", "", 250, 0, 0},
		"list of addresses":     {MailOptions{Exim: EximOptions{Recipients: []string{"info@choir.test"}}}, Prober, "postmaster@choir.test", "", 550, 0, 0},
		"SPF at the old server": {MailOptions{Postfix: PostfixOptions{Forged: []string{"strict.test"}}}, "a@strict.test", "info@choir.test", "", 554, 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := mailSite(t, w.o)
			for i, want := range []int{w.first, w.then, w.third} {
				addr := m.Exim.Addr
				if len(w.o.Postfix.Forged) > 0 {
					addr = m.Postfix.Addr
				}
				if got := submit(addr, w.from, w.to, what, w.body); want != 0 && code(got) != want {
					t.Errorf("try %d: %v, want %d", i+1, got, want)
				}
			}
		})
	}
}

// A frozen queue holds, and lets go when it is told.
func TestIntegrationFrozenMangledUntagged(t *testing.T) {
	t.Parallel()
	m := mailSite(t, MailOptions{Exim: EximOptions{Frozen: true, Mangled: true, Untagged: true}})
	if err := submit(m.Exim.Addr, Prober, "mxprobe@choir.test", "late", gtubeText); err != nil {
		t.Fatal(err)
	}
	if n, err := m.Exim.Queued(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d in the queue, %v", n, err)
	}
	if err := m.Exim.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	msg := arrived(t, m, "late")
	if flag := msg.Header.Get("X-Spam-Flag"); flag != "" {
		t.Errorf("tagged: %s", flag)
	}
	if trace := msg.Header["Received"]; len(trace) != 2 || strings.Contains(trace[1], m.Exim.Name) {
		t.Errorf("traced: %q", trace)
	}
}
