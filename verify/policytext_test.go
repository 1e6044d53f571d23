package verify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mxcutover/rrset"
)

func TestTXTData(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`"v=spf1 -all"`:     "v=spf1 -all",
		`"v=spf1" " -all"`:  "v=spf1 -all",
		`v=spf1`:            "v=spf1",
		`"a\"b\\c\059\255"`: "a\"b\\c;\xff",
		`""`:                "",
	} {
		got, err := text(data)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", data, got, err)
		}
		if again, err := text(txtData(got)); err != nil || again != want {
			t.Errorf("%s: written and read: %q, %v", data, again, err)
		}
	}
	for _, bad := range []string{`"open`, `"\`, `"\25"`, `"\999"`} {
		if got, err := text(bad); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
	if got := txtData(strings.Repeat("x", 600)); strings.Count(got, `"`) != 6 {
		t.Errorf("600 octets: %s", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add(`"a" "b\"\255"`)
	f.Fuzz(func(t *testing.T, data string) {
		got, err := text(data)
		if err != nil {
			return
		}
		written := txtData(got)
		if again, err := text(written); err != nil || again != got {
			t.Errorf("%q becomes %q, then %q (%v)", got, written, again, err)
		}
		if s, err := rrset.New("x.test", "TXT", 1, written); err != nil || len(s.Data) != 1 || s.Data[0] != written {
			t.Errorf("%q is not canonical: %v, %v", written, s, err)
		}
	})
}

func TestReadSPF(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"v=spf1", "V=SPF1  a  -all ", "v=spf1 a/24//64 mx:%{d2r-}.x.test/8 ~all", "v=spf1 exists:%{i}._spf.%{d} redirect=x.test",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:::1 ?all exp=%{l}.x.test. foo=%%%_%-", "v=spf1 ptr ptr:x.test include:x-y.test", "v=spf1 a:a.xn--p1ai",
	} {
		if _, err := readSPF(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"v=spf1 -al", "v=spf1 all:x.test", "v=spf1 a/33", "v=spf1 a//129", "v=spf1 a/", "v=spf1 a/08", "v=spf1 a:", "v=spf1 a:localhost", "v=spf1 a:1.2.3.4",
		"v=spf1 mx:x.test//", "v=spf1 ip4:192.0.2.1/33", "v=spf1 ip4:2001:db8::1", "v=spf1 ip6:192.0.2.1", "v=spf1 ip4", "v=spf1 include", "v=spf1 include:",
		"v=spf1 exists:%{c}.x.test", "v=spf1 exists:%{d0}.x.test", "v=spf1 exists:%a.x.test", "v=spf1 exp=x.test exp=x.test", "v=spf1 redirect=", "v=spf1 -redirect=x.test",
		"v=spf1 a:x.-test", "v=spf1 a:\x00.test", "v=spf1 a:x.test\tmx", "v=spf1 ptrx", "v=spf1 =x", "v=spf1 foo=%", "v=spf1 ip6:fe80::1%eth0",
	} {
		if terms, err := readSPF(bad); err == nil {
			t.Errorf("%q: %v", bad, terms)
		}
	}
}

func FuzzReadSPF(f *testing.F) {
	f.Add("v=spf1 a:%{d2r-}.x.test/24//64 include:x.test -all")
	f.Fuzz(func(t *testing.T, record string) {
		terms, err := readSPF(record)
		if err != nil {
			return
		}
		for _, x := range terms {
			if x.name == "" || strings.ContainsAny(x.value, " \t\x00") {
				t.Errorf("%q: term %+v", record, x)
			}
		}
		if _, err := readSPF(pinned(record, nil)); err != nil {
			t.Errorf("%q pinned: %v", record, err)
		}
	})
}

func TestReadSTS(t *testing.T) {
	t.Parallel()
	good := "version: STSv1\r\nmode: enforce\r\nmx: GW1.x.test\r\nmx: *.y.test\r\nmax_age: 86400\r\nother: z\r\nmode: none\r\n"
	p, err := readSTS(good)
	if err != nil || p.mode != stsEnforce || p.maxAge != 24*time.Hour {
		t.Fatalf("%+v, %v", p, err)
	}
	for host, want := range map[string]bool{"gw1.x.test.": true, "gw2.x.test.": false, "a.y.test.": true, "a.b.y.test.": false, "y.test.": false} {
		if p.lists(host) != want {
			t.Errorf("%s listed: %v", host, !want)
		}
	}
	if got, want := p.with([]string{"new.x.test"}), strings.Replace(good, "mx: *.y.test\r\n", "mx: *.y.test\r\nmx: new.x.test\r\n", 1); got != want {
		t.Errorf("with another host: %q", got)
	}
	if p, err := readSTS("version: STSv1\nmode: none\nmax_age: 0"); err != nil || p.mode != stsNone {
		t.Errorf("mode none: %v", err)
	}
	for _, bad := range []string{
		"", "version: STSv2\nmode: none\nmax_age: 1", "version: STSv1\nmode: on\nmax_age: 1", "version: STSv1\nmode: none", "version: STSv1\nmode: none\nmax_age: -1",
		"version: STSv1\nmode: none\nmax_age: 31557601", "version: STSv1\nmode: enforce\nmax_age: 1", "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.*.test",
		"version: STSv1\nmode: enforce\nmax_age: 1\nmx: 10 a.test", "version: STSv1\nmode: none\nmax_age: 1\nno colon", "version: STSv1\nmode: none\nmax_age: 1\n\x00: x",
		"version: STSv1\nmode: none\nmax_age: 1\nx: \x1b[2J", "version: STSv1\nmode: enforce\nmax_age: 1\n" + strings.Repeat("mx: a.test\n", maxHosts+1), strings.Repeat("x", maxPolicy+1),
	} {
		if p, err := readSTS(bad); err == nil {
			t.Errorf("%.60q: %+v", bad, p)
		}
	}
}

func FuzzReadSTS(f *testing.F) {
	f.Add("version: STSv1\nmode: enforce\nmx: *.x.test\nmax_age: 86400\n")
	f.Add("version: STSv1\r\nmode: testing\r\nmx: x.test\r\nmax_age: 86400\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readSTS(text)
		if err != nil || p.mode == stsNone {
			return
		}
		if len(text)+20 > maxPolicy || len(p.hosts) == maxHosts {
			return
		}
		q, err := readSTS(p.with([]string{"new.test"}))
		if err != nil || !q.lists("new.test.") || len(q.hosts) != len(p.hosts)+1 || q.mode != p.mode || q.maxAge != p.maxAge {
			t.Errorf("%q with another host: %q: %+v, %v", text, p.with([]string{"new.test"}), q, err)
		}
	})
}

