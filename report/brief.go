package report

import (
	"fmt"

	"mxcutover/state"
)

// Brief is a migration's state in one line, for those who watch services.
func Brief(s *state.Status) string {
	total, live, held := 0, 0, 0
	for _, w := range s.Waves {
		total, live, held = total+w.Total, live+w.Live, held+w.Held
	}
	out := fmt.Sprintf("%d of %d domains live", live, total)
	if held > 0 {
		out += fmt.Sprintf(", %d held: a person is needed", held)
	}
	if s.Isolation.Held {
		out += "; the isolation is held"
	}
	return out
}
