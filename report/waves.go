package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// narrowest and widestBar bound a bar, in columns.
const (
	narrowest = 10
	widestBar = 60
)

// loads draws what each wave carries: a bar of its share of the mail, the share in
// figures, and how much has moved once it is live.
func (p Printer) loads(b io.Writer, pl plan.Plan) {
	loads, counted := pl.Loads()
	if len(loads) == 0 {
		return
	}
	what := "share of all mail that was counted"
	if !counted {
		what = "share of the domains, since no mail was counted"
	}
	name, most := len("wave"), 0.0
	for _, l := range loads {
		name = max(name, len([]rune(Harmless(l.Wave))))
		most = max(most, l.Share)
	}
	name = min(name, widest)
	fmt.Fprintf(b, "\n%s:\n", what)
	fmt.Fprintf(b, "  %s %8s %12s %6s %6s\n", Pad("wave", name), "domains", "messages", "share", "sum")
	room := min(max(p.width()-name-2-8-12-6-6-5, narrowest), widestBar)
	sum := 0.0
	for _, l := range loads {
		sum += l.Share
		line := fmt.Sprintf("  %s %8d %12d %5.1f%% %5.1f%% %s", Pad(Harmless(l.Wave), name), l.Domains, l.Messages, 100*l.Share, 100*sum, p.bar(l.Share/most, room))
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
	unused := 0
	for _, l := range loads {
		unused += l.Unused
	}
	if counted && unused > 0 {
		fmt.Fprintf(b, "  of %d domains no mail was counted: they are taken for the least used\n", unused)
	}
}

// width is how many columns there are.
func (p Printer) width() int {
	if p.Width <= 0 {
		return 80
	}
	return p.Width
}

// bar draws a share of a width, from 0 to 1. What is not nothing is seen.
func (p Printer) bar(share float64, width int) string {
	if math.IsNaN(share) || share <= 0 {
		return ""
	}
	eighths := max(int(math.Round(min(share, 1)*float64(width)*8)), 1)
	if p.ASCII {
		return strings.Repeat("#", max((eighths+4)/8, 1))
	}
	part := []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}[eighths%8]
	return strings.Repeat("█", eighths/8) + part
}

// coverage tells which domain is the first of its kind, and in which wave.
func (p Printer) coverage(b io.Writer, pl plan.Plan) {
	cover := pl.Coverage()
	if len(cover) == 0 {
		return
	}
	fmt.Fprintf(b, "\nthe first of their kind:\n")
	rows := make([][]string, 0, len(cover))
	for _, c := range cover {
		rows = append(rows, []string{"  " + string(c.Trait), c.Wave, rrset.Bare(c.Domain), fmt.Sprintf("of %d", c.Domains)})
	}
	table(b, rows)
}

// loadsJSON are the waves' loads, by name.
func loadsJSON(pl plan.Plan) (byWave map[string]plan.Load, counted bool) {
	loads, counted := pl.Loads()
	byWave = map[string]plan.Load{}
	for _, l := range loads {
		byWave[l.Wave] = l
	}
	return byWave, counted
}
