package verify_test

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixPolicy are the rows of what domains publish for others to judge by.
func matrixPolicy() []row {
	var out []row
	for _, rows := range [][]row{rowsSPF(), rowsSTS(), rowsDANE(), rowsTXT(), rowsDKIM()} {
		out = append(out, rows...)
	}
	return out
}

// txt is a world with some TXT records: name, text, name, text.
func txt(records ...string) world {
	return furnished(func(t *testing.T, b *bench) plan.Cutover {
		byName := map[string][]string{}
		for i := 0; i < len(records); i += 2 {
			text := strings.ReplaceAll(records[i+1], "OLD", b.facts.Old.Addr.String())
			byName[records[i]] = append(byName[records[i]], quoted(text))
		}
		for name, data := range byName {
			b.put(t, name, "TXT", data...)
		}
		b.set.Outbound = []netip.Addr{b.facts.Old.Addr}
		b.set.DKIMSelectors = []string{"mail"}
		return cut(t, "choir.test.", old, gws)
	})
}

// quoted is a text in strings of 200 octets.
func quoted(text string) string {
	out := ""
	for ; len(text) > 200; text = text[200:] {
		out += ` "` + text[:200] + `"`
	}
	return out + ` "` + text + `"`
}

func rowsSPF() []row {
	const d = "choir.test"
	good := txt(d, "v=spf1 ip4:OLD -all", d, "something else")
	many := "v=spf1 ip4:OLD"
	for i := range 9 {
		many += fmt.Sprintf(" a:a%d.choir.test", i)
	}
	return []row{
		{check: "spf.future", breaks: "mx moves, and all else fails", when: verify.Before, good: good, broken: txt(d, "v=spf1 mx -all"), says: "the result is fail; add ip4:127."},
		{check: "spf.future", breaks: "mx moves, and all else softfails", when: verify.Before, good: good, broken: txt(d, "v=spf1 mx ~all"), says: "softfail"},
		{check: "spf.future", breaks: "mx by way of a redirect", when: verify.Before, good: txt(d, "v=spf1 redirect=spf.choir.test", "spf.choir.test", "v=spf1 ip4:OLD -all"), broken: txt(d, "v=spf1 redirect=spf.choir.test", "spf.choir.test", "v=spf1 mx:choir.test -all"), says: "add ip4:127."},
		{check: "spf.future", breaks: "mx of a domain that moves later", when: verify.Before, good: good, broken: txt(d, "v=spf1 mx:wild.test mx:x.wild.test -all"), want: plan.Warn, says: "only while other domains' MX"},
		{check: "spf.future", breaks: "two records", when: verify.Before, good: good, broken: txt(d, "v=spf1 ip4:OLD -all", d, "v=spf1 mx -all"), want: plan.Warn, says: "permerror"},
		{check: "spf.future", breaks: "a typing error after the match", when: verify.After, good: good, broken: txt(d, "v=spf1 ip4:OLD -al"), want: plan.Warn, says: `"-al" is no mechanism`},
		{check: "spf.future", breaks: "lookups are nearly spent", when: verify.Before, good: good, broken: txt(d, many+" -all"), want: plan.Warn, says: "more than 2 lookups that find nothing"},
		{check: "spf.future", breaks: "lookups are spent", when: verify.Before, good: good, broken: txt(d, "v=spf1 ip4:OLD"+strings.Repeat(" mx", 11)+" -all"), want: plan.Warn, says: "more than 10 lookups"},
		{check: "spf.future", breaks: "no resolver", when: verify.Before, good: txt(), want: plan.Unknown, broken: furnished(func(t *testing.T, b *bench) plan.Cutover {
			b.set.Outbound = []netip.Addr{b.facts.Old.Addr}
			nobody(&b.set)
			return cut(t, "choir.test.", old, gws)
		})},
	}
}

// policy is the text of one.
func policy(mode string, hosts ...string) string {
	out := "version: STSv1\nmode: " + mode + "\nmax_age: 604800\n"
	for _, h := range hosts {
		out += "mx: " + h + "\n"
	}
	return out
}

// sts is a world with a policy host and an MX host with STARTTLS.
func sts(h http.HandlerFunc, change func(*testing.T, *bench)) world {
	return furnished(func(t *testing.T, b *bench) plan.Cutover {
		ca := newAuthority(t)
		b.set.HTTPSCA, b.set.Roots = ca.path, ca.pool()
		mail := ca.issue(t, "tls.choir.test")
		b.mailHost(t, "tls.choir.test", &mail)
		b.policyHost(t, ca.issue(t, "mta-sts.choir.test"), h)
		b.put(t, "_mta-sts.choir.test", "TXT", `"v=STSv1; id=1;"`)
		if change != nil {
			change(t, b)
		}
		return cut(t, "choir.test.", old, tlsHost)
	})
}

