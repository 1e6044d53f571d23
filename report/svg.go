package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"mxcutover/state"
)

// A chart is a picture in units of its own view box; the page's template draws
// it. Positions are ours; words are escaped there.
type chart struct {
	ID, Title, Desc string
	W, H            int
	Left, Right     float64 // edges of the plot
	Top, Bottom     float64
	X, Y            []tick
	Areas, Lines    []stroke
	Ranges          []whisker
	Marks           []mark
	Legend          []legend
}

type (
	tick    struct{ At, Label, Anchor string }
	stroke  struct{ Class, D string }
	legend  struct{ Class, Words string }
	mark    struct{ X, Words string }                   // of a time
	whisker struct{ Class, X, Low, High, Words string } // from p50 to p95
)

const (
	chartWidth  = 540
	chartHeight = 200
)

func newChart(id, title string) chart {
	return chart{ID: id, Title: title, W: chartWidth, H: chartHeight, Left: 58, Right: chartWidth - 14, Top: 12, Bottom: chartHeight - 28}
}

// coord writes a position, short: a page has thousands of them.
func coord(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }

// progressChart shows how many domains were live, and how many rolled back, over
// time.
func (s *Story) progressChart() *chart {
	if len(s.Progress) == 0 || len(s.Domains) == 0 {
		return nil
	}
	c := newChart("progress", "Domains live, over time")
	from, to := s.Progress[0].At, s.Last
	if !s.Begun.IsZero() && s.listed(s.Begun) {
		from = s.Begun
	}
	if !to.After(from) {
		to = from.Add(time.Second)
	}
	x := func(t time.Time) float64 {
		return c.Left + (c.Right-c.Left)*float64(t.Sub(from))/float64(to.Sub(from))
	}
	y := func(n int) float64 { return c.Bottom - (c.Bottom-c.Top)*float64(n)/float64(len(s.Domains)) }
	steps := func(of func(Point) int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "M%s %s", coord(x(from)), coord(y(0)))
		for _, p := range s.Progress {
			fmt.Fprintf(&b, "H%sV%s", coord(x(p.At)), coord(y(of(p))))
		}
		fmt.Fprintf(&b, "H%s", coord(c.Right))
		return b.String()
	}
	live := steps(func(p Point) int { return p.Live })
	c.Areas = []stroke{{"live", fmt.Sprintf("%sV%sH%sZ", live, coord(c.Bottom), coord(x(from)))}}
	c.Lines = []stroke{{"live", live}}
	c.Legend = []legend{{"live", "live"}}
	if slices.ContainsFunc(s.Progress, func(p Point) bool { return p.Back > 0 }) {
		c.Lines = append(c.Lines, stroke{"back", steps(func(p Point) int { return p.Back })})
		c.Legend = append(c.Legend, legend{"back", "rolled back or skipped"})
	}
	if s.Load.Messages > 0 {
		c.Lines = append(c.Lines, stroke{"public share", steps(func(p Point) int {
			return int(uint64(len(s.Domains)) * p.Moved / s.Load.Messages)
		})})
		c.Legend = append(c.Legend, legend{"public", "their share of the mail counted before (top = all of it)"})
	}
	for _, n := range wholeTicks(len(s.Domains)) {
		c.Y = append(c.Y, tick{At: coord(y(n)), Label: number(n)})
	}
	c.X = timeTicks(from, to, x)
	last := s.Progress[len(s.Progress)-1]
	c.Desc = fmt.Sprintf("From %s to %s: %d of %d domains live, %d rolled back or skipped, in the end.", stamp(from), stamp(to), last.Live, len(s.Domains), last.Back)
	if s.Load.Messages > 0 {
		c.Desc += fmt.Sprintf(" The live ones had %d%% of the mail.", 100*last.Moved/s.Load.Messages)
	}
	return &c
}

// wholeTicks are a few round numbers from 0 to n, n itself among them.
func wholeTicks(n int) []int {
	unit := 1
	for n/unit > 6 {
		switch unit / int(math.Pow10(int(math.Log10(float64(unit))))) {
		case 2:
			unit = unit / 2 * 5
		default:
			unit *= 2
		}
	}
	var out []int
	for v := 0; v < n; v += unit {
		if v+unit/2 < n || v == 0 {
			out = append(out, v)
		}
	}
	return append(out, n)
}

