package state

import (
	"maps"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// A Phase is where a domain, a wave or isolation stands.
type Phase string

// The states of a domain, in the order of its life; then those that can befall
// it anywhere.
const (
	Planned     Phase = "planned"
	Preflighted Phase = "preflighted"
	TTLLowered  Phase = "ttl-lowered"
	Waited      Phase = "waited"
	Published   Phase = "published"
	Propagated  Phase = "propagated"
	Probed      Phase = "probed"
	Soaking     Phase = "soaking"
	Live        Phase = "live"
	Settled     Phase = "settled"

	IsHeld        Phase = "held"
	IsDrifted     Phase = "drifted"
	IsInDoubt     Phase = "in-doubt"
	IsRollingBack Phase = "rolling-back"
	IsRolledBack  Phase = "rolled-back"
	IsSkipped     Phase = "skipped" // left as it is, by a person
)

// The states of a wave, besides IsHeld and Live.
const (
	WaveWaiting Phase = "waiting" // for the waves before it, or for approval
	WaveRunning Phase = "running"
)

// The states of isolation. Each step done has its own. It is drifted (IsDrifted) when
// what was closed for good is not, by somebody else's doing.
const (
	IsolationOpen      Phase = "open" // nothing is closed
	IsolationObserved  Phase = "observed"
	IsolationArmed     Phase = "armed"
	IsolationProven    Phase = "proven"
	IsolationPartly    Phase = "partly" // some ports are closed for good, others come later
	IsolationConfirmed Phase = "confirmed"
	IsolationLifted    Phase = "lifted"
)

// A Status is the fold of a plan and its events: what every screen, report and
// exit code shows.
type Status struct {
	V         int                      `json:"v"`
	Migration string                   `json:"migration"`
	PlanID    string                   `json:"plan"`               // as it is now
	Extended  []string                 `json:"extended,omitempty"` // the IDs that it got since it was begun
	Engine    string                   `json:"engine"`             // "running" or "stopped"
	Seq       uint64                   `json:"seq"`
	At        time.Time                `json:"at,omitzero"` // of the last event
	Waves     []WaveStatus             `json:"waves"`
	Domains   []DomainStatus           `json:"domains"`
	Isolation IsolationStatus          `json:"isolation"`
	Rollback  Estimate                 `json:"rollback,omitzero"`      // what it would take now
	Over      bool                     `json:"over,omitempty"`         // settled; nothing is left to do
	DiskLow   string                   `json:"disk_low,omitempty"`     // why only rollbacks start; "" = there is room
	Control   string                   `json:"control,omitempty"`      // whose session alone decides; "" = any
	Since     time.Time                `json:"control_since,omitzero"` // since when
	WavesWait bool                     `json:"waves_wait,omitempty"`   // since a crash: no new wave starts until somebody approves one
	Running   *Engine                  `json:"-"`                      // the engine, or the last one; nil = none yet
	Begun     Moment                   `json:"-"`                      // when that engine was started
	index     map[string]int           // domain -> place in Domains
	waves     map[string]int           // wave -> place in Waves
	plan      map[string]*plan.Cutover // by domain
}

// A WaveStatus is how one wave stands.
type WaveStatus struct {
	Name     string `json:"name"`
	State    Phase  `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Total    int    `json:"total"`
	Live     int    `json:"live"`
	Held     int    `json:"held"`   // held, drifted or in doubt
	Failed   int    `json:"failed"` // rolled back, or being so
	Approved bool   `json:"approved,omitempty"`
	Paused   bool   `json:"paused,omitempty"` // by a hold
	Shut     bool   `json:"shut,omitempty"`   // held, and nothing more of it is published
	Asked    []int  `json:"asked,omitempty"`  // uids that approved, while one more is needed
	persons  int    // how many must approve
}

// A DomainStatus is how one domain stands.
type DomainStatus struct {
	Domain   string                `json:"domain"`
	Wave     string                `json:"wave"`
	State    Phase                 `json:"state"`
	Reason   string                `json:"reason"`
	Asked    string                `json:"asked,omitempty"` // what a person is asked for, and has not made
	Since    time.Time             `json:"since,omitzero"`  // of State
	Step     string                `json:"step,omitempty"`  // under way
	Until    time.Time             `json:"until,omitzero"`  // deadline of the step under way
	Attempt  int                   `json:"attempt,omitempty"`
	Paused   bool                  `json:"paused,omitempty"` // by a hold
	Failed   bool                  `json:"failed,omitempty"` // its last attempt failed
	Back     bool                  `json:"back,omitempty"`   // is to be rolled back, until it is
	Drift    Drift                 `json:"drift,omitempty"`  // a person's choice, until it was carried out
	TTL      uint32                `json:"ttl,omitempty"`    // of the new MX RRset, in seconds, once it is published
	Gone     time.Time             `json:"gone,omitzero"`    // rolled back: when the last cache lets the gateway go
	Caches   Wait                  `json:"-"`                // the same, by the machine's own clock
	Others   Wait                  `json:"-"`                // until when a cache may have a companion that was undone
	Beside   bool                  `json:"-"`                // drifted: it is a companion that was changed, and not the MX
	Stays    bool                  `json:"-"`                // going back, it left a companion there, since an MX that a person kept needed it
	Doubt    Wait                  `json:"-"`                // a write without an answer may yet be applied for so long
	Doubts   int                   `json:"-"`                // how often the step under way came to be in doubt
	Steps    map[string]StepRecord `json:"-"`                // intended or done, and not undone
	Undone   map[string]StepRecord `json:"-"`                // writes of this attempt that were undone; nil = none
	Findings []plan.Finding        `json:"-"`                // the last of each check and target
}

// A StepRecord is what the journal knows of a step that was begun.
type StepRecord struct {
	Intent Intent
	Begun  Moment
	Done   bool
	DoneAt Moment
	Got    *rrset.Set // what the provider read back after the effect
	Kept   bool       // somebody else's record came after it, and was taken over: there is nothing to undo
	Doubt  Wait       `json:",omitzero"` // of a companion: its write got no answer, and may yet come for so long
}

// Wait is the deadline that the step's Intent carries.
func (r StepRecord) Wait() Wait {
	w := Wait{From: r.Begun, For: r.Intent.Wait}
	if w.For == 0 && !r.Intent.Until.IsZero() {
		w.For = r.Intent.Until.Sub(r.Begun.At)
	}
	return w
}

// An IsolationStatus is how the old server's isolation stands.
type IsolationStatus struct {
	State    Phase                 `json:"state"`
	Reason   string                `json:"reason,omitempty"`
	Since    time.Time             `json:"since,omitzero"`
	Until    time.Time             `json:"until,omitzero"` // when the kernel opens again
	Step     string                `json:"step,omitempty"`
	Approved bool                  `json:"approved,omitempty"`
	Keep     bool                  `json:"keep,omitempty"`   // a person decided to confirm
	Lift     bool                  `json:"lift,omitempty"`   // a person decided to lift
	Held     bool                  `json:"held,omitempty"`   // waits for a person
	Paused   bool                  `json:"paused,omitempty"` // held, and by a hold alone
	Asked    []int                 `json:"asked,omitempty"`  // uids that approved, while one more is needed
	Closed   bool                  `json:"closed,omitempty"` // may be closed: armed once, and not proven open since
	Hand     bool                  `json:"hand,omitempty"`   // a person loads the rules: nothing opens by itself
	Asks     string                `json:"asks,omitempty"`   // the table that a person is asked to load, or to open by
	Said     string                `json:"said,omitempty"`   // the table that a person says is loaded, until it was looked at
	Steps    map[string]StepRecord `json:"-"`
	Findings []plan.Finding        `json:"-"`
	persons  int                   // how many must approve
	stages   int                   // how many sets of ports are closed, one after the other
}

// Stuck tells whether isolation is held for another reason than a person's hold: a
// confirmation would not be carried out, and a retry begins anew.
func (i *IsolationStatus) Stuck() bool { return i.Held && !i.Paused }

// Waiting tells whether isolation waits for a person.
func (i *IsolationStatus) Waiting() bool { return i.Held || i.State == IsDrifted }

// NewStatus is the Status of a plan before its first event.
func NewStatus(p plan.Plan) *Status {
	s := &Status{
		V: Version, Migration: p.Migration, PlanID: p.ID, Engine: "stopped",
		Isolation: IsolationStatus{State: IsolationOpen, Steps: map[string]StepRecord{}},
		index:     map[string]int{}, waves: map[string]int{}, plan: map[string]*plan.Cutover{},
	}
	for _, step := range p.Isolate {
		if step.Kind == plan.Confirm {
			s.Isolation.stages++
		}
	}
	for i, w := range p.Waves {
		s.waves[w.Name] = i
		s.Isolation.persons = max(s.Isolation.persons, w.Gate.Persons)
		s.Waves = append(s.Waves, WaveStatus{
			Name: w.Name, State: WaveWaiting, Total: len(w.Cutovers), Approved: i == 0 && w.Gate.Persons < 2, persons: w.Gate.Persons,
		})
		for j := range w.Cutovers {
			c := &w.Cutovers[j]
			s.index[c.Domain] = len(s.Domains)
			s.plan[c.Domain] = c
			s.Domains = append(s.Domains, DomainStatus{
				Domain: c.Domain, Wave: w.Name, State: Planned, Attempt: 1, Steps: map[string]StepRecord{},
			})
		}
	}
	return s
}

// An Estimate is what a rollback of all would take.
type Estimate struct {
	Domains int           `json:"domains"` // that are published
	Write   time.Duration `json:"write"`   // ns until all is written, by how long publishing took
	Caches  time.Duration `json:"caches"`  // ns until the last cache lets the gateway go, after that
}

// writers is how many domains are taken to be written at once.
const writers = 8

// estimate tells what a rollback of all would take now.
func (s *Status) estimate() (e Estimate) {
	var ttl uint32
	for i := range s.Domains {
		d := &s.Domains[i]
		if d.TTL == 0 {
			continue
		}
		e.Domains++
		ttl = max(ttl, d.TTL)
		if r := d.Steps[string(plan.Publish)]; r.Done {
			took, _ := r.DoneAt.Since(r.Begun)
			e.Write += max(took, 0)
		}
	}
	e.Write /= writers
	e.Caches = time.Duration(ttl) * time.Second
	return e
}

// Domain is one domain's status; nil if the plan has none of that name.
func (s *Status) Domain(name string) *DomainStatus {
	if i, ok := s.index[name]; ok {
		return &s.Domains[i]
	}
	return nil
}

// Wave is one wave's status; nil if the plan has none of that name.
func (s *Status) Wave(name string) *WaveStatus {
	if i, ok := s.waves[name]; ok {
		return &s.Waves[i]
	}
	return nil
}

// Cutover is the plan's cutover of a domain.
func (s *Status) Cutover(domain string) (plan.Cutover, bool) {
	if c, ok := s.plan[domain]; ok {
		return *c, true
	}
	return plan.Cutover{}, false
}

// CopyOf is a copy of one domain's status that later events do not touch.
func (s *Status) CopyOf(name string) DomainStatus {
	if d := s.Domain(name); d != nil {
		return d.clone()
	}
	return DomainStatus{}
}

// Clone is a copy that later events do not touch.
func (s *Status) Clone() *Status {
	c := *s
	c.Waves = slices.Clone(s.Waves)
	c.Domains = slices.Clone(s.Domains)
	for i := range c.Domains {
		c.Domains[i] = s.Domains[i].clone()
	}
	c.Isolation.Steps = maps.Clone(s.Isolation.Steps)
	c.Isolation.Findings = slices.Clone(s.Isolation.Findings)
	return &c
}

func (d DomainStatus) clone() DomainStatus {
	d.Steps = maps.Clone(d.Steps)
	d.Undone = maps.Clone(d.Undone)
	d.Findings = slices.Clone(d.Findings)
	return d
}

// Has tells whether a step of the given ID is done and not undone.
func (d DomainStatus) Has(step string) bool { return d.Steps[step].Done }

// Published is when its publishing was begun; zero = it was not, or was undone.
func (d DomainStatus) Published() time.Time { return d.Steps[string(plan.Publish)].Begun.At }

// Moved tells whether the domain's new MX was written, or may have been, and
// was not yet taken back: mail may go to the gateway.
func (d DomainStatus) Moved() bool {
	for id := range d.Steps {
		if plan.Kind(id) == plan.Publish {
			return true
		}
	}
	return false
}

// Waiting tells whether the domain waits for a person.
func (d DomainStatus) Waiting() bool {
	return d.Paused || d.State == IsHeld || d.State == IsDrifted
}
