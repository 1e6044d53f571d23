package tui

import (
	"fmt"
	"slices"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// mostArrivals is how many probes the sparkline shows.
const mostArrivals = 30

// arrivals are how long the last probes by the public way took, oldest first.
type arrivals struct {
	last   []time.Duration
	lost   []bool // it did not arrive
	before string // how long mail took before, straight to the old server
	after  string
	p      report.Printer
}

// add takes the probes of an event.
func (a *arrivals) add(e state.Event) {
	if k := plan.KindOf(e.Step); e.Domain == "" || k != plan.Probe && k != plan.Soak {
		return
	}
	for _, f := range e.Findings {
		if f.Check != probeCheck {
			continue
		}
		took, ok := report.Legs(f.Evidence)[plan.LegArrived]
		lost := f.Severity == plan.Fail
		if !lost && !ok {
			continue
		}
		a.last, a.lost = append(a.last, took), append(a.lost, lost)
		if n := len(a.last) - mostArrivals; n > 0 {
			a.last, a.lost = a.last[n:], a.lost[n:]
		}
	}
}

// look takes the quantiles of all probes so far.
func (a *arrivals) look(s *report.Story) {
	a.before, a.after = "", ""
	for _, l := range s.Latencies() {
		if l.By != "all" || l.Leg != plan.LegArrived {
			continue
		}
		switch l.Way {
		case report.Public:
			a.after = fmt.Sprintf("p50 %s p95 %s", report.Took(l.P50), report.Took(l.P95))
		case report.Direct:
			a.before = "before " + report.Took(l.P50)
		}
	}
}

// words are the sparkline of so many probes, and the quantiles, as far as there is room.
func (a *arrivals) words(most, room int) string {
	if len(a.last) == 0 {
		return "none by the new MX yet"
	}
	from := max(len(a.last)-most, 0)
	last := a.last[from:]
	sorted := slices.Sorted(slices.Values(last))
	high := max(sorted[len(sorted)-1], 3*sorted[len(sorted)/2], 1) // so that a usual one is low
	shares, lost := make([]float64, len(last)), 0
	for i, d := range last {
		shares[i] = float64(d) / float64(high)
		if a.lost[from+i] {
			shares[i] = 1
			lost++
		}
	}
	line := a.p.Blocks(shares)
	add := func(words string) {
		if words != "" && ansi.StringWidth(line)+2+ansi.StringWidth(words) <= room {
			line += "  " + words
		}
	}
	add(a.after)
	if lost > 0 {
		add(fmt.Sprintf("%d of %d failed", lost, len(last)))
	}
	add(a.before)
	return line
}