// timeTicks are five times, said as shortly as they can be told apart.
func timeTicks(from, to time.Time, x func(time.Time) float64) (out []tick) {
	layout, parts := "15:04:05", time.Duration(4)
	switch d := to.Sub(from); {
	case d > 10*24*time.Hour:
		layout = "2 Jan"
	case d > 20*time.Hour:
		layout, parts = "2 Jan 15:04", 3 // the widest
	case d > 10*time.Minute:
		layout = "15:04"
	}
	for i := range parts + 1 {
		t, anchor := from.Add(to.Sub(from)/parts*i), "middle"
		if i == parts {
			anchor = "end"
		}
		out = append(out, tick{coord(x(t)), t.UTC().Format(layout), anchor})
	}
	return out
}

// mostGroups is how many waves or days one chart has room for.
const mostGroups = 40

// latencyChart shows the time to arrive in each wave or on each day: from p50 to
// p95, by each way, on a logarithmic scale.
func (s *Story) latencyChart(by, title string) *chart {
	var groups []Latency
	for _, l := range s.Latencies() {
		if l.By == by && l.Leg == wholeLeg {
			groups = append(groups, l)
		}
	}
	var names []string
	for _, g := range groups {
		if !slices.Contains(names, g.Name) {
			names = append(names, g.Name)
		}
	}
	if len(names) == 0 || by == "day" && len(names) < 2 {
		return nil
	}
	names = names[max(len(names)-mostGroups, 0):]
	c := newChart("latency-"+by, title)
	low, high := 1.0, 10.0 // milliseconds
	for _, g := range groups {
		for high < ms(g.P95) {
			high *= 10
		}
	}
	for low*10 < high && !slices.ContainsFunc(groups, func(g Latency) bool { return ms(g.P50) < low*10 }) {
		low *= 10
	}
	y := func(d time.Duration) string {
		share := math.Log10(max(ms(d), low)/low) / math.Log10(high/low)
		return coord(c.Bottom - (c.Bottom-c.Top)*share)
	}
	for v := low; v <= high*1.01; v *= 10 {
		d := time.Duration(v * float64(time.Millisecond))
		c.Y = append(c.Y, tick{At: y(d), Label: scaleWords(d)})
	}
	width := (c.Right - c.Left) / float64(len(names))
	every := (len(names) + 9) / 10
	for i, name := range names {
		if i%every == 0 {
			label := name
			if by == "day" {
				label = strings.TrimPrefix(name, name[:5])
			}
			c.X = append(c.X, tick{coord(c.Left + width*(float64(i)+0.5)), Cut(Harmless(label), 12), "middle"})
		}
	}
	for _, g := range groups {
		i := slices.Index(names, g.Name)
		if i < 0 {
			continue
		}
		off := (float64(slices.Index(ways, g.Way)) - 1.5) * min(width/5, 14)
		c.Ranges = append(c.Ranges, whisker{
			string(g.Way), coord(c.Left + width*(float64(i)+0.5) + off), y(g.P50), y(g.P95),
			fmt.Sprintf("%s, %s: p50 %s, p95 %s of %s", Harmless(g.Name), g.Way.Words(), milliseconds(g.P50), milliseconds(g.P95), Counted(g.N, "probe")),
		})
	}
	for _, w := range ways {
		if slices.ContainsFunc(groups, func(g Latency) bool { return g.Way == w }) {
			c.Legend = append(c.Legend, legend{string(w), w.Words()})
		}
	}
	c.Desc = "Each bar goes from p50 (the dot) to p95; the numbers are in the table below. The scale is logarithmic."
	return &c
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func scaleWords(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 1000*time.Second:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return Span(d)
}

// A share is one part of the bar that shows how many domains are in which state.
type share struct {
	Class, Words string
	X, W         string
	N            int
}

// shares are the parts of the bar, over a width of 1000.
func (s *Story) shares() (out []share) {
	n := s.tally()
	x := 0.0
	for _, p := range []struct {
		phase        state.Phase
		class, words string
	}{
		{state.Live, "live", "live"},
		{busy, "busy", "under way"},
		{state.Planned, "quiet", "not begun"},
		{state.IsSkipped, "wary", "skipped"},
		{state.IsRollingBack, "wary", "going back"},
		{state.IsInDoubt, "wary", "in doubt"},
		{state.IsRolledBack, "back", "rolled back"},
		{state.IsDrifted, "bad", "drifted"},
		{state.IsHeld, "bad", "held"},
	} {
		if n[p.phase] == 0 {
			continue
		}
		w := 1000 * float64(n[p.phase]) / float64(len(s.Domains))
		out = append(out, share{Class: p.class, Words: p.words, X: coord(x), W: coord(max(w, 3)), N: n[p.phase]})
		x += w
	}
	return out
}
