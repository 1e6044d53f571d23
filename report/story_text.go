package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// manyRows is how many rows of one table a terminal is shown without being asked
// for.
const manyRows = 20

// Story writes a migration's story for a terminal: the headline, what needs a
// person, then the details.
func (p Printer) Story(w io.Writer, s *Story, all bool) error {
	b := bufio.NewWriter(w)
	needs := s.Needs()
	tone := Busy
	if s.Status.Over {
		tone = Good
	}
	for _, n := range needs {
		tone = max(tone, n.tone)
	}
	fmt.Fprintf(b, "%s %s\n", p.paint(tone, p.Symbol(tone)), p.bold(Harmless(s.Migration)+": "+s.Headline()))
	for _, l := range s.Standing() {
		fmt.Fprintln(b, "  "+l)
	}
	if bar := p.progress(s); bar != "" {
		fmt.Fprintln(b, "  "+bar)
	}
	p.needs(b, needs)
	p.sheet(b, s.waveSheet(), 0)
	p.sheet(b, s.momentSheet("troubles", "What went wrong, and what became of it", "nothing", aTrouble), rowsOf(all))
	p.sheet(b, s.decisionSheet(), rowsOf(all))
	p.sheet(b, s.holdSheet(), rowsOf(all))
	times := []string{"all", "wave"}
	if all {
		times = append(times, "day")
	}
	p.sheet(b, s.latencySheet(times...), rowsOf(all))
	p.sheet(b, s.loadSheet(), rowsOf(all))
	p.heading(b, "Load of the old server")
	for _, l := range s.loadWords() {
		fmt.Fprintln(b, "  "+Harmless(l.String()))
	}
	if t := s.observedSheet(); len(t.Rows) > 0 {
		p.sheet(b, t, rowsOf(all))
	}
	d := s.domainSheet(!all && len(s.Domains) > manyRows)
	if left := len(s.Domains) - len(d.Rows); left > 0 {
		d.Note = fmt.Sprintf("%s more went the plain way; each of them: mxcutover report --all", number(left))
	}
	p.sheet(b, d, rowsOf(all))
	p.verification(b, s, all)
	return b.Flush()
}

func rowsOf(all bool) int {
	if all {
		return 0
	}
	return manyRows
}

func (p Printer) needs(w io.Writer, needs []Need) {
	p.heading(w, "What needs a person")
	if len(needs) == 0 {
		fmt.Fprintf(w, "  %s nothing\n", p.paint(Good, p.Symbol(Good)))
	}
	for _, n := range needs {
		fmt.Fprintf(w, "  %s %s\n", p.paint(n.tone, p.Symbol(n.tone)), Harmless(n.words()))
		if n.Command != "" {
			fmt.Fprintf(w, "      %s\n", Harmless(n.Command))
		}
	}
}

// words are a need on one line, without its command.
func (n Need) words() string {
	line := n.What
	if n.Count > 0 {
		named := n.Targets
		if n.Count <= len(named) {
			line = strings.Join(named, ", ") + ": " + line
		} else {
			line = fmt.Sprintf("%s and %s more: %s", strings.Join(named, ", "), number(n.Count-len(named)), line)
		}
	}
	if n.Why != "" {
		line += ": " + n.Why
	}
	return line
}

func (p Printer) verification(w io.Writer, s *Story, all bool) {
	v := s.verification()
	title := v.Title
	if !v.At.IsZero() {
		title += ", " + stamp(v.At)
	}
	p.heading(w, title)
	n := 0
	for _, g := range groups(v.Findings) {
		if severityTone(g.severity) == Good {
			continue
		}
		if n++; n > manyRows && !all {
			continue
		}
		t := severityTone(g.severity)
		fmt.Fprintf(w, "  %s %s", p.paint(t, p.Symbol(t)), Pad(severityWords(normal(g.severity)), 20))
		p.group(w, g)
	}
	if n > manyRows && !all {
		fmt.Fprintf(w, "  and %d more; see: mxcutover report --all\n", n-manyRows)
	}
	for _, l := range v.notAsked() {
		fmt.Fprintf(w, "  %s %s not asked, for want of %s\n", p.Symbol(Quiet), Harmless(l.Check), Harmless(l.Lacks))
	}
	fmt.Fprintln(w, "  "+Count(v.Findings).String())
}

func (p Printer) heading(w io.Writer, title string) { fmt.Fprintf(w, "\n%s\n", p.bold(title)) }

func (p Printer) bold(s string) string {
	if !p.Color {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// sheet writes a table of at most so many rows; 0 = all.
func (p Printer) sheet(w io.Writer, t sheet, most int) {
	p.heading(w, t.Title)
	if len(t.Rows) == 0 && t.Empty != "" {
		fmt.Fprintln(w, "  "+t.Empty)
		return
	}
	rows := t.Rows
	if most > 0 && len(rows) > most {
		rows = rows[len(rows)-most:] // the latest
	}
	width := make([]int, len(t.Head))
	for i, c := range t.Head {
		width[i] = ansi.StringWidth(c)
	}
	for _, r := range rows {
		for i, c := range r.Cells {
			width[i] = min(max(width[i], ansi.StringWidth(Harmless(c))), widest)
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, strings.TrimRight("    "+columns(t, t.Head, width), " "))
	}
	for _, r := range rows {
		fmt.Fprintln(w, strings.TrimRight("  "+p.paint(r.Tone, p.Symbol(r.Tone))+" "+columns(t, r.Cells, width), " "))
	}
	if left := len(t.Rows) - len(rows); left > 0 {
		fmt.Fprintf(w, "    %s before these; see: mxcutover report --all\n", number(left))
	}
	if t.Note != "" {
		fmt.Fprintln(w, "    "+t.Note)
	}
}

// columns are cells in their widths: numbers to the right, the last as it is.
func columns(t sheet, cells []string, width []int) string {
	var b strings.Builder
	for i, c := range cells {
		c = Harmless(c)
		fill := strings.Repeat(" ", max(width[i]-ansi.StringWidth(c), 0))
		switch {
		case i == len(cells)-1:
			b.WriteString(c)
		case i > 0 && i <= t.Numbers:
			b.WriteString(fill + Cut(c, width[i]) + "  ")
		default:
			b.WriteString(Cut(c, width[i]) + fill + "  ")
		}
	}
	return b.String()
}

// progressWidth is how many columns the bar of progress has.
const progressWidth = 48

// progress is how the number of live domains grew, as a row of blocks.
func (p Printer) progress(s *Story) string {
	if len(s.Progress) < 2 || len(s.Domains) == 0 {
		return ""
	}
	first, last := s.Progress[0].At, s.Last
	if !s.Begun.IsZero() && s.listed(s.Begun) {
		first = s.Begun
	}
	var shares []float64
	i, live := 0, 0
	for x := range progressWidth {
		at := first.Add(time.Duration(float64(last.Sub(first)) * float64(x+1) / progressWidth))
		for i < len(s.Progress) && !s.Progress[i].At.After(at) {
			live = s.Progress[i].Live
			i++
		}
		shares = append(shares, float64(live)/float64(len(s.Domains)))
	}
	return fmt.Sprintf("live %s %s to %s", p.Blocks(shares), short(first), short(last))
}
