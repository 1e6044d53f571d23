package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAliasesAndMerges(t *testing.T) {
	t.Parallel()
	c := parse(t, with(t, minimal,
		"records: [{preference: 10, host: gw1.example.org}]",
		"records: [&gw {preference: 10, host: gw1.example.org}, {<<: *gw, host: gw2.example.org}]\n  templates: {a.example.org: [*gw]}"))
	if got := fmt.Sprint(c.MX.Records, c.MX.Templates); got != "[10 gw1.example.org. 10 gw2.example.org.] map[a.example.org.:[10 gw1.example.org.]]" {
		t.Error(got)
	}
}

func TestLineEndsAndMark(t *testing.T) {
	t.Parallel()
	want := parse(t, minimal).Hash()
	if got := parse(t, "\ufeff"+strings.ReplaceAll(minimal, "\n", "\r\n")).Hash(); got != want {
		t.Error("a byte order mark or CRLF changes what is read")
	}
	_, err := Parse("m.yaml", []byte("\ufeff"+strings.ReplaceAll(with(t, minimal, "rfc2136", "5"), "\n", "\r\n")))
	if f := faults(t, err); f[0].Line != 7 || f[0].Column != 11 {
		t.Errorf("the fault is told at %d:%d", f[0].Line, f[0].Column)
	}
}

// TestExhausting shows that small texts which grow, and large ones, are refused
// in a short time, not followed.
func TestExhausting(t *testing.T) {
	t.Parallel()
	laughs := "a0: &a0 [x]\n"
	for i := range 20 {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	merges := "a0: &a0 {k: 1}\n"
	for i := range 20 {
		merges += fmt.Sprintf("a%d: &a%d {<<: [%s]}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	many := strings.Builder{}
	many.WriteString("providers:\n")
	for i := range 3000 {
		fmt.Fprintf(&many, "  p%d: {kind: x, zones: [z%d.example]}\n", i, i)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"billion laughs": {laughs, "aliases followed"},
		"merges":         {merges, "aliases followed"},
		"own anchor":     {"gate: &g {soak: *g}\n", "within its own anchor"},
		"flow":           {strings.Repeat("[", 100_000), "nested too deeply"},
		"dashes":         {strings.Repeat("- ", 100_000), "nested too deeply"},
		"questions":      {strings.Repeat("? ", 100_000), "nested too deeply"},
		"many tokens":    {"a: [" + strings.Repeat("x,", 250_000) + "]", "words and signs"},
		"many faults":    {"resolvers: {a: [" + strings.Repeat("x,", 30_000) + "]}", "more than 200 faults"},
		"many keys":      {many.String(), "mx: is missing"},
		"too large":      {strings.Repeat("#\n", MaxSize/2+1), "above 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			_, err := Parse("m.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.500v, want %q", err, tt.want)
			}
			t.Log(time.Since(begin))
			if n := len(faults(t, err)); n > maxFaults+1 {
				t.Errorf("%d faults", n)
			}
		})
	}
}

func TestMasksByText(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"  password: hunter2", "  settings: {server: x, api_token: hunter2, b: c}", `  "key": "hunter2"`, "  pasword:   hunter2 # x", "  hunter2hunter2==", "\thunter2",
		"key: {hunter2}", "  - hunter2 hunter2 password: hunter2"[4:],
	} {
		_, err := Parse("m.yaml", []byte(line+"\na: [\n"+line+" @ }\n"))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "0s": 0, "1h30m": 90 * time.Minute, "0d": 0,
		"": -1, "d": -1, "1": -1, "1w": -1, "-1d": -1, "1d-1h": -1, "1d+1h": -1, "999999d": -1, "106751d24h": -1, "1.5d": -1, "2562048h": -1, "1d1d": -1,
	} {
		got, err := parseDuration(s)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"hosts", "addresses", "ttl"}
	for word, want := range map[string]string{
		"host": "did you mean hosts?", "adresses": "did you mean addresses?", "Hosts": "did you mean hosts?",
		"x": "known here: addresses, hosts, ttl", "abc": "known here: addresses, hosts, ttl", strings.Repeat("a", 1000): "known here: addresses, hosts, ttl",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("suggest(%.20q) = %q, want %q", word, got, want)
		}
	}
}
