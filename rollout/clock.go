package rollout

import (
	"os"
	"strings"
	"sync"
	"time"

	"mxcutover/state"
)

// A Clock is the engine's only one.
type Clock interface {
	Now() time.Time
	// Boot tells which boot of the machine this is, and for how long it has been
	// up, sleep included; "" where the machine does not tell.
	Boot() (id string, up time.Duration)
	// Synced tells whether the wall's clock is known to be right.
	Synced() bool
}

// moment is now, by both clocks.
func moment(c Clock) state.Moment {
	id, up := c.Boot()
	return state.Moment{At: c.Now(), Boot: id, Up: up}
}

// SystemClock is the machine's clock.
func SystemClock() Clock { return &systemClock{} }

type systemClock struct {
	once sync.Once
	id   string
}

// Now is the wall's time, without the reading of the process's own clock: what
// is compared over a restart must be compared alike before it.
func (s *systemClock) Now() time.Time { return time.Now().Round(0) }

// Boot reads the boot's id once.
func (s *systemClock) Boot() (string, time.Duration) {
	s.once.Do(func() { s.id = bootID() })
	up, ok := sinceBoot()
	if !ok {
		return "", 0
	}
	return s.id, up
}

func (s *systemClock) Synced() bool { return clockSynced() }

// readLine reads a short file of one line; "" if there is none.
func readLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
