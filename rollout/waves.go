package rollout

import (
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// waveEvents tells what the waves have come to since the journal last said so.
func waveEvents(p *plan.Plan, s *state.Status, pol Policy) (out []state.Event) {
	if pol.BackOnly {
		return nil
	}
	before := true // every earlier wave is live
	for i, w := range p.Waves {
		ws := &s.Waves[i]
		switch ws.State {
		case state.WaveWaiting:
			if before && !s.WavesWait && !ws.Paused && (ws.Approved || w.Gate.Approve == plan.Auto) {
				return append(out, state.Event{Kind: state.WaveStarted, Wave: w.Name})
			}
		case state.WaveRunning:
			if e, ok := waveOutcome(w, s); ok {
				out = append(out, e)
			}
		}
		before = before && ws.State == state.Live
	}
	return out
}

// isOut tells whether a domain is no part of its wave any more: its mail goes the old
// way, though its companions still wait before they go back, for caches or a person.
func isOut(d *state.DomainStatus) bool {
	return d.State == state.IsRolledBack || d.State == state.IsSkipped || d.Back && !d.Moved()
}

// waveOutcome judges a running wave: failed before anything else.
func waveOutcome(w plan.Wave, s *state.Status) (state.Event, bool) {
	failed, live, out := 0, 0, 0
	row, worst := 0, 0 // failed domains with none live between them
	first := ""
	for i := range w.Cutovers {
		c := &w.Cutovers[i]
		d := s.Domain(c.Domain)
		switch {
		case d.Failed:
			if failed++; first == "" {
				first = rrset.Bare(c.Domain)
			}
			if isOut(d) {
				out++
			}
		case d.State == state.Live, d.State == state.Settled:
			live++
		case isOut(d):
			out++
		}
		if d.Failed {
			row++
		} else if d.State == state.Live || d.State == state.Settled {
			row = 0
		}
		worst = max(worst, row)
	}
	switch {
	case w.Gate.Consecutive > 0 && worst >= w.Gate.Consecutive:
		return state.Event{
			Kind: state.WaveHeld, Wave: w.Name, Step: string(plan.Publish),
			Reason: fmt.Sprintf("%d failed one after the other, and the gate allows %d: %s", worst, w.Gate.Consecutive-1, first),
		}, true
	case failed >= max(w.Gate.Failures, 1):
		return state.Event{
			Kind: state.WaveHeld, Wave: w.Name,
			Reason: fmt.Sprintf("%d failed, and the gate allows %d: %s", failed, max(w.Gate.Failures, 1)-1, first),
		}, true
	case live+out == len(w.Cutovers) && live > 0:
		return state.Event{Kind: state.WaveLive, Wave: w.Name}, true
	case out == len(w.Cutovers):
		return state.Event{Kind: state.WaveHeld, Wave: w.Name, Reason: "all of it was rolled back"}, true
	}
	return state.Event{}, false
}

// settleAt is when original TTLs may come back: some time after isolation was
// confirmed or, without isolation, after the last domain went live.
func settleAt(p *plan.Plan, s *state.Status, pol Policy) time.Time {
	if len(p.Isolate) > 0 {
		if s.Isolation.State != state.IsolationConfirmed {
			return time.Time{}
		}
		return s.Isolation.Since.Add(pol.SettleAfter)
	}
	var last time.Time
	for i := range s.Domains {
		d := &s.Domains[i]
		if d.State != state.Live && d.State != state.Settled && !isOut(d) {
			return time.Time{}
		}
		if d.State == state.Live && d.Since.After(last) {
			last = d.Since
		}
	}
	return last.Add(pol.SettleAfter)
}

// ending is how a run stands.
type ending int

const (
	endNot    ending = iota
	endClosed        // all is settled: say so
	endDone          // nothing is left to do
	endHeld          // only a person can go on
)

// allDone tells whether the cutover's last step is done: settle, a late companion's,
// or soak where there is nothing to settle.
func allDone(c plan.Cutover, d state.DomainStatus) bool {
	return len(c.Steps) == 0 || d.Has(c.Steps[len(c.Steps)-1].ID)
}

// judgeEnd tells whether a run is over. busy is whether anything is under way or
// will be at a known time.
func judgeEnd(p *plan.Plan, s *state.Status, pol Policy, busy bool) ending {
	if s.Over {
		return endDone
	}
	if busy && s.Isolation.State != state.IsolationConfirmed && len(p.Isolate) > 0 {
		return endNot // there is no need to count
	}
	back, done, out := 0, 0, 0
	for _, d := range s.Domains {
		c, _ := s.Cutover(d.Domain)
		switch {
		case d.Back:
			back++
		case (d.State == state.Settled || d.State == state.Live) && allDone(c, d):
			done++
		case d.State == state.IsRolledBack, d.State == state.IsSkipped:
			out++
		}
	}
	isolated := len(p.Isolate) == 0 || s.Isolation.State == state.IsolationConfirmed
	switch {
	case done == len(s.Domains) && isolated && !s.Isolation.Lift:
		return endClosed
	case busy:
		return endNot
	case pol.BackOnly && back == 0, out == len(s.Domains) && out > 0:
		return endDone
	case pol.BackOnly, pol.ExitHeld:
		return endHeld
	}
	return endNot
}
