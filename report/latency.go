package report

import (
	"maps"
	"math"
	"slices"
	"time"

	"mxcutover/plan"
)

// A Way is the way that probes took.
type Way string

// The ways, in the order in which they are told.
const (
	Direct   Way = "direct"   // before the cutover, straight to the old server, as all mail went
	Straight Way = "straight" // before the cutover, straight to each of the gateway's addresses
	Public   Way = "public"   // after it, as any sender would: by MX to the gateway, and on to the old server
	Back     Way = "back"     // after a rollback, by the old MX
)

var ways = []Way{Direct, Straight, Public, Back}

// Words say what a way is.
func (w Way) Words() string {
	return map[Way]string{
		Direct: "before: to the old server", Straight: "before: straight to the gateway", Public: "after: by the new MX", Back: "rolled back: by the old MX",
	}[w]
}

// The checks that send a message and wait for it: through the gateway, and past it.
const (
	probeCheck  = "probe.arrival"
	sourceCheck = "old.source"
)

// Legs are how long a probe took, by the name of each leg, as its evidence tells
// in the words of [plan.Legs]; none if it is nothing of that.
func Legs(evidence string) map[string]time.Duration {
	if len(evidence) > 4*maxText {
		return nil
	}
	l, ok := plan.ParseLegs(evidence)
	if !ok {
		return nil
	}
	out := l.Known()
	maps.DeleteFunc(out, func(_ string, d time.Duration) bool { return d > mostLatency })
	return out
}

// mostLatency bounds what is believed of one probe.
const mostLatency = 30 * 24 * time.Hour

// A histogram counts durations. It keeps three digits of milliseconds, so that a
// million probes need no more room than a thousand.
type histogram struct {
	n    int
	by   map[int64]int // milliseconds, rounded -> count
	most int64
}

func (h *histogram) add(d time.Duration) {
	if h.by == nil {
		h.by = map[int64]int{}
	}
	ms := threeDigits(d.Milliseconds())
	h.by[ms]++
	h.n++
	h.most = max(h.most, ms)
}

func threeDigits(ms int64) int64 {
	unit := int64(1)
	for ms/unit >= 1000 {
		unit *= 10
	}
	return (ms + unit/2) / unit * unit
}

// quantile is the smallest duration that is not less than a share of all; zero
// of none.
func (h *histogram) quantile(q float64) time.Duration {
	keys := make([]int64, 0, len(h.by))
	for k := range h.by {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	want := max(int(math.Ceil(q*float64(h.n))), 1)
	for _, k := range keys {
		if want -= h.by[k]; want <= 0 {
			return time.Duration(k) * time.Millisecond
		}
	}
	return 0
}

// A Latency is how long probes took by one way, in one wave or on one day.
type Latency struct {
	By   string        `json:"by"`   // "all", "wave" or "day"
	Name string        `json:"name"` // of the wave; the day as 2006-01-02, in UTC
	Way  Way           `json:"way"`
	Leg  string        `json:"leg"` // "arrived" is the whole, "accepted" until the gateway took it
	N    int           `json:"n"`
	P50  time.Duration `json:"p50_ns"`
	P95  time.Duration `json:"p95_ns"`
	Max  time.Duration `json:"max_ns"`
}

type latencyKey struct {
	by, name string
	way      Way
	leg      string
}

// mostLatencies bounds the groups that are kept: days, waves and legs together.
const mostLatencies = 20000

type latencies map[latencyKey]*histogram

func (l latencies) add(way Way, wave string, at time.Time, legs map[string]time.Duration) {
	for leg, d := range legs {
		for _, k := range []latencyKey{{"all", "", way, leg}, {"wave", wave, way, leg}, {"day", day(at), way, leg}} {
			if k.by == "wave" && wave == "" {
				continue
			}
			h := l[k]
			if h == nil {
				if len(l) >= mostLatencies {
					continue
				}
				h = &histogram{}
				l[k] = h
			}
			h.add(d)
		}
	}
}

// by lists the groups of one kind, in the order of names, or of waves.
func (l latencies) by(by, leg string, names []string) (out []Latency) {
	for _, name := range names {
		for _, way := range ways {
			if h := l[latencyKey{by, name, way, leg}]; h != nil {
				out = append(out, Latency{
					By: by, Name: name, Way: way, Leg: leg, N: h.n, P50: h.quantile(0.5), P95: h.quantile(0.95), Max: time.Duration(h.most) * time.Millisecond,
				})
			}
		}
	}
	return out
}

// days are those that have a group, in their order; legs all legs, "arrived"
// first.
func (l latencies) days() []string {
	return l.names(func(k latencyKey) (string, bool) { return k.name, k.by == "day" })
}

func (l latencies) legs() []string {
	legs := l.names(func(k latencyKey) (string, bool) { return k.leg, k.by == "all" })
	if i := slices.Index(legs, wholeLeg); i > 0 {
		legs = append([]string{wholeLeg}, slices.Delete(legs, i, i+1)...)
	}
	return legs
}

func (l latencies) names(pick func(latencyKey) (string, bool)) []string {
	seen := map[string]bool{}
	for k := range l {
		if name, ok := pick(k); ok {
			seen[name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// wholeLeg is the time from the first word to the mailbox.
const wholeLeg = plan.LegArrived

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