func rowsSTS() []row {
	listed := policy("enforce", "mail.old.test", "tls.choir.test")
	good := sts(serves(listed), nil)
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://mta-sts.choir.test/elsewhere.txt", http.StatusMovedPermanently)
	}
	html := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, listed)
	}
	a := func(breaks string, want plan.Severity, says string, broken world) row {
		return row{check: "mtasts.future", breaks: breaks, when: verify.Before, good: good, broken: broken, want: want, says: says}
	}
	return []row{
		a("a new host is not listed", plan.Fail, "does not list tls.choir.test", sts(serves(policy("enforce", "mail.old.test")), nil)),
		a("not listed in testing", plan.Warn, "does not list tls.choir.test", sts(serves(policy("testing", "mail.old.test")), nil)),
		a("a star stands for two labels", plan.Fail, "does not list", sts(serves(policy("enforce", "*.test")), nil)),
		a("a redirect", plan.Unknown, "answers 301", sts(redirect, nil)),
		a("gone", plan.Unknown, "answers 404", sts(http.NotFound, nil)),
		a("not text/plain", plan.Unknown, "text/html", sts(html, nil)),
		a("too long", plan.Unknown, "65536", sts(serves(listed+strings.Repeat("x: y\n", 20000)), nil)),
		a("no policy at all", plan.Unknown, "is no", sts(serves("hello"), nil)),
		a("two records", plan.Warn, "senders go by none", sts(serves(listed), func(t *testing.T, b *bench) {
			b.put(t, "_mta-sts.choir.test", "TXT", `"v=STSv1; id=1;"`, `"v=STSv1; id=2;"`)
		})),
		a("an authority that nobody knows", plan.Unknown, "certificate", sts(serves(listed), func(t *testing.T, b *bench) { b.set.HTTPSCA = newAuthority(t).path })),
		a("nobody listens", plan.Unknown, "could not check", sts(serves(listed), func(_ *testing.T, b *bench) { b.set.HTTPSPort = 9 })),
		a("the new host has no STARTTLS", plan.Fail, "STARTTLS", furnished(func(t *testing.T, b *bench) plan.Cutover {
			ca := newAuthority(t)
			b.set.HTTPSCA, b.set.Roots = ca.path, ca.pool()
			b.mailHost(t, "tls.choir.test", nil)
			b.policyHost(t, ca.issue(t, "mta-sts.choir.test"), serves(listed))
			b.put(t, "_mta-sts.choir.test", "TXT", `"v=STSv1; id=1;"`)
			return cut(t, "choir.test.", old, tlsHost)
		})),
		a("nobody knows the authority of the new hosts' certificates", plan.Fail, "unknown authority", func(t *testing.T) (*verify.Checker, plan.Cutover) {
			c, _ := sts(serves(policy("enforce", "gw1.gw.test", "gw2.gw.test")), nil)(t)
			return c, cut(t, "choir.test.", old, gws)
		}),
		a("the new host's certificate has another name", plan.Fail, "not other.choir.test", func(t *testing.T) (*verify.Checker, plan.Cutover) {
			c, _ := sts(serves(policy("enforce", "other.choir.test")), func(t *testing.T, b *bench) {
				b.put(t, "other.choir.test", "A", host(b.facts, octetHost))
			})(t)
			return c, cut(t, "choir.test.", old, []string{"10 other.choir.test."})
		}),
	}
}

// dane is a world with an MX host in a zone, whose TLSA records stand for its
// certificate. signed.test validates; choir.test is not signed.
func dane(zone string, change func(t *testing.T, b *bench, ca *authority, leaf *x509.Certificate)) world {
	return furnished(func(t *testing.T, b *bench) plan.Cutover {
		ca, name := newAuthority(t), "tls."+zone
		mail := ca.issue(t, name)
		b.mailHost(t, name, &mail)
		b.put(t, b.tlsa(name), "TLSA", "3 1 1 "+spki(mail.Leaf))
		if change != nil {
			change(t, b, ca, mail.Leaf)
		}
		return cut(t, "choir.test.", old, []string{"10 " + name + "."})
	})
}

// tlsa is where a host's TLSA records stand.
func (b *bench) tlsa(host string) string { return fmt.Sprintf("_%d._tcp.%s.", b.facts.SMTPPort, host) }