func TestSTSRecord(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{"v=STSv1; id=a1;": "a1", "v=STSv1 ;id = 20260101Z ; x=y": "20260101Z", "v=STSv2; id=1": "", "other": ""} {
		if id, err := stsRecord([]string{record, "v=spf1 -all"}); err != nil || id != want {
			t.Errorf("%s: %q, %v", record, id, err)
		}
	}
	for _, bad := range [][]string{{"v=STSv1;"}, {"v=STSv1; id="}, {"v=STSv1; id=a_b"}, {"v=STSv1; id=1; id=2"}, {"v=STSv1; id=1", "v=STSv1; id=1"}, {"v=STSv1; id=" + strings.Repeat("1", 33)}} {
		if id, err := stsRecord(bad); err == nil {
			t.Errorf("%q: %q", bad, id)
		}
	}
}

func FuzzPolicyRecords(f *testing.F) {
	f.Add("v=STSv1; id=1")
	f.Add("v=TLSRPTv1; rua=mailto:a@b.test")
	f.Add("v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, record string) {
		if id, err := stsRecord([]string{record}); err == nil && id != "" && !stsID.MatchString(id) {
			t.Errorf("id %q", id)
		}
		if targets, err := readTLSRPT(record); err == nil && len(targets) == 0 {
			t.Error("nowhere to report to")
		}
		if words, err := dkimKey([]string{record}); (err == nil) == (words == "") || errors.Is(err, errNoKey) {
			t.Errorf("a key %q: %v", words, err)
		}
	})
}
