package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"mxcutover/plan"
	"mxcutover/state"
)

// hostile are texts as a banner, a DNS record or a log line may have them.
var hostile = []string{
	`<script>window.pwned=1</script>`, `"><img src=x onerror="window.pwned=1">`, `</style></script><!-- <svg onload=window.pwned=1>`, `' onmouseover='window.pwned=1`,
	`]]><failure/><![CDATA[`, `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;`, `&lt;b&gt;&#x27;&amp;`,
	"\x1b[31mred\x1b]0;title\x07", "c1 \u009b31m", "nul \x00 bell \a", "bidi \u202eevil\u2066 \u200b", "broken \xff\xfe\xc3", "\ufffe \uffff \U000e0001", "\u2028 \u2029",
	"a|b ``code` ```` | c\\|", "`", " ` ", "[link](javascript:alert(1)) ![i](http://evil.example/x)", "@everyone #1 http://evil.example www.evil.example a@evil.example",
	"line\nbreak\r\n# heading\n| a | b |\n", `x",evil="1"} 1` + "\nevil 2", `back\slash\`, `{{.Policy}} {{template "page"}} ${x}`, "javascript:window.pwned=1",
	strings.Repeat("very long ", 20000), "",
}

// hostileAt is the text whose turn it is.
func hostileAt() func(string) string {
	n := 0
	return func(string) string { n++; return hostile[n%len(hostile)] }
}

// hostileVerification says each hostile text in each of a finding's fields.
func hostileVerification() Verification {
	v := Verification{Title: "Verification", Migration: hostile[0], At: time.Unix(1e9, 0), Took: time.Second, Domains: 3, NotAsked: map[string]string{}, Left: map[state.Phase]int{state.Phase(hostile[0]): 1}}
	var found []Found
	for i, h := range hostile {
		s := []plan.Severity{plan.Pass, plan.Warn, plan.Fail, plan.Unknown, plan.Severity(h)}[i%5]
		found = append(found, Of(h, []plan.Finding{
			{Check: "gw.connect", Target: "gw1", Severity: s, Detail: h, Evidence: h, RFC: h, Vantage: h, At: time.Unix(1e9, 0)},
			{Check: h, Target: h, Severity: plan.Fail, Detail: h},
		})...)
		v.NotAsked[h] = h
	}
	v.Findings = Gather(found)
	return v
}

func hostileStory(t testing.TB) *Story {
	m := makeUp(t, 40, hostileAt())
	m.plan.Migration = hostile[1]
	for i := range m.events {
		e := &m.events[i]
		if e.Decision != nil {
			e.Decision.By = hostile[i%len(hostile)]
		}
		if e.Kind == state.Started {
			e.Reason = hostile[i%len(hostile)]
		}
	}
	m.closeOld()
	s := m.story()
	v := hostileVerification()
	s.Verified = &v
	return s
}

// formats are all that write foreign text, each with what must hold of it.
func formats(t testing.TB) []struct {
	name         string
	verification func(Verification, io.Writer) error
	story        func(*Story, io.Writer) error
	check        func(testing.TB, string)
} {
	return []struct {
		name         string
		verification func(Verification, io.Writer) error
		story        func(*Story, io.Writer) error
		check        func(testing.TB, string)
	}{
		{"terminal", func(v Verification, w io.Writer) error { return Printer{}.Verification(w, v, true) }, func(s *Story, w io.Writer) error { return Printer{}.Story(w, s, true) }, checkPrintable},
		{"json", Verification.JSON, (*Story).JSON, checkJSON},
		{"junit", Verification.JUnit, nil, checkXML},
		{"markdown", Verification.Markdown, (*Story).Markdown, checkMarkdown},
		{"html", Verification.HTML, (*Story).HTML, checkHTML},
		{"nagios", func(v Verification, w io.Writer) error { _, err := v.Nagios(w); return err }, nil, checkNagios},
		{"metrics", func(v Verification, w io.Writer) error {
			return Metrics{Migration: v.Migration, Version: v.Migration, Findings: CountByCheck(v.Findings), Verified: &v}.Write(w)
		}, func(s *Story, w io.Writer) error { return MetricsOf(s.Status, "1.0", s.Last).Write(w) }, checkMetrics},
	}
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	v, s := hostileVerification(), hostileStory(t)
	for _, f := range formats(t) {
		var b bytes.Buffer
		if err := f.verification(v, &b); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		f.check(t, b.String())
		if f.story == nil {
			continue
		}
		b.Reset()
		if err := f.story(s, &b); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		f.check(t, b.String())
	}
}

func FuzzFormats(f *testing.F) {
	for _, h := range hostile {
		f.Add(h, "gw.connect", "choir.example", "fail")
		f.Add("detail", h, h, h)
	}
	f.Fuzz(func(t *testing.T, detail, check, target, severity string) {
		v := Verification{Title: "Verification", Migration: target, NotAsked: map[string]string{check: detail}, Findings: Gather(Of(target, []plan.Finding{
			{Check: check, Target: target, Severity: plan.Severity(severity), Detail: detail, Evidence: detail, Vantage: check},
			{Check: "x", Target: detail, Severity: plan.Fail, Detail: target},
		}))}
		for _, x := range formats(t) {
			var b bytes.Buffer
			if err := x.verification(v, &b); err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
			x.check(t, b.String())
		}
	})
}

func checkPrintable(t testing.TB, text string) {
	if !utf8.ValidString(text) {
		t.Error("it is not UTF-8")
	}
	for _, r := range text {
		if r != '\n' && (!unicode.IsPrint(r) || unicode.Is(unicode.Mn, r)) {
			t.Fatalf("it holds %U", r)
		}
	}
}

func checkJSON(t testing.TB, text string) {
	checkPrintable(t, text)
	var v struct {
		V        int
		Findings []plan.Finding
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.V != 1 {
		t.Errorf("v %d, %v", v.V, err)
	}
}

// checkXML reads it as strictly as the library can, and counts.
func checkXML(t testing.TB, text string) {
	checkPrintable(t, text)
	var all junitSuites
	if err := xml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	n, failures, skipped := 0, 0, 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "testcase":
			n++
		case "failure":
			failures++
		case "skipped":
			skipped++
		case "testsuites", "testsuite", "system-out":
		default:
			t.Errorf("it holds <%s>", start.Name.Local)
		}
	}
	if n != all.Tests || failures != all.Failures || skipped != all.Skipped {
		t.Errorf("it has %d tests, %d failures, %d skipped, and says %d, %d, %d", n, failures, skipped, all.Tests, all.Failures, all.Skipped)
	}
}

// checkMarkdown takes code spans out as CommonMark section 6.1 reads them; what is
// left must be ours, and tables must have their columns.
func checkMarkdown(t testing.TB, text string) {
	checkPrintable(t, text)
	columns := 0
	for l := range strings.Lines(text) {
		left := withoutCode(t, strings.TrimSuffix(l, "\n"))
		if strings.ContainsAny(left, "<>[]@&\\`") || strings.Contains(left, "http") || strings.Contains(left, "pwned") || strings.Contains(left, "www.") {
			t.Errorf("outside of code: %q", left)
		}
		if !strings.HasPrefix(left, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(strings.TrimSuffix(l, "\n"), `\|`, ""), "|")
		if columns > 0 && n != columns {
			t.Errorf("%d bars, want %d: %.200q", n, columns, l)
		}
		columns = n
	}
}

