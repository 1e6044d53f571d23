package providers_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mxcutover/config"
	"mxcutover/providers"
	"mxcutover/providers/conformance"
)

// Each example is a section of the configuration, in every key.
func TestExamplesParse(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for _, k := range providers.Kinds() {
		s, err := config.ParseSection(k.Kind+".yaml", []byte(k.Example))
		if err != nil {
			t.Errorf("%s: %v", k.Kind, err)
			continue
		}
		_, err = providers.Open(k.Kind, func(into any) error { return cmp.Or(s.Decode(into), stop) })
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", k.Kind, err)
		}
	}
}

// The pages are made of the table of kinds and of what the suites printed.
func TestDocsAreUpToDate(t *testing.T) {
	t.Parallel()
	reports := readReports(t)
	for path, want := range map[string]string{"../docs/providers.md": providersPage(reports), "../docs/conformance.md": conformancePage(reports)} {
		if conformance.Update() {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is not up to date (%v): make golden", path, err)
		}
	}
	for _, k := range providers.Kinds() {
		if !slices.ContainsFunc(reports, func(r conformance.Report) bool { return r.Kind == k.Kind && r.Mode == k.Mode }) {
			t.Errorf("%s: the suite was not run in mode %s", k.Kind, k.Mode)
		}
	}
}

func readReports(t *testing.T) []conformance.Report {
	t.Helper()
	paths, err := filepath.Glob("testdata/conformance/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []conformance.Report
	for _, p := range paths {
		r, err := conformance.ReadReport(p)
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range r.Results {
			if x.Outcome == conformance.Fail || !slices.Contains(conformance.Cases(), name) {
				t.Errorf("%s: %s: %s", p, name, x.Outcome)
			}
		}
		out = append(out, r)
	}
	return out
}

const providersHead = `# DNS providers

Written by ` + "`make golden`" + ` from the table in providers/open.go and what the conformance suite printed; do not edit.

Each provider stands in the configuration by a name of your own, with the zones that it has:

` + "```yaml" + `
providers:
  campus:
    kind: rfc2136
    zones: [example.edu]
    settings: {server: "192.0.2.53:53"} # as below
` + "```" + `

Two providers may hold one zone if each names its ` + "`view`" + `, and ` + "`compare_only: true`" + ` stands at all but one: see [operations.md](operations.md), Views. Kinds whose service has no views hold one at another server or account.

A write goes in the safest mode that the service can do. All modes read before, compare, write, and read back; see docs/architecture.md.

| mode | what it does | what can go wrong |
|---|---|---|
| swap | an atomic compare-and-swap at the service | nothing is overwritten that somebody else wrote |
| set | an atomic replacement of the RRset, after a compare | what somebody else writes in the moment between the compare and the write is lost |
| edit | additions, then TTLs, then deletions, a record at a time: never a moment without MX | it can stop half way: the next try, or the rollback, goes on from there. In the moment between a look and a deletion somebody else's edit may be lost |

Secrets are references: {file: PATH}, its owner's alone; {env: NAME}; {credential: NAME} of systemd's LoadCredential.

`

func providersPage(reports []conformance.Report) string {
	var b strings.Builder
	b.WriteString(providersHead)
	b.WriteString("| kind | service | mode | the conformance suite ran on |\n|---|---|---|---|\n")
	for _, k := range providers.Kinds() {
		var on []string
		for _, r := range reports {
			if r.Kind == k.Kind {
				on = append(on, fmt.Sprintf("%s: %s", r.Against, counts(r)))
			}
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", k.Kind, k.Kind, k.Title, k.Mode, strings.Join(on, "; "))
	}
	b.WriteString("\nThe cases are in [conformance.md](conformance.md), one by one.\n")
	for _, k := range providers.Kinds() {
		fmt.Fprintf(&b, "\n## %s\n\n%s. Mode: %s. Documented by the vendor at <%s>.\n\nProven on: %s\n\n", k.Kind, k.Title, k.Mode, k.Docs, k.Proven)
		fmt.Fprintf(&b, "```text\n%s\n```\n\n```yaml\nsettings:\n", k.Settings)
		for line := range strings.Lines(k.Example) {
			b.WriteString("  " + line)
		}
		b.WriteString("```\n")
		if len(k.Quirks) > 0 {
			b.WriteString("\n")
		}
		for _, q := range k.Quirks {
			b.WriteString("- " + q + "\n")
		}
	}
	return b.String()
}

func counts(r conformance.Report) string {
	n := map[conformance.Outcome]int{}
	for _, x := range r.Results {
		n[x.Outcome]++
	}
	out := fmt.Sprintf("%d pass", n[conformance.Pass])
	if s := n[conformance.Shortfall]; s > 0 {
		out += fmt.Sprintf(", %d shortfalls", s)
	}
	if s := n[conformance.NotRun]; s > 0 {
		out += fmt.Sprintf(", %d not run", s)
	}
	return out
}

const conformanceHead = `# Providers and cases

Written by ` + "`make golden`" + ` from providers/testdata/conformance, which the suites wrote; do not edit.

+ passes. **s** is a shortfall: it does not pass, is safe (nothing is written, or what was written is told as it is), and has its reason below. – cannot be run there, for the reason below.
Every case also looks whether the other RRsets of the name are untouched, no error shows a secret, and the RRset had a member at each moment.

`

func conformancePage(reports []conformance.Report) string {
	var b strings.Builder
	b.WriteString(conformanceHead)
	b.WriteString("| case |")
	for _, r := range reports {
		fmt.Fprintf(&b, " %s, %s, on %s |", r.Name, r.Mode, r.Against)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(reports)) + "\n")
	signs := map[conformance.Outcome]string{conformance.Pass: "+", conformance.Shortfall: "**s**", conformance.NotRun: "–"}
	for _, c := range conformance.Cases() {
		fmt.Fprintf(&b, "| %s |", c)
		for _, r := range reports {
			fmt.Fprintf(&b, " %s |", cmp.Or(signs[r.Results[c].Outcome], "?"))
		}
		b.WriteString("\n")
	}
	for _, r := range reports {
		fmt.Fprintf(&b, "\n## %s, on %s\n\n", r.Name, r.Against)
		for _, c := range conformance.Cases() {
			if x := r.Results[c]; x.Why != "" {
				fmt.Fprintf(&b, "- %s (%s): %s\n", c, x.Outcome, x.Why)
			}
		}
	}
	return b.String()
}
