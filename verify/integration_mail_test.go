//go:build integration

package verify_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/verify"
)

// A spoil changes a real site's surroundings or what the checker is told of it.
type spoil func(*testing.T, *bench, *site.Mail, *verify.Settings)

// ptr gives an address of the lab's block a name; none takes it away.
func (b *bench) ptr(t *testing.T, a netip.Addr, name ...string) {
	t.Helper()
	reverse, err := dns.ReverseAddr(a.String())
	if err != nil {
		t.Fatal(err)
	}
	block := b.facts.Block.Addr().As4()
	b.edit(t, fmt.Sprintf("%d.%d.127.in-addr.arpa", block[2], block[1]), reverse, "PTR", name...)
}

// realMail is the embedded world's DNS with a real site in it: Exim at
// gw.choir.test, Postfix, Dovecot.
func realMail(t *testing.T, o site.MailOptions, adjust spoil) (*site.Mail, *verify.Checker, plan.Cutover) {
	t.Helper()
	b := newBench(t)
	at := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(host(b.facts, last)), b.facts.SMTPPort)
	}
	block := b.facts.Block.Addr().As4()
	o.Block, o.Port, o.Domains = [3]byte(block[:3]), b.facts.SMTPPort, []string{"choir.test"}
	o.Exim.Addr, o.Exim.Name, o.Postfix.Addr, o.Postfix.Name = at(230), cmp.Or(o.Exim.Name, "gw.choir.test"), at(231), "old.choir.test"
	m, err := site.StartMail(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := b.world.Edit("choir.test", "gw.choir.test", "A", 5, at(230).Addr().String()); err != nil {
		t.Fatal(err)
	}
	b.ptr(t, at(230).Addr(), "gw.choir.test.")
	box := verify.IMAP{Address: m.Dovecot.Addr.String(), User: m.Dovecot.User, Password: func() (string, error) { return m.Dovecot.Password, nil }, TLS: "none"}
	c := b.checker(t, func(s *verify.Settings) {
		s.OldAddresses, s.From, s.StrictSender = []netip.Addr{at(231).Addr()}, site.Prober, site.Prober
		s.Recipients = verify.Recipients{Rewrite: "mxprobe"}
		s.IMAP, s.Bounces, s.Arrival = box, box, 10*time.Second
		if adjust != nil {
			adjust(t, b, m, s)
		}
	})
	b.settle(t)
	return m, c, cut(t, "choir.test.", old, []string{"10 gw.choir.test."})
}

// byLog lets the old server's log alone tell; byMaildir the folder.
func byLog(_ *testing.T, _ *bench, m *site.Mail, s *verify.Settings) {
	s.IMAP, s.OldLog = verify.IMAP{}, m.Postfix.Log()
}

func byMaildir(_ *testing.T, _ *bench, m *site.Mail, s *verify.Settings) {
	s.IMAP, s.Bounces, s.Maildir = verify.IMAP{}, verify.IMAP{}, m.Dovecot.Maildir
}

func impatient(more spoil) spoil {
	return func(t *testing.T, b *bench, m *site.Mail, s *verify.Settings) {
		t.Helper()
		s.Arrival = 3 * time.Second
		if more != nil {
			more(t, b, m, s)
		}
	}
}

// A mailSite is a real site, and what some checks say of it together.
type mailSite struct {
	site   site.MailOptions
	adjust spoil
	checks []string
	want   plan.Severity
	says   string
}

