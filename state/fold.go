package state

import (
	"slices"
	"time"

	"mxcutover/plan"
)

// Apply folds one event into the Status. Kinds and names it does not know are
// passed over, as a viewer must.
func (s *Status) Apply(e Event) {
	s.Seq, s.At = e.Seq, e.At
	switch e.Kind {
	case Started:
		s.started(e)
	case Stopped:
		s.Engine, s.Control, s.Since = "stopped", "", time.Time{}
	case Control:
		s.controlled(e)
	case Extended:
		s.applyExtended(e)
	case Decided:
		s.decided(e)
	case WaveStarted, WaveHeld, WaveLive:
		s.waveEvent(e)
	case Lifted:
		s.Isolation = IsolationStatus{
			State: IsolationLifted, Reason: e.Reason, Since: e.At, Steps: map[string]StepRecord{}, persons: s.Isolation.persons, stages: s.Isolation.stages,
		}
	case Closed:
		s.Over = true
	case DiskLow:
		s.DiskLow = e.Reason
	case DiskFree:
		s.DiskLow = ""
	default:
		if d := s.Domain(e.Domain); d != nil {
			s.change(d, func() { d.apply(e, s.moment(e), s.plan[e.Domain]) })
		} else if e.Domain == "" && e.Wave == "" {
			s.Isolation.apply(e, s.moment(e))
		}
	}
}

// controlled notes who decides.
func (s *Status) controlled(e Event) {
	s.Control, s.Since = "", time.Time{}
	if e.Decision != nil && e.Decision.Verb == Take {
		s.Control, s.Since = e.Decision.By, e.At
	}
}

// moment is when an event was, by the engine's two clocks.
func (s *Status) moment(e Event) Moment {
	m := Moment{At: e.At, Up: e.Up}
	if s.Running != nil && e.Up > 0 {
		m.Boot = s.Running.Boot
	}
	return m
}

// started begins an engine. What the one before left under way may yet have an
// effect: its writes count as in doubt from now on.
func (s *Status) started(e Event) {
	s.crashed(s.Engine == "running", e.Engine != nil && e.Engine.Resume)
	s.Engine, s.Running = "running", e.Engine
	s.Control, s.Since = "", time.Time{}
	s.Begun = s.moment(e)
	for i := range s.Domains {
		d := &s.Domains[i]
		for _, id := range d.writing(s.plan[d.Domain]) {
			d.doubt(id, stepKind(s.plan[d.Domain], id), Wait{From: s.Begun, For: Unfenced})
		}
	}
}

// crashed lets no new wave start after an engine that ended without order, until
// somebody says so: by approving one, or at the engine's start.
func (s *Status) crashed(now, resume bool) {
	if now {
		s.WavesWait = true
	}
	if resume {
		s.wavesGoOn()
	}
	for i := range s.Waves {
		if w := &s.Waves[i]; s.WavesWait && w.State == WaveWaiting {
			w.Reason = waitsSinceCrash
		}
	}
}

const waitsSinceCrash = "an engine ended without order; no new wave starts until one is approved, or approved again"

func (s *Status) wavesGoOn() {
	s.WavesWait = false
	for i := range s.Waves {
		if w := &s.Waves[i]; w.Reason == waitsSinceCrash {
			w.Reason = ""
		}
	}
}

func (s *Status) waveEvent(e Event) {
	w := s.Wave(e.Wave)
	if w == nil {
		return
	}
	w.Reason, w.Shut = e.Reason, e.Kind == WaveHeld && e.Step == string(plan.Publish)
	w.State = map[Kind]Phase{WaveStarted: WaveRunning, WaveHeld: IsHeld, WaveLive: Live}[e.Kind]
}

// change changes a domain and keeps its wave's counts in step.
func (s *Status) change(d *DomainStatus, f func()) {
	from := d.State
	f()
	if from == d.State {
		return
	}
	if d.State != Live && d.State != Settled {
		s.Isolation.forget()
	}
	if w := s.Wave(d.Wave); w != nil {
		w.count(from, -1)
		w.count(d.State, +1)
		if w.State == Live && w.Failed == w.Total {
			w.State, w.Reason = IsHeld, "all of it was rolled back"
		}
	}
}

func (w *WaveStatus) count(p Phase, n int) {
	switch p {
	case Live, Settled:
		w.Live += n
	case IsHeld, IsDrifted, IsInDoubt:
		w.Held += n
	case IsRolledBack, IsRollingBack, IsSkipped:
		w.Failed += n
	}
}

func stepKind(c *plan.Cutover, id string) plan.Kind {
	if c != nil {
		for _, s := range c.Steps {
			if s.ID == id {
				return s.Kind
			}
		}
	}
	return plan.KindOf(id)
}

func intentOf(e Event) Intent {
	if e.Intent == nil {
		return Intent{}
	}
	return *e.Intent
}

// mergeFindings keeps the last findings of each check, target and vantage, and
// not more than a screenful and a half: the oldest that did not fail go first. One
// event may have several of these, and the worst is not hidden by another.
func mergeFindings(have, more []plan.Finding) []plan.Finding {
	have = slices.DeleteFunc(have, func(o plan.Finding) bool {
		return slices.ContainsFunc(more, func(f plan.Finding) bool {
			return o.Check == f.Check && o.Target == f.Target && o.Vantage == f.Vantage
		})
	})
	have = append(have, more...)
	n := len(have) - maxFindings
	have = slices.DeleteFunc(have, func(f plan.Finding) bool {
		if n <= 0 || f.Severity == plan.Fail || f.Check == plan.BeforeClosing {
			return false
		}
		n--
		return true
	})
	return slices.Delete(have, 0, max(n, 0))
}

const maxFindings = 64
