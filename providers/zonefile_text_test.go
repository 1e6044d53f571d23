package providers

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

const fileHead = "$TTL 3600\n@\tSOA\tns h 7 1 1 1 300\n\tNS\tns\n"

// readText makes out what a text means, with other files beside it.
func readText(text string, files fstest.MapFS) (*fileZone, error) {
	main, err := cutFile("zone", []byte(text))
	if err != nil {
		return nil, err
	}
	return readFileZone(siteZone, main, func(name string) (*fileText, error) {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		return cutFile(name, b)
	})
}

// oracle is what another parser makes of a text: lines "owner TTL type data", in
// the order of the alphabet, without the serial.
func oracle(text string, files fstest.MapFS) ([]string, error) {
	p := dns.NewZoneParser(strings.NewReader(text), siteZone, "zone")
	p.SetIncludeAllowed(true)
	p.SetIncludeFS(files)
	var out []string
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		h := rr.Header()
		if soa, ok := rr.(*dns.SOA); ok {
			soa.Serial = 0
		}
		data := strings.TrimSpace(strings.TrimPrefix(rr.String(), h.String()))
		owner, err := rrset.CanonicalName(h.Name)
		if err != nil {
			return nil, err
		}
		if mx, ok := rr.(*dns.MX); ok {
			host, err := rrset.CanonicalName(mx.Mx)
			if err != nil {
				return nil, err
			}
			data = fmt.Sprintf("%d %s", mx.Preference, host)
		}
		out = append(out, fmt.Sprintf("%s %d %s %s", owner, h.Ttl, dns.Type(h.Rrtype), data))
	}
	slices.Sort(out)
	return slices.Compact(out), p.Err()
}

// changed is what the oracle shall say after a change.
func changed(was []string, c rrset.Change) []string {
	out := slices.DeleteFunc(slices.Clone(was), func(l string) bool {
		f := strings.Fields(l)
		return f[0] == c.After.Name && f[2] == c.After.Type
	})
	for _, d := range c.After.Data {
		out = append(out, fmt.Sprintf("%s %d %s %s", c.After.Name, c.After.TTL, c.After.Type, d))
	}
	slices.Sort(out)
	return out
}