func withoutCode(t testing.TB, s string) string {
	var out strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '`')
		if i < 0 {
			return out.String() + s
		}
		out.WriteString(s[:i])
		n := len(s[i:]) - len(strings.TrimLeft(s[i:], "`"))
		rest, end := s[i+n:], -1
		for at := 0; at < len(rest); {
			if rest[at] != '`' {
				at++
				continue
			}
			row := len(rest[at:]) - len(strings.TrimLeft(rest[at:], "`"))
			if row == n {
				end = at
				break
			}
			at += row
		}
		if end < 0 {
			t.Fatalf("a code span has no end: %.200q", s)
		}
		s = rest[end+n:]
	}
	return out.String()
}

// pageElements may stand on a page.
var pageElements = strings.Fields(`html head meta title style body a header h1 h2 h3 p ul li svg rect nav main section span strong br code div table caption
	thead tbody tr th td details summary figure figcaption desc line text path g circle fieldset legend label input footer script`)

func checkHTML(t testing.TB, text string) {
	checkPrintable(t, text)
	z := html.NewTokenizer(strings.NewReader(text))
	scripts, styles := 0, 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			if scripts != 1 || styles != 1 {
				t.Errorf("%d scripts, %d styles", scripts, styles)
			}
			return
		case html.CommentToken:
			t.Error("it has a comment")
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			if !slices.Contains(pageElements, tok.Data) {
				t.Errorf("it has <%s>", tok.Data)
			}
			checkAttributes(t, tok)
			switch tok.Data {
			case "script":
				scripts++
				z.Next()
				if string(z.Raw()) != pageJS {
					t.Error("its script is not ours")
				}
			case "style":
				styles++
				z.Next()
				if string(z.Raw()) != pageCSS {
					t.Error("its style is not ours")
				}
			}
		}
	}
}

