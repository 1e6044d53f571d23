//go:build !linux

package rollout

import "time"

// Other systems have no clock of this kind in common: the wall's decides.
func bootID() string { return "" }

func sinceBoot() (time.Duration, bool) { return 0, false }

func clockSynced() bool { return true }