var fileEdits = []struct {
	name, was string
	after     rrset.Set
	want      string // "" = the same as was with "|old|new|" pairs
	files     fstest.MapFS
	says      string // the refusal
}{
	{
		name: "tabs, comments and a name of the origin",
		was:  fileHead + "; mail\n\n@\tIN\tMX\t10\told.example.net. ; do not touch\nwww A 127.0.0.1\n", after: mx("@", 3600, gwMX),
		want: fileHead + "; mail\n\n@\tIN\tMX\t10\tgw.example.net. ; do not touch\nwww A 127.0.0.1\n",
	},
	{
		name: "a TTL that was left out", was: fileHead + "m\tMX\t10 old.example.net.\n", after: mx("m", 60, oldMX),
		want: fileHead + "m\t60\tMX\t10 old.example.net.\n",
	},
	{
		name: "a TTL in BIND's units, after the class", was: fileHead + "m IN 1h MX 10 old.example.net.\n", after: mx("m", 60, oldMX),
		want: fileHead + "m IN 60 MX 10 old.example.net.\n",
	},
	{
		name: "a record in parentheses over lines", was: fileHead + "m MX ( 10 ; preference\n   old.example.net. ; host\n )\nw A 127.0.0.1\n", after: mx("m", 3600, gwMX),
		want: fileHead + "m MX ( 10 ; preference\n   gw.example.net. ; host\n )\nw A 127.0.0.1\n",
	},
	{
		name: "the serial in parentheses", was: "$TTL 1h\n@ SOA ns h (\n\t\t2026010199 ; serial\n\t\t1 1 1 1 )\n NS ns\n MX 10 old.example.net.\n", after: mx("@", 3600, gwMX),
		want: "$TTL 1h\n@ SOA ns h (\n\t\t2026010200 ; serial\n\t\t1 1 1 1 )\n NS ns\n MX 10 gw.example.net.\n",
	},
	{
		name: "the first record of a name goes, and the next takes its owner", was: fileHead + "m    MX 10 old.example.net.\n     A 127.0.0.1\n\tTXT \"a\"\n", after: mx("m", 0),
		want: fileHead + "m    A 127.0.0.1\n\tTXT \"a\"\n",
	},
	{
		name: "the owner under another origin", was: fileHead + "m MX 10 old.example.net.\n$ORIGIN sub.example.test.\n\tA 127.0.0.1\n", after: mx("m", 0),
		want: fileHead + "$ORIGIN sub.example.test.\nm.example.test.\tA 127.0.0.1\n",
	},
	{
		name: "a TTL that the next line took over", was: "@ 300 SOA ns h 7 1 1 1 300\n NS ns\nm 60 MX 10 old.example.net.\nw A 127.0.0.1\nv A 127.0.0.1\n", after: mx("m", 30, oldMX),
		want: "@ 300 SOA ns h 7 1 1 1 300\n NS ns\nm 30 MX 10 old.example.net.\nw 60 A 127.0.0.1\nv A 127.0.0.1\n",
	},
	{
		name: "one to two", was: fileHead + "m\tIN\tMX\t10 old.example.net.\n\tIN\tA\t127.0.0.1\n", after: mx("m", 3600, gwMX, "20 gw2.example.net."),
		want: fileHead + "m\tIN\tMX\t10 gw.example.net.\nm\tIN\tMX\t20 gw2.example.net.\n\tIN\tA\t127.0.0.1\n",
	},
	{
		name: "three to two, one kept", was: fileHead + "m MX 10 a.example.net.\n MX 20 b.example.net. ; stays\n MX 30 c.example.net.\n", after: mx("m", 3600, "20 b.example.net.", "5 d.example.net."),
		want: fileHead + "m MX 5 d.example.net.\n MX 20 b.example.net. ; stays\n",
	},
	{
		name: "a new name", was: fileHead + "w\tA\t127.0.0.1\n", after: mx("new", 300, gwMX),
		want: fileHead + "w\tA\t127.0.0.1\nnew.example.test.\t300\tMX\t10 gw.example.net.\n",
	},
	{
		name: "a new RRset at a name", was: fileHead + "w\tIN\tA\t127.0.0.1\nx A 127.0.0.1\n", after: mx("w", 3600, gwMX),
		want: fileHead + "w\tIN\tA\t127.0.0.1\nw\tIN\tMX\t10 gw.example.net.\nx A 127.0.0.1\n",
	},
	{
		name: "no final newline", was: fileHead + "m MX 10 old.example.net.", after: mx("m", 3600, gwMX, "20 gw2.example.net."),
		want: fileHead + "m MX 10 gw.example.net.\nm MX 20 gw2.example.net.",
	},
	{
		name: "no final newline, and the last line goes", was: fileHead + "w A 127.0.0.1\nm MX 10 old.example.net.", after: mx("m", 0),
		want: fileHead + "w A 127.0.0.1",
	},
	{
		name: "CRLF", was: crlf(fileHead + "m MX 10 old.example.net.\nw A 127.0.0.1\n"), after: mx("m", 3600, gwMX, "20 gw2.example.net."),
		want: crlf(fileHead + "m MX 10 gw.example.net.\nm MX 20 gw2.example.net.\nw A 127.0.0.1\n"),
	},
	{
		name: "case, escapes and relative hosts", was: fileHead + "M\\.x Mx 010 Old ; x\n", after: set(`m\.x`, "MX", 3600, "10 gw.example.net."),
		want: fileHead + "M\\.x Mx 10 gw.example.net. ; x\n",
	},
	{
		name: "a type by its number", was: fileHead + "m TYPE15 \\# 4 000a0000 ; null\n", after: mx("m", 3600, gwMX),
		want: fileHead + "m MX 10 gw.example.net.\n",
	},
	{
		name: "text in quotes", was: fileHead + "m TXT \"v=spf1; -all\" ; spf\n", after: set("m", "TXT", 3600, `"v=spf1 ~all"`),
		want: fileHead + "m TXT \"v=spf1 ~all\" ; spf\n",
	},
	{
		name: "beside an included file and a $GENERATE", was: fileHead + "m MX 10 old.example.net.\n$INCLUDE more sub\nw 60 A 127.0.0.1\n$GENERATE 1-3 h$ A 127.0.0.$\n", after: mx("m", 3600, gwMX),
		files: fstest.MapFS{"more": {Data: []byte("x 60 A 127.0.0.1\n")}},
		want:  fileHead + "m MX 10 gw.example.net.\n$INCLUDE more sub\nw 60 A 127.0.0.1\n$GENERATE 1-3 h$ A 127.0.0.$\n",
	},
	{
		name: "in an included file", was: fileHead + "$INCLUDE more\n", after: mx("m", 3600, gwMX),
		files: fstest.MapFS{"more": {Data: []byte("m MX 10 old.example.net.\n")}}, says: "more:1: m.example.test. MX stands in an included file",
	},
	{name: "made by a $GENERATE", was: fileHead + "$GENERATE 1-3 m$ MX 10 old.example.net.\n", after: mx("m2", 3600, gwMX), says: "zone:4: m2.example.test. MX is made by a $GENERATE"},
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestFileEdits(t *testing.T) {
	t.Parallel()
	for _, c := range fileEdits {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			z, err := readText(c.was, c.files)
			if err != nil {
				t.Fatal(err)
			}
			before := must(z.set(must(newWanted(siteZone, c.after.Name, c.after.Type))))
			change := rrset.Change{Zone: siteZone, Before: before, After: c.after}
			got, err := z.change(change, func(old uint32) uint32 { return old + 1 })
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(c.want, "ns h 7", "ns h 8", 1)
			if string(got) != want {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
			was, is := must(oracle(c.was, c.files)), must(oracle(string(got), c.files))
			if !slices.Equal(is, changed(was, change)) {
				t.Errorf("another parser reads\n%s\nwant\n%s", strings.Join(is, "\n"), strings.Join(changed(was, change), "\n"))
			}
			// The way back means what was, though a TTL may stand written out.
			z, err = readText(string(got), c.files)
			if err != nil {
				t.Fatal(err)
			}
			back, err := z.change(change.Inverse(), func(old uint32) uint32 { return old + 1 })
			if err != nil || !slices.Equal(must(oracle(string(back), c.files)), was) {
				t.Errorf("the way back: %v\n%s", err, back)
			}
		})
	}
}

