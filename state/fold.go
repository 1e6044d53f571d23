package state

import (
	"maps"
	"math"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
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
	case Decided:
		s.decided(e)
	case WaveStarted, WaveHeld, WaveLive:
		s.waveEvent(e)
	case Lifted:
		s.Isolation = IsolationStatus{
			State: IsolationLifted, Reason: e.Reason, Since: e.At, Steps: map[string]StepRecord{}, persons: s.Isolation.persons,
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

// writing are the writes that were begun, forward or back, and that no event
// tells the outcome of. A decision since then may have ended the step.
func (d *DomainStatus) writing(c *plan.Cutover) (ids []string) {
	if d.Step != "" && stepKind(c, d.Step).Writes() {
		ids = append(ids, d.Step)
	}
	for id, r := range d.Steps {
		if !r.Done && id != d.Step && stepKind(c, id).Writes() {
			ids = append(ids, id)
		}
	}
	return ids
}

// doubt notes that a write may yet come late. That of a companion is its own: the
// MX goes back without waiting for it.
func (d *DomainStatus) doubt(id string, k plan.Kind, w Wait) {
	if k != plan.WriteCompanion {
		d.Doubt = w
		return
	}
	if r, begun := d.Steps[id]; begun {
		r.Doubt = w
		d.Steps[id] = r
	}
}

// DoubtOf is for how long a write of a step may yet come late.
func (d *DomainStatus) DoubtOf(s plan.Step) Wait {
	if s.Kind == plan.WriteCompanion {
		return d.Steps[s.ID].Doubt
	}
	return d.Doubt
}

// Unfenced is a wait without an end yet: whoever knows the provider knows for
// how long its writes may come late.
const Unfenced time.Duration = math.MaxInt64

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

// set enters a state. While the domain is to be rolled back, the late outcome
// of a step that was under way does not hide that.
func (d *DomainStatus) set(p Phase, e Event) {
	if d.Back && p != IsRollingBack && p != IsHeld && p != IsDrifted && p != IsInDoubt {
		return
	}
	if d.State != p {
		d.Since = e.At
	}
	d.State, d.Reason = p, e.Reason
}

func (d *DomainStatus) apply(e Event, at Moment, c *plan.Cutover) {
	if len(e.Findings) > 0 && stepKind(c, e.Step) == plan.Preflight {
		d.Findings = nil // all was asked anew, and what passed now is not told one by one
	}
	d.Findings = mergeFindings(d.Findings, e.Findings)
	for _, f := range e.Findings {
		if f.Check == plan.HandCheck {
			d.Asked = ""
			if f.Severity == plan.Unknown {
				d.Asked = f.Detail
			}
		}
	}
	defer d.noteTTL()
	switch e.Kind {
	case Intended:
		d.begin(e)
		if i := intentOf(e); i.Base {
			d.keep(i)
		}
		d.Steps[e.Step] = StepRecord{Intent: intentOf(e), Begun: at}
		if stepKind(c, e.Step) == plan.Soak {
			d.set(Soaking, e)
		} else {
			d.set(d.reached(c), e)
		}
	case Observed:
		if u := untilOf(e); !u.IsZero() {
			d.Until = u
		}
	case Done:
		d.finish(e, at, stepKind(c, e.Step).Writes())
		d.Failed = false
		d.set(d.reached(c), e)
	case Failed:
		if !stepKind(c, e.Step).Writes() {
			delete(d.Steps, e.Step)
		}
		d.endStep()
		d.Failed, d.Reason = true, e.Reason
	case Held:
		d.endStep()
		d.set(IsHeld, e)
	case Drifted:
		d.endStep()
		d.set(IsDrifted, e)
		d.Beside = stepKind(c, e.Step) == plan.WriteCompanion
	case InDoubt:
		d.set(IsInDoubt, e)
		d.Until = untilOf(e)
		d.doubt(e.Step, stepKind(c, e.Step), Wait{From: at, For: intentOf(e).Wait})
		d.Doubts++
	case RollingBack:
		d.Back = true
		if d.State != IsInDoubt {
			d.endStep()
			d.set(IsRollingBack, e)
		}
	case Undoing:
		d.begin(e)
		reason := d.Reason
		d.set(IsRollingBack, e)
		d.Reason = reason
	case Undone:
		k := stepKind(c, e.Step)
		d.putAway(e.Step, k)
		d.letGo(e, at, k)
		d.endStep()
		if k != plan.WriteCompanion {
			d.Doubt = Wait{}
		}
		d.set(IsRollingBack, Event{At: e.At, Reason: d.Reason})
	case RolledBack:
		for id := range d.Steps {
			d.putAway(id, stepKind(c, id))
		}
		d.Back, d.Drift = false, ""
		d.endStep()
		d.set(IsRolledBack, e)
	case Skipped:
		d.skip(e)
	}
}

// putAway takes a step out of those that are done, and keeps what a write was:
// it may yet come late, or again, and must then be undone once more.
func (d *DomainStatus) putAway(id string, k plan.Kind) {
	if r, begun := d.Steps[id]; begun && k.Writes() {
		undone := map[string]StepRecord{id: r}
		maps.Copy(undone, d.Undone)
		d.Undone = undone
	}
	delete(d.Steps, id)
}

// takeOut is the opposite of putAway, of all steps: what was undone is to be
// undone again.
func (d *DomainStatus) takeOut() {
	for id, r := range d.Undone {
		d.Steps[id] = r
	}
	d.Undone = nil
}

// noteTTL notes the TTL of the new RRset as it was last written.
func (d *DomainStatus) noteTTL() {
	d.TTL = 0
	for _, k := range []plan.Kind{plan.Settle, plan.Publish} {
		switch r, begun := d.Steps[string(k)]; {
		case !begun:
			continue
		case r.Got != nil:
			d.TTL = r.Got.TTL
		case r.Intent.Change != nil:
			d.TTL = r.Intent.Change.After.TTL
		}
		return
	}
}

// keep takes what was written so far of a RRset as somebody else's: a rollback
// ends with the record that they wrote since.
func (d *DomainStatus) keep(i Intent) {
	for id, r := range d.Steps {
		if r.Intent.Change == nil || i.Change == nil || sameSet(*r.Intent.Change, *i.Change) {
			r.Kept = true
			d.Steps[id] = r
		}
	}
}

func sameSet(a, b rrset.Change) bool {
	return a.After.Name == b.After.Name && a.After.Type == b.After.Type
}

// letGo notes until when a cache may have the gateway's MX, or a companion that
// was undone: until the later of what was known and what is told now.
func (d *DomainStatus) letGo(e Event, at Moment, k plan.Kind) {
	u, known := untilOf(e), &d.Caches
	if k == plan.WriteCompanion {
		known = &d.Others
	}
	if u.IsZero() {
		return
	}
	if left, _ := known.Left(at); !known.IsZero() && left > intentOf(e).Wait {
		return
	}
	*known = Wait{From: at, For: intentOf(e).Wait}
	if k != plan.WriteCompanion {
		d.Gone = u
	}
}

// begin begins a step, forward or back. A doubt about the same one goes on.
func (d *DomainStatus) begin(e Event) {
	if d.Step != e.Step {
		d.Doubts = 0
	}
	d.Step, d.Until = e.Step, untilOf(e)
}

func (d *DomainStatus) endStep() {
	d.Step, d.Doubts = "", 0
	d.Until = time.Time{}
}

func (d *DomainStatus) finish(e Event, at Moment, writes bool) {
	r := d.Steps[e.Step]
	r.Done, r.DoneAt = true, at
	if writes && !d.Back {
		d.Drift = ""
	}
	if e.Intent != nil {
		r.Got = e.Intent.Snapshot
	}
	d.Steps[e.Step] = r
	d.endStep()
}

// reached is the state after the last step done in the plan's order.
func (d *DomainStatus) reached(c *plan.Cutover) Phase {
	p := Planned
	if c == nil {
		return p
	}
	for _, s := range c.Steps {
		if !d.Has(s.ID) {
			continue
		}
		if q, ok := phaseAfter[s.Kind]; ok {
			p = q
		}
	}
	return p
}

var phaseAfter = map[plan.Kind]Phase{
	plan.Preflight: Preflighted, plan.LowerTTL: TTLLowered, plan.AwaitTTL: Waited, plan.Publish: Published,
	plan.Propagate: Propagated, plan.Probe: Probed, plan.Soak: Live, plan.Settle: Settled,
}

func (i *IsolationStatus) apply(e Event, at Moment) {
	i.Findings = mergeFindings(i.Findings, e.Findings)
	switch e.Kind {
	case Intended:
		i.Step, i.Held = e.Step, i.Paused
		if u := untilOf(e); !u.IsZero() || !i.Closed {
			i.Until = u
		}
		if stepVerb(e.Step) == plan.Arm {
			i.Keep = false
		}
		i.Closed = i.Closed || stepVerb(e.Step).Writes()
		i.Steps[e.Step] = StepRecord{Intent: intentOf(e), Begun: at}
	case Done:
		r := i.Steps[e.Step]
		r.Done, r.DoneAt = true, at
		i.Steps[e.Step] = r
		i.Step = ""
		if p, ok := isolationAfter[stepVerb(e.Step)]; ok {
			i.State, i.Reason, i.Since = p, e.Reason, e.At
		}
		if stepVerb(e.Step) == plan.Confirm {
			i.Until, i.Keep = time.Time{}, false
		}
	case Observed:
		if u := untilOf(e); !u.IsZero() {
			i.Until = u
		}
	case Failed, Held, Drifted:
		i.Step, i.Reason, i.Held, i.Paused = "", e.Reason, true, false
	case Undone:
		delete(i.Steps, e.Step)
		i.Step = ""
	}
}

// forget drops evidence that may no longer hold, and what was approved on it.
// From arming on, the steps themselves look.
func (i *IsolationStatus) forget() {
	if i.State == IsolationObserved && !i.Closed {
		*i = IsolationStatus{
			State: IsolationOpen, Reason: "a domain is no longer where it should be, so it is observed again",
			Steps: map[string]StepRecord{}, Lift: i.Lift, Held: i.Held, Paused: i.Paused, persons: i.persons,
		}
	}
}

var isolationAfter = map[plan.Kind]Phase{
	plan.Observe: IsolationObserved, plan.Arm: IsolationArmed, plan.Prove: IsolationProven, plan.Confirm: IsolationConfirmed,
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

// stepVerb is the kind of an isolation step; its ID is "arm" or, of a later
// staged set of ports, "arm:465".
func stepVerb(id string) plan.Kind {
	for i := range len(id) {
		if id[i] == ':' {
			return plan.Kind(id[:i])
		}
	}
	return plan.Kind(id)
}

func intentOf(e Event) Intent {
	if e.Intent == nil {
		return Intent{}
	}
	return *e.Intent
}

func untilOf(e Event) (t time.Time) {
	if e.Intent != nil {
		t = e.Intent.Until
	}
	return t
}

// mergeFindings keeps the last findings of each check, target and vantage, and
// not more than a screenful and a half. One event may have several of these, and
// the worst is not hidden by another.
func mergeFindings(have, more []plan.Finding) []plan.Finding {
	have = slices.DeleteFunc(have, func(o plan.Finding) bool {
		return slices.ContainsFunc(more, func(f plan.Finding) bool {
			return o.Check == f.Check && o.Target == f.Target && o.Vantage == f.Vantage
		})
	})
	have = append(have, more...)
	if n := len(have) - maxFindings; n > 0 {
		have = slices.Delete(have, 0, n)
	}
	return have
}

const maxFindings = 64
