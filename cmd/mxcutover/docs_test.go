package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const repository = "../.."

// A page is one Markdown file of the documentation.
type page struct {
	path   string // from the repository's root
	blocks []block
	prose  string // all that stands in no block; a blank line for each block
}

// A block is what stands between two fences.
type block struct {
	page  string
	line  int    // of the first fence
	lang  string // the word behind it
	under string // the heading above it
	text  string // with a final line end
}

// languages are the words that may stand behind a fence, and what holds such a block
// to the program. A block with another word, or none, fails TestDocsBlocks, so that
// nothing is written that nothing looks at.
var languages = map[string]string{
	"sh":      "commands: TestDocsWalks types them",
	"console": "commands behind a $, and what they print: TestDocsWalks types them and compares",
	"cron":    "a crontab: TestDocsWalks types its commands",
	"nrpe":    "commands of Nagios's agent: TestDocsWalks types them",
	"yaml":    "configuration: TestDocsConfigurations decodes it",
	"text":    "what is shown: nothing that is typed, see TestDocsBlocks",

	// Of docs/recipients.md: TestIntegrationRecipients lets Postfix and Exim run them.
	"main.cf": "Postfix", "/etc/postfix/mxprobe": "Postfix", "routers": "Exim",
}

var (
	fence   = regexp.MustCompile("^ {0,3}(`{3,}|~{3,})(.*)$")
	heading = regexp.MustCompile("^#{1,6} (.*)$")
)

// readPages reads README.md, SECURITY.md, CHANGELOG.md and all below docs.
func readPages(t *testing.T) []page {
	t.Helper()
	paths := []string{"README.md", "SECURITY.md", "CHANGELOG.md"}
	err := filepath.WalkDir(filepath.Join(repository, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			rel, err := filepath.Rel(repository, path)
			if err != nil {
				return err
			}
			paths = append(paths, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []page
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(repository, path))
		if err != nil {
			t.Fatal(err)
		}
		p, unclosed := parsePage(path, string(text))
		if unclosed > 0 {
			t.Errorf("%s:%d: this block is never closed", path, unclosed)
		}
		out = append(out, p)
	}
	if len(out) < 80 {
		t.Fatalf("only %d pages", len(out))
	}
	return out
}

// parsePage finds a page's blocks. unclosed is the line of one that has no end; 0 = none.
func parsePage(path, text string) (p page, unclosed int) {
	p.path = path
	var prose, inside strings.Builder
	var open string
	var b block
	under := ""
	for i, line := range strings.SplitAfter(text, "\n") {
		bare := strings.TrimSuffix(line, "\n")
		m := fence.FindStringSubmatch(bare)
		switch {
		case open == "" && m != nil:
			open = m[1]
			b = block{page: path, line: i + 1, lang: strings.TrimSpace(m[2]), under: under}
			prose.WriteString("\n")
		case open == "":
			if h := heading.FindStringSubmatch(bare); h != nil {
				under = h[1]
			}
			prose.WriteString(line)
		case m != nil && strings.HasPrefix(m[1], open) && strings.TrimSpace(m[2]) == "":
			b.text = inside.String()
			p.blocks = append(p.blocks, b)
			open = ""
			inside.Reset()
		default:
			inside.WriteString(line)
		}
	}
	p.prose = prose.String()
	if open != "" {
		unclosed = b.line
	}
	return p, unclosed
}

// typed finds what a person would type in a block that is only shown.
var typed = regexp.MustCompile(`(?m)^\s*[$#>]? ?(sudo .*)?mxcutover( -| [a-z]+( |$))`)

// TestDocsBlocks: each block says what it is, and what is only shown has no commands.
func TestDocsBlocks(t *testing.T) {
	t.Parallel()
	n := 0
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			n++
			if languages[b.lang] == "" {
				t.Errorf("%s:%d: a block of language %q; say one of %q behind the fence", b.page, b.line, b.lang, slices.Sorted(maps.Keys(languages)))
			}
			if m := typed.FindString(b.text); b.lang == "text" && m != "" {
				t.Errorf("%s:%d: %q is typed, and stands in a block of what is only shown: make it sh or console", b.page, b.line, strings.TrimSpace(m))
			}
		}
		for i, line := range strings.Split(p.prose, "\n") {
			if strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t") {
				t.Errorf("%s: line %d outside of blocks is indented, and would be a block without a language: %s", p.path, i+1, line)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d blocks were found", n)
	}
}

// TestParsePage holds the finding of blocks itself.
func TestParsePage(t *testing.T) {
	t.Parallel()
	p, unclosed := parsePage("x.md", "# A\none `mxcutover x`\n```sh\ncmd\n~~~\n```\n## B\n~~~~ text\n```\n~~~\n~~~~\nlast\n")
	want := []block{
		{page: "x.md", line: 3, lang: "sh", under: "A", text: "cmd\n~~~\n"},
		{page: "x.md", line: 8, lang: "text", under: "B", text: "```\n~~~\n"},
	}
	if !slices.Equal(p.blocks, want) || unclosed != 0 || p.prose != "# A\none `mxcutover x`\n\n## B\n\nlast\n" {
		t.Errorf("%+v, %d", p, unclosed)
	}
	if _, unclosed := parsePage("x.md", "a\n```\nb\n"); unclosed != 2 {
		t.Errorf("unclosed at %d", unclosed)
	}
}
