package providers

import (
	"strings"
	"testing"
)

func TestParseData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, in, want string }{
		{"A", "192.0.2.1", "192.0.2.1"},
		{"AAAA", "2001:DB8:0::1", "2001:db8::1"},
		{"AAAA", "::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"MX", "10 Mail.Example.org", "10 mail.example.org."},
		{"MX", "0 .", "0 ."},
		{"MX", "65535 bücher.example", "65535 xn--bcher-kva.example."},
		{"cname", "WWW.example.org", "www.example.org."},
		{"NS", "ns1.bücher.example.", "ns1.xn--bcher-kva.example."},
		{"TXT", `"a" "b"`, `"a" "b"`},
		{"TXT", `v=spf1`, `"v=spf1"`},
		{"TLSA", "3 1 1 ABCDEF", "3 1 1 abcdef"},
		{"SRV", "0 5 443 x.example.org", "0 5 443 x.example.org."},
		{"CAA", `0 issue "ca.example.net"`, `0 issue "ca.example.net"`},
		{"ALIAS", "x.example.org", "x.example.org"}, // a vendor's own type
		{"SRV", "not a service", "not a service"},
	} {
		got, err := parseData(c.typ, c.in)
		if err != nil || got != c.want {
			t.Errorf("%s %q: %q, %v; want %q", c.typ, c.in, got, err, c.want)
		}
		if again, err := parseData(c.typ, got); err != nil || again != got {
			t.Errorf("%s %q: then %q, %v", c.typ, got, again, err)
		}
	}
	for _, c := range []struct{ typ, in string }{
		{"MX", "mail.example.org"},
		{"MX", "x mail.example.org"},
		{"MX", "65536 mail.example.org"},
		{"MX", "-1 mail.example.org"},
		{"MX", "10 a..b"},
		{"CNAME", ""},
		{"NS", "a b"},
		{"TXT", "\"a\"\nevil 60 IN A 192.0.2.1"},
		{"CNAME", "\xff\xfe.example"},
	} {
		if got, err := parseData(c.typ, c.in); err == nil {
			t.Errorf("%s %q: %q, want an error", c.typ, c.in, got)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	const zone = "example.com."
	for in, want := range map[string]string{
		"example.com": zone, "A.Example.COM.": "a.example.com.", "*.example.com": "*.example.com.", "_dmarc.example.com": "_dmarc.example.com.",
		"bücher.example.com": "xn--bcher-kva.example.com.", "notexample.com": "", "com": "", "a..example.com": "", "": "",
	} {
		if got, err := nameIn(in, zone); got != want && want != "" || (err == nil) != (want != "") {
			t.Errorf("nameIn(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"@": zone, "": zone, "www": "www.example.com.", "a.b": "a.b.example.com.", "Bücher": "xn--bcher-kva.example.com.", "example.com": "example.com.example.com.", "*": "*.example.com.",
	} {
		got, err := nameBelow(in, zone)
		if err != nil || got != want {
			t.Errorf("nameBelow(%q) = %q, %v; want %q", in, got, err, want)
		}
		if back, err := nameBelow(relative(got, zone), zone); err != nil || back != got {
			t.Errorf("%q comes back as %q, %v", got, back, err)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "v=spf1 -all", `with "quotes" and \backslash; and more`, strings.Repeat("x", 255), strings.Repeat("y", 256), strings.Repeat("0123456789", 60), "\x00\xff\té"} {
		data := quoted(text)
		back, err := textOf(data)
		if err != nil || back != text {
			t.Errorf("%q is %s, and back %q, %v", text, data, back, err)
		}
		if canon, err := parseData("TXT", data); err != nil || canon != data {
			t.Errorf("%s is not canonical: %s, %v", data, canon, err)
		}
	}
	for _, bad := range []string{`"open`, "\"a\" \n\"b\"\nx"} {
		if got, err := textOf(bad); err == nil && strings.Contains(got, "x") {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func FuzzParseData(f *testing.F) {
	for _, s := range []string{"10 mx.example.org", `"a\"b"`, "3 1 1 AB", "::1", "a.b", `\# 2 abcd`} {
		for _, typ := range []string{"MX", "TXT", "TLSA", "AAAA", "CNAME", "SRV"} {
			f.Add(typ, s)
		}
	}
	f.Fuzz(func(t *testing.T, typ, value string) {
		if _, err := typeOf(typ); err != nil {
			return
		}
		got, err := parseData(typ, value)
		if err != nil {
			return
		}
		if again, err := parseData(typ, got); err != nil || again != got {
			t.Errorf("%s %q is %q, then %q, %v", typ, value, got, again, err)
		}
	})
}
