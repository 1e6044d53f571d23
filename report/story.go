package report

import (
	"cmp"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// Bounds of what a story lists one by one; the rest is counted.
const (
	mostMoments = 5000
	mostHolds   = 10000
	mostMarks   = 24 // states of one domain
	mostPoints  = 400
	mostObserve = 200
)

// A Story is what a migration's journal tells: a fold of its events, which every
// format of report prints. [NewStory] begins it, [Story.Apply] goes on with each
// event in turn; it reads no clock and asks nobody.
type Story struct {
	Migration, Plan string
	Since, Until    time.Time     // what is listed; zero = all
	Status          *state.Status // as of the last event that was applied
	Begun, Last     time.Time     // of the migration; of its last event
	Engines         int           // how many were started
	Crashes         int           // how many ended without order
	Waves           []WaveStory
	Domains         []DomainStory // in the plan's order
	Moments         []Moment      // decisions, troubles and milestones
	Unlisted        int           // moments beyond what is listed
	Holds           []Hold
	Probes          map[Way]Tally
	Progress        []Point
	Load            Load
	Observed        []plan.Finding // what checks of the old server told, in the journal's order
	Verified        *Verification  // made for this report; nil = what the journal has

	latency latencies
	place   map[string]int // domain -> place in Domains
	waves   map[string]int
	open    map[string]int // whose hold is open -> place in Holds
	running bool
	now     Point
	every   int // each how-many-eth change of progress is kept
	skipped int
}

// A WaveStory is one wave's way.
type WaveStory struct {
	Name     string
	Started  time.Time
	Live     time.Time
	Approved Moment // zero: by nobody, as the first wave
}

// A DomainStory is one domain's way.
type DomainStory struct {
	Domain, Wave string
	Messages     uint64 // counted when the plan was made
	Marks        []Mark // its states in their order, the last ones
	Begun        time.Time
	Published    time.Time // the last time
	Live         time.Time // the last time
	Back         time.Time // rolled back, the last time
	Failures     int
	Backs        int // how often it was rolled back
	HeldTimes    int
	Held         time.Duration
	state        state.Phase
}

// A Mark is a state that was reached.
type Mark struct {
	State state.Phase `json:"state"`
	At    time.Time   `json:"at"`
}

// A Moment is an event that a person would want to be told.
type Moment struct {
	At    time.Time `json:"at"`
	Who   string    `json:"who"`  // a bare domain, "wave NAME", "old server", "engine", or who decided
	Class string    `json:"kind"` // "decision", "trouble" or "milestone"
	Event string    `json:"event"`
	By    string    `json:"by,omitempty"`
	Words string    `json:"words"`
	tone  Tone
}

// A Hold is a time in which something waited for a person.
type Hold struct {
	Who    string      `json:"who"`
	State  state.Phase `json:"state"` // held, drifted or in-doubt; "paused" by a decision
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to,omitzero"` // zero: it still does
	Reason string      `json:"reason,omitempty"`
	By     string      `json:"by,omitempty"`
}

// paused is the state of a Hold that a person asked for.
const paused state.Phase = "paused"

// A Point is how far the migration was at a time.
type Point struct {
	At    time.Time `json:"at"`
	Live  int       `json:"live"`        // domains live or settled
	Back  int       `json:"rolled_back"` // domains rolled back, or skipped
	Moved uint64    `json:"messages_moved"`
}

// Seen is how often the closed old server was called.
type Seen struct {
	At      time.Time `json:"at"`
	Refused uint64    `json:"refused"`
	Sources int       `json:"sources"`
}

// NewStory begins the story of a plan. Moments, holds, probes and progress are
// listed from since until until; a zero time is no bound. What a domain is, is
// told from the beginning.
func NewStory(p plan.Plan, since, until time.Time) *Story {
	s := &Story{
		Migration: p.Migration, Plan: p.ID, Since: since, Until: until, Status: state.NewStatus(p),
		Probes: map[Way]Tally{}, latency: latencies{}, place: map[string]int{}, waves: map[string]int{}, open: map[string]int{}, every: 1,
	}
	for i, w := range p.Waves {
		s.waves[w.Name] = i
		s.Waves = append(s.Waves, WaveStory{Name: w.Name})
		for _, c := range w.Cutovers {
			s.place[c.Domain] = len(s.Domains)
			s.Domains = append(s.Domains, DomainStory{Domain: c.Domain, Wave: w.Name, Messages: c.Messages, state: state.Planned})
			s.Load.Messages += c.Messages
		}
	}
	return s
}

// Apply goes on with one event. Those after until are passed over.
func (s *Story) Apply(e state.Event) {
	if !s.Until.IsZero() && e.At.After(s.Until) {
		return
	}
	if s.Begun.IsZero() {
		s.Begun = e.At
	}
	s.Last = e.At
	s.engine(e)
	wasBack := false
	if d := s.Status.Domain(e.Domain); d != nil {
		wasBack = d.Back
	}
	s.Status.Apply(e)
	s.probes(e, wasBack)
	s.observed(e)
	s.domains(e)
	s.wave(e)
	s.holdIsolation(e)
	s.closing(e)
	s.moment(e)
}

// listed tells whether a time is within what is to be listed.
func (s *Story) listed(t time.Time) bool { return s.Since.IsZero() || !t.Before(s.Since) }

func (s *Story) engine(e state.Event) {
	switch e.Kind {
	case state.Started:
		s.Engines++
		if s.running {
			s.Crashes++
		}
		s.running = true
	case state.Stopped:
		s.running = false
	}
}

// probes counts the probes of an event, and how long they took.
func (s *Story) probes(e state.Event, wasBack bool) {
	for _, f := range e.Findings {
		if !s.listed(e.At) {
			continue
		}
		if f.Check == sourceCheck && plan.KindOf(e.Step) == plan.Preflight {
			s.latency.add(Direct, cmp.Or(e.Wave, s.waveOf(f.Target)), e.At, Legs(f.Evidence))
		}
		if f.Check != probeCheck {
			continue
		}
		way := Public
		switch {
		case e.Kind == state.Undone || wasBack:
			way = Back
		case plan.Kind(e.Step) == plan.Preflight:
			way = Straight
		}
		t := s.Probes[way]
		t.add(f.Severity)
		s.Probes[way] = t
		if f.Severity == plan.Pass {
			s.latency.add(way, cmp.Or(e.Wave, s.waveOf(f.Target)), e.At, Legs(f.Evidence))
		}
	}
}

func (s *Story) waveOf(target string) string {
	if d := s.Status.Domain(target); d != nil {
		return d.Wave
	}
	return ""
}

// observed keeps what checks of the old server told.
func (s *Story) observed(e state.Event) {
	for _, f := range e.Findings {
		if e.Domain == "" && len(f.Check) > 4 && f.Check[:4] == "old." && s.listed(e.At) && len(s.Observed) < mostObserve {
			if f.At.IsZero() {
				f.At = e.At
			}
			s.Observed = append(s.Observed, f)
		}
	}
}

// moment keeps an event that a person would want to be told.
func (s *Story) moment(e state.Event) {
	class := classOf(e)
	if class == "" || !s.listed(e.At) {
		return
	}
	if len(s.Moments) >= mostMoments {
		s.Unlisted++
		return
	}
	m := Moment{At: e.At, Who: whose(e), Class: class, Event: string(e.Kind)}
	m.tone, m.Words = eventWords(e)
	if e.Kind == state.Decided && e.Decision != nil {
		m.Who, m.By, m.Words = e.Decision.By, e.Decision.By, choiceWords(*e.Decision)
	}
	s.Moments = append(s.Moments, m)
}

// The classes of moments.
const (
	aDecision  = "decision"
	aTrouble   = "trouble"
	aMilestone = "milestone"
)

func classOf(e state.Event) string {
	switch e.Kind {
	case state.Decided:
		return aDecision
	case state.Failed, state.Held, state.Drifted, state.InDoubt, state.RollingBack, state.RolledBack, state.WaveHeld, state.DiskLow, state.Skipped:
		return aTrouble
	case state.Begun, state.Extended, state.Started, state.Stopped, state.WaveStarted, state.WaveLive, state.Lifted, state.Closed, state.DiskFree:
		return aMilestone
	case state.Done, state.Undone:
		if e.Domain == "" {
			return aMilestone
		}
	}
	return ""
}
