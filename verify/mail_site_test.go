//go:build integration

package verify_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/traffic"
	"mxcutover/verify"
)

// realSite is Exim before Postfix, and a checker of them.
func realSite(t *testing.T, o site.MailOptions, adjust func(*site.Mail, *verify.Settings)) (*site.Mail, *verify.Checker, []verify.Server) {
	t.Helper()
	o.Domains = []string{"choir.test"}
	m, err := site.StartMail(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := verify.Settings{
		OldHosts: []string{"old.site.test."}, OldAddresses: []netip.Addr{m.Postfix.Addr.Addr()}, SMTPPort: m.Exim.Addr.Port(), From: site.Prober,
		Resolvers: []verify.Resolver{{View: "none", Addr: netip.MustParseAddrPort("127.0.0.1:1")}}, GreylistRetry: 100 * time.Millisecond,
	}
	if adjust != nil {
		adjust(m, &s)
	}
	c, err := verify.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return m, c, []verify.Server{
		{Name: "old.site.test", Addr: m.Postfix.Addr.Addr(), Old: true}, {Name: "gw.site.test", Addr: m.Exim.Addr.Addr()},
	}
}

// TestIntegrationParity asks a real Postfix and a real Exim, which has a list of its
// own, asks the old server, or greylists. Neither takes so many questions for an attack,
// and nothing is delivered.
func TestIntegrationParity(t *testing.T) {
	t.Parallel()
	ask := []string{"info@choir.test", "postmaster@choir.test", "ghost@choir.test", "a@elsewhere.test"}
	for i := range 30 {
		ask = append(ask, fmt.Sprintf("guess%d@choir.test", i))
	}
	for what, w := range map[string]struct {
		o    site.MailOptions
		want []string
	}{
		"a callout":   {},
		"a list":      {o: site.MailOptions{Exim: site.EximOptions{Recipients: []string{"info@choir.test", "ghost@choir.test"}}}, want: []string{"lost postmaster@choir.test", "backscatter ghost@choir.test"}},
		"greylisting": {o: site.MailOptions{Exim: site.EximOptions{Greylist: []string{"*"}}}},
		"a catch-all": {o: site.MailOptions{Postfix: site.PostfixOptions{CatchAll: true}, Exim: site.EximOptions{Recipients: ask[:3]}}, want: slices.Repeat([]string{"lost guess"}, 30)},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m, c, servers := realSite(t, w.o, nil)
			p := verify.Parity{Servers: servers, Addresses: ask}
			got, err := c.Parity(t.Context(), p)
			if err != nil || len(got) != 2*len(ask) {
				t.Fatalf("%d answers, %v", len(got), err)
			}
			diffs, alike := p.Compare(got)
			var told []string
			for _, d := range diffs {
				if d.Cause != verify.Reply {
					told = append(told, strings.TrimRight(string(d.Cause)+" "+strings.TrimSuffix(d.Address, map[bool]string{true: "@choir.test"}[strings.HasPrefix(d.Address, "guess")]), "0123456789"))
				}
			}
			if !slices.Equal(told, w.want) {
				t.Errorf("differ: %q, want %q; %d alike", told, w.want, alike)
			}
			for _, log := range []string{m.Exim.Log(), m.Postfix.Log()} {
				text, err := os.ReadFile(log)
				if err != nil || strings.Contains(string(text), " <= ") || strings.Contains(string(text), "(queue active)") || strings.Contains(string(text), "too many errors") {
					t.Errorf("%s tells of a message: %v\n%s", filepath.Base(log), err, text)
				}
			}
		})
	}
}

