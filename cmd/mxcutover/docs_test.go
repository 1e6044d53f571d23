package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documented finds commands as documentation writes them.
var documented = regexp.MustCompile("(?m)(?:^|[ /`])mxcutover ([a-z][^`|#\n]*)")

// TestDocsReports parses each command of docs/reports.md: its flags, and their
// values where a format or a check is named.
func TestDocsReports(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reports.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range documented.FindAllStringSubmatch(string(text), -1) {
		args := strings.Fields(strings.ReplaceAll(m[1], `"`, ""))
		root := newRoot(&streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
		c, rest, err := root.Find(args)
		if err != nil || c == root {
			t.Errorf("mxcutover %s: %v", m[1], err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("mxcutover %s: %v", m[1], err)
		}
		o := checkOptions{}
		o.checks, _ = c.Flags().GetStringSlice("check")
		if f := c.Flags().Lookup("output"); f != nil && f.Changed && !strings.Contains(f.Usage, f.Value.String()) {
			t.Errorf("mxcutover %s: no such format", m[1])
		}
		if file, err := c.Flags().GetString("textfile"); err == nil && !strings.HasSuffix(file, "NAME.prom") {
			o.textfile = file
		}
		if err := o.check(&streams{output: "table", out: io.Discard}); err != nil {
			t.Errorf("mxcutover %s: %v", m[1], err)
		}
		n++
	}
	if n < 15 {
		t.Errorf("only %d commands were found", n)
	}
}
