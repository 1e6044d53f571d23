package providers

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mxcutover/rrset"
)

// drawZone makes a master file of many styles.
func drawZone(t *rapid.T) string {
	var b strings.Builder
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "pick") }
	if rapid.Bool().Draw(t, "ttl") {
		b.WriteString("$TTL " + pick("3600", "1h", "1d12h") + "\n@ ")
	} else {
		b.WriteString("@ 86400 ")
	}
	b.WriteString(pick("IN SOA ns h 1 1 1 1 1\n", "SOA ns h (\n\t1 ; serial\n\t1 1 1 ;x)\n 1 )\n"))
	origin := ""
	for range rapid.IntRange(0, 25).Draw(t, "lines") {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			b.WriteString(pick("\n", "; note (\n", "  ; \"odd\n", " \t \n"))
			continue
		case 1:
			origin = pick("", "sub.")
			b.WriteString("$ORIGIN " + origin + siteZone + pick("", " ; here") + "\n")
			continue
		case 2:
			b.WriteString("$TTL " + pick("60", "2h", "3600") + "\n")
			continue
		}
		b.WriteString(pick("", "", "m", "w", "@", "M", "m.example.test.", "sub.example.test.", "*", `d\.d`))
		b.WriteString(pick(" ", "\t", "      ", "\t\t"))
		b.WriteString(pick("", "", "300 ", "IN\t", "IN 300 ", "300 IN ", "1h IN  "))
		gap := pick(" ", "\t", "  ")
		switch rapid.IntRange(0, 4).Draw(t, "type") {
		case 0, 1, 2:
			host := pick("old.example.net.", "w", "OLD.example.net.", "b.example.net.")
			b.WriteString(pick("MX", "mx") + gap + pick("10"+gap+host, "20 "+host, "0"+gap+host, "( 30 ; pref\n\t"+host+" ; host\n)"))
		case 3:
			b.WriteString("A" + gap + pick("127.0.0.1", "127.0.0.2"))
		case 4:
			b.WriteString("TXT" + gap + pick(`"a;b (c"`, `a "b\"" c`, `( "x" ; c )`+"\n "+`"y" )`))
		}
		b.WriteString(pick("", " ; note", "\t;(") + "\n")
	}
	text := b.String()
	if rapid.Bool().Draw(t, "crlf") {
		text = crlf(text)
	}
	if rapid.Bool().Draw(t, "cut") {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	}
	return text
}

// Whatever the style, a change means exactly itself to another parser, leaves all
// lines but a few as they were, and can be taken back.
func TestFileProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := drawZone(t)
		was, err := oracle(text, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		z, err := readText(text, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if same := patches(nil).apply(z.main.text); string(same) != text {
			t.Fatalf("no change made\n%q of\n%q", same, text)
		}
		name := rapid.SampledFrom([]string{"@", "m", "w", "new", "*", `d\.d`, "x.sub"}).Draw(t, "name")
		before, err := z.set(must(newWanted(siteZone, set(name, "MX", 0).Name, "MX")))
		if err != nil {
			return // several TTLs
		}
		var data []string
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			data = append(data, rapid.SampledFrom([]string{oldMX, gwMX, "20 gw2.example.net.", "30 w.example.test.", "0 ."}).Draw(t, "member"))
		}
		after := set(name, "MX", rapid.SampledFrom([]uint32{60, 300, 3600}).Draw(t, "after"), data...)
		c := rrset.Change{Zone: siteZone, Before: before, After: after}
		got, err := z.change(c, func(old uint32) uint32 { return old + 1 })
		if err != nil {
			t.Fatalf("%v: %v in\n%s", err, c, text)
		}
		is, err := oracle(string(got), nil)
		if err != nil || !slices.Equal(is, changed(was, c)) {
			t.Fatalf("%v: %v\nof\n%s\nmade\n%s\nwhich reads\n%s\nwant\n%s", err, c, text, got, strings.Join(is, "\n"), strings.Join(changed(was, c), "\n"))
		}
		checkLines(t, text, string(got))
		again := must(readText(string(got), nil))
		back, err := again.change(c.Inverse(), func(old uint32) uint32 { return old + 1 })
		if err != nil || !slices.Equal(must(oracle(string(back), nil)), was) {
			t.Fatalf("%v: the way back of %v in\n%s\nmade\n%s", err, c, got, back)
		}
	})
}

// checkLines looks at lines alone: comments, and those of other records, stay, but
// for the one with the serial, and two that took owner or TTL from one before.
func checkLines(t *rapid.T, was, is string) {
	now := map[string]int{}
	for l := range strings.Lines(is) {
		now[strings.TrimRight(l, "\r\n")]++
	}
	lost := 0
	for l := range strings.Lines(was) {
		l = strings.TrimRight(l, "\r\n")
		others := strings.HasPrefix(l, ";") || strings.TrimSpace(l) == "" || strings.HasPrefix(l, "$") || strings.Contains(l, "TXT") || strings.Contains(l, "127.0.0.")
		if now[l]--; others && now[l] < 0 {
			lost++
		}
	}
	if lost > 2 {
		t.Fatalf("%d lines of others are not as they were in\n%s\nwhich was\n%s", lost, is, was)
	}
	if crlf := strings.Contains(was, "\r\n"); crlf && strings.Count(is, "\n") != strings.Count(is, "\r\n") {
		t.Fatalf("line ends are mixed in\n%q", is)
	}
	if blank := strings.HasSuffix(strings.TrimRight(is, " \t\r"), "\n"); strings.HasSuffix(was, "\n") != strings.HasSuffix(is, "\n") && !blank {
		t.Fatalf("the final newline is another in\n%q\nwhich was\n%q", is, was)
	}
}

// Any bytes are either refused or come back the same, and mean to another parser
// what they mean to us.
func FuzzZonefile(f *testing.F) {
	for _, c := range fileEdits {
		f.Add(c.was)
	}
	f.Add("$TTL 60\n@ SOA a b 1 1 1 1 1\n\t( MX 10\n \"a\" )\n$ORIGIN .\nx 1w A 127.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToUpper(text), "$INCLUDE") || strings.Contains(strings.ToUpper(text), "$GENERATE") {
			return
		}
		z, err := readText(text, nil)
		if err != nil {
			return
		}
		w := must(newWanted(siteZone, siteZone, "MX"))
		before, err := z.set(w)
		if err != nil {
			return
		}
		c := rrset.Change{Zone: siteZone, Before: before, After: mx("@", 77, gwMX)}
		got, err := z.change(c, func(old uint32) uint32 { return old + 1 })
		if err != nil {
			return
		}
		was, err := oracle(text+"\n", nil)
		if err != nil {
			return // it is stricter, or knows less
		}
		is, err := oracle(string(got)+"\n", nil)
		if err != nil || !slices.Equal(is, changed(was, c)) {
			t.Fatalf("%v\nof\n%q\nmade\n%q\nwhich reads\n%s\nwant\n%s", err, text, got, strings.Join(is, "\n"), strings.Join(changed(was, c), "\n"))
		}
	})
}
