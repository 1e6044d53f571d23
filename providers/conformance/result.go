package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"

	"mxcutover/providers"
)

// An Outcome is what came of a case.
type Outcome string

// The outcomes.
const (
	Pass      Outcome = "pass"
	Shortfall Outcome = "shortfall" // known not to pass, and safe
	NotRun    Outcome = "not run"   // cannot be run here
	Fail      Outcome = "FAIL"
)

// A Result is what came of one case, and why.
type Result struct {
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why,omitempty"`
}

// A Report is what came of a suite.
type Report struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"`
	Mode    providers.Mode    `json:"mode"`
	Against string            `json:"against"`
	Results map[string]Result `json:"results"`
}

// Table is the report for people, a case a line.
func (r Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: kind %s, mode %s, against %s\n\n", r.Name, r.Kind, r.Mode, r.Against)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "case\tresult\twhy")
	for _, c := range cases {
		if x, ok := r.Results[c.Name]; ok {
			fmt.Fprintf(w, "%s\t%s\t%.200q\n", c.Name, x.Outcome, x.Why)
		}
	}
	_ = w.Flush() // into memory
	return strings.ReplaceAll(b.String(), `""`, "")
}

// Update is the flag that writes golden files anew.
var update = flag.Bool("update", false, "write the golden files anew")

// Update tells whether golden files are written anew.
func Update() bool { return *update }

// golden compares the report with a file of earlier results.
func (r Report) golden(t testing.TB, path string) {
	t.Helper()
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if string(got) != string(want) {
		t.Errorf("the results are others than in %s; write them with -update, and docs/conformance.md with make golden", path)
	}
}

// ReadReport reads a file of results.
func ReadReport(path string) (Report, error) {
	var r Report
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