// TestIntegrationRealMail reads the logs that Exim and Postfix write while mail passes,
// and while a gateway refuses an address that had mail before.
func TestIntegrationRealMail(t *testing.T) {
	t.Parallel()
	cut := cut(t, "choir.test.", old, gws)
	for what, w := range map[string]struct {
		valid []string // at the gateway; none = it asks the old server
		want  plan.Severity
		says  string
	}{
		"all is well":        {want: plan.Pass, says: "accepted 25, forwarded 25"},
		"an address is gone": {valid: []string{"mxprobe@choir.test"}, want: plan.Fail, says: "25 of 25 messages were refused as nobody's"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			m, c, _ := realSite(t, site.MailOptions{Exim: site.EximOptions{Recipients: w.valid}}, func(m *site.Mail, s *verify.Settings) {
				for range 30 { // so was it before
					if err := send(m.Postfix.Addr.String(), "info@choir.test"); err != nil {
						t.Fatal(err)
					}
				}
				s.Mail = verify.Mail{Gateway: []string{m.Exim.Log()}, Old: []string{m.Postfix.Log()}, Domains: []string{"choir.test."}}
			})
			eventually(t, "the old server's log is read", func() bool {
				text, err := os.ReadFile(m.Postfix.Log())
				return err == nil && strings.Count(string(text), "status=sent") >= 30
			})
			c.Only(t.Context(), cut, "mail.real")
			for range 25 {
				_ = send(m.Exim.Addr.String(), "info@choir.test") // refused in one of the two
			}
			var found []plan.Finding
			defer func() { t.Log(words(found)) }()
			eventually(t, w.says, func() bool {
				found = c.RealMail(t.Context(), cut, begun)
				return plan.Judge(found) == w.want && strings.Contains(words(found), w.says)
			})
		})
	}
}

// send sends a message of somebody else's, from another place than the server's own.
func send(addr, to string) error { return sendAs(netip.MustParseAddr("127.9.9.9"), addr, to) }

func sendAs(from netip.Addr, addr, to string) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, "site.test")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Hello("elsewhere.test"), c.Mail("someone@elsewhere.test"), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "Subject: real\r\n\r\nreal\r\n")
	return errors.Join(err, w.Close())
}

// TestIntegrationStragglers reads the logs that Postfix and Exim write while somebody
// comes to them directly, somebody else by way of a trusted address, and a spammer
// tries addresses.
func TestIntegrationStragglers(t *testing.T) {
	t.Parallel()
	begun := time.Now().Truncate(time.Second) // Postfix's times have whole seconds
	m, _, _ := realSite(t, site.MailOptions{}, nil)
	for name, old := range map[string]struct {
		addr netip.AddrPort
		log  string
	}{
		"Postfix": {m.Postfix.Addr, m.Postfix.Log()},
		"Exim":    {m.Exim.Addr, m.Exim.Log()},
	} {
		for range 3 {
			if err := sendAs(netip.MustParseAddr("127.9.9.9"), old.addr.String(), "info@choir.test"); err != nil {
				t.Fatal(name, err)
			}
			if err := sendAs(netip.MustParseAddr("127.9.9.8"), old.addr.String(), "info@choir.test"); err != nil {
				t.Fatal(name, err)
			}
		}
		for i := range 6 {
			if err := sendAs(netip.MustParseAddr("127.9.9.7"), old.addr.String(), fmt.Sprintf("ghost%d@choir.test", i)); err == nil {
				t.Fatal(name, "a ghost is taken")
			}
		}
		c, err := verify.New(verify.Settings{
			From: site.Prober, Mail: verify.Mail{Old: []string{old.log}},
			Resolvers: []verify.Resolver{{View: "none", Addr: netip.MustParseAddrPort("127.0.0.1:1")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		q := verify.Closing{
			Rules:    traffic.Closed{Ports: []uint16{25}, Trust: []netip.Prefix{netip.PrefixFrom(m.Exim.Addr.Addr(), 32), netip.MustParsePrefix("127.9.9.8/32")}},
			LookBack: time.Hour, Quiet: time.Hour, LetGo: func(string) time.Time { return begun },
			Names: traffic.Known{Names: map[string]traffic.Name{"choir.test": {Domain: "choir.test.", Standing: traffic.HasMoved, Moved: begun}}},
		}
		var found []plan.Finding
		eventually(t, name+" tells of the straggler alone", func() bool {
			found = c.OldMail(t.Context(), q)
			return strings.Contains(words(found), "127.9.9.9 comes past the gateway (3, last")
		})
		if text := words(found); strings.Contains(text, "127.9.9.8") || strings.Contains(text, "127.9.9.7") || !strings.Contains(text, "1 legitimate senders that come past the gateway would be cut off, 1 of them") {
			t.Errorf("%s:%s", name, text)
		}
	}
}
