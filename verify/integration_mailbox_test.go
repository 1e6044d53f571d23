//go:build integration

package verify

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
)

// A dovecot is a real IMAP server and what it shows.
type dovecot struct {
	*site.Dovecot
	settings Settings
}

func startDovecot(t *testing.T, o site.DovecotOptions) dovecot {
	t.Helper()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	// nobody reads and writes there, and must pass what leads to it
	dir, err := os.MkdirTemp("", "mailbox-") //nolint:usetesting // nobody may pass t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	o.Addr, o.User, o.Password, o.Maildir = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), "mxprobe", "pw", filepath.Join(dir, "box")
	s, err := site.StartDovecot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(o.Maildir, name), 0o755); err != nil { //nolint:gosec // see above
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(o.Maildir, name), o.ID(), o.ID()); err != nil {
			t.Fatal(err)
		}
	}
	return dovecot{s, Settings{IMAP: IMAP{Address: s.Addr.String(), User: s.User, Password: func() (string, error) { return s.Password, nil }, TLS: "none"}}}
}

// put delivers a message of some age, as a mail server does.
func (d dovecot) put(t *testing.T, name, text string, age time.Duration) {
	t.Helper()
	tmp := write(t, filepath.Join(d.Maildir, "tmp", name), text, age)
	if err := os.Chown(tmp, d.ID(), d.ID()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(d.Maildir, "new", name)); err != nil {
		t.Fatal(err)
	}
}

func (d dovecot) left(t *testing.T) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(d.Maildir, "[nc]*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		name, _, _ := strings.Cut(filepath.Base(f), ":")
		names = append(names, name)
	}
	return names
}

// seen wants a probe that is delivered now to be seen soon.
func (d dovecot) seen(t *testing.T, a *arrivals, what string, deliver func(probe)) {
	t.Helper()
	p := testProbe()
	w := a.expect(p)
	defer w.leave()
	begun := time.Now()
	deliver(p)
	if o := got(t, w); o.where != "IMAP" || field(o.header, tokenHeader) != p.token {
		t.Errorf("%s: %+v", what, o)
	}
	t.Logf("%s: seen after %s", what, time.Since(begun))
}

// TestIntegrationMailbox keeps one watch over a real mailbox that is big, restarted,
// numbered anew, and shared with leftovers.
func TestIntegrationMailbox(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]site.DovecotOptions{"IDLE": {}, "polled": {Poor: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDovecot(t, o)
			a := testArrivals(d.settings)
			for i := range 5000 {
				d.put(t, fmt.Sprintf("%d.M1.big", i), "From: a@b\r\nSubject: one of many\r\n\r\nThat is "+newToken()+"\r\n", time.Duration(i)*time.Minute)
			}
			left, others := testProbe(), testProbe()
			others.from = "other@probe.example"
			d.put(t, "1.M1.leftover", left.message(), 72*time.Hour)
			d.put(t, "2.M1.others", others.message(), 72*time.Hour)
			d.put(t, "3.M1.young", left.message(), time.Hour)
			always := a.expect(testProbe()) // keeps the watch
			defer always.leave()
			n := 0
			deliver := func(p probe) {
				n++
				d.put(t, fmt.Sprintf("9%d.M1.probe", n), p.message(), 0)
			}
			d.seen(t, a, "in a big mailbox", deliver)
			d.seen(t, a, "once more", deliver)
			d.seen(t, a, "after a restart", func(p probe) {
				if err := d.Kill(); err != nil {
					t.Fatal(err)
				}
				deliver(p)
				if err := d.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			d.seen(t, a, "numbered anew", func(p probe) {
				if err := d.Renumber(); err != nil {
					t.Fatal(err)
				}
				deliver(p)
			})
			var still string
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
				still = strings.Join(d.left(t), " ")
				if !strings.Contains(still, ".probe") && !strings.Contains(still, ".leftover") {
					break
				}
			}
			if strings.Contains(still, ".probe") || strings.Contains(still, ".leftover") || !strings.Contains(still, ".others") || !strings.Contains(still, ".young") || strings.Count(still, ".big") != 5000 {
				t.Errorf("left: %d of 5000, %q", strings.Count(still, ".big"), strings.Join(slices.DeleteFunc(d.left(t), func(n string) bool { return strings.HasSuffix(n, ".big") }), " "))
			}
		})
	}
}

// The server's certificate is proven, and its name: with STARTTLS, and with TLS from the
// first byte.
func TestIntegrationMailboxTLS(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]struct {
		names   []string
		age     time.Duration
		foreign bool // of an authority that is not trusted
		ok      bool
	}{
		"good":                   {[]string{"127.0.0.1"}, time.Hour, false, true},
		"of another":             {[]string{"mail.example"}, time.Hour, false, false},
		"expired":                {[]string{"127.0.0.1"}, -time.Hour, false, false},
		"of a strange authority": {[]string{"127.0.0.1"}, time.Hour, true, false},
	} {
		for _, tls := range []string{"starttls", "implicit"} {
			t.Run(tls+", "+name, func(t *testing.T) {
				t.Parallel()
				cert, err := site.NewCertificate(w.age, w.names...)
				if err != nil {
					t.Fatal(err)
				}
				port, err := site.FreePort()
				if err != nil {
					t.Fatal(err)
				}
				other, err := site.NewCertificate(time.Hour, w.names...)
				if err != nil {
					t.Fatal(err)
				}
				d := startDovecot(t, site.DovecotOptions{Certificate: cert, TLSAddr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)})
				ca := filepath.Join(t.TempDir(), "ca.pem")
				trusted := cert.CA
				if w.foreign {
					trusted = other.CA
				}
				if err := os.WriteFile(ca, trusted, 0o600); err != nil {
					t.Fatal(err)
				}
				if tls == "implicit" {
					d.settings.IMAP.Address = d.TLSAddr.String()
				}
				d.settings.IMAP.TLS, d.settings.IMAP.CAFile = tls, ca
				a, p := testArrivals(d.settings), testProbe()
				wt := a.expect(p)
				defer wt.leave()
				d.put(t, "1.M1.probe", p.message(), 0)
				if _, err := wt.result(t.Context(), 5*time.Second); (err == nil) != w.ok || err != nil && !strings.Contains(err.Error(), "certificate") {
					t.Error(err)
				}
			})
		}
	}
}
