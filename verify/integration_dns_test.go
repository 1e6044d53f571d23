//go:build integration

package verify_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mxcutover/lab/site"
	"mxcutover/plan"
	"mxcutover/verify"
	"mxcutover/verify/resolve"
)

// real is BIND with signed zones, and an Unbound that validates from the key of
// test.
type real struct {
	primary *site.BIND
	unbound *site.Unbound
	anchors resolve.Anchors
}

// realTexts are unsigned zones below test, each right or wrong in something.
var realTexts = map[string]string{
	"insecure.test": "", "lame.test": "@ NS ns9.test.\n",
	"null.test": "@ MX 0 .\n", "mixed.test": "@ MX 0 .\n@ MX 10 gw1.gw.test.\n",
	"bare.test": "@ A 192.0.2.25\n", "gone.test": "x TXT y\n",
	"star.test": "* MX 10 mail.old.test.\n@ MX 10 mail.old.test.\n", "hidden.test": "* MX 10 mail.old.test.\n* TXT x\n",
	"strict.test": `@ MX 10 mail.old.test.
@ TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@strict.test"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@strict.test"
s1._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
`,
	"lax.test": `@ MX 10 mail.old.test.
@ TXT "v=spf1 mx -all"
_dmarc TXT "v=DMARC1; rua=mailto:dmarc@lax.test"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@lax.test"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:b@lax.test"
s1._domainkey TXT "v=DKIM1; p="
`,
}

const realHead = "$TTL 300\n@ SOA ns.test. h.test. 1 3600 600 86400 300\n@ NS ns.test.\n"

const realZone = "$TTL 300\n@ SOA ns.test. h.test. 1 3600 600 86400 300\n@ NS ns.test.\n@ MX 10 mail.old.test.\n*.w MX 10 mail.old.test.\na.b TXT x\nd DNAME t\ny.t MX 10 mail.old.test.\n"

// realZones are zones below test by what is right or wrong with them.
var realZones = map[string]site.SignOptions{
	"p256.test":    {},
	"p384.test":    {Algorithm: "ECDSAP384SHA384", NSEC3: true},
	"ed25519.test": {Algorithm: "ED25519"},
	"rsa.test":     {Algorithm: "RSASHA256", NSEC3: true, OptOut: true},
	"hashed.test":  {NSEC3: true, Iterations: 150},
	"expired.test": {Ended: 72 * time.Hour}, // Unbound lets a day pass
	"missing.test": {},
	"wrong.test":   {},
}

