package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mxcutover/docs"
)

// pages are all Markdown files of the repository's root and of docs, by path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		if d.IsDir() && rel != "." && rel != "docs" && !strings.HasPrefix(rel, "docs"+string(filepath.Separator)) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(rel, ".md") {
			text, err := os.ReadFile(path)
			out[filepath.ToSlash(rel)] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 80 {
		t.Fatalf("only %d pages", len(out))
	}
	return out
}

var (
	blocks   = regexp.MustCompile("(?ms)^```.*?^```$")
	spans    = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are what a page's headings are called in links, as GitHub makes them.
func anchors(text string) (out []string) {
	for _, m := range headings.FindAllStringSubmatch(blocks.ReplaceAllString(text, ""), -1) {
		a := strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		for n, name := 1, a; slices.Contains(out, a); n++ {
			a = name + "-" + strconv.Itoa(n)
		}
		out = append(out, a)
	}
	return out
}

// TestLinks: each link from one page to another, or to a heading there, leads somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	n := 0
	for path, text := range all {
		for _, m := range link.FindAllStringSubmatch(spans.ReplaceAllString(blocks.ReplaceAllString(text, ""), ""), -1) {
			to := m[1]
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			n++
			file, anchor, _ := strings.Cut(to, "#")
			target := path
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", path, to)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s: there is no heading for %s; there are %q", path, to, anchors(all[target]))
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d links", n)
	}
}

// TestContents: docs/README.md has every page of docs, and README.md leads to it.
func TestContents(t *testing.T) {
	t.Parallel()
	all := pages(t)
	contents := all["docs/README.md"]
	for path := range all {
		name, ok := strings.CutPrefix(path, "docs/")
		if ok && !strings.Contains(name, "/") && name != "README.md" && !strings.Contains(contents, "("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
	for _, to := range []string{"docs/README.md", "docs/quickstart.md", "docs/runbook.md", "docs/recovery.md", "docs/faq.md"} {
		if !strings.Contains(all["README.md"], "("+to+")") {
			t.Errorf("README.md has no link to %s", to)
		}
	}
}

// namedStates are the states that the code names, by the words that begin the constants'
// names: of a domain "" and "Is", of a wave "Wave", of isolation "Isolation".
func namedStates(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../state/status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := v.Type.(*ast.Ident); ok && of.Name == "Phase" && len(v.Values) == 1 {
			word, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out[v.Names[0].Name] = word
		}
		return true
	})
	if len(out) < 25 {
		t.Fatalf("only the states %q were found", out)
	}
	return out
}

// TestStates: docs/states.md has a row for every state of a domain, a wave and isolation,
// with what it means and what to do, and no others.
func TestStates(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("states.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z][a-z-]*)` \\| (.+) \\| (.+) \\|$")
	for section, of := range map[string]func(name string) bool{
		"## A domain\n":                      func(n string) bool { return !strings.HasPrefix(n, "Wave") && !strings.HasPrefix(n, "Isolation") },
		"## A wave\n":                        func(n string) bool { return strings.HasPrefix(n, "Wave") || n == "Live" || n == "IsHeld" },
		"## The isolation of the old server": func(n string) bool { return strings.HasPrefix(n, "Isolation") || n == "IsDrifted" },
	} {
		_, part, found := strings.Cut(string(text), section)
		part, _, _ = strings.Cut(part, "\n## ")
		var have, want []string
		for _, m := range row.FindAllStringSubmatch(part, -1) {
			have = append(have, m[1])
		}
		for name, word := range namedStates(t) {
			if of(name) {
				want = append(want, word)
			}
		}
		slices.Sort(have)
		slices.Sort(want)
		if !found || !slices.Equal(have, want) {
			t.Errorf("states.md, %s: it has %q, and there are %q", section, have, want)
		}
	}
}

// TestChecksHaveAPlace: whatever the program's code has of the form of a check's name has
// a page, but for the configuration's keys and the embedded world's names. That the
// pages of checks that are asked are there, and what they say, TestIndex and TestPages hold.
func TestChecksHaveAPlace(t *testing.T) {
	t.Parallel()
	have := docs.Checks()
	kinds := map[string]bool{}
	for _, id := range have {
		kind, _, _ := strings.Cut(id, ".")
		kinds[kind] = true
	}
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	if err := json.Unmarshal(docs.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	literal := regexp.MustCompile(`"([a-z]+)\.([a-z_]+)"`)
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Name() == "lab" {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range literal.FindAllStringSubmatch(string(code), -1) {
			id := m[1] + "." + m[2]
			if _, key := schema.Properties[m[1]].Properties[m[2]]; key || !kinds[m[1]] || id == "plan.jsonl" {
				continue
			}
			found[id] = true
			if !slices.Contains(have, id) {
				t.Errorf("%s names %s, which has no page in docs/checks", path, id)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 40 {
		t.Errorf("only %d checks were found", len(found))
	}
}
