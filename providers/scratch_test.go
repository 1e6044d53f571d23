package providers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mxcutover/rrset"
)

func TestScratch(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		sets []rrset.Set
		says string
	}{
		"a plain zone":                      {[]rrset.Set{mx("@", 60, oldMX), mx("a.b", 60, oldMX)}, ""},
		"a wildcard further below":          {[]rrset.Set{mx("*.people", 60, oldMX)}, ""},
		"a wildcard":                        {[]rrset.Set{mx("*", 60, oldMX)}, "wildcard"},
		"a wildcard of another type":        {[]rrset.Set{set("*", "A", 60, "127.0.0.1")}, "wildcard"},
		"an empty non-terminal as wildcard": {[]rrset.Set{mx("a.*", 60, oldMX)}, "wildcard"},
		"a label with an asterisk":          {[]rrset.Set{mx("a*", 60, oldMX)}, ""},
		"a DNAME at the apex":               {[]rrset.Set{set("@", "DNAME", 60, "example.net.")}, "DNAME"},
	} {
		got, err := Scratch(siteZone, c.sets, "demo", now)
		if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrScratch) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (rrset.Parent(got.After.Name) != siteZone || !got.Before.Absent() || canonical(got.After) != nil || got.Check() != nil) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestLeftovers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	mine, err := Scratch(siteZone, nil, "demo", now)
	if err != nil {
		t.Fatal(err)
	}
	others, err := Scratch(siteZone, nil, "other since 7", now)
	if err != nil {
		t.Fatal(err)
	}
	sets := []rrset.Set{
		mine.After, others.After, mx("@", 60, oldMX), set("_mxcutover-x", "TXT", 60, `"something else"`),
		set("a._mxcutover-x", "TXT", 60, mine.After.Data[0]), set("x", "TXT", 60, mine.After.Data[0]), set("_mxcutover-y", "TXT", 60, mine.After.Data[0], `"more"`),
		set("_mxcutover-z", "TXT", 60, `"mxcutover scratch record of demo"`),
	}
	if got := Leftovers(siteZone, sets, "demo", now); len(got) != 1 || !got[0].Before.Equal(mine.After) || !got[0].After.Absent() {
		t.Errorf("ours: %+v", got)
	}
	if got := Leftovers(siteZone, sets, "", now.Add(time.Hour)); len(got) != 2 {
		t.Errorf("old ones: %+v", got)
	}
}

// A file's scratch record comes and goes, and takes with it what was left before.
func TestWriteScratch(t *testing.T) {
	t.Parallel()
	b := newFileBed(t, fileText1+"_mxcutover-old TXT \"mxcutover scratch record of demo since 5; it may be deleted\"\n")
	p := b.open(t)
	if proven, err := Inspect(t.Context(), p, siteZone); !proven || err != nil {
		t.Errorf("inspected: %v, %v", proven, err)
	}
	was := b.text("db.example.test")
	got, remove, err := WriteScratch(t.Context(), p, siteZone, "demo", time.Now())
	text := b.text("db.example.test")
	if err != nil || !strings.Contains(text, got.Name) || strings.Contains(text, "_mxcutover-old") {
		t.Fatalf("%v, %v\n%s", got, err, text)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	kept, _, _ := strings.Cut(was, "_mxcutover-old")
	want := strings.Replace(kept, "ns h 7", "ns h 10", 1)
	if text := b.text("db.example.test"); text != want {
		t.Errorf("taken away:\n%s\nwant\n%s", text, want)
	}
	b.write(t, ".db.example.test.mxcutover", "owed")
	if _, err := Inspect(t.Context(), p, siteZone); err == nil || !strings.Contains(err.Error(), "may not have read it") {
		t.Errorf("inspected while a reload is owed: %v", err)
	}
}