// mailSites are those of the checks of arrival: Exim, Postfix, Dovecot.
func mailSites() map[string]mailSite {
	exim := func(o site.EximOptions) site.MailOptions { return site.MailOptions{Exim: o} }
	postfix := func(o site.PostfixOptions) site.MailOptions { return site.MailOptions{Postfix: o} }
	all := []string{"probe.arrival", "gw.spam", "old.trusts_gateway"}
	return map[string]mailSite{
		"good":                        {checks: all, want: plan.Pass, says: "it marks spam: X-Spam-Flag: YES"},
		"good, polled":                {site: site.MailOptions{Dovecot: site.DovecotOptions{Poor: true}}, checks: all, want: plan.Pass},
		"good, by Maildir":            {adjust: byMaildir, checks: all, want: plan.Pass},
		"good, by log":                {adjust: byLog, checks: []string{"probe.arrival", "old.trusts_gateway"}, want: plan.Pass},
		"good, refuses spam":          {site: exim(site.EximOptions{Refuses: true}), checks: all[:2], want: plan.Pass, says: "it refuses spam: 550 5.7.1"},
		"good, greylists":             {site: exim(site.EximOptions{Greylist: []string{"*"}}), checks: all[:2], want: plan.Pass},
		"queue frozen":                {site: exim(site.EximOptions{Frozen: true}), adjust: impatient(nil), checks: all[:1], want: plan.Fail, says: "not in the mailbox after 3s"},
		"queue frozen, by log":        {site: exim(site.EximOptions{Frozen: true, Recipients: []string{"mxprobe@choir.test"}}), adjust: impatient(byLog), checks: all[:1], want: plan.Unknown, says: "nothing was written to it"},
		"gateway's lines mangled":     {site: exim(site.EximOptions{Mangled: true}), checks: all[:1], want: plan.Pass, says: "arrived via"}, // the old server tells of its address
		"no Received lines":           {site: postfix(site.PostfixOptions{Mangled: true}), checks: all[:1], want: plan.Fail, says: "past the gateway: no Received line"},
		"bounced":                     {site: postfix(site.PostfixOptions{Bounces: []string{"mxprobe@choir.test"}}), checks: all[:1], want: plan.Fail, says: "it failed for good, says a bounce: 5.2.1"},
		"bounced, by log":             {site: postfix(site.PostfixOptions{Bounces: []string{"mxprobe@choir.test"}}), adjust: byLog, checks: all[:1], want: plan.Fail, says: "this mailbox is closed"},
		"delivery deferred, by log":   {site: postfix(site.PostfixOptions{Full: true}), adjust: impatient(byLog), checks: all[:1], want: plan.Unknown, says: "puts its delivery off"},
		"spam unmarked":               {site: exim(site.EximOptions{Untagged: true}), checks: all[1:2], want: plan.Warn, says: "does not mark"},
		"everything marked":           {site: exim(site.EximOptions{TagsAll: true}), checks: all[1:2], want: plan.Fail, says: "no spam for spam"},
		"SPF asked of the gateway":    {site: site.MailOptions{Exim: site.EximOptions{Recipients: []string{"mxprobe@choir.test"}}, Postfix: site.PostfixOptions{Forged: []string{"probe.test"}}}, checks: all[2:], want: plan.Fail, says: "5.7.23"},
		"gateway throttled":           {site: site.MailOptions{Exim: site.EximOptions{Recipients: []string{"mxprobe@choir.test"}}, Postfix: site.PostfixOptions{Burst: 10}}, adjust: impatient(nil), checks: all[2:], want: plan.Fail, says: "of 20 messages at once"},
		"throttled, its log tells so": {site: site.MailOptions{Exim: site.EximOptions{Recipients: []string{"mxprobe@choir.test"}}, Postfix: site.PostfixOptions{Burst: 10}}, adjust: impatient(byLog), checks: all[2:], want: plan.Fail, says: "of 20 messages at once"},
	}
}

// TestIntegrationMatrixMail shows the checks of arrival, good and broken.
func TestIntegrationMatrixMail(t *testing.T) {
	t.Parallel()
	for what, w := range mailSites() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m, c, cut := realMail(t, w.site, w.adjust)
			var found []plan.Finding
			for _, id := range w.checks {
				found = append(found, only(t, c, cut, row{check: id, when: verify.Before})...)
			}
			if v := plan.Judge(found); v != w.want || !strings.Contains(words(found), w.says) {
				t.Errorf("%s, want %s with %q: %s", v, w.want, w.says, words(found))
				for _, log := range []string{m.Exim.Log(), m.Postfix.Log()} {
					text, err := os.ReadFile(log)
					t.Logf("%v\n%s", err, text)
				}
			}
			for _, f := range found {
				if l, ok := plan.ParseLegs(f.Evidence); f.Check == "probe.arrival" && f.Severity == plan.Pass && (!ok || l.Arrived < l.Accepted || l.Accepted <= 0) {
					t.Errorf("legs %q", f.Evidence)
				}
			}
		})
	}
}
