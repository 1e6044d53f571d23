//go:build integration

package firewall

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// A street has a router in the path from two outsiders to the old server and to the
// gateway, in both families, with a real Postfix as each of the two.
type street struct {
	router, old, gateway *site.Space
	outside              [2]*site.Space
	names                netip.AddrPort // a resolver, of the test's own network
	oldMail, gatewayMail *site.Postfix
	script               *Script
	checker              *verify.Checker
	cut                  plan.Cutover
}

// The addresses of the hosts; the router has .1 and ::1 of each network.
const (
	oldFour, oldSix         = "192.0.2.10", "2001:db8:1::10"
	gatewayFour, gatewaySix = "198.51.100.5", "2001:db8:2::5"
)

func trustOfStreet() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix(gatewayFour + "/32"), netip.MustParsePrefix(gatewaySix + "/128")}
}

// newStreet builds it. relays is what the gateway relays for: the old server's network,
// as it must, to which the router belongs, or more.
func newStreet(t *testing.T, relays string) *street {
	t.Helper()
	s := &street{}
	n := spacesOf(t, map[string]**site.Space{"router": &s.router, "old": &s.old, "gateway": &s.gateway, "outside0": &s.outside[0], "outside1": &s.outside[1]})
	if err := s.router.Forward(); err != nil {
		t.Fatal(err)
	}
	for i, w := range []struct {
		at             *site.Space
		v4, r4, v6, r6 string
	}{
		{s.old, oldFour, "192.0.2.1", oldSix, "2001:db8:1::1"},
		{s.gateway, gatewayFour, "198.51.100.1", gatewaySix, "2001:db8:2::1"},
		{s.outside[0], "203.0.113.2", "203.0.113.1", "2001:db8:a::2", "2001:db8:a::1"},
		{s.outside[1], "203.0.113.130", "203.0.113.129", "2001:db8:b::2", "2001:db8:b::1"},
	} {
		wire(t, n, site.End{Space: w.at, Device: "out", Addrs: networks(w.v4+"/25", w.v6+"/64"), Via: addrs(w.r4, w.r6)},
			site.End{Space: s.router, Device: fmt.Sprint("in", i), Addrs: networks(w.r4+"/25", w.r6+"/64")})
	}
	const to = "info@choir.test"
	everywhere := "inet_interfaces = all\ninet_protocols = all\nsmtp_bind_address =\nsmtp_address_preference = ipv4\nsmtpd_peername_lookup = no\n"
	s.oldMail = s.postfix(t, s.old, site.PostfixOptions{
		Name: "mail.old.test", Domains: []string{"choir.test"}, Recipients: []string{to}, Main: everywhere + "mynetworks = 127.0.0.0/8\n",
	})
	s.gatewayMail = s.postfix(t, s.gateway, site.PostfixOptions{
		Name: "gw.choir.test", Main: everywhere + "mynetworks = " + relays + "\nrelay_domains = choir.test\nrelay_recipient_maps =\n" +
			"transport_maps = inline:{ {choir.test = smtp:[" + oldFour + "]:25} }\n",
	})
	s.ssh(t)
	s.names = zone(t, map[string][]string{
		"gw.choir.test. A": {gatewayFour}, "gw.choir.test. AAAA": {gatewaySix}, "choir.test. MX": {"10 gw.choir.test."},
		"probe.test. MX": {"10 mx.elsewhere.test."}, "mx.elsewhere.test. A": {"203.0.113.99"},
	})
	old := []netip.Addr{netip.MustParseAddr(oldFour), netip.MustParseAddr(oldSix)}
	driver, err := Open("script", Settings{Old: old, To: []netip.Addr{netip.MustParseAddr(gatewayFour), netip.MustParseAddr(gatewaySix)}})
	if err != nil {
		t.Fatal(err)
	}
	s.script = driver.(*Script)
	set := verify.Settings{
		OldHosts: []string{"mail.old.test."}, OldAddresses: old, Planned: []rrset.MX{{Preference: 10, Host: "gw.choir.test."}},
		Resolvers: []verify.Resolver{{View: "public", Addr: s.names}}, From: "mxprobe@probe.test", Hello: "probe.test",
		Recipients: verify.Recipients{Rewrite: "info"}, OldLog: s.oldMail.Log(), Mail: verify.Mail{Gateway: []string{s.gatewayMail.Log()}},
		Connect: 2 * time.Second, Arrival: 30 * time.Second, GreylistRetry: time.Second, DNSRate: -1,
	}
	for i, at := range s.outside {
		set.Vantages = append(set.Vantages, verify.Vantage{Name: fmt.Sprint("outside", i), Dial: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			if address == s.names.String() {
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			in(t, at, func() { c, err = (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address) })
			return c, err
		}})
	}
	if s.checker, err = verify.New(set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.checker.Close)
	s.cut = plan.Cutover{Domain: "choir.test.", Zone: "choir.test.", Steps: []plan.Step{{ID: "publish", Kind: plan.Publish, Change: &rrset.Change{
		Zone: "choir.test.", Before: rrset.Set{Name: "choir.test.", Type: "MX", TTL: 300, Data: []string{"10 mail.old.test."}},
		After: rrset.Set{Name: "choir.test.", Type: "MX", TTL: 300, Data: []string{"10 gw.choir.test."}},
	}}}}
	return s
}

