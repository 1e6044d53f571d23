package state

import (
	"maps"
	"math"
	"time"

	"mxcutover/plan"
)

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
		if u := intentOf(e).Until; !u.IsZero() {
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
		d.Until = intentOf(e).Until
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
		d.Stays = d.Stays || intentOf(e).Stays
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
		if r.Intent.Change == nil || i.Change == nil || r.Intent.Change.SameRRset(*i.Change) {
			r.Kept = true
			d.Steps[id] = r
		}
	}
}

// letGo notes until when a cache may have the gateway's MX, or a companion that
// was undone: until the later of what was known and what is told now.
func (d *DomainStatus) letGo(e Event, at Moment, k plan.Kind) {
	u, known := intentOf(e).Until, &d.Caches
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
	d.Step, d.Until = e.Step, intentOf(e).Until
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
