package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	if err := d.checkDrift(); err != nil {
		return err
	}
	if d.Destroys() && d.Confirm != ConfirmName(d.Target) {
		return fmt.Errorf("%w: %s %s wants its name typed: confirm with %q", ErrRefused, d.Verb, d.Target, ConfirmName(d.Target))
	}
	switch d.Verb {
	case Approve:
		if d.Target == All || (len(waves) == 0 && d.Target != Isolate) {
			return fmt.Errorf("%w: approve one wave, or isolate", ErrRefused)
		}
		return s.checkApproval(d, waves)
	case Retry:
		for _, x := range domains {
			if x.Waiting() || restarts(*x, d.Target) {
				return nil
			}
		}
		if d.Target == Isolate && s.Isolation.Waiting() {
			return nil
		}
		return fmt.Errorf("%w: nothing to retry: %s", ErrRefused, s.standing(d.Target, domains))
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
	case Loaded:
		return s.checkLoaded(d)
	case Hold, Resume, Quit:
	default:
		return fmt.Errorf("%w: unknown decision %q", ErrRefused, d.Verb)
	}
	return nil
}

// Destroys tells whether the decision needs its target's name typed.
func (d Decision) Destroys() bool { return d.Verb == Rollback || d.Verb == Keep || d.Drift == Force }

// Urgent tells whether the verb is taken from anybody, whoever has control:
// losing mail is worse than a surprise.
func (v Verb) Urgent() bool { return v == Hold || v == Rollback || v == Lift }

// checkDrift refuses a choice that is none, or that the verb has no use for.
func (d Decision) checkDrift() error {
	switch {
	case d.Drift == "":
	case d.Drift != Adopt && d.Drift != Force && d.Drift != Skip:
		return fmt.Errorf("%w: unknown choice %q: expected adopt, force or skip", ErrRefused, d.Drift)
	case d.Verb != Retry && d.Verb != Rollback:
		return fmt.Errorf("%w: %s goes with retry and rollback, not with %s", ErrRefused, d.Drift, d.Verb)
	}
	return nil
}

// restarts tells whether a retry begins a rolled-back or skipped domain anew.
// Only one that is named, or its wave: never all at once.
func restarts(d DomainStatus, target string) bool {
	return target != All && (d.State == IsRolledBack || d.State == IsSkipped)
}

// The uid that the kernel shows for a user whom it cannot map.
const overflowUID = 65534

// checkApproval refuses a wave that is approved, and, where two persons must
// approve, one that cannot be told apart from the first.
func (s *Status) checkApproval(d Decision, waves []*WaveStatus) error {
	persons, asked := s.Isolation.persons, s.Isolation.Asked
	for _, w := range waves {
		if w.Approved && !s.again(w) {
			return fmt.Errorf("%w: wave %s is approved already", ErrRefused, w.Name)
		}
		persons, asked = w.persons, w.Asked
	}
	if persons < 2 {
		return nil
	}
	switch {
	case s.Engine != "running" || s.Running == nil || s.Running.UID < 0 || d.UID == nil:
		return fmt.Errorf("%w: %d persons must approve, so it takes a running engine that sees who asks", ErrRefused, persons)
	case *d.UID == 0, *d.UID == overflowUID, *d.UID == s.Running.UID:
		return fmt.Errorf("%w: %d persons must approve, each as a user of their own: uid %d is root, the engine's own or nobody's", ErrRefused, persons, *d.UID)
	case slices.Contains(asked, *d.UID) && !slices.ContainsFunc(waves, s.again):
		return fmt.Errorf("%w: uid %d approved %s already; a second person must", ErrRefused, *d.UID, d.Target)
	}
	return nil
}

// again tells whether a wave that was approved waits since a crash, so that it
// may be approved again.
func (s *Status) again(w *WaveStatus) bool {
	return s.WavesWait && w.Approved && w.State == WaveWaiting
}

// approved adds one person's approval, and tells whether it is enough.
func approved(asked []int, persons int, d Decision) ([]int, bool) {
	if persons < 2 {
		return nil, true
	}
	if d.UID != nil && !slices.Contains(asked, *d.UID) {
		asked = append(slices.Clone(asked), *d.UID)
	}
	return asked, len(asked) >= persons
}

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

// standing says how a target stands that needs no retry.
func (s *Status) standing(target string, domains []*DomainStatus) string {
	switch {
	case target == Isolate:
		return fmt.Sprintf("isolation is %s", s.Isolation.State)
	case len(domains) == 1 && target != All:
		return fmt.Sprintf("%s is %s", rrset.Bare(domains[0].Domain), domains[0].State)
	}
	return fmt.Sprintf("no domain of %s is held, drifted or rolled back", ConfirmName(target))
}

// waveNames are the plan's waves, as far as a line has room for them.
func (s *Status) waveNames() string {
	const most = 12
	var names []string
	for n, w := range s.Waves {
		if n == most {
			names = append(names, "...")
			break
		}
		names = append(names, w.Name)
	}
	return strings.Join(names, ", ")
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
			return nil, nil, fmt.Errorf("%w: the plan has no wave %q; it has %s", ErrRefused, name, s.waveNames())
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
			return nil, nil, fmt.Errorf("%w: the plan has no domain %q", ErrRefused, rrset.Bare(name))
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
