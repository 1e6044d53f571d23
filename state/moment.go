package state

import "time"

// A Moment is a point in time by two clocks. The wall's can be set, and the
// machine's own (CLOCK_BOOTTIME) cannot, but begins anew at each boot.
type Moment struct {
	At   time.Time
	Boot string        // which boot of which machine; "" = unknown
	Up   time.Duration // since then
}

// Since is the time that has passed from an earlier moment. Within one boot the
// machine's own clock decides, and sure is true; else the wall's, for what it is
// worth.
func (m Moment) Since(earlier Moment) (d time.Duration, sure bool) {
	if m.Boot != "" && m.Boot == earlier.Boot {
		return m.Up - earlier.Up, true
	}
	return m.At.Sub(earlier.At), false
}

// A Wait is a deadline: so much time from a moment on.
type Wait struct {
	From Moment
	For  time.Duration
}

// Left is how much is left of the wait; at most zero when it is over. If the
// machine was started again meanwhile, sure is false: the wall's clock decides,
// and may be wrong.
func (w Wait) Left(now Moment) (d time.Duration, sure bool) {
	passed, sure := now.Since(w.From)
	return w.For - passed, sure
}

// IsZero tells whether nothing is waited for.
func (w Wait) IsZero() bool { return w.For == 0 }
