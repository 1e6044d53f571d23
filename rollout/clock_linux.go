package rollout

import (
	"time"

	"golang.org/x/sys/unix"
)

func bootID() string { return readLine("/proc/sys/kernel/random/boot_id") }

// sinceBoot is CLOCK_BOOTTIME, which also runs while the machine sleeps.
func sinceBoot() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// clockSynced asks the kernel whether anybody keeps its clock right (adjtimex).
func clockSynced() bool {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false
	}
	return t.Status&unix.STA_UNSYNC == 0
}
