package verify

import (
	"slices"
	"time"

	"mxcutover/plan"
)

// legs measures a probe's way: by our clock at both ends, and by the Received
// lines between them, as far as the clocks behind those can be believed. A date
// before we connected, or after the message was seen, is of a clock that is wrong,
// and says nothing of how long anything took. A clock that is wrong by less than
// the message was under way cannot be told from one that is right.
func legs(hops []hop, planned []endpoint, begun time.Time, accepted, arrived time.Duration) plan.Legs {
	l := plan.Legs{Accepted: accepted, Arrived: arrived, Queued: plan.Unmeasured, Stored: plan.Unmeasured}
	old := slices.IndexFunc(hops, func(h hop) bool { return isFrom(h, planned) })
	if old < 0 {
		return l
	}
	// We are the sender: the oldest line is that of who took it from us.
	if first := len(hops) - 1; first > old {
		l.GatewayClock = ahead(hops[first].at, begun, begun.Add(accepted))
	}
	at := hops[old].at
	if at.IsZero() {
		return l
	}
	if l.OldClock = ahead(at, begun, begun.Add(arrived)); l.OldClock == 0 {
		took := min(max(at.Sub(begun), accepted), arrived)
		l.Queued, l.Stored = took-accepted, arrived-took
	}
	return l
}

// ahead is how far, at the least, a clock was ahead of ours that showed a whole
// second at some time between two of ours; negative: behind. Less than a second is
// none.
func ahead(at, from, to time.Time) time.Duration {
	var off time.Duration
	switch {
	case at.IsZero():
	case at.After(to):
		off = at.Sub(to)
	case at.Add(time.Second).Before(from):
		off = at.Add(time.Second).Sub(from)
	}
	if off.Abs() < time.Second {
		return 0
	}
	return off
}
