package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s differs (%v); got:\n%s", file, err, got)
	}
}

func TestHarmless(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "bücher": "bücher", "a\x1b[31mb": `a\x1b[31mb`, "x\x00\x7fy": `x\x00\x7fy`, "two\nlines": `two\nlines`,
		"\u202eevil": `\u{202e}evil`, "zero\u200bwidth": `zero\u{200b}width`, "\xff\xfe": `\xff\xfe`, "c1\u009b31m": `c1\u{9b}31m`,
		"tab\tbed": "tab bed", "e\u0301": `e\u{301}`,
	} {
		if got := Harmless(in); got != want {
			t.Errorf("Harmless(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Harmless(strings.Repeat("x", 10*maxText)); len(got) != maxText+3 {
		t.Errorf("long text has %d bytes", len(got))
	}
}

func FuzzHarmless(f *testing.F) {
	f.Add("a\x1b]0;x\x07\u2066\xf0")
	f.Fuzz(func(t *testing.T, s string) {
		got := Harmless(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q is not UTF-8", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", got, r)
			}
		}
	})
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"choir.example": "choir.example", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "*.wild.example": "'*.wild.example'",
		"$(rm -rf /)": "'$(rm -rf /)'", "`x`": "'`x`'", "-rf": "-rf",
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		53 * time.Second: "00:53", 59*time.Minute + time.Second: "59:01", 192 * time.Minute: "3h12m", 52 * time.Hour: "2d4h", -time.Second: "00:00",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestEveryKindHasWords walks all kinds of events and steps.
func TestEveryKindHasWords(t *testing.T) {
	t.Parallel()
	for _, k := range []state.Kind{
		state.Begun, state.Started, state.Stopped, state.Decided, state.WaveStarted, state.WaveHeld, state.WaveLive, state.Intended,
		state.Observed, state.Done, state.Failed, state.Held, state.Drifted, state.InDoubt, state.RollingBack, state.Undoing, state.Undone,
		state.RolledBack, state.Lifted, state.Closed,
	} {
		line := (Printer{}).Line(state.Event{Kind: k, Step: "publish", Reason: "a reason", Decision: &state.Decision{Verb: state.Hold, Target: "all", By: "x"}})
		if _, words, _ := strings.Cut(line, " "); !k.Known() || len(strings.Fields(words)) < 3 {
			t.Errorf("%s: %q", k, line)
		}
	}
	for _, k := range []plan.Kind{
		plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish, plan.Propagate, plan.Probe, plan.Soak, plan.Settle, plan.Observe, plan.Arm, plan.Prove, plan.Confirm,
	} {
		if stepDone[k] == "" || stepBegun[k] == "" {
			t.Errorf("step %s has no words", k)
		}
	}
}

func sample(t *testing.T) (plan.Inventory, plan.Plan) {
	t.Helper()
	mx := func(name string, data ...string) rrset.Set {
		s, err := rrset.New(name, "MX", 3600, data...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	inv := plan.Inventory{Domains: []plan.Domain{
		{Name: "choir.example.", Zone: "choir.example.", Provider: "campus", MX: mx("choir.example.", "10 mail.old.example."), PointsTo: plan.ToOld, Why: "mail.old.example.", Traffic: plan.Traffic{Messages: 3}},
		{Name: "host.example.", Zone: "example.", Provider: "campus", MX: mx("host.example."), PointsTo: plan.ToImplicit, Why: "its own address", Traffic: plan.Traffic{Messages: 1}},
		{Name: "both.example.", Zone: "both.example.", Provider: "campus", MX: mx("both.example.", "10 gw1.example.", "20 mail.old.example."), PointsTo: plan.ToBoth, Why: "evil \x1b[2J"},
		{Name: "null.example.", Zone: "null.example.", Provider: "campus", MX: mx("null.example.", "0 ."), PointsTo: plan.ToNull, Why: "null MX"},
	}}
	p, err := plan.Make(inv, plan.Settings{
		Migration: "m", Made: time.Unix(1e9, 0), Planned: []rrset.MX{{Preference: 10, Host: "gw1.example."}}, First: 1, Growth: 1, Max: 9, LowTTL: 300,
		Gate: plan.Gate{Approve: plan.Manual, Soak: plan.Duration(time.Minute), Failures: 1, Shared: 3}, Ports: []uint16{25},
	})
	if err != nil {
		t.Fatal(err)
	}
	return inv, p
}

func TestTablesAndJSON(t *testing.T) {
	t.Parallel()
	inv, p := sample(t)
	s := state.NewStatus(p)
	s.Apply(state.Event{Seq: 1, At: time.Unix(1e9, 0), Kind: state.WaveStarted, Wave: "pilot"})
	s.Apply(state.Event{Seq: 2, At: time.Unix(1e9, 0), Kind: state.Held, Domain: "host.example.", Reason: "why \x1b[31m"})
	found := []plan.Finding{
		{Check: "mx.target", Target: "choir.example.", Severity: plan.Pass, Detail: "fine"},
		{Check: "gw.connect", Target: "gw1.example 192.0.2.1", Severity: plan.Fail, Detail: "banner \x1b]0;x", Vantage: "outside"},
	}
	c, _ := s.Cutover("host.example.")
	for name, write := range map[string]func(*bytes.Buffer) error{
		"inventory.txt":  func(b *bytes.Buffer) error { return Printer{}.Inventory(b, inv, p.Verdicts()) },
		"inventory.json": func(b *bytes.Buffer) error { return InventoryJSON(b, inv, p.Verdicts()) },
		"inventory.csv":  func(b *bytes.Buffer) error { return InventoryCSV(b, inv, p.Verdicts()) },
		"plan.txt":       func(b *bytes.Buffer) error { return Printer{}.Plan(b, p) },
		"plan.json":      func(b *bytes.Buffer) error { return PlanJSON(b, p) },
		"status.txt":     func(b *bytes.Buffer) error { return Printer{ASCII: true}.Status(b, s, false) },
		"status.json":    func(b *bytes.Buffer) error { return StatusJSON(b, s) },
		"findings.txt":   func(b *bytes.Buffer) error { return Printer{}.Findings(b, found) },
		"verify.json": func(b *bytes.Buffer) error {
			return Verification{At: time.Unix(1e9, 0), Findings: Of("", found)}.JSON(b)
		},
		"explain.txt": func(b *bytes.Buffer) error {
			b.WriteString(strings.Join(Printer{}.Explain(*s.Domain("host.example."), c), "\n"))
			return nil
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s holds an escape", name)
		}
		if strings.HasSuffix(name, ".json") && !json.Valid(b.Bytes()) {
			t.Errorf("%s is not JSON", name)
		}
		golden(t, name, b.String())
	}
}
