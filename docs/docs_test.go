package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mxcutover/docs"
	"mxcutover/verify"
)

var update = flag.Bool("update", false, "write the index of the checks anew")

// TestIndex holds docs/checks/README.md to the checks that there are.
func TestIndex(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Checks\n\nWhat is asked before anything is changed (b), during a cutover (d), and after it (a). `mxcutover checks` shows this list, `mxcutover checks ID` a page.\n" +
		"Where a check is advice, no answer holds nothing up; what fails holds or takes back a domain all the same.\n\n| check | when | asks whether | source |\n|---|---|---|---|\n")
	listed := map[string]bool{}
	for _, k := range verify.Checks() {
		listed[k.ID] = true
		when := ""
		for _, w := range k.When {
			when += string(w[0]) + " "
		}
		title := k.Title
		if k.Advice {
			title += " (advice)"
		}
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s |\n", k.ID, k.ID, strings.TrimSpace(when), title, k.RFC)
	}
	b.WriteString("\nFindings that are no check's of a domain:")
	for _, id := range docs.Checks() {
		if !listed[id] {
			fmt.Fprintf(&b, " [%s](%s.md)", id, id)
		}
	}
	b.WriteString("\n")
	if *update {
		if err := os.WriteFile("checks/README.md", []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("checks/README.md")
	if err != nil || string(have) != b.String() {
		t.Errorf("checks/README.md is not what the checks say; write it anew: make golden (%v)", err)
	}
}

// TestPages wants each page to answer what a person at night asks.
func TestPages(t *testing.T) {
	t.Parallel()
	rfc := regexp.MustCompile(`RFC [0-9]+`)
	sourced := 0
	for _, id := range docs.Checks() {
		page, ok := docs.Check(id)
		if !ok || !strings.HasPrefix(page, "# "+id+"\n") {
			t.Errorf("%s: no page of this name", id)
		}
		for _, part := range []string{"**What it asks.**", "**Why it matters in a cutover.**", "**How to mend it.**"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s: its page lacks %s", id, part)
			}
		}
		if rfc.MatchString(page) {
			sourced++
		}
	}
	if _, ok := docs.Check("../architecture"); ok || sourced < len(verify.Checks())/2 {
		t.Errorf("%d pages name an RFC", sourced)
	}
	if !slices.IsSorted(docs.Checks()) {
		t.Error("not sorted")
	}
}

// TestIsolationTable holds the table of docs/isolation.md to tests that there are.
func TestIsolationTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("isolation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## What shows that it is so")
	named := regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*`).FindAllString(table, -1)
	if !found || len(named) < 30 {
		t.Fatalf("it names %d tests", len(named))
	}
	files, err := filepath.Glob("../*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range append(files, "../cmd/mxcutover/script_test.go", "../cmd/mxcutover/isolate_rules_test.go") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, name := range named {
		if name != "TestIntegration" && !strings.Contains(all.String(), "func "+name+"(") { // which is a prefix of names
			t.Errorf("there is no test %s", name)
		}
	}
}
