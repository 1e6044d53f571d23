//go:build site || bench

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// A timing is how long steps took, by the events of a journal.
type timing struct {
	of    map[string]map[string]time.Duration // domain -> step -> time
	kinds map[string]time.Duration            // of all domains together
	spans [][2]time.Time
}

// stepTimes are the times of all steps of each domain but those that only wait.
func stepTimes(events string) timing {
	out, begun := timing{of: map[string]map[string]time.Duration{}, kinds: map[string]time.Duration{}}, map[string]time.Time{}
	for line := range strings.Lines(events) {
		var ev struct {
			At                 time.Time
			Kind, Domain, Step string
		}
		if json.Unmarshal([]byte(line), &ev) != nil || ev.Domain == "" || ev.Step == "" {
			continue
		}
		key := ev.Domain + " " + ev.Step
		switch {
		case strings.HasPrefix(ev.Step, "await") || ev.Step == "soak":
		case ev.Kind == "intended" || ev.Kind == "undoing":
			begun[key] = ev.At
		case ev.Kind == "done", ev.Kind == "undone", ev.Kind == "observed" && ev.Step == "propagate": // every name server serves it; what follows is the caches' time
			at, ok := begun[key]
			if !ok {
				continue
			}
			if out.of[ev.Domain] == nil {
				out.of[ev.Domain] = map[string]time.Duration{}
			}
			out.of[ev.Domain][ev.Step] += ev.At.Sub(at)
			out.kinds[ev.Step] += ev.At.Sub(at)
			out.spans = append(out.spans, [2]time.Time{at, ev.At})
			delete(begun, key)
		}
	}
	return out
}

// busy is for how long some step was under way.
func (t timing) busy() (sum time.Duration) {
	slices.SortFunc(t.spans, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	var until time.Time
	for _, s := range t.spans {
		if s[0].After(until) {
			until = s[0]
		}
		if s[1].After(until) {
			sum, until = sum+s[1].Sub(until), s[1]
		}
	}
	return sum
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}
