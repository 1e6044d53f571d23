package state

import (
	"errors"
	"fmt"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// ErrRefused means that a decision does not fit the Status, or lacks the typed
// name that it needs.
var ErrRefused = errors.New("refused")

// Targets of decisions that are no wave and no domain.
const (
	All     = "all"
	Isolate = "isolate"
)

// WaveTarget and DomainTarget spell a decision's target.
func WaveTarget(name string) string { return "wave:" + name }

// DomainTarget is the target that is one domain, by its canonical name.
func DomainTarget(name string) string { return "domain:" + name }

// Check tells whether a decision can be taken now. The engine and the commands
// that work without one both ask it, so that no viewer can skip a confirmation.
func (s *Status) Check(d Decision) error {
	waves, domains, err := s.Targets(d.Target)
	if err != nil {
		return err
	}
	if d.Verb.Destroys() && d.Confirm != ConfirmName(d.Target) {
		return fmt.Errorf("%w: %s %s wants its name typed: confirm with %q", ErrRefused, d.Verb, d.Target, ConfirmName(d.Target))
	}
	switch d.Verb {
	case Approve:
		if d.Target == All || (len(waves) == 0 && d.Target != Isolate) {
			return fmt.Errorf("%w: approve one wave, or isolate", ErrRefused)
		}
		for _, w := range waves {
			if w.Approved {
				return fmt.Errorf("%w: wave %s is approved already", ErrRefused, w.Name)
			}
		}
	case Retry:
		for _, x := range domains {
			if x.Waiting() || x.State == IsRolledBack {
				return nil
			}
		}
		if d.Target == Isolate && s.Isolation.Held {
			return nil
		}
		return fmt.Errorf("%w: nothing to retry: no domain of %s is held, drifted or rolled back", ErrRefused, d.Target)
	case Rollback:
		if d.Target == Isolate {
			return fmt.Errorf("%w: isolation is lifted, not rolled back", ErrRefused)
		}
	case Keep:
		if d.Target != Isolate {
			return fmt.Errorf("%w: only isolate is confirmed", ErrRefused)
		}
		if st := s.Isolation.State; st != IsolationArmed && st != IsolationProven {
			return fmt.Errorf("%w: isolation is %s: there is nothing armed to confirm", ErrRefused, st)
		}
	case Lift:
		if d.Target != Isolate {
			return fmt.Errorf("%w: only isolate is lifted", ErrRefused)
		}
	case Hold, Resume, Quit:
	default:
		return fmt.Errorf("%w: unknown decision %q", ErrRefused, d.Verb)
	}
	return nil
}

// Destroys tells whether the verb needs its target's name typed.
func (v Verb) Destroys() bool { return v == Rollback || v == Keep }

// ConfirmName is what must be typed to confirm a decision about a target: the
// bare name of the wave or domain, "all" or "isolate".
func ConfirmName(target string) string {
	_, name, ok := strings.Cut(target, ":")
	if !ok {
		return target
	}
	if strings.HasPrefix(target, "domain:") {
		return rrset.Bare(name)
	}
	return name
}

// Targets are the waves and domains that a decision's target names.
func (s *Status) Targets(target string) (waves []*WaveStatus, domains []*DomainStatus, err error) {
	kind, name, _ := strings.Cut(target, ":")
	if n, err := rrset.CanonicalName(name); err == nil && kind == "domain" {
		name = n
	}
	switch {
	case target == Isolate:
	case target == All:
		for i := range s.Waves {
			waves = append(waves, &s.Waves[i])
		}
		for i := range s.Domains {
			domains = append(domains, &s.Domains[i])
		}
	case kind == "wave":
		w := s.Wave(name)
		if w == nil {
			return nil, nil, fmt.Errorf("%w: the plan has no wave %q", ErrRefused, name)
		}
		waves = append(waves, w)
		for i := range s.Domains {
			if s.Domains[i].Wave == name {
				domains = append(domains, &s.Domains[i])
			}
		}
	case kind == "domain":
		d := s.Domain(name)
		if d == nil {
			return nil, nil, fmt.Errorf("%w: the plan has no domain %q", ErrRefused, name)
		}
		domains = append(domains, d)
	default:
		return nil, nil, fmt.Errorf(`%w: target %q: expected "all", "wave:NAME", "domain:NAME" or "isolate"`, ErrRefused, target)
	}
	return waves, domains, nil
}

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
			w.Approved = true
		}
		if isolate {
			s.Isolation.approve()
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
	case Lift:
		s.Over = false
		s.Isolation.Lift, s.Isolation.Held, s.Isolation.Paused = true, false, false
	}
}

// askedBack begins a rollback. A domain that was never begun has nothing to
// undo, and is not begun later either. One in doubt stays so until its write
// can no longer be applied late.
func (d *DomainStatus) askedBack(e Event) {
	e.Reason = "asked by " + e.Decision.By
	d.Paused = false
	switch {
	case d.State == IsRolledBack:
		return
	case d.State == Planned && len(d.Steps) == 0:
		d.endStep()
		d.set(IsRolledBack, e)
		return
	case d.State == IsInDoubt:
		d.Back = true
		return
	}
	d.Back = true
	d.endStep()
	d.set(IsRollingBack, e)
}

// retry lets held domains go on, and rolled-back ones begin again.
func (s *Status) retry(e Event, domains []*DomainStatus) {
	for _, d := range domains {
		switch d.State {
		case IsRolledBack:
			d.Attempt++
		case IsHeld, IsDrifted:
		default:
			d.Paused = false
			continue
		}
		s.change(d, func() { d.goOn(e, s.plan[d.Domain]) })
		if w := s.Wave(d.Wave); w != nil && w.State == IsHeld {
			w.State, w.Reason = WaveRunning, ""
		}
	}
}

// goOn takes a domain back to where its steps have brought it.
func (d *DomainStatus) goOn(e Event, c *plan.Cutover) {
	d.Paused, d.Failed = false, false
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
	*i = IsolationStatus{
		State: IsolationOpen, Approved: i.Approved, Closed: i.Closed, Lift: i.Lift, Steps: map[string]StepRecord{}, Findings: i.Findings,
	}
}

// approve lets isolation be armed; after a lift, it begins anew.
func (i *IsolationStatus) approve() {
	if i.State == IsolationLifted {
		i.again()
	}
	i.Approved = true
}
