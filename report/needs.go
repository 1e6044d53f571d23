package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mxcutover/rrset"
	"mxcutover/state"
)

// A Need is something that goes on only when a person does something.
type Need struct {
	What    string   `json:"what"`
	Targets []string `json:"targets,omitempty"` // bare domains, the first ones
	Count   int      `json:"count,omitempty"`   // of all of them
	Why     string   `json:"why,omitempty"`
	Command string   `json:"command,omitempty"` // that goes on, or tells more
	tone    Tone
}

// closeAgain closes the old server again, with fresh evidence and proof.
const closeAgain = "mxcutover retry --isolate"

// mostNamed is how many domains of one need are named.
const mostNamed = 20

// Needs are what waits for a person, the most urgent first. Domains that wait
// for the same reason are told together.
func (s *Story) Needs() (out []Need) {
	st := s.Status
	if st.DiskLow != "" {
		out = append(out, Need{What: "the disk is full, and only rollbacks start", Why: st.DiskLow, tone: Bad})
	}
	if n := s.tally()[busy]; st.Engine == "stopped" && n > 0 && !s.Begun.IsZero() {
		out = append(out, Need{What: "no engine runs, so nothing goes on", Why: Counted(n, "domain") + " under way", Command: "mxcutover run", tone: Bad})
	}
	if i := &st.Isolation; strings.HasPrefix(i.Asks, state.OpeningTable) {
		out = append(out, Need{What: "the old server must be opened again by hand: nothing opens it by itself", Why: i.Reason, Command: "mxcutover isolate lift", tone: Bad})
	} else if i.Stuck() {
		out = append(out, Need{What: "isolation of the old server is held", Why: st.Isolation.Reason, Command: "mxcutover isolate status", tone: Bad})
	}
	if st.Isolation.State == state.IsDrifted && !st.Isolation.Held {
		out = append(out, Need{What: "the old server was closed for good, and is not any more", Why: st.Isolation.Reason, Command: closeAgain, tone: Bad})
	}
	for _, w := range st.Waves {
		if w.State == state.IsHeld {
			out = append(out, Need{What: "wave " + w.Name + " is held, and no later wave starts", Why: w.Reason, Command: "mxcutover status", tone: Bad})
		}
	}
	out = append(out, s.domainNeeds()...)
	if v := s.Verified; v != nil {
		if t := Count(v.Findings); t.Fail > 0 {
			out = append(out, Need{What: fmt.Sprintf("%s failed in the verification", Counted(t.Fail, "finding")), Command: "mxcutover verify", tone: Bad})
		}
	}
	out = append(out, s.gateNeeds()...)
	slices.SortStableFunc(out, func(a, b Need) int { return cmp.Compare(b.tone, a.tone) })
	return out
}

// domainNeeds are of domains, by state and reason.
func (s *Story) domainNeeds() (out []Need) {
	at := map[[2]string]int{}
	for i := range s.Status.Domains {
		d := &s.Status.Domains[i]
		what, why, command := "", d.Reason, "mxcutover retry --domain "
		switch {
		case d.Asked != "":
			what, why, command = "a change to be made by hand", d.Asked, "mxcutover status --domain "
		case d.State == state.IsDrifted:
			what, command = "drifted: somebody else changed the record", "mxcutover status --domain "
		case d.State == state.IsHeld:
			what = "held"
		case d.State == state.IsRolledBack:
			what = "rolled back"
		case d.Paused:
			what, command = "on hold, as a person said", "mxcutover resume --domain "
		default:
			continue
		}
		k := [2]string{what, why}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			tone := Bad
			if d.State == state.IsRolledBack || d.Paused {
				tone = Wary
			}
			out = append(out, Need{What: what, Why: why, Command: command + Quote(rrset.Bare(d.Domain)), tone: tone})
		}
		if out[n].Count++; out[n].Count <= mostNamed {
			out[n].Targets = append(out[n].Targets, rrset.Bare(d.Domain))
		}
	}
	return out
}

// gateNeeds are the approvals that are waited for.
func (s *Story) gateNeeds() (out []Need) {
	st := s.Status
	live := true
	for i, w := range st.Waves {
		if w.State == state.WaveWaiting && live && (!w.Approved || st.WavesWait) && !s.Begun.IsZero() {
			why := fmt.Sprintf("%s in it", Counted(w.Total, "domain"))
			if i > 0 {
				why += "; the wave before is live"
			}
			out = append(out, Need{What: "wave " + w.Name + " waits for approval", Why: why, Command: "mxcutover approve --wave " + Quote(w.Name), tone: Busy})
		}
		live = live && w.State == state.Live
	}
	i := st.Isolation
	switch {
	case !live || len(st.Waves) == 0:
	case i.Asks != "" && !strings.HasPrefix(i.Asks, state.OpeningTable) && !i.Held:
		out = append(out, Need{What: "a person is to load the table " + i.Asks, Why: "mxcutover isolate show", Command: askedCommand(&i), tone: Wary})
	case i.Stuck():
	case i.State == state.IsolationProven && !i.Keep && i.Hand:
		out = append(out, Need{What: "the old server is closed by hand and proven; confirm that, or you are told to open it: nothing opens by itself", Why: "until " + stamp(i.Until), Command: "mxcutover isolate confirm --confirm isolate", tone: Wary})
	case i.State == state.IsolationProven && !i.Keep:
		out = append(out, Need{What: "the old server is closed and proven; it opens by itself unless that is confirmed", Why: "until " + stamp(i.Until), Command: "mxcutover isolate confirm --confirm isolate", tone: Wary})
	case !i.Approved && !i.Held && i.State == state.IsolationObserved:
		out = append(out, Need{What: "isolation of the old server waits for approval", Why: "nothing leads there any more", Command: "mxcutover approve --isolate", tone: Busy})
	}
	return out
}
