//go:build integration

package verify_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/verify"
	"mxcutover/verify/resolve"
)

// rowsTLS are those of policies that want TLS: BIND serves a signed zone, Unbound
// resolves, Exim shows the certificate. Of wrong.dane.test, the same Exim by another
// name, the TLSA records are for another key, and the policy does not list it.
func rowsTLS() []realRow {
	return []realRow{
		{check: "dane.future", of: "dane.test.", after: "10 mx.dane.test.", want: plan.Pass, says: "its certificate matches its TLSA record"},
		{check: "dane.future", of: "dane.test.", after: "10 wrong.dane.test.", want: plan.Fail, says: "matches none of its 1 TLSA records"},
		{check: "mtasts.future", of: "dane.test.", after: "10 mx.dane.test.", want: plan.Pass, says: "its certificate is valid for its name"},
		{check: "mtasts.future", of: "dane.test.", after: "10 wrong.dane.test.", want: plan.Fail, says: "does not list wrong.dane.test"},
	}
}

// TestIntegrationMatrixTLS shows DANE and MTA-STS on real servers, with a chain of
// trust from our own anchor, and in the resolver's words where there is no anchor.
func TestIntegrationMatrixTLS(t *testing.T) {
	t.Parallel()
	set := startTLS(t)
	for what, anchors := range map[string]resolve.Anchors{"an anchor": set.Anchors, "no anchor": nil} {
		s := set
		s.Anchors = anchors
		c, err := verify.New(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		for _, k := range rowsTLS() {
			found := only(t, c, k.cutover(t, ""), row{check: k.check, when: k.at()})
			judge(t, what+": "+k.check+" "+k.after, found, k.want, k.says)
		}
	}
}

// startTLS starts the servers, and gives the settings that lead to them.
func startTLS(t *testing.T) verify.Settings {
	t.Helper()
	block, smtp, err := site.FreeBlock(20)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := site.NewCertificate(24*time.Hour, "mx.dane.test")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{block[0], block[1], block[2], 20}), smtp)
	exim, err := site.StartExim(t.Context(), site.EximOptions{Addr: at, Name: "mx.dane.test", Domains: []string{"dane.test"}, Certificate: cert})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := exim.Stop(); err != nil {
			t.Error(err)
		}
	})
	der, _ := pem.Decode(cert.Chain)
	leaf, err := x509.ParseCertificate(der.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	policies(t, web, ca.issue(t, "mta-sts.dane.test"), serves(policy("enforce", "mail.old.test", "mx.dane.test")))

	text := "$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n@ MX 10 mail.old.test.\nmta-sts A 127.0.0.1\n_mta-sts TXT \"v=STSv1; id=1;\"\n"
	for name, digest := range map[string]string{"mx": spki(leaf), "wrong": strings.Repeat("ab", 32)} {
		text += fmt.Sprintf("%[1]s A %[2]s\n_%[3]d._tcp.%[1]s TLSA 3 1 1 %[4]s\n", name, at.Addr(), smtp, digest)
	}
	zone := sign(t, site.SignOptions{Zone: "dane.test", Text: text})
	b := bind(t, site.BINDOptions{Addr: port(t), Zones: map[string]string{"dane.test": zone.Text}, Silent: true})
	anchors, err := resolve.ParseAnchors(zone.Anchor)
	if err != nil {
		t.Fatal(err)
	}
	u, err := site.StartUnbound(t.Context(), site.UnboundOptions{Addr: port(t), Stubs: map[string][]netip.AddrPort{"dane.test": {b.Addr}}, Anchor: anchors[0].String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Stop(); err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert.CA)
	return verify.Settings{
		OldHosts: []string{"mail.old.test."}, OldAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.25")},
		DNSPort: b.Addr.Port(), DNSRate: -1, SMTPPort: smtp, HTTPSPort: netip.MustParseAddrPort(web.Addr().String()).Port(), HTTPSCA: ca.path,
		Roots: roots, Anchors: anchors, Resolvers: []verify.Resolver{{View: "public", Addr: u.Addr}}, Connect: 2 * time.Second,
	}
}
