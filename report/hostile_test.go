package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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
	strings.Repeat("very long ", 1000), "",
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
	f.Add("accepted 12ms, arrived 297ms, queued 3ms, gateway clock -1ms")
	f.Fuzz(func(t *testing.T, s string) {
		for name, d := range Legs(s) {
			if d < 0 || d > mostLatency || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < 'a' || r > 'z' }) {
				t.Errorf("%q: %s %v", s, name, d)
			}
		}
	})
}

// TestLegs: what arrival writes is what the report reads, and nothing else is.
func TestLegs(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	all := plan.Legs{Accepted: 120 * ms, Arrived: 1450 * ms, Queued: 880 * ms, Stored: 450 * ms, GatewayClock: time.Hour, OldClock: -time.Hour}
	some := plan.Legs{Accepted: 0, Arrived: 297 * ms, Queued: plan.Unmeasured, Stored: plan.Unmeasured}
	for in, want := range map[string]string{
		all.String():                  "map[accepted:120ms arrived:1.45s queued:880ms stored:450ms]",
		some.String():                 "map[accepted:0s arrived:297ms]",
		"accepted 12ms, arrived 1.5s": "map[]",
		"accepted 0ms, gateway 3ms, arrived 297ms":        "map[]",
		"accepted 1ms, arrived 297ms, spooled 3ms":        "map[]",
		"gw1.example <- 192.0.2.1, arrived soon":          "map[]",
		"accepted 1ms, arrived -5ms":                      "map[]",
		"accepted 1ms, arrived 99999999999ms":             "map[accepted:1ms]",
		strings.Repeat("accepted 1ms, arrived 1ms,", 999): "map[]",
		"": "map[]",
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
	for range 100000 {
		h.add(12345678 * time.Millisecond)
	}
	if len(h.by) != 1 || h.quantile(0.5) != 12300*time.Second || (&histogram{}).quantile(0.5) != 0 {
		t.Errorf("%d groups, p50 %v", len(h.by), h.quantile(0.5))
	}
}