func TestFileFaults(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		fileHead + "m MX 10 a. )\n":                        "zone:4: a parenthesis closes",
		fileHead + "m MX ( 10 a.\n":                        "zone:4: the parenthesis is not closed",
		fileHead + "m TXT \"a\n":                           "zone:4: the quote is not closed",
		fileHead + "m TXT \"a":                             "the quote is not closed",
		fileHead + "m TXT a\\\n":                           "a backslash",
		fileHead + "\x00\x00":                              "raw format",
		fileHead + "m 10x MX 10 a.\n":                      "no TTL",
		fileHead + "m 99999999999 MX 10 a.\n":              "TTL",
		fileHead + "m 4294967295 MX 10 a.\n":               "above",
		fileHead + "m CH MX 10 a.\n":                       "class",
		fileHead + "m NOTYPE 10 a.\n":                      "no type of record",
		fileHead + "m 60\n":                                "no type",
		fileHead + "m..x MX 10 a.\n":                       "zone:4",
		fileHead + "$FOO bar\n":                            "not known",
		fileHead + "$ORIGIN\n":                             "no value",
		" MX 10 a.\n":                                      "no owner",
		"@ SOA ns h 1 1 1 1 1\nm MX 10 a.\n$TTL\n":         "no value",
		"m MX 10 a.\n":                                     "there is no $TTL",
		"(\nm MX 10 a. )\n":                                "begins with a parenthesis",
		"$INCLUDE loop\n":                                  "more than 8 deep",
		fileHead + "$INCLUDE none\n":                       "none",
		fileHead + "$INCLUDE ttl\nm MX 10 a.\n":            "servers differ",
		"@ 60 SOA ns h 1 1 1 1 1\n$INCLUDE one\nm MX 1 a.": "servers differ",
		fileHead + "$GENERATE 1-2 a$\n":                    "$GENERATE wants",
		fileHead + "$GENERATE 2-1 a$ A 127.0.0.$\n":        "$GENERATE cannot be read",
	} {
		_, err := readText(text, fstest.MapFS{
			"loop": {Data: []byte("$INCLUDE loop\n")}, "ttl": {Data: []byte("$TTL 60\n")}, "one": {Data: []byte("x 30 A 127.0.0.1\n")},
		})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestFileWithin(t *testing.T) {
	t.Parallel()
	z, err := readText(fileHead+"sub NS ns\nd DNAME example.net.\na CNAME ns\n*.w MX 10 a.\nt 60 MX 10 a.\nt 61 MX 20 b.\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"x.sub": "another zone begins", "sub": "another zone begins", "x.y.d": "DNAME", "a": "alias", "x.w": "", "t": "several TTLs"} {
		s, err := z.set(must(newWanted(siteZone, name+"."+siteZone, "MX")))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) || !s.Absent() {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