func checkAttributes(t testing.TB, tok html.Token) {
	for _, a := range tok.Attr {
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
			t.Errorf("<%s %s=%q>", tok.Data, a.Key, a.Val)
		}
		if a.Key == "content" && strings.HasPrefix(a.Val, "default-src") && a.Val != policy(pageCSS, pageJS) {
			t.Errorf("its policy is %s", a.Val)
		}
	}
}

func checkNagios(t testing.TB, text string) {
	checkPrintable(t, text)
	first, _, _ := strings.Cut(text, "\n")
	words, perf, ok := strings.Cut(first, " | ")
	if !regexp.MustCompile(`^MXCUTOVER (OK|WARNING|CRITICAL|UNKNOWN) - `).MatchString(words) || !ok || len(text) > 4096 {
		t.Errorf("%d bytes, %q", len(text), first)
	}
	if strings.Count(text, "|") != 1 || strings.ContainsAny(text, "<>") {
		t.Errorf("it has other bars or brackets: %q", text)
	}
	for _, p := range strings.Fields(perf) {
		if !regexp.MustCompile(`^[a-z]+=[0-9.]+s?;[0-9]*;[0-9]*;0$`).MatchString(p) {
			t.Errorf("performance data %q", p)
		}
	}
}

var (
	metricSample = regexp.MustCompile(`^([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} (\S+)$`)
	metricHead   = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_]+) (.+)$`)
)

// checkMetrics reads the text format: heads before samples, each family once, each
// sample once, values that are numbers, no label that is a domain.
func checkMetrics(t testing.TB, text string) {
	checkPrintable(t, text)
	family, seen, families := "", map[string]bool{}, map[string]bool{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if m := metricHead.FindStringSubmatch(l); m != nil {
			if m[1] == "HELP" {
				if families[m[2]] {
					t.Errorf("%s has two heads", m[2])
				}
				family, families[m[2]] = m[2], true
			}
			continue
		}
		m := metricSample.FindStringSubmatch(l)
		if m == nil || m[1] != family {
			t.Errorf("no sample of %s: %.300q", family, l)
			continue
		}
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("%s: %v", l, err)
		}
		if key := m[1] + m[2]; seen[key] {
			t.Errorf("twice: %.300q", l)
		} else {
			seen[key] = true
		}
		if strings.Contains(m[2], "domain=") || strings.Contains(m[2], "dept0") {
			t.Errorf("a label is a domain: %s", l)
		}
	}
	if len(seen) == 0 {
		t.Error("it has no sample")
	}
}

// TestJSONKeepsText reads foreign text back as it was: it is data there, and only
// what a terminal would obey is escaped.
func TestJSONKeepsText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	v := hostileVerification()
	if err := v.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct{ Findings []Found }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got.Findings) != len(v.Findings) {
		t.Fatalf("%d findings of %d, %v", len(got.Findings), len(v.Findings), err)
	}
	for i, f := range v.Findings {
		if want := strings.ToValidUTF8(f.Detail, "\ufffd"); utf8.ValidString(f.Detail) && got.Findings[i].Detail != want {
			t.Errorf("%.100q became %.100q", f.Detail, got.Findings[i].Detail)
		}
	}
}

func FuzzLegs(f *testing.F) {
	f.Add("accepted 12ms, arrived 297ms; gateway 3s, x -1s")
	f.Fuzz(func(t *testing.T, s string) {
		for name, d := range Legs(s) {
			if d < 0 || d > mostLatency || !legName(name) {
				t.Errorf("%q: %s %v", s, name, d)
			}
		}
	})
}

func TestLegs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"accepted 12ms, arrived 1.5s":              "map[accepted:12ms arrived:1.5s]",
		"accepted 0ms, gateway 3ms, arrived 297ms": "map[accepted:0s arrived:297ms gateway:3ms]",
		"gw1.example <- 192.0.2.1, arrived soon":   "map[]",
		"arrived -5ms, arrived2 5ms, A 5ms":        "map[]",
		"arrived 99999999h":                        "map[]",
		strings.Repeat("a 1ms,", 1000):             "map[]",
		"":                                         "map[]",
	} {
		if got := fmt.Sprint(Legs(in)); got != want {
			t.Errorf("Legs(%.40q) = %s, want %s", in, got, want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.95: 950 * time.Millisecond, 1: time.Second, 0: time.Millisecond} {
		if got := h.quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h = histogram{}
	for range 2000000 {
		h.add(12345678 * time.Millisecond)
	}
	if len(h.by) != 1 || h.quantile(0.5) != 12300*time.Second || (&histogram{}).quantile(0.5) != 0 {
		t.Errorf("%d groups, p50 %v", len(h.by), h.quantile(0.5))
	}
}
