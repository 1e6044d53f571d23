package report

import (
	"fmt"
	"strings"
	"time"

	"mxcutover/traffic"
)

// mostColumns is how many points one line of the load's chart has room for.
const mostColumns = 120

// loadChart shows how much mail came straight to the old server and how much to the
// gateway, an hour, with the beginning of each wave; nil if neither log tells.
func (s *Story) loadChart() *chart {
	var from, to time.Time
	for _, l := range []*ServerLog{&s.Load.Old, &s.Load.Gateway} {
		if l.Lacks != "" || l.First.IsZero() {
			continue
		}
		if from.IsZero() || l.First.Before(from) {
			from = l.First
		}
		if l.Last.After(to) {
			to = l.Last
		}
	}
	if from.IsZero() {
		return nil
	}
	from, to = from.Truncate(time.Hour), to.Truncate(time.Hour).Add(time.Hour)
	wide := to.Sub(from)/time.Hour/mostColumns + 1 // hours of a column
	c := newChart("load-hourly", "Messages an hour, straight to the old server and to the gateway")
	old := s.Load.Old.columns(from, wide, func(h traffic.Hour) uint64 { return h.Straight })
	gateway := s.Load.Gateway.columns(from, wide, func(h traffic.Hour) uint64 { return h.Straight + h.Passed })
	high := 1.0
	for _, p := range append(old, gateway...) {
		high = max(high, p.rate)
	}
	x := func(t time.Time) float64 {
		return c.Left + (c.Right-c.Left)*float64(t.Sub(from))/float64(to.Sub(from))
	}
	y := func(n float64) string { return coord(c.Bottom - (c.Bottom-c.Top)*n/high) }
	for _, l := range []struct {
		class, words string
		columns      []column
	}{{"direct", "straight to the old server", old}, {"public", "to the gateway", gateway}} {
		var b strings.Builder
		for i, p := range l.columns {
			if i == 0 {
				fmt.Fprintf(&b, "M%s %s", coord(x(p.from)), y(p.rate))
			} else {
				fmt.Fprintf(&b, "V%s", y(p.rate))
			}
			fmt.Fprintf(&b, "H%s", coord(x(p.to)))
		}
		if b.Len() > 0 {
			c.Lines = append(c.Lines, stroke{l.class, b.String()})
			c.Legend = append(c.Legend, legend{l.class, l.words})
			c.Desc += fmt.Sprintf("Mail %s: %.1f messages in an hour at first, %.1f in the end. ", l.words, l.columns[0].rate, l.columns[len(l.columns)-1].rate)
		}
	}
	c.marks(s, from, to, x)
	for _, n := range wholeTicks(int(high)) {
		c.Y = append(c.Y, tick{At: y(float64(n)), Label: shortNumber(n)})
	}
	c.X = timeTicks(from, to, x)
	c.Desc = fmt.Sprintf("From %s to %s. %sThe numbers are in the table of the old server's load.", stamp(from), stamp(to), c.Desc)
	return &c
}

// shortNumber is a number beside a chart.
func shortNumber(n int) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 10_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return number(n)
}

// marks are where waves began, and the old server was closed.
func (c *chart) marks(s *Story, from, to time.Time, x func(time.Time) float64) {
	add := func(at time.Time, words string) {
		if !at.IsZero() && !at.Before(from) && at.Before(to) && len(c.Marks) < mostColumns {
			c.Marks = append(c.Marks, mark{coord(x(at)), words + " " + stamp(at)})
		}
	}
	for _, w := range s.Waves {
		add(w.Started, "wave "+Harmless(w.Name)+" began")
	}
	add(s.Load.closed, "the old server was closed")
	if len(c.Marks) > 0 {
		c.Legend = append(c.Legend, legend{"marks", "a wave began, or the old server was closed"})
	}
}

// A column is a time, and what came in an hour of it.
type column struct {
	from, to time.Time
	rate     float64
}

// columns are those that the log covers, of so many hours each.
func (s *ServerLog) columns(from time.Time, wide time.Duration, of func(traffic.Hour) uint64) (out []column) {
	if s.Lacks != "" || s.First.IsZero() {
		return nil
	}
	begin, end := s.First.Truncate(time.Hour), s.Last.Truncate(time.Hour).Add(time.Hour)
	step := wide * time.Hour
	i := 0
	for at := from; at.Before(end); at = at.Add(step) {
		c := column{from: at, to: at.Add(step)}
		if c.from.Before(begin) {
			c.from = begin
		}
		if c.to.After(end) {
			c.to = end
		}
		if !c.to.After(c.from) {
			continue
		}
		var n uint64
		for ; i < len(s.Hours) && s.Hours[i].At.Before(c.to); i++ {
			n += of(s.Hours[i])
		}
		c.rate = float64(n) / c.to.Sub(c.from).Hours()
		out = append(out, c)
	}
	return out
}
