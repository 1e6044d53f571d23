package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Fault is one thing that is wrong in a file, and where.
type Fault struct {
	Path    string // of the file
	Line    int    // from 1
	Column  int    // from 1, in characters
	Key     string // "mx.records[1].host"; "" = the file as a whole
	Excerpt string // the source line with its number, and below it a line with a caret; secrets masked; "" = none
	Message string // what was found, and what was expected
	Cure    string // what to write instead; "" = unknown
}

// String is "path:line:column: key: message; cure" and the excerpt, in lines.
func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", f.Path, f.Line, f.Column)
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Message)
	if f.Cure != "" {
		b.WriteString("; " + f.Cure)
	}
	b.WriteString("\n")
	if f.Excerpt != "" {
		b.WriteString(f.Excerpt + "\n")
	}
	return b.String()
}

// Faults are all faults of one file, in the order of their places. It is an
// error; errors.As finds it.
type Faults []Fault

// Error prints them all.
func (f Faults) Error() string {
	var b strings.Builder
	for _, x := range f {
		b.WriteString(x.String())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// maxFaults bounds how many faults of one file are told.
const maxFaults = 200

// problems collects faults without their excerpts: what must be masked in
// those is known only in the end.
type problems struct {
	list []Fault
	over bool
}

func (p *problems) none() bool { return len(p.list) == 0 }

func (p *problems) add(line, column int, key, message, cure string) {
	f := Fault{Line: max(line, 1), Column: max(column, 1), Key: printable(key), Message: printable(message), Cure: printable(cure)}
	if slices.Contains(p.list, f) { // an alias is met at each of its uses
		return
	}
	if p.over = p.over || len(p.list) >= maxFaults; !p.over {
		p.list = append(p.list, f)
	}
}

// printable makes foreign text harmless.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// A mask hides part of a source line, columns from..to-1; to 0 is its end.
type mask struct{ line, from, to int }

// faults renders what was found, with the document's masks and those given.
func (d *document) faults(p *problems, more []mask) error {
	masks := slices.Concat(d.masks, more)
	out := make(Faults, len(p.list))
	for i, f := range p.list {
		f.Path, f.Excerpt = d.path, d.excerpt(f.Line, f.Column, masks)
		out[i] = f
	}
	slices.SortStableFunc(out, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if p.over {
		last := out[len(out)-1]
		out = append(out, Fault{
			Path: d.path, Line: last.Line, Column: last.Column,
			Message: fmt.Sprintf("there are more than %d faults", maxFaults), Cure: "mend these first",
		})
	}
	return out
}

const (
	stars       = "********"
	maxExcerpt  = 110 // characters of one line
	beforeCaret = 70
)

// excerpt shows a source line and points at a column of it.
func (d *document) excerpt(line, column int, masks []mask) string {
	if line > len(d.lines) {
		return ""
	}
	shown, caret := show([]rune(d.lines[line-1]), line, column, masks)
	if from := caret - beforeCaret; len(shown) > maxExcerpt && from > 0 {
		shown, caret = append([]rune("…"), shown[from:]...), beforeCaret+1
	}
	if len(shown) > maxExcerpt {
		shown = append(shown[:maxExcerpt-1:maxExcerpt-1], '…')
	}
	gutter := fmt.Sprintf("%4d | ", line)
	return gutter + string(shown) + "\n" +
		strings.Repeat(" ", len(gutter)-2) + "| " + strings.Repeat(" ", caret) + "^"
}

// show makes a line harmless: secrets masked, what does not print replaced. It
// also tells where in it the column went.
func show(src []rune, line, column int, masks []mask) (out []rune, caret int) {
	hidden := make([]bool, len(src))
	for _, m := range masks {
		if m.line != line {
			continue
		}
		to := m.to - 1
		if m.to == 0 || to > len(src) {
			to = len(src)
		}
		for i := max(m.from-1, 0); i < to; i++ {
			hidden[i] = true
		}
	}
	caret = -1
	for i, r := range src {
		if i == column-1 {
			caret = len(out)
		}
		switch {
		case hidden[i] && (i == 0 || !hidden[i-1]):
			out = append(out, []rune(stars)...)
		case hidden[i]:
			if i == column-1 {
				caret = len(out) - len(stars)
			}
		case r == '\t':
			out = append(out, ' ')
		case !unicode.IsPrint(r):
			out = append(out, '·')
		default:
			out = append(out, r)
		}
	}
	if caret < 0 {
		caret = len(out)
	}
	return out, caret
}
