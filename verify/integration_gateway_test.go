//go:build integration

package verify_test

import (
	"context"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/verify"
)

// A gatewaySite is a real site, and what each of some checks says of it.
type gatewaySite struct {
	site   func(*testing.T) site.MailOptions
	adjust spoil
	rows   []realRow
}

// shows makes a site whose Exim or Postfix is other than a good one.
func shows(o site.MailOptions, adjust spoil, rows ...realRow) gatewaySite {
	return gatewaySite{site: func(*testing.T) site.MailOptions { return o }, adjust: adjust, rows: rows}
}

// certified is a gateway that shows a certificate, and a checker that trusts its
// authority.
func certified(valid time.Duration, name string, rows ...realRow) gatewaySite {
	var cert site.Certificate
	return gatewaySite{
		site: func(t *testing.T) (o site.MailOptions) {
			t.Helper()
			var err error
			if cert, err = site.NewCertificate(valid, name); err != nil {
				t.Fatal(err)
			}
			o.Exim.Certificate = cert
			return o
		},
		adjust: func(_ *testing.T, _ *bench, _ *site.Mail, s *verify.Settings) {
			s.Roots = x509.NewCertPool()
			s.Roots.AppendCertsFromPEM(cert.CA)
		},
		rows: rows,
	}
}

// gatewaySites are those of the checks of the gateway and of the old server: Exim
// is the one, Postfix the other.
func gatewaySites() map[string]gatewaySite {
	exim := func(o site.EximOptions) site.MailOptions { return site.MailOptions{Exim: o} }
	acl := func(when, does string) site.MailOptions {
		return exim(site.EximOptions{Lists: "acl_smtp_" + when + " = " + does + "\n"})
	}
	pass := func(check, says string) realRow { return realRow{check: check, want: plan.Pass, says: says} }
	fails := func(check, says string) realRow { return realRow{check: check, want: plan.Fail, says: says} }
	warns := func(check, says string) realRow { return realRow{check: check, want: plan.Warn, says: says} }
	list := []string{"info@choir.test", "ghost@choir.test"}
	long := func(by time.Duration) func(string) time.Time {
		at := time.Now().Add(-by)
		return func(string) time.Time { return at }
	}
	called := func(through func(*site.Mail) string) spoil {
		return func(t *testing.T, _ *bench, m *site.Mail, s *verify.Settings) {
			t.Helper()
			s.Mail = verify.Mail{Old: []string{m.Postfix.Log()}, Domains: []string{"choir.test."}, Published: long(time.Minute)}
			if err := send(through(m), "info@choir.test"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the old server has it", func() bool {
				text, err := os.ReadFile(m.Postfix.Log())
				return err == nil && strings.Contains(string(text), "status=sent")
			})
		}
	}
	return map[string]gatewaySite{
		"good": certified(90*24*time.Hour, "gw.choir.test",
			pass("gw.connect", ""), pass("gw.starttls", ""), pass("gw.cert", ""), pass("gw.ptr", ""), pass("gw.helo", ""), pass("gw.relay", ""),
			pass("gw.limits", ""), pass("gw.recipient", ""), pass("gw.postmaster", ""), pass("gw.null", ""), pass("gw.unknown", ""), pass("mx.loop", ""),
			pass("old.source", "the vantage's own"), fails("old.closed", "still answers")),
		"no TLS":                     shows(site.MailOptions{}, nil, warns("gw.starttls", "does not offer")),
		"a certificate of another":   certified(90*24*time.Hour, "mx.elsewhere.test", warns("gw.cert", "none of gw.choir.test")),
		"a certificate that is over": certified(-24*time.Hour, "gw.choir.test", warns("gw.cert", "it ended at")),
		"it lets nobody in":          shows(acl("connect", "deny !hosts = 127.0.0.1 \\n message = Not you \\n accept"), nil, fails("gw.connect", "550")),
		"it refuses bounces":         shows(acl("mail", "deny senders = : \\n message = no bounces \\n accept"), nil, fails("gw.null", "MAIL FROM:<>")),
		"no name": shows(site.MailOptions{}, func(t *testing.T, b *bench, m *site.Mail, _ *verify.Settings) {
			t.Helper()
			b.ptr(t, m.Exim.Addr.Addr())
		}, warns("gw.ptr", "no PTR record")),
		"a short name":   shows(exim(site.EximOptions{Name: "localhost"}), nil, warns("gw.helo", "no full name")),
		"an open relay":  shows(exim(site.EximOptions{OpenRelay: true}), nil, fails("gw.relay", "a stranger's mail for a stranger")),
		"a smaller size": shows(exim(site.EximOptions{Size: 1 << 20}), nil, fails("gw.limits", "takes messages of 1048576 bytes")),
		"another list": shows(exim(site.EximOptions{Recipients: list}), nil,
			fails("gw.recipient", "550"), fails("gw.postmaster", "which the old server accepts")),
		"any recipient":             shows(exim(site.EximOptions{Unverified: true}), nil, fails("gw.unknown", "which the old server refuses")),
		"both have one name":        shows(exim(site.EximOptions{Name: "old.choir.test"}), nil, fails("mx.loop", "takes that for a loop")),
		"the old server is off":     shows(site.MailOptions{}, killed, pass("old.closed", "refused at once")),
		"source addresses are lost": shows(site.MailOptions{}, hidden, warns("old.source", "source addresses hidden (NAT)")),
		"mail by the gateway":       shows(site.MailOptions{}, called(func(m *site.Mail) string { return m.Exim.Addr.String() }), realRow{check: "old.stragglers", want: plan.Pass, when: verify.After}),
		"mail past the gateway":     shows(site.MailOptions{}, called(func(m *site.Mail) string { return m.Postfix.Addr.String() }), realRow{check: "old.stragglers", want: plan.Warn, says: "127.9.9.9 (1", when: verify.After}),
	}
}

func killed(t *testing.T, _ *bench, m *site.Mail, _ *verify.Settings) {
	t.Helper()
	if err := m.Postfix.Kill(); err != nil {
		t.Fatal(err)
	}
}

// hidden is a network that shows the gateway's address for all.
func hidden(_ *testing.T, _ *bench, m *site.Mail, s *verify.Settings) {
	from := m.Exim.Addr.Addr()
	s.Vantages[0].Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
		return d.DialContext(ctx, network, address)
	}
}

// TestIntegrationMatrixGateway shows the checks of a real gateway and of a real old
// server, good and broken.
func TestIntegrationMatrixGateway(t *testing.T) {
	t.Parallel()
	for what, w := range gatewaySites() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m, c, cut := realMail(t, w.site(t), w.adjust)
			for _, k := range w.rows {
				var found []plan.Finding
				if k.check == "old.closed" {
					found = c.OldClosed(t.Context(), m.Postfix.Addr.Port())
				} else {
					found = only(t, c, cut, row{check: k.check, when: k.at()})
				}
				judge(t, what+": "+k.check, found, k.want, k.says)
			}
			if !t.Failed() {
				return
			}
			for _, log := range []string{m.Exim.Log(), m.Postfix.Log()} {
				text, err := os.ReadFile(log)
				t.Logf("%s %v\n%s", filepath.Base(log), err, text)
			}
		})
	}
}
