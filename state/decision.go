package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
		// Nothing carries it out, and whoever confirmed would take it for closed for good.
		if i := &s.Isolation; i.Stuck() {
			return fmt.Errorf("%w: isolation is held, so it would not be kept (%s); retry it, then confirm", ErrRefused, i.Reason)
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