func rowsDANE() []row {
	const name, unsigned = "tls.signed.test", "tls.choir.test"
	wrong := strings.Repeat("ab", 32)
	good := dane("signed.test", nil)
	set := func(f func(ca *authority, leaf *x509.Certificate) []string) world {
		return dane("signed.test", func(t *testing.T, b *bench, ca *authority, leaf *x509.Certificate) {
			b.put(t, b.tlsa(name), "TLSA", f(ca, leaf)...)
		})
	}
	fixed := func(data ...string) world {
		return set(func(*authority, *x509.Certificate) []string { return data })
	}
	rollover := set(func(_ *authority, leaf *x509.Certificate) []string {
		return []string{"3 1 1 " + spki(leaf), "3 1 1 " + wrong}
	})
	anchor := set(func(ca *authority, _ *x509.Certificate) []string { return []string{"2 1 1 " + spki(ca.cert)} })
	broken := func(f lab.Fault) world {
		return dane("signed.test", func(t *testing.T, b *bench, _ *authority, _ *x509.Certificate) {
			if err := b.world.Break("signed.test", f); err != nil {
				t.Fatal(err)
			}
		})
	}
	// alias is a world whose TLSA records stand where an alias leads, or the alias of one;
	// those at the end of two aliases do not match.
	alias := func(target string, twice bool) world {
		return dane("signed.test", func(t *testing.T, b *bench, _ *authority, leaf *x509.Certificate) {
			b.put(t, b.tlsa(name), "TLSA")
			from, data := b.tlsa(name), "3 1 1 "+spki(leaf)
			if twice {
				b.put(t, from, "CNAME", "between.signed.test.")
				from, data = "between.signed.test", "3 1 1 "+wrong
			}
			b.put(t, from, "CNAME", target+".")
			b.put(t, target, "TLSA", data)
		})
	}
	a := func(breaks string, good, broken world, want plan.Severity, says string) row {
		return row{check: "dane.future", breaks: breaks, when: verify.Before, good: good, broken: broken, want: want, says: says}
	}
	return []row{
		a("another key", good, fixed("3 1 1 "+wrong), plan.Fail, "matches none of its 1 TLSA records"),
		a("neither of two keys", rollover, fixed("3 1 1 "+wrong, "3 0 1 "+wrong), plan.Fail, "none of its 2"),
		a("an authority's certificate for another name", anchor, func(t *testing.T) (*verify.Checker, plan.Cutover) {
			c, _ := dane("signed.test", func(t *testing.T, b *bench, ca *authority, _ *x509.Certificate) {
				b.put(t, b.tlsa("other.signed.test"), "TLSA", "2 1 1 "+spki(ca.cert))
				b.put(t, "other.signed.test", "A", host(b.facts, octetHost))
			})(t)
			return c, cut(t, "choir.test.", old, []string{"10 other.signed.test."})
		}, plan.Fail, "not other.signed.test"),
		a("a match by the weaker digest alone", set(func(_ *authority, leaf *x509.Certificate) []string {
			return []string{"3 1 1 " + spki(leaf), "3 1 2 " + spki512(leaf)}
		}), set(func(_ *authority, leaf *x509.Certificate) []string {
			return []string{"3 1 1 " + spki(leaf), "3 1 2 " + wrong + wrong}
		}), plan.Fail, "RFC 7671 section 9"),
		a("another usage has the stronger digest", set(func(_ *authority, leaf *x509.Certificate) []string {
			return []string{"3 1 1 " + spki(leaf), "2 1 2 " + wrong + wrong}
		}), fixed("3 1 1 "+wrong, "2 1 2 "+wrong+wrong), plan.Fail, "add \"3 1 1 "),
		a("the only record has the stronger digest", set(func(_ *authority, leaf *x509.Certificate) []string {
			return []string{"3 1 2 " + spki512(leaf)}
		}), fixed("3 1 2 "+wrong+wrong), plan.Fail, "add \"3 1 2 "),
		a("unusable records", good, fixed("1 1 1 "+wrong), plan.Warn, "cannot use"),
		a("not signed", good, dane("choir.test", nil), plan.Warn, "no zone that validates"),
		a("no match, and not signed", good, dane("choir.test", func(t *testing.T, b *bench, _ *authority, _ *x509.Certificate) {
			b.put(t, b.tlsa(unsigned), "TLSA", "3 1 1 "+wrong)
		}), plan.Unknown, "none of its"),
		a("signatures have ended", good, broken(lab.Expired), plan.Fail, "keep their mail back"),
		a("signatures are missing", good, broken(lab.Stripped), plan.Fail, "keep their mail back"),
		a("an alias leads to a zone that is not signed", alias("_tlsa.signed.test", false), alias("_tlsa.choir.test", false), plan.Warn, "no zone that validates"),
		a("no match, and the second alias leaves the signed zone", good, alias("_tlsa.choir.test", true), plan.Unknown, "none of its"),
		a("no STARTTLS", good, furnished(func(t *testing.T, b *bench) plan.Cutover {
			b.mailHost(t, name, nil)
			b.put(t, b.tlsa(name), "TLSA", "3 1 1 "+wrong)
			return cut(t, "choir.test.", old, []string{"10 " + name + "."})
		}), plan.Fail, "STARTTLS"),
		a("the protection of the old host ends", good, func(t *testing.T) (*verify.Checker, plan.Cutover) {
			c, _ := good(t)
			return c, cut(t, "choir.test.", []string{"10 " + name + "."}, gws)
		}, plan.Warn, "DANE's protection ends"),
	}
}

