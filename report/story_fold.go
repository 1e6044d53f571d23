package report

import (
	"slices"
	"time"

	"mxcutover/rrset"
	"mxcutover/state"
)

// domains notes what an event changed: that of one domain, or a decision's many.
func (s *Story) domains(e state.Event) {
	if e.Domain != "" {
		if i, ok := s.place[e.Domain]; ok {
			s.domain(&s.Domains[i], e)
		}
		return
	}
	if e.Kind == state.Decided && e.Decision != nil {
		if _, domains, err := s.Status.Targets(e.Decision.Target); err == nil {
			for _, d := range domains {
				s.domain(&s.Domains[s.place[d.Domain]], e)
			}
		}
	}
}

func (s *Story) domain(d *DomainStory, e state.Event) {
	now := s.Status.Domain(d.Domain)
	if d.Begun.IsZero() && e.Kind == state.Intended {
		d.Begun = e.At
	}
	if e.Kind == state.Failed {
		d.Failures++
	}
	s.holdDomain(d, now, e)
	if now.State == d.state {
		return
	}
	was := d.state
	d.state = now.State
	d.Marks = append(d.Marks, Mark{State: now.State, At: e.At})
	if len(d.Marks) > mostMarks {
		d.Marks = slices.Delete(d.Marks, 0, 1)
	}
	switch now.State {
	case state.Published:
		d.Published = e.At
		if s.Load.first.IsZero() {
			s.Load.first = e.At
		}
	case state.Live:
		d.Live = e.At
	case state.IsRolledBack:
		d.Back = e.At
		d.Backs++
	}
	s.progress(d, was, now.State, e.At)
}

// progress keeps points of how many are live; when they become too many, every
// other one is dropped.
func (s *Story) progress(d *DomainStory, from, to state.Phase, at time.Time) {
	live, back := s.now.Live, s.now.Back
	s.now.At = at
	s.now.count(from, -1, d.Messages)
	s.now.count(to, +1, d.Messages)
	s.Load.Moved = s.now.Moved
	if live == s.now.Live && back == s.now.Back || !s.listed(at) {
		return
	}
	if s.skipped++; s.skipped < s.every && len(s.Progress) > 0 {
		s.Progress[len(s.Progress)-1] = s.now
		return
	}
	s.skipped = 0
	s.Progress = append(s.Progress, s.now)
	if len(s.Progress) >= mostPoints {
		kept := s.Progress[:0]
		for i, x := range s.Progress {
			if i%2 == 0 || i == len(s.Progress)-1 {
				kept = append(kept, x)
			}
		}
		s.Progress = kept
		s.every *= 2
	}
}

func (p *Point) count(of state.Phase, n int, messages uint64) {
	switch of {
	case state.Live, state.Settled:
		p.Live += n
		if n > 0 {
			p.Moved += messages
		} else {
			p.Moved -= messages
		}
	case state.IsRolledBack, state.IsSkipped:
		p.Back += n
	}
}

func (s *Story) wave(e state.Event) {
	if e.Kind == state.Decided && e.Decision != nil && e.Decision.Verb == state.Approve {
		if waves, _, err := s.Status.Targets(e.Decision.Target); err == nil {
			for _, w := range waves {
				s.Waves[s.waves[w.Name]].Approved = Moment{At: e.At, By: e.Decision.By}
			}
		}
	}
	i, ok := s.waves[e.Wave]
	if !ok {
		return
	}
	w := &s.Waves[i]
	now := s.Status.Wave(e.Wave)
	switch e.Kind {
	case state.WaveStarted:
		if w.Started.IsZero() {
			w.Started = e.At
		}
	case state.WaveLive:
		w.Live = e.At
	case state.WaveHeld:
		s.hold("wave "+e.Wave, Hold{State: state.IsHeld, Reason: e.Reason}, e.At)
	}
	if now.State != state.IsHeld {
		s.release("wave "+e.Wave+string(state.IsHeld), e.At)
	}
}

// holdDomain opens and closes the holds of a domain.
func (s *Story) holdDomain(d *DomainStory, now *state.DomainStatus, e state.Event) {
	who := rrset.Bare(d.Domain)
	for _, p := range []state.Phase{state.IsHeld, state.IsDrifted, state.IsInDoubt} {
		if now.State == p {
			if s.hold(who, Hold{State: p, Reason: now.Reason}, e.At) && p != state.IsInDoubt {
				d.HeldTimes++
			}
		} else if h := s.release(who+string(p), e.At); h != nil && p != state.IsInDoubt {
			d.Held += max(h.To.Sub(h.From), 0) // clocks are set back, too
		}
	}
	if now.Paused {
		h := Hold{State: paused}
		if e.Decision != nil {
			h.By = e.Decision.By
		}
		if s.hold(who, h, e.At) {
			d.HeldTimes++
		}
	} else if h := s.release(who+string(paused), e.At); h != nil {
		d.Held += max(h.To.Sub(h.From), 0) // clocks are set back, too
	}
}

func (s *Story) holdIsolation(e state.Event) {
	const who = "old server"
	switch i := s.Status.Isolation; {
	case i.Held && !i.Paused:
		s.hold(who, Hold{State: state.IsHeld, Reason: i.Reason}, e.At)
	case !i.Held:
		s.release(who+string(state.IsHeld), e.At)
	}
	if i := s.Status.Isolation; i.State == state.IsDrifted {
		s.hold(who, Hold{State: state.IsDrifted, Reason: i.Reason}, e.At)
	} else {
		s.release(who+string(state.IsDrifted), e.At)
	}
}

// closing notes when the old server was closed, and opened again.
func (s *Story) closing(e state.Event) {
	l := &s.Load
	switch s.Status.Isolation.State {
	case state.IsolationArmed, state.IsolationProven, state.IsolationPartly, state.IsolationConfirmed:
		if l.closed.IsZero() || !l.opened.IsZero() {
			l.closed, l.opened = e.At, time.Time{}
		}
	case state.IsolationLifted:
		if !l.closed.IsZero() && l.opened.IsZero() {
			l.opened = e.At
		}
	}
}

// hold opens a hold, unless one of the kind is open.
func (s *Story) hold(who string, h Hold, at time.Time) bool {
	key := who + string(h.State)
	if _, open := s.open[key]; open {
		return false
	}
	h.Who, h.From = who, at
	if len(s.Holds) >= mostHolds {
		s.Unlisted++
		return false
	}
	s.open[key] = len(s.Holds)
	s.Holds = append(s.Holds, h)
	return true
}

func (s *Story) release(key string, at time.Time) *Hold {
	i, open := s.open[key]
	if !open {
		return nil
	}
	delete(s.open, key)
	s.Holds[i].To = at
	return &s.Holds[i]
}
