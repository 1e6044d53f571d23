package rrset

import (
	"strings"
	"testing"
)

func TestCanonicalName(t *testing.T) {
	t.Parallel()
	cases := []struct{ in, want string }{
		{"Example.ORG", "example.org."},
		{"example.org.", "example.org."},
		{".", "."},
		{"*.Example.org", "*.example.org."},
		{`a\.b.example.`, `a\.b.example.`},
		{`a\046b.example.`, `a\.b.example.`},
		{`\065bc.example.`, `abc.example.`},
		{`sp\032ace.example.`, `sp\032ace.example.`},
		{`x\255.example.`, `x\255.example.`},
		{`q\"uote.example.`, `q\"uote.example.`},
		{`_smtp._tls.example.`, `_smtp._tls.example.`},
		{`xn--bcher-kva.example`, `xn--bcher-kva.example.`},
	}
	for _, c := range cases {
		got, err := CanonicalName(c.in)
		if err != nil || got != c.want {
			t.Errorf("CanonicalName(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
	long := strings.Repeat("a", 64)
	for _, bad := range []string{
		"", "..", "a..b", ".a", `a\`, `a\25`, `a\256.`, "a b.example", "bücher.example", "a\x00b",
		long + ".example", strings.Repeat(strings.Repeat("a", 49)+".", 6),
	} {
		if got, err := CanonicalName(bad); err == nil {
			t.Errorf("CanonicalName(%q) = %q, want an error", bad, got)
		}
	}
}

// Hexadecimal text may be in upper case and in pieces.
func TestDigestsAreSpelledAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, in, want string }{
		{"TLSA", "3 1  1 AB Cd\tEF", "3 1 1 abcdef"},
		{"DS", "60485 5 1 2BB183AF 5F22", "60485 5 1 2bb183af5f22"},
		{"SSHFP", "2 1 12AB", "2 1 12ab"},
		{"TLSA", `\# 4 030101AB`, `\# 4 030101AB`},
		{"TLSA", "3 1 1", "3 1 1"},
		{"TLSA", "3 1 1 no Digest", "3 1 1 no Digest"},
		{"TXT", `"AB  CD"`, `"AB  CD"`},
	} {
		if s, err := New("a.example", c.typ, 1, c.in); err != nil || s.Data[0] != c.want {
			t.Errorf("%s %q: %q, %v", c.typ, c.in, s.Data, err)
		}
	}
	if s, err := New("a.example", "TLSA", 1, " "); err == nil {
		t.Errorf("empty: %q", s.Data)
	}
}

func TestBelowCountsLabels(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, zone string
		want       bool
	}{
		{"a.example.com.", "example.com.", true},
		{"example.com.", "example.com.", true},
		{"notexample.com.", "example.com.", false},
		{"com.", "example.com.", false},
		{`x\.example.com.`, "example.com.", false},
		{"anything.", ".", true},
	}
	for _, c := range cases {
		if got := Below(c.name, c.zone); got != c.want {
			t.Errorf("Below(%q, %q) = %v", c.name, c.zone, got)
		}
	}
}

func TestSetsCompareCanonically(t *testing.T) {
	t.Parallel()
	a, err := New("Example.org", "mx", 300, "20 B.example.", "10 a.example", "10 A.example.")
	if err != nil {
		t.Fatal(err)
	}
	b, err := New("example.org.", "MX", 60, "10 a.example.", "20 b.example.")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !a.SameData(b):
		t.Errorf("%v and %v differ in data", a, b)
	case a.Equal(b):
		t.Error("another TTL is equal")
	case !a.WithTTL(60).Equal(b), a.WithTTL(60).Hash() != b.Hash():
		t.Error("the same TTL is not equal")
	case a.Hash() == b.Hash():
		t.Error("another TTL has the same hash")
	}
	order, err := New("x.", "MX", 1, "100 a.", "9 z.")
	if err != nil || order.Data[0] != "9 z." {
		t.Errorf("preferences are not ordered as numbers: %v %v", order, err)
	}
	absent, err := New("x.", "MX", 300)
	if err != nil || !absent.Absent() || absent.TTL != 0 || absent.WithTTL(5).TTL != 0 {
		t.Errorf("an absent RRset has a TTL: %+v %v", absent, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, data string }{
		{"MX", "mail.example."},
		{"MX", "70000 mail.example."},
		{"MX", "-1 mail.example."},
		{"MX", "10 mail.example. x"},
		{"MX", "10 a..b."},
		{"NS", "a b"},
		{"TXT", " "},
		{"", "x"},
	} {
		if s, err := New("x.example.", c.typ, 1, c.data); err == nil {
			t.Errorf("New(%s %q) = %v, want an error", c.typ, c.data, s)
		}
	}
	if _, err := New("x.", "MX", MaxTTL+1, "0 ."); err == nil {
		t.Error("a TTL with the high bit set was taken")
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	before, _ := New("a.example.", "MX", 60, "10 old.")
	after, _ := New("a.example.", "MX", 60, "10 new.")
	c := Change{Zone: "example.", Before: before, After: after}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if i := c.Inverse(); !i.Before.Equal(after) || !i.After.Equal(before) || i.Zone != c.Zone {
		t.Errorf("inverse %v", i)
	}
	c.Zone = "ample."
	if c.Check() == nil {
		t.Error("a name outside the zone was taken")
	}
}

func FuzzCanonicalName(f *testing.F) {
	long := strings.Repeat(strings.Repeat("a", 61)+".", 4)
	for _, s := range []string{"a.b", `\000.`, `a\.b.c.`, "*.x", "", ".", "a..b.", ".a.", strings.Repeat("a", 64) + ".", long + "abcde.", long + "abcdef."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := CanonicalName(s)
		if slow, slowErr := spell(s); slow != c || (err == nil) != (slowErr == nil) {
			t.Errorf("CanonicalName(%q) = %q, %v; the long way %q, %v", s, c, err, slow, slowErr)
		}
		if err != nil {
			return
		}
		again, err := CanonicalName(c)
		if err != nil || again != c {
			t.Errorf("CanonicalName(%q) = %q, again %q, %v", s, c, again, err)
		}
		if joined := strings.Join(Labels(c), ".") + "."; c != "." && joined != c {
			t.Errorf("labels of %q join to %q", c, joined)
		}
	})
}