// A host whose servers fail at TLSA is asked for no records by senders if its zone is
// unsigned; else they keep its mail back, and here it is not known.
func TestServersThatFailAtTLSA(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]plan.Severity{"choir.test": plan.Pass, "signed.test": plan.Unknown} {
		c, cut := dane(zone, func(t *testing.T, b *bench, _ *authority, _ *x509.Certificate) {
			forwarded(t, b, &b.set, func(q *dns.Msg) bool { return q.Question[0].Qtype != dns.TypeTLSA })
		})(t)
		judge(t, zone, c.Only(t.Context(), cut, "dane.future"), want, "SERVFAIL")
		set := c.Settings
		set.Anchors = nil
		blind, err := verify.New(set)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(blind.Close)
		judge(t, zone+", and nothing is proven", blind.Only(t.Context(), cut, "dane.future"), plan.Unknown, "SERVFAIL")
	}
}

func rowsTXT() []row {
	const t, m = "_smtp._tls.choir.test", "_dmarc.choir.test"
	a := func(check, breaks, says string, good, broken world) row {
		return row{check: check, breaks: breaks, when: verify.Before, good: good, broken: broken, want: plan.Warn, says: says}
	}
	rpt := txt(t, "v=TLSRPTv1; rua=mailto:tls@choir.test,https://reports.choir.test/tls")
	mark := txt(m, "v=DMARC1; p=reject; rua=mailto:dmarc@choir.test")
	abroad := txt(m, "v=DMARC1; p=reject; rua=mailto:dmarc@choir.test!10m", "x._report._dmarc.choir.test", "v=DMARC1")
	return []row{
		a("tlsrpt", "no address", "has no rua", rpt, txt(t, "v=TLSRPTv1;")),
		a("tlsrpt", "a strange address", "neither mailto", rpt, txt(t, "v=TLSRPTv1; rua=ftp://choir.test")),
		a("tlsrpt", "two records", "senders go by none", rpt, txt(t, "v=TLSRPTv1; rua=mailto:a@choir.test", t, "v=TLSRPTv1; rua=mailto:b@choir.test")),
		a("dmarc", "no policy", "missing", mark, txt(m, "v=DMARC1; rua=mailto:dmarc@choir.test")),
		a("dmarc", "two records", "receivers go by none", mark, txt(m, "v=DMARC1; p=none", m, "v=DMARC1; p=reject")),
		a("dmarc", "reports to who has not agreed", "no record v=DMARC1 at choir.test._report._dmarc.other.test", abroad, txt(m, "v=DMARC1; p=reject; rua=mailto:dmarc@other.test")),
		a("dmarc", "reports to nobody", "can be sent to nobody", mark, txt(m, "v=DMARC1; p=reject; rua=dmarc@choir.test")),
	}
}

func rowsDKIM() []row {
	const name = "mail._domainkey.choir.test"
	rsaKey := func(bits uint) string {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return der(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
	}
	good := "v=DKIM1; k=rsa; p=" + rsaKey(2048)
	a := func(breaks, record, says string) row {
		r := row{check: "dkim", breaks: breaks, when: verify.Before, good: txt(name, good), broken: txt(name, record), want: plan.Warn, says: says}
		if record == "" {
			r.broken = txt()
		}
		return r
	}
	return []row{
		a("no key", "", "no DKIM key at any of the selectors mail"),
		a("revoked", "v=DKIM1; p=", "revoked"),
		a("short", "v=DKIM1; p="+rsaKey(512), "RSA with 512 bits"),
		a("a key of another kind", "v=DKIM1; p="+der(make(ed25519.PublicKey, ed25519.PublicKeySize)), "no RSA key"),
		a("Ed25519 of a wrong length", "v=DKIM1; k=ed25519; p=AAAA", "Ed25519 has 32"),
		a("sha1 alone", good+"; h=sha1", "sha256"),
		a("a test", good+"; t=y", "t=y"),
		a("not for mail", good+"; s=tlsrpt", "not for mail"),
	}
}

func der(key any) string {
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}