// postfix starts one at port 25 of a host, in both families.
func (s *street) postfix(t *testing.T, at *site.Space, o site.PostfixOptions) (p *site.Postfix) {
	t.Helper()
	o.Addr, o.Also = netip.MustParseAddrPort("0.0.0.0:25"), []netip.AddrPort{netip.MustParseAddrPort("[::]:25")}
	var err error
	if o.Certificate, err = site.NewCertificate(time.Hour, o.Name); err != nil {
		t.Fatal(err)
	}
	in(t, at, func() {
		p, err = site.StartPostfix(t.Context(), o)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ssh greets as an SSH server does, at the old server.
func (s *street) ssh(t *testing.T) {
	t.Helper()
	var l net.Listener
	var err error
	in(t, s.old, func() { l, err = net.Listen("tcp", "[::]:22") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
			c.Close()
		}
	}()
}

// zone answers from a list of records; of all other names there is nothing.
func zone(t *testing.T, records map[string][]string) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	answers := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		name, typ := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
		for _, data := range records[name+" "+typ] {
			rr, err := dns.NewRR(name + " 60 IN " + typ + " " + data)
			if err != nil {
				t.Error(err)
				continue
			}
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: answers}, {Listener: l, Handler: answers}} {
		go func() { _ = srv.ActivateAndServe() }()
		t.Cleanup(func() { _ = srv.Shutdown() })
	}
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// before looks at all as it is while nothing is loaded.
func (s *street) before(t *testing.T, a Action) verify.Handed {
	t.Helper()
	q := verify.Handed{Ports: []uint16{25}, Live: []plan.Cutover{s.cut}}
	if a == Redirect {
		q.To = s.script.to
	}
	for range 3 { // the first packets on a new veth may be lost
		q.Before = s.checker.BeforeHand(t.Context(), q)
		if v := plan.Judge(q.Before); v == plan.Pass || v == plan.Warn { // this machine has no way there
			return q
		}
	}
	t.Fatalf("before anything was loaded: %+v", q.Before)
	return q
}

// table is what a person is asked to load.
func (s *street) table(t *testing.T, a Action) string {
	t.Helper()
	made, err := s.script.Closing(Rules{Ports: []uint16{25}, Trust: trustOfStreet(), Action: a})
	if err != nil {
		t.Fatal(err)
	}
	return made.NFT
}

// loads is the person who types at the router.
func (s *street) loads(t *testing.T, text string) {
	t.Helper()
	ruleset(t, s.router, text)
}

func (s *street) opens(t *testing.T) {
	t.Helper()
	made, err := s.script.Opening(Rules{Ports: []uint16{25}})
	if err != nil {
		t.Fatal(err)
	}
	s.loads(t, made.NFT)
}

// judged wants a verdict of one check's findings.
func judged(t *testing.T, what string, found []plan.Finding, check string, want plan.Severity, says string) {
	t.Helper()
	var of []plan.Finding
	text := ""
	for _, f := range found {
		if f.Check == check {
			of = append(of, f)
			text += fmt.Sprintf("\n  %s %s from %s: %s (%s)", f.Severity, f.Target, f.Vantage, f.Detail, f.Evidence)
		}
	}
	if got := plan.Judge(of); got != want || !strings.Contains(text, says) {
		t.Errorf("%s: %s is %s, want %s with %q:%s", what, check, got, want, says, text)
	}
}

// TestIntegrationRedirectByHand has a person hand mail for the old address to the
// gateway at the router: with true source addresses all three proofs hold; behind source
// NAT the gateway sees everybody as a machine that it trusts, and is an open relay.
func TestIntegrationRedirectByHand(t *testing.T) {
	t.Parallel()
	const checkHost, checkSource, checkRelay = "redirect.host", "redirect.source", "redirect.relay"
	s := newStreet(t, "127.0.0.0/8, 192.0.2.0/24, [2001:db8:1::]/64, 198.51.100.1, [2001:db8:2::1]")
	ctx := t.Context()
	q := s.before(t, Redirect)
	found := s.checker.HandClosed(ctx, q)
	judged(t, "nothing is loaded", found, checkHost, plan.Fail, "the old server still answers, as mail.old.test")
	judged(t, "nothing is loaded", found, checkSource, plan.Unknown, "not asked")
	judged(t, "nothing is loaded", found, checkRelay, plan.Unknown, "not asked")
	if s.checker.HandShut(ctx, q) {
		t.Error("nothing is loaded, and somebody is said to have")
	}

	s.loads(t, s.table(t, Redirect))
	found = s.checker.HandClosed(ctx, q)
	judged(t, "loaded", found, checkHost, plan.Pass, "the gateway answers, as gw.choir.test")
	judged(t, "loaded", found, checkSource, plan.Pass, "203.0.113.2")
	judged(t, "loaded", found, checkSource, plan.Pass, "2001:db8:b::2")
	judged(t, "loaded", found, checkRelay, plan.Pass, "refuses to relay")
	judged(t, "loaded", found, "old.ssh", plan.Pass, "SSH opens")
	judged(t, "loaded", s.checker.Nodes(ctx, s.cut, trustOfStreet(), nil), "old.trust", plan.Pass, "")
	judged(t, "loaded", s.checker.HandOpen(ctx, q), "old.open", plan.Fail, "still handed to the gateway")
	if !s.checker.HandShut(ctx, q) {
		t.Error("it is loaded, and nobody is said to have")
	}
	if late := s.checker.BeforeHand(ctx, verify.Handed{Ports: q.Ports, To: q.To, Live: q.Live}); plan.Judge(late) != plan.Unknown {
		t.Errorf("the gateway was taken for the old server: %+v", late)
	}

	for what, rule := range map[string]string{
		"source NAT in IPv4": "table ip hidden { chain p { type nat hook postrouting priority 100; ip daddr " + gatewayFour + " masquerade; }; }",
		"source NAT in IPv6": "table ip6 hidden { chain p { type nat hook postrouting priority 100; ip6 daddr " + gatewaySix + " ct status dnat masquerade; }; }",
	} {
		s.loads(t, rule)
		found = s.checker.HandClosed(ctx, q)
		judged(t, what, found, checkHost, plan.Pass, "")
		judged(t, what, found, checkRelay, plan.Fail, "it accepts mail of strangers")
		if family, _, _ := strings.Cut(rule, " hidden"); family == "table ip6" {
			judged(t, what, found, checkSource, plan.Fail, "source NAT")
		} else { // straight mail is hidden, too: then one address stands for both vantages
			if v := plan.Judge(only(found, checkSource)); v != plan.Fail && v != plan.Unknown {
				t.Errorf("%s: %s: %+v", what, v, only(found, checkSource))
			}
		}
		s.loads(t, "delete table "+strings.Fields(rule)[1]+" hidden")
	}
	found = s.checker.HandClosed(ctx, q)
	judged(t, "mended", found, checkSource, plan.Pass, "")
	judged(t, "mended", found, checkRelay, plan.Pass, "")

	s.opens(t)
	judged(t, "opened", s.checker.HandOpen(ctx, q), "old.open", plan.Pass, "mail.old.test")
}

func only(found []plan.Finding, check string) (out []plan.Finding) {
	for _, f := range found {
		if f.Check == check {
			out = append(out, f)
		}
	}
	return out
}

// TestIntegrationRedirectToOpenRelay has a gateway that relays for everybody: true
// source addresses do not help there.
func TestIntegrationRedirectToOpenRelay(t *testing.T) {
	t.Parallel()
	s := newStreet(t, "0.0.0.0/0, [::]/0")
	q := s.before(t, Redirect)
	s.loads(t, s.table(t, Redirect))
	found := s.checker.HandClosed(t.Context(), q)
	judged(t, "an open relay", found, "redirect.host", plan.Pass, "")
	judged(t, "an open relay", found, "redirect.source", plan.Pass, "")
	judged(t, "an open relay", found, "redirect.relay", plan.Fail, "it accepts mail of strangers")
}

// TestIntegrationClosedByHand has a person close port 25 at the router, as it was asked
// for and in each wrong way, and open it again.
func TestIntegrationClosedByHand(t *testing.T) {
	t.Parallel()
	s := newStreet(t, "127.0.0.0/8, "+oldFour)
	ctx := t.Context()
	q := s.before(t, Reject)
	look := func() []plan.Finding {
		return append(s.checker.HandClosed(ctx, q), s.checker.Nodes(ctx, s.cut, trustOfStreet(), nil)...)
	}
	judged(t, "open", s.checker.HandOpen(ctx, q), "old.open", plan.Pass, "")
	for action, says := range map[Action]string{Reject: "refused at once", Drop: "it is dropped"} {
		s.loads(t, s.table(t, action))
		found := look()
		judged(t, string(action), found, "old.closed", plan.Pass, says)
		judged(t, string(action), found, "old.ssh", plan.Pass, "")
		judged(t, string(action), found, "old.trust", plan.Pass, "")
		judged(t, string(action), s.checker.HandOpen(ctx, q), "old.open", plan.Fail, "")
		s.opens(t)
		judged(t, string(action)+", opened", s.checker.HandOpen(ctx, q), "old.open", plan.Pass, "")
	}
	text := s.table(t, Reject)
	for what, w := range map[string]struct {
		typed       string
		check, says string
		want        plan.Severity // "" = fail
	}{
		"IPv6 forgotten":      {without(t, text, "ip6 daddr"), "old.closed", "[" + oldSix + "]:25", ""},
		"trust forgotten":     {without(t, text, "saddr @trust4"), "old.trust", "Connection refused", plan.Unknown}, // its mail waits at the gateway
		"SSH closed":          {strings.ReplaceAll(text, "dport { 25 }", "dport { 22, 25 }"), "old.ssh", "an administrator may be locked out", ""},
		"another address":     {strings.ReplaceAll(text, "{ "+oldFour+" }", "{ 192.0.2.11 }"), "old.closed", oldFour + ":25", ""},
		"a single outsider":   {strings.ReplaceAll(text, "ip saddr @trust4 accept", "ip saddr @trust4 accept\n\t\tip saddr 203.0.113.130 accept"), "old.closed", "from outside1: the old server still answers", ""},
		"everything dropped":  {"table inet mxcutover_by_hand { chain c { type filter hook forward priority 0; ip daddr " + oldFour + " drop; ip6 daddr " + oldSix + " drop; }; }", "old.ssh", "", ""},
		"nothing but the log": {"table inet mxcutover_by_hand { chain c { type filter hook forward priority 0; tcp dport 25 counter; }; }", "old.closed", "still answers", ""},
	} {
		s.loads(t, w.typed)
		judged(t, what, look(), w.check, cmp.Or(w.want, plan.Fail), w.says)
		s.opens(t)
	}
	judged(t, "at last", s.checker.HandOpen(ctx, q), "old.open", plan.Pass, "")
}

// without leaves out the lines with some words.
func without(t *testing.T, text, words string) string {
	t.Helper()
	var out []string
	for _, l := range strings.Split(text, "\n") {
		if !strings.Contains(l, words) {
			out = append(out, l)
		}
	}
	if len(out) == strings.Count(text, "\n")+1 {
		t.Fatalf("%q does not stand in the text", words)
	}
	return strings.Join(out, "\n")
}
