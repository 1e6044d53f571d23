package bolt

import (
	"fmt"
	"io"
)

// WhoSays reads a sidecar as the error of a second opener would show it.
func WhoSays(r io.Reader) (string, bool) {
	h, ok := parseHolder(r)
	return fmt.Sprint(h.pid, h.user, h.host, h.since, h.command), ok
}

// NoSync makes the store one that syncs nothing when it commits.
func (s *Store) NoSync() { s.db.NoSync = true }
