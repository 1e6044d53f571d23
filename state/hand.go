package state

import (
	"fmt"
	"slices"
	"strings"

	"mxcutover/plan"
)

// OpeningTable begins the names of tables by which a person opens the old server.
const OpeningTable = "open-"

// asked folds what a person is asked to load into a firewall that is theirs. A table
// that is asked for anew takes back what was said of the one before.
func (i *IsolationStatus) asked(found []plan.Finding) {
	for _, f := range found {
		if f.Check != plan.HandFirewall {
			continue
		}
		i.Findings = slices.DeleteFunc(i.Findings, func(o plan.Finding) bool { return o.Check == plan.HandFirewall })
		i.Hand, i.Asks, i.Said = true, "", ""
		if f.Severity == plan.Unknown {
			i.Asks = f.Target
		}
	}
}

// checkLoaded refuses a word about another table than the one that is asked for: rules
// for other ports, or other trusted networks, may have been typed in long ago.
func (s *Status) checkLoaded(d Decision) error {
	i := &s.Isolation
	switch {
	case d.Target != Isolate:
		return fmt.Errorf("%w: only of isolate a person says that it is done", ErrRefused)
	case i.Asks == "":
		return fmt.Errorf("%w: nobody is asked to load anything at the old server's firewall now", ErrRefused)
	case strings.HasPrefix(i.Asks, OpeningTable):
		return fmt.Errorf("%w: that the old server is open again is seen from outside, and needs no word: mxcutover isolate lift", ErrRefused)
	case d.Confirm != i.Asks:
		return fmt.Errorf("%w: %s wants the name of the table that is loaded: confirm with %q; see mxcutover isolate show", ErrRefused, d.Verb, i.Asks)
	case i.Held:
		return fmt.Errorf("%w: isolation is held, and asks for nothing until it goes on: mxcutover retry --isolate, or resume", ErrRefused)
	}
	return nil
}
