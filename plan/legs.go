package plan

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Legs are how long one probe was under way, leg by leg. They are told in a
// Finding's Evidence, as [Legs.String] writes and [ParseLegs] reads them.
type Legs struct {
	Accepted time.Duration // from the connection to the gateway's 250
	Arrived  time.Duration // from the connection until it was seen

	// Of the way between, by the Received lines, whose dates are whole seconds;
	// negative: it is not known, a server's clock being wrong.
	Queued time.Duration // from the gateway's 250 to the old server
	Stored time.Duration // from the old server until it was seen

	// How far a server's clock is ahead of ours (behind: negative), at the least;
	// zero: it was not seen to be wrong.
	GatewayClock, OldClock time.Duration
}

// Unmeasured is a leg that is not known.
const Unmeasured time.Duration = -1

// LegArrived is the name of the leg that is the whole way.
const LegArrived = "arrived"

const (
	legAccepted = "accepted"
	legQueued   = "queued"
	legStored   = "stored"
	legGateway  = "gateway clock"
	legOld      = "old clock"
)

// String is "accepted 120ms, arrived 1450ms, queued 880ms, stored 450ms, gateway
// clock +3600000ms". What is not known is left out.
func (l Legs) String() string {
	out := fmt.Sprintf("%s %dms, %s %dms", legAccepted, l.Accepted.Milliseconds(), LegArrived, l.Arrived.Milliseconds())
	for _, leg := range []struct {
		name string
		took time.Duration
	}{{legQueued, l.Queued}, {legStored, l.Stored}} {
		if leg.took >= 0 {
			out += fmt.Sprintf(", %s %dms", leg.name, leg.took.Milliseconds())
		}
	}
	for _, clock := range []struct {
		name  string
		ahead time.Duration
	}{{legGateway, l.GatewayClock}, {legOld, l.OldClock}} {
		if clock.ahead.Milliseconds() != 0 {
			out += fmt.Sprintf(", %s %+dms", clock.name, clock.ahead.Milliseconds())
		}
	}
	return out
}

// Known are the legs that were measured, by their names in [Legs.String]; how far
// clocks are wrong is no leg.
func (l Legs) Known() map[string]time.Duration {
	out := map[string]time.Duration{}
	for name, took := range map[string]time.Duration{legAccepted: l.Accepted, LegArrived: l.Arrived, legQueued: l.Queued, legStored: l.Stored} {
		if took >= 0 {
			out[name] = took
		}
	}
	return out
}

// ParseLegs reads what [Legs.String] wrote; false if a text is none of that.
func ParseLegs(evidence string) (Legs, bool) {
	l := Legs{Queued: Unmeasured, Stored: Unmeasured}
	fields := map[string]*time.Duration{
		legAccepted: &l.Accepted, LegArrived: &l.Arrived, legQueued: &l.Queued, legStored: &l.Stored,
		legGateway: &l.GatewayClock, legOld: &l.OldClock,
	}
	parts := strings.Split(evidence, ", ")
	if len(parts) < 2 || !strings.HasPrefix(parts[0], legAccepted+" ") || !strings.HasPrefix(parts[1], LegArrived+" ") {
		return Legs{}, false
	}
	for _, part := range parts {
		i := strings.LastIndexByte(part, ' ')
		number, isTime := strings.CutSuffix(part[i+1:], "ms")
		n, err := strconv.ParseInt(number, 10, 64)
		if i < 0 || !isTime || err != nil || n > math.MaxInt64/int64(time.Millisecond) || n < math.MinInt64/int64(time.Millisecond) {
			return Legs{}, false
		}
		name := part[:i]
		to := fields[name]
		if to == nil || n < 0 && name != legGateway && name != legOld {
			return Legs{}, false
		}
		delete(fields, name) // each once
		*to = time.Duration(n) * time.Millisecond
	}
	return l, true
}

// A Spread is what many durations have in common.
type Spread struct {
	N             int
	P50, P95, Max time.Duration // by nearest rank
}

// SpreadOf leaves out what is negative: not known.
func SpreadOf(took []time.Duration) Spread {
	known := slices.DeleteFunc(slices.Clone(took), func(d time.Duration) bool { return d < 0 })
	slices.SortFunc(known, cmp.Compare[time.Duration])
	n := len(known)
	if n == 0 {
		return Spread{}
	}
	rank := func(percent int) time.Duration { return known[(n*percent+99)/100-1] }
	return Spread{N: n, P50: rank(50), P95: rank(95), Max: known[n-1]}
}

// String is "50% in 1.2s, 95% in 3s, all in 4s (20)".
func (s Spread) String() string {
	if s.N == 0 {
		return "none"
	}
	short := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("50%% in %s, 95%% in %s, all in %s (%d)", short(s.P50), short(s.P95), short(s.Max), s.N)
}
