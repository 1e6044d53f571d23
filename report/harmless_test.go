package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"mxcutover/plan"
)

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
