package state

import (
	"time"

	"mxcutover/plan"
)

// decided folds a decision that was taken.
func (s *Status) decided(e Event) {
	if e.Decision == nil {
		return
	}
	waves, domains, err := s.Targets(e.Decision.Target)
	if err != nil {
		return
	}
	isolate := e.Decision.Target == Isolate
	switch e.Decision.Verb {
	case Approve:
		for _, w := range waves {
			if !w.Approved {
				w.Asked, w.Approved = approved(w.Asked, w.persons, *e.Decision)
			}
			if w.Approved {
				s.wavesGoOn()
			}
		}
		if isolate {
			s.Isolation.approve(*e.Decision)
		}
	case Hold, Resume:
		paused := e.Decision.Verb == Hold
		for _, w := range waves {
			w.Paused = paused
		}
		for _, d := range domains {
			d.Paused = paused
		}
		if isolate || e.Decision.Target == All {
			s.Isolation.pause(paused)
		}
	case Retry:
		s.Over = false
		s.retry(e, domains)
		if isolate {
			s.Isolation.again()
		}
	case Rollback:
		s.Over = false
		s.Isolation.Held = s.Isolation.Held && !s.Isolation.Closed
		s.Isolation.Paused = s.Isolation.Paused && s.Isolation.Held
		for _, d := range domains {
			s.change(d, func() { d.askedBack(e) })
		}
	case Keep:
		s.Isolation.Keep = true
	case Loaded:
		s.Isolation.Said = e.Decision.Confirm
	case Lift:
		s.Over = false
		s.Isolation.Lift, s.Isolation.Held, s.Isolation.Paused = true, false, false
	}
}

// allow lets a held wave be judged again.
func (s *Status) allow(wave string) {
	if w := s.Wave(wave); w != nil && w.State == IsHeld {
		w.State, w.Reason, w.Shut = WaveRunning, "", false
	}
}

// askedBack begins a rollback. A domain that was never begun has nothing to
// undo, and is not begun later either. One in doubt stays so until its write
// can no longer be applied late.
func (d *DomainStatus) askedBack(e Event) {
	e.Reason = "asked by " + e.Decision.By
	d.Paused = false
	d.Drift = e.Decision.Drift
	switch {
	case d.State == IsRolledBack:
		return
	case d.cameBack():
		d.takeOut()
	}
	switch {
	case d.Drift == Skip && d.State == IsDrifted && !d.Beside:
		d.skip(e)
		return
	case d.State == Planned && len(d.Steps) == 0:
		d.endStep()
		d.set(IsRolledBack, e)
		return
	case d.State == IsInDoubt:
		d.Back = true
		return
	}
	if !d.Back { // else what was told of an MX that went back already still holds
		d.Gone, d.Caches, d.Others = time.Time{}, Wait{}, Wait{}
	}
	d.Back = true
	if d.State != IsRollingBack {
		d.endStep()
	}
	d.set(IsRollingBack, e)
}

// cameBack tells whether the domain was rolled back, and is no longer as it was:
// a write of ours came late, or somebody wrote the record.
func (d *DomainStatus) cameBack() bool {
	return !d.Back && len(d.Steps) == 0 && len(d.Undone) > 0 && d.Waiting()
}

// skip leaves the domain as it is, whoever wrote what is there.
func (d *DomainStatus) skip(e Event) {
	d.Back, d.Failed = false, false
	d.endStep()
	d.set(IsSkipped, e)
}

// retry lets held domains go on, and rolled-back ones begin again.
func (s *Status) retry(e Event, domains []*DomainStatus) {
	for _, d := range domains {
		switch {
		case restarts(*d, e.Decision.Target):
			d.Attempt++
			d.Undone = nil
		case d.State == IsHeld, d.State == IsDrifted:
		case d.State == IsRolledBack, d.State == IsSkipped:
			continue
		default:
			d.Paused = false
			continue
		}
		s.change(d, func() { d.goOn(e, s.plan[d.Domain]) })
		s.allow(d.Wave)
	}
}

// goOn takes a domain back to where its steps have brought it.
func (d *DomainStatus) goOn(e Event, c *plan.Cutover) {
	d.Paused, d.Failed = false, false
	if e.Decision.Drift == Skip && d.State == IsDrifted && (!d.Back || !d.Beside) {
		d.skip(e)
		return
	}
	if d.cameBack() { // it is looked at again; it does not begin anew
		d.set(IsRolledBack, e)
		return
	}
	if d.Drift = e.Decision.Drift; !d.Back {
		d.Gone, d.Caches, d.Others = time.Time{}, Wait{}, Wait{}
	}
	for id, r := range d.Steps {
		if !r.Done && !stepKind(c, id).Writes() {
			delete(d.Steps, id) // what was waited for, and was not believed, is waited for anew
		}
	}
	if d.Back {
		d.set(IsRollingBack, e)
	} else {
		d.set(d.reached(c), e)
	}
	d.Reason = ""
}

// pause holds isolation, or takes that back: what is held for another reason
// stays held until a retry.
func (i *IsolationStatus) pause(hold bool) {
	switch {
	case hold && !i.Held:
		i.Held, i.Paused = true, true
	case !hold && i.Paused:
		i.Held, i.Paused = false, false
	}
}

// again begins isolation anew: evidence that lapsed must be gathered afresh.
func (i *IsolationStatus) again() {
	was := *i
	*i = IsolationStatus{
		State: IsolationOpen, Approved: i.Approved, Closed: i.Closed, Lift: i.Lift, Steps: map[string]StepRecord{}, Findings: i.Findings,
		Hand: i.Hand, persons: i.persons, stages: i.stages,
	}
	// Sets of ports that are closed for good stay so while there are more to come. Where
	// all were, and something is amiss, or where it is to be opened, all is asked anew.
	confirmed := func(id string) bool { return was.Steps[plan.Step{ID: id}.Of(plan.Confirm)].Done }
	if sets := was.setsConfirmed(); sets == 0 || sets >= i.stages || was.Lift || was.State == IsolationLifted || was.State == IsDrifted {
		return
	}
	i.State = IsolationPartly
	for id, r := range was.Steps {
		if confirmed(id) {
			i.Steps[id] = r
		}
	}
}

// approve lets isolation be armed; after a lift, it begins anew.
func (i *IsolationStatus) approve(d Decision) {
	if i.State == IsolationLifted {
		i.again()
		i.Approved = false
	}
	i.Asked, i.Approved = approved(i.Asked, i.persons, d)
}
