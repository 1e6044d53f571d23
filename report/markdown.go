package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"mxcutover/plan"
)

// mostMarkdown bounds the rows of one table in Markdown: what reads it (a comment
// on a change, a wiki) has limits of its own.
const mostMarkdown = 500

// Markdown writes findings as tables. What is foreign stands in code spans, in
// which nothing is a link, a tag, or the name of a person to be told.
func (v Verification) Markdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# %s\n\n**%s**\n\n", v.title(), v.Headline())
	v.markdown(b)
	return b.Flush()
}

// title is a heading in our own words; the migration's name is the site's.
func (v Verification) title() string {
	if v.Migration == "" {
		return v.Title
	}
	return v.Title + " of " + code(v.Migration)
}

func (v Verification) markdown(b io.Writer) {
	if !v.At.IsZero() {
		fmt.Fprintf(b, "Checked %s.", stamp(v.At))
	}
	if left := v.leftWords(); left != "" {
		fmt.Fprintf(b, " %s.", left)
	}
	fmt.Fprint(b, "\n\n")
	t := findingSheet(v.Findings)
	rows := t.Rows[:0:0]
	for _, r := range t.Rows {
		if r.Class != string(plan.Pass) {
			rows = append(rows, r)
		}
	}
	if t.Rows = rows; len(rows) > 0 {
		markdownSheet(b, t)
	}
	markdownSheet(b, checkSheet(v))
	if lacks := v.notAsked(); len(lacks) > 0 {
		fmt.Fprint(b, "Not asked, for want of something:\n\n")
		for _, l := range lacks {
			fmt.Fprintf(b, "- %s, for want of %s\n", code(l.Check), code(l.Lacks))
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "%s.\n", Count(v.Findings))
}

// Markdown writes the story: the headline, what needs a person, the details.
func (s *Story) Markdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# Migration %s\n\n**%s**\n\n", code(s.Migration), s.Headline())
	for _, l := range s.Standing() {
		fmt.Fprintf(b, "- %s\n", l)
	}
	fmt.Fprint(b, "\n## What needs a person\n\n")
	needs := s.Needs()
	for _, n := range needs {
		fmt.Fprintf(b, "- %s", code(n.words()))
		if n.Command != "" {
			fmt.Fprintf(b, " → %s", code(n.Command))
		}
		fmt.Fprintln(b)
	}
	if len(needs) == 0 {
		fmt.Fprintln(b, "Nothing.")
	}
	fmt.Fprintln(b)
	for _, t := range []sheet{
		s.waveSheet(),
		s.momentSheet("troubles", "What went wrong, and what became of it", "Nothing.", aTrouble),
		s.decisionSheet(), s.holdSheet(), s.latencySheet("all", "wave", "day"),
	} {
		fmt.Fprintf(b, "## %s\n\n", t.Title)
		markdownSheet(b, t)
	}
	fmt.Fprint(b, "## Load of the old server\n\n")
	markdownSheet(b, s.loadSheet())
	for _, l := range s.loadWords() {
		fmt.Fprintf(b, "- %s\n", strings.TrimSpace(l.ours+" "+code(l.foreign)))
	}
	fmt.Fprintln(b)
	if t := s.observedSheet(); len(t.Rows) > 0 {
		markdownSheet(b, t)
	}
	fmt.Fprint(b, "## Domains\n\n")
	d := s.domainSheet(len(s.Domains) > mostMarkdown)
	markdownSheet(b, d)
	if left := len(s.Domains) - len(d.Rows); left > 0 {
		fmt.Fprintf(b, "%s more went the plain way.\n\n", number(left))
	}
	v := s.verification()
	fmt.Fprintf(b, "## %s\n\n", v.Title)
	v.markdown(b)
	return b.Flush()
}

// markdownSheet writes a table as GitHub Flavored Markdown has them.
func markdownSheet(w io.Writer, t sheet) {
	if len(t.Rows) == 0 {
		fmt.Fprintf(w, "%s\n\n", or(t.Empty, "Nothing."))
		return
	}
	fmt.Fprintf(w, "| %s |\n|", strings.Join(t.Head, " | "))
	for i := range t.Head {
		if i > 0 && i <= t.Numbers {
			fmt.Fprint(w, "---:|")
		} else {
			fmt.Fprint(w, "---|")
		}
	}
	fmt.Fprintln(w)
	for i, r := range t.Rows {
		if i == mostMarkdown {
			break
		}
		for _, c := range r.Cells {
			fmt.Fprintf(w, "| %s ", cell(c))
		}
		fmt.Fprintln(w, "|")
	}
	fmt.Fprintln(w)
	if left := len(t.Rows) - mostMarkdown; left > 0 {
		fmt.Fprintf(w, "%s more.\n\n", number(left))
	}
	if t.Note != "" {
		fmt.Fprintf(w, "%s\n\n", t.Note)
	}
}

// cell is one cell: numbers and single plain words as they are, all else as code.
func cell(s string) string {
	if s == "" {
		return ""
	}
	if !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' && r != '/' && r != ':' && r != ' ' && r != ','
	}) && len(s) < 32 {
		return s
	}
	return strings.ReplaceAll(code(s), "|", `\|`)
}

// code is a code span that holds any text: its fence is longer than any row of
// backticks within (CommonMark 6.1).
func code(s string) string {
	s = Harmless(s)
	if s == "" {
		return ""
	}
	row, most := 0, 0
	for _, r := range s {
		if r == '`' {
			row++
			most = max(most, row)
		} else {
			row = 0
		}
	}
	fence := strings.Repeat("`", most+1)
	if most > 0 || s[0] == ' ' || s[len(s)-1] == ' ' {
		s = " " + s + " "
	}
	return fence + s + fence
}