func startReal(t *testing.T) real {
	t.Helper()
	block, _, err := site.FreeBlock(9)
	if err != nil {
		t.Fatal(err)
	}
	first := port(t)
	second := netip.AddrPortFrom(netip.AddrFrom4([4]byte{block[0], block[1], block[2], 9}), first.Port())
	texts := map[string]string{
		"gw.test":   realHead + "gw1 A 192.0.2.1\ngw2 A 192.0.2.2\ntwin A 192.0.2.1\nalias CNAME gw1\n",
		"ttl.test":  realZone + "@ NS ns9.test.\n",
		"long.test": strings.ReplaceAll(strings.Replace(realZone, "$TTL 300", "$TTL 604800", 1), "86400 300", "86400 604800"),
	}
	above := "$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\nmail.old A 192.0.2.25\ngw NS ns\nlong NS ns\nlame NS ns9\nttl NS ns9\nns9 A " + second.Addr().String() + "\n"
	for zone, text := range realTexts {
		if texts[zone] = realHead + text; text == "" || zone == "lame.test" {
			texts[zone] = realZone + text
		}
		above += zone + ". NS ns\n"
	}
	for zone, o := range realZones {
		o.Zone, o.Text = zone, realZone
		s := sign(t, o)
		texts[zone] = s.Text
		if zone == "wrong.test" {
			texts[zone] = strings.ReplaceAll(s.Text, "MX RRSIG NSEC DNSKEY", "A MX RRSIG NSEC DNSKEY")
			texts[zone] = strings.ReplaceAll(texts[zone], "TXT RRSIG NSEC", "A TXT RRSIG NSEC")
		}
		if zone == "missing.test" {
			s = sign(t, o) // the DS record of a key that the zone does not have
		}
		above += s.DS + "\n" + zone + ". NS ns\n"
	}
	top := sign(t, site.SignOptions{Zone: "test", Text: above})
	texts["test"] = top.Text
	r := real{primary: bind(t, site.BINDOptions{Addr: first, Zones: texts, Silent: true})}
	// ns9 does not know lame.test, and has an older ttl.test.
	was := strings.NewReplacer("$TTL 300", "$TTL 60", "h.test. 1 ", "h.test. 0 ").Replace(texts["ttl.test"])
	bind(t, site.BINDOptions{Addr: second, Zones: map[string]string{"ttl.test": was}, Silent: true})
	stubs := map[string][]netip.AddrPort{}
	for zone := range texts {
		stubs[zone] = []netip.AddrPort{r.primary.Addr}
	}
	if r.anchors, err = resolve.ParseAnchors(top.Anchor); err != nil {
		t.Fatal(err)
	}
	anchor := r.anchors[0].String()
	r.unbound, err = site.StartUnbound(t.Context(), site.UnboundOptions{
		Addr: port(t), Stubs: stubs, Anchor: anchor, Broken: []string{"expired.test", "missing.test", "wrong.test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.unbound.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func sign(t *testing.T, o site.SignOptions) site.Signed {
	t.Helper()
	s, err := site.SignZone(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bind(t *testing.T, o site.BINDOptions) *site.BIND {
	t.Helper()
	b, err := site.StartBIND(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func port(t *testing.T) netip.AddrPort {
	t.Helper()
	p, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p)
}

func (r real) checker(t *testing.T) *verify.Checker {
	t.Helper()
	c, err := verify.New(verify.Settings{
		OldHosts: []string{"mail.old.test."}, OldAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.25")},
		DNSPort: r.primary.Addr.Port(), DNSRate: -1, Anchors: r.anchors,
		Resolvers: []verify.Resolver{{View: "public", Addr: r.unbound.Addr}},
		Outbound:  []netip.Addr{netip.MustParseAddr("192.0.2.25")}, DKIMSelectors: []string{"s1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// change changes an MX by nsupdate.
func (r real) change(t *testing.T, zone, mx string) {
	t.Helper()
	k := r.primary.Key
	c := exec.CommandContext(t.Context(), "nsupdate", "-y", "hmac-sha256:"+k.Name+":"+k.Secret)
	c.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone %s\nupdate delete %s MX\nupdate add %s 300 MX %s\nsend\n", r.primary.Addr.Addr(), r.primary.Addr.Port(), zone, zone, zone, mx))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v: %s", err, out)
	}
}

// A realRow is what one check says of one thing on real servers.
type realRow struct {
	check string
	of    string // the domain that is asked about; "" = choir.test.
	want  plan.Severity
	says  string
	after string // the planned MX records, with commas; "" = what the world plans
	when  verify.When
}

// rowsBIND are those of name servers: BIND serves, Unbound resolves.
func rowsBIND() []realRow {
	const before, after = verify.Before, verify.After
	return []realRow{
		{check: "dnssec.valid", of: "p256.test.", want: plan.Pass, says: "its signature is good until"},
		{check: "dnssec.valid", of: "p384.test.", want: plan.Pass, says: "it validates the answer"},
		{check: "dnssec.valid", of: "ed25519.test.", want: plan.Pass, says: "its signature is good until"},
		{check: "dnssec.valid", of: "rsa.test.", want: plan.Pass, says: "its signature is good until"},
		{check: "dnssec.valid", of: "insecure.test.", want: plan.Pass, says: "unsigned: no DS at insecure.test."},
		{check: "dnssec.valid", of: "expired.test.", want: plan.Fail, says: "ended at"},
		{check: "dnssec.valid", of: "expired.test.", want: plan.Fail, says: "it refuses the answer"},
		{check: "dnssec.valid", of: "missing.test.", want: plan.Fail, says: "none of the keys of missing.test."},
		{check: "ns.delegation", of: "p256.test.", want: plan.Pass, says: "answer with authority"},
		{check: "ns.delegation", of: "lame.test.", want: plan.Fail, says: "it answers without authority for lame.test (lame delegation)"},
		{check: "ns.sync", of: "p256.test.", want: plan.Pass, says: "1 servers serve 10 mail.old.test."},
		{check: "ns.sync", of: "p256.test.", when: after, want: plan.Fail, says: "was expected"},
		{check: "ns.ttl", of: "p256.test.", want: plan.Pass, says: "TTL 300 seconds"},
		{check: "ns.sync", of: "ttl.test.", want: plan.Warn, says: "several versions"},
		{check: "ns.ttl", of: "ttl.test.", want: plan.Warn, says: "several TTLs: [60 300]"},
		{check: "ns.negative", of: "p256.test.", want: plan.Pass, says: "300 seconds"},
		{check: "ns.negative", of: "long.test.", want: plan.Warn, says: "604800 seconds"},
		{check: "cache.resolver", of: "p256.test.", want: plan.Pass, says: "it answers 10 mail.old.test."},
		{check: "mx.target", of: "p256.test.", want: plan.Pass, says: "192.0.2.1"},
		{check: "mx.target", of: "p256.test.", after: "10 alias.gw.test.", want: plan.Fail, says: "alias for gw1.gw.test"},
		{check: "mx.target", of: "p256.test.", after: "10 mail.old.test.", want: plan.Fail, says: "old server"},
		{check: "mx.target", of: "p256.test.", after: "10 gone.test.", want: plan.Fail, says: "no address"},
		{check: "mx.null", of: "p256.test.", want: plan.Pass, says: "no null MX"},
		{check: "mx.null", of: "p256.test.", after: "0 .", want: plan.Fail, says: "accept no mail"},
		{check: "mx.null", of: "null.test.", want: plan.Warn, says: "accepts no mail"},
		{check: "mx.null", of: "null.test.", when: after, want: plan.Fail, says: "accepts no mail"},
		{check: "mx.null", of: "mixed.test.", when: after, want: plan.Fail, says: "null MX beside others"},
		{check: "mx.implicit", of: "p256.test.", want: plan.Pass, says: "follows its MX"},
		{check: "mx.implicit", of: "bare.test.", when: after, want: plan.Fail, says: "its own address 192.0.2.25, the old server"},
		{check: "mx.implicit", of: "gone.test.", when: after, want: plan.Fail, says: "nobody can send to it"},
		{check: "mx.wildcard", of: "*.star.test.", want: plan.Pass, says: "names below it are answered with 10 mail.old.test."},
		{check: "mx.wildcard", of: "*.star.test.", when: after, want: plan.Fail, says: "below the wildcard"},
		{check: "mx.wildcard", of: "*.w.p384.test.", want: plan.Pass, says: "names below it are answered"},
		{check: "mx.wildcard", of: "new.hidden.test.", want: plan.Warn, says: "loses [TXT MX]"},
		{check: "mx.duplicate", of: "p256.test.", after: "10 gw1.gw.test., 20 gw2.gw.test.", want: plan.Pass, says: "2 hosts"},
		{check: "mx.duplicate", of: "p256.test.", after: "10 gw1.gw.test., 20 gw1.gw.test.", want: plan.Warn, says: "stands twice"},
		{check: "mx.duplicate", of: "p256.test.", after: "10 gw1.gw.test., 20 twin.gw.test.", want: plan.Warn, says: "when one is down, both are"},
		{check: "spf.future", of: "strict.test.", want: plan.Pass, says: "with the planned MX as well"},
		{check: "spf.future", of: "lax.test.", want: plan.Fail, says: "the result is fail; add ip4:192.0.2.25"},
		{check: "dmarc", of: "strict.test.", want: plan.Pass},
		{check: "dmarc", of: "lax.test.", want: plan.Warn, says: "missing"},
		{check: "tlsrpt", of: "strict.test.", want: plan.Pass},
		{check: "tlsrpt", of: "lax.test.", want: plan.Warn, says: "senders go by none"},
		{check: "dkim", of: "strict.test.", want: plan.Pass},
		{check: "dkim", of: "lax.test.", when: before, want: plan.Warn, says: "revoked"},
	}
}

// cutover is what a row asks about.
func (k realRow) cutover(t *testing.T, planned string) plan.Cutover {
	t.Helper()
	if k.after != "" {
		planned = k.after
	}
	was := old
	if zone := strings.TrimSuffix(k.of, "."); zone == "bare.test" || zone == "gone.test" || zone == "new.hidden.test" {
		was = nil
	}
	of := k.of
	if of == "" {
		of = "choir.test."
	}
	c := cut(t, of, was, strings.Split(planned, ", "))
	if i := strings.LastIndex(strings.TrimSuffix(of, ".test."), "."); i >= 0 {
		c.Zone = of[i+1:]
	}
	return c
}

// at is when a row is asked.
func (k realRow) at() verify.When {
	if k.when == "" {
		return verify.Before
	}
	return k.when
}

// TestIntegrationMatrixDNS shows the checks on BIND and Unbound: each passes at a
// good zone, and tells what is wrong with a broken one.
func TestIntegrationMatrixDNS(t *testing.T) {
	t.Parallel()
	r := startReal(t)
	c := r.checker(t)
	for _, k := range rowsBIND() {
		found := only(t, c, k.cutover(t, "10 gw1.gw.test."), row{check: k.check, when: k.at()})
		judge(t, k.check+" "+k.of, found, k.want, k.says)
	}
	asIs := func(zone string) plan.Cutover { return cut(t, zone, old, []string{"10 gw1.gw.test."}) }
	c.Run(t.Context(), verify.Before, asIs("insecure.test."))
	r.change(t, "insecure.test.", "10 gw1.gw.test.")
	after := asIs("insecure.test.")
	judge(t, "published", c.Only(t.Context(), after, "ns.sync"), plan.Pass, "gw1.gw.test")
	judge(t, "Unbound has the old answer", c.Only(t.Context(), after, "cache.resolver"), plan.Warn, "from 20")
	c.Expect("insecure.test.", time.Now().Add(-time.Hour))
	judge(t, "not published", c.Only(t.Context(), asIs("p256.test."), "ns.sync"), plan.Fail, "was expected")
}

// TestIntegrationStaleAnswers: what Unbound still gives after the time is told as stale.
func TestIntegrationStaleAnswers(t *testing.T) {
	t.Parallel()
	r := startReal(t)
	early := r.checker(t)
	judge(t, "before", ofCheck(early.Run(t.Context(), verify.Before, cut(t, "insecure.test.", old, gws)), "cache.resolver"), plan.Pass, "")
	r.change(t, "insecure.test.", "10 gw1.gw.test.")
	c := r.checker(t) // after a restart: it knows what the journal says
	c.Expect("insecure.test.", time.Now().Add(-time.Minute))
	judge(t, "stale", c.Only(t.Context(), cut(t, "insecure.test.", old, []string{"10 gw1.gw.test."}), "cache.resolver"), plan.Warn, "stale answers")
}

// TestIntegrationSecondaryIsBehind: a secondary that was not told of a change.
func TestIntegrationSecondaryIsBehind(t *testing.T) {
	t.Parallel()
	// BIND leaves an address that another test takes from the interface.
	block, _, err := site.FreeBlock(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	p := port(t)
	at := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{block[0], block[1], block[2], last}), p.Port())
	}
	zone := fmt.Sprintf("$TTL 300\n@ SOA ns1 h 1 3600 600 86400 300\n@ NS ns1\n@ NS ns2\n@ NS ns3\n@ MX 10 mail.old.test.\nns1 A 127.0.0.1\nns2 A %s\nns3 A %s\n", at(2).Addr(), at(3).Addr())
	primary := bind(t, site.BINDOptions{Addr: p, Zones: map[string]string{"z.test": zone}, Silent: true})
	_ = bind(t, site.BINDOptions{Addr: at(2), Zones: map[string]string{"z.test": zone}, Primary: p, Key: primary.Key})
	_ = bind(t, site.BINDOptions{Addr: at(3), Zones: map[string]string{"other.test": realZone}})
	u, err := site.StartUnbound(t.Context(), site.UnboundOptions{Addr: port(t), Stubs: map[string][]netip.AddrPort{"z.test": {p}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Stop(); err != nil {
			t.Error(err)
		}
	})
	r := real{primary: primary, unbound: u}
	c := r.checker(t)
	judge(t, "a server that does not know the zone", c.Only(t.Context(), cut(t, "z.test.", old, gws), "ns.delegation"), plan.Fail, "lame")
	r.change(t, "z.test.", "10 gw1.gw.test.")
	found := c.Only(t.Context(), cut(t, "z.test.", old, []string{"10 gw1.gw.test."}), "ns.sync")
	judge(t, "the secondary is behind", found, plan.Fail, "it serves 10 mail.old.test.")
	judge(t, "its version too", found, plan.Fail, "several versions")
}

// TestIntegrationChain holds our validation of what BIND serves to Unbound's.
func TestIntegrationChain(t *testing.T) {
	t.Parallel()
	r := startReal(t)
	c := resolve.New(resolve.Settings{Port: r.primary.Addr.Port(), Resolvers: []netip.AddrPort{r.unbound.Addr}, Rate: -1})
	t.Cleanup(c.Close)
	for zone := range realZones {
		for _, name := range []string{zone + ".", "x.w." + zone + ".", "nowhere." + zone + ".", "b." + zone + ".", "a.b." + zone + ".", "y.d." + zone + "."} {
			ours := "secure"
			ch, err := c.Chain(t.Context(), r.anchors, zone+".", time.Now())
			var v resolve.Verdict
			if err == nil {
				v, err = c.Validate(t.Context(), ch, r.primary.Addr, name, "MX", time.Now())
			}
			switch {
			case err != nil:
				ours = "bogus"
			case v.Insecure != "":
				ours = "insecure"
			}
			theirs := unboundSays(t.Context(), t, c, r, name)
			if zone == "hashed.test" && ours == "insecure" {
				continue // Unbound takes 150 iterations, we stop at 100
			}
			if ours != theirs {
				t.Errorf("%s: ours is %s (%v, %+v), Unbound's %s", name, ours, err, v, theirs)
			}
		}
	}
}

func unboundSays(ctx context.Context, t *testing.T, c *resolve.Client, r real, name string) string {
	t.Helper()
	v, err := c.Validates(ctx, r.unbound.Addr, name, "MX")
	switch {
	case err != nil:
		t.Fatal(err)
	case v.Bogus:
		return "bogus"
	case v.AD:
		return "secure"
	}
	return "insecure"
}

func ofCheck(found []plan.Finding, id string) (out []plan.Finding) {
	for _, f := range found {
		if f.Check == id {
			out = append(out, f)
		}
	}
	return out
}

// TestIntegrationViews asks BIND's two views through an Unbound that each sees: one view
// moves, the other may lead to the old server.
func TestIntegrationViews(t *testing.T) {
	t.Parallel()
	block, _, err := site.FreeBlock(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	p := port(t)
	at := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{block[0], block[1], block[2], last}), p.Port())
	}
	const head = "$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n"
	const host = head + "mail A 192.0.2.25\n"
	outside := map[string]string{"moved.test": head + "@ MX 10 gw1.moved.test.\n", "half.test": head + "@ MX 10 gw1.half.test.\n", "old.test": host}
	inside := map[string]string{"moved.test": head + "@ MX 10 gw1.moved.test.\n", "half.test": head + "@ MX 10 mail.old.test.\n", "old.test": host}
	b := bind(t, site.BINDOptions{Addr: p, Zones: outside, Within: inside, Inside: site.NewKey("inside"), Clients: []netip.Addr{at(3).Addr()}})
	var seen []verify.Resolver
	for view, from := range map[string]netip.AddrPort{"public": at(2), "inside": at(3)} {
		u, err := site.StartUnbound(t.Context(), site.UnboundOptions{Addr: from, Stubs: map[string][]netip.AddrPort{"moved.test": {b.Addr}, "half.test": {b.Addr}, "old.test": {b.Addr}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := u.Stop(); err != nil {
				t.Error(err)
			}
		})
		seen = append(seen, verify.Resolver{View: view, Addr: from})
	}
	c, err := verify.New(verify.Settings{
		OldHosts: []string{"mail.old.test."}, OldAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.25")}, DNSPort: p.Port(), DNSRate: -1, Resolvers: seen,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	judge(t, "both views lead to the gateway", ofCheck(c.Run(t.Context(), verify.After, cut(t, "moved.test.", old, gws)), "mx.views"), plan.Pass, "")
	judge(t, "the inside view leads to the old server", ofCheck(c.Run(t.Context(), verify.After, cut(t, "half.test.", old, gws)), "mx.views"), plan.Fail, "inside")
	if leads, why, err := c.LeadsToOld(t.Context(), "half.test.", "half.test."); err != nil || !leads || !strings.Contains(why, "inside") {
		t.Errorf("whether it may be closed: %v (%s), %v", leads, why, err)
	}
}
