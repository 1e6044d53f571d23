package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Gate says what must hold before a wave starts and while it runs.
type Gate struct {
	Approve     Approval `json:"approve"`
	Persons     int      `json:"persons,omitempty"`     // how many must approve, from 2; less = one
	Soak        Duration `json:"soak"`                  // how long each domain is watched before it is live
	Failures    int      `json:"failures"`              // how many domains may fail before later waves stop
	Consecutive int      `json:"consecutive,omitempty"` // how many may fail one after the other; 0 = as Failures says
	Shared      int      `json:"shared"`                // how many domains failing alike mean a fault of the gateway
	Windows     []Window `json:"windows,omitempty"`     // when domains may be published; none = always
	Zone        string   `json:"zone,omitempty"`        // of windows and peak hours, as in "Europe/Berlin"; "" = UTC
	AvoidPeak   bool     `json:"avoid_peak,omitempty"`  // no domain is published in its own peak hour
}

// An Approval says who lets a wave start.
type Approval string

// The ways to approve. The first wave is approved by beginning the run, unless
// two persons must approve.
const (
	Manual Approval = "manual" // a person, by a decision
	Auto   Approval = "auto"   // the engine, once the wave before is live
)

// A Window is a time of the week, such as "mon-fri 22:00-05:00". A window that
// ends before it begins goes over midnight, and belongs to the day on which it
// begins.
type Window struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes after midnight; to may be 24:00
	text     string
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads "DAYS HH:MM-HH:MM". DAYS are names of days ("mon", ...) and
// ranges of them, with commas between, or "daily".
func ParseWindow(s string) (Window, error) {
	w := Window{text: strings.ToLower(strings.Join(strings.Fields(s), " "))}
	days, hours, ok := strings.Cut(w.text, " ")
	from, to, ok2 := strings.Cut(hours, "-")
	if !ok || !ok2 {
		return w, errors.New(`expected days and hours, as in "mon-fri 22:00-05:00" or "daily 01:00-04:00"`)
	}
	if err := w.parseDays(days); err != nil {
		return w, err
	}
	var err error
	if w.from, err = parseClock(from); err != nil {
		return w, err
	}
	if w.to, err = parseClock(to); err != nil {
		return w, err
	}
	if w.from == w.to || w.from == 24*60 {
		return w, fmt.Errorf("%s is no span of time", hours)
	}
	return w, nil
}

func (w *Window) parseDays(s string) error {
	if s == "daily" {
		for i := range w.days {
			w.days[i] = true
		}
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		a, b := slices.Index(dayNames, first), slices.Index(dayNames, last)
		if a < 0 || b < 0 {
			return fmt.Errorf("%q: expected mon, tue, wed, thu, fri, sat, sun, a range of them, or daily", part)
		}
		for d := a; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == b {
				break
			}
		}
	}
	return nil
}

func parseClock(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hour, err := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	if !ok || err != nil || err2 != nil || len(m) != 2 || hour < 0 || minute < 0 || minute > 59 || hour*60+minute > 24*60 {
		return 0, fmt.Errorf("%q is no time of the day: expected HH:MM", s)
	}
	return hour*60 + minute, nil
}

// String is the window as it is written.
func (w Window) String() string { return w.text }

// MarshalText is the window as it is written.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.text), nil }

// UnmarshalText reads a window.
func (w *Window) UnmarshalText(text []byte) (err error) {
	*w, err = ParseWindow(string(text))
	return err
}

// open tells whether a local time is in the window.
func (w Window) open(t time.Time) bool {
	minute, day := t.Hour()*60+t.Minute(), t.Weekday()
	if w.from < w.to {
		return w.days[day] && minute >= w.from && minute < w.to
	}
	return w.days[day] && minute >= w.from || w.days[(day+6)%7] && minute < w.to
}

// MayPublish tells whether a domain may be published at a time, and if not, when
// that should be asked again and why. peak is the domain's peak hour.
func (g Gate) MayPublish(now time.Time, peak *int) (ok bool, again time.Time, why string) {
	zone, err := time.LoadLocation(g.Zone)
	if err != nil {
		return false, now.Add(time.Minute), fmt.Sprintf("the time zone %q is not known on this machine", g.Zone)
	}
	local := now.In(zone)
	inWindow := len(g.Windows) == 0 || slices.ContainsFunc(g.Windows, func(w Window) bool { return w.open(local) })
	inPeak := g.AvoidPeak && peak != nil && local.Hour() == *peak
	if inWindow && !inPeak {
		return true, time.Time{}, ""
	}
	// Clocks are set forward and back twice a year: each minute is asked for
	// itself, and never more than a week of them.
	for m := 1; m <= 8*24*60; m++ {
		t := local.Truncate(time.Minute).Add(time.Duration(m) * time.Minute)
		if (len(g.Windows) == 0 || slices.ContainsFunc(g.Windows, func(w Window) bool { return w.open(t) })) &&
			(!g.AvoidPeak || peak == nil || t.Hour() != *peak) {
			again = t
			break
		}
	}
	if again.IsZero() {
		return false, now.Add(time.Hour), "no window is open outside its peak hour"
	}
	why = "no window is open until " + again.Format("Mon 15:04 MST")
	if inWindow {
		why = "it is the peak hour of its mail until " + again.Format("15:04 MST")
	}
	return false, again, why
}
