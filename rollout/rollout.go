// Package rollout is the engine: it walks a plan, one [Action] for each kind of
// step, gates the waves, rolls back, isolates the old server, and resumes after
// a crash.
//
// The way of a step: the engine reads the [state.Status] and decides what a
// domain may do next ([next], pure); the step's Action prepares an Intent, which
// is journaled; then it does its work, which is journaled again. After a
// restart Do runs again with the same Intent: every Do begins by observing, so
// that what is done is not done twice. There is no other resume code.
package rollout

import (
	"context"
	"fmt"
	"maps"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// An Action does and undoes one kind of step. It keeps no state: all it knows
// is in its Turn and the Intent. Do and Undo begin by observing.
type Action interface {
	// Prepare gathers what must be journaled before Do. It changes nothing.
	Prepare(context.Context, Turn) (state.Intent, error)
	// Do carries the step out. Findings that fail are the step's failure; an
	// error means that it could not be carried out or judged.
	Do(context.Context, Turn, state.Intent) (Outcome, error)
	// Undo takes back what Do did, from the journaled Intent alone.
	Undo(context.Context, Turn, state.Intent) (Outcome, error)
}

// An Outcome is what a step found, and the RRset read back, if it wrote one.
type Outcome struct {
	Findings []plan.Finding
	Verdict  plan.Severity // "" = that of the findings; without any, passed
	Got      *rrset.Set
	Caches   time.Duration // of an undo: for how long a cache may go on with what was there
	Stays    bool          // of an undo: it was left, since an MX that a person kept needs it
}

func (o Outcome) verdict() plan.Severity {
	switch {
	case o.Verdict != "":
		return o.Verdict
	case len(o.Findings) == 0:
		return plan.Pass
	}
	return plan.Judge(o.Findings)
}

// got is the Intent of a Done or Undone event.
func (o Outcome) got(now time.Time) *state.Intent {
	if o.Got == nil && o.Caches == 0 && !o.Stays {
		return nil
	}
	i := &state.Intent{Snapshot: o.Got, Wait: o.Caches, Stays: o.Stays}
	if o.Caches > 0 {
		i.Until = now.Add(o.Caches).UTC()
	}
	return i
}

// A Turn is one step's turn at one domain, or at the old server.
type Turn struct {
	Plan    *plan.Plan
	Cutover plan.Cutover // empty for isolation
	Step    plan.Step
	Attempt int
	Domain  state.DomainStatus // as journaled when the turn began
	Wait    state.Wait         // the deadline of the Intent
	Clock   Clock
	View    func(func(*state.Status)) // shows the fold; it must not be kept or changed
	// Observe journals what was seen, and the deadline if it is known.
	Observe func(ctx context.Context, until time.Time, found ...plan.Finding) error
	// Idle runs a wait that takes no place in the domain's wave.
	Idle func(wait func() error) error
}

// Now is the wall's time.
func (t Turn) Now() time.Time { return t.Clock.Now() }

// isolation is a copy of how isolation stands.
func (t Turn) isolation() (out state.IsolationStatus) {
	t.View(func(s *state.Status) {
		out = s.Isolation
		out.Steps = maps.Clone(s.Isolation.Steps)
	})
	return out
}

// wait waits until the Intent's deadline, looking again each minute.
func (t Turn) wait(ctx context.Context) error {
	for {
		left, err := t.left()
		if err != nil || left <= 0 {
			return err
		}
		if err := sleep(ctx, min(left, time.Minute)); err != nil {
			return err
		}
	}
}

// syncTime is how long after the machine's start its clock may take to be right.
const syncTime = time.Hour

// left is how much is left of the Intent's wait. After a restart of the machine
// only a clock that is known to be right is believed; until then it is not over.
func (t Turn) left() (time.Duration, error) {
	left, sure := t.Wait.Left(moment(t.Clock))
	if sure || t.Clock.Synced() {
		return left, nil
	}
	if _, up := t.Clock.Boot(); up > syncTime {
		return 0, hold(nil, "the machine was started again, and its clock is still not synchronised, so nobody knows how much of the wait is over; mend the clock, then retry: the wait begins anew")
	}
	return max(left, time.Minute), nil
}

// Held is the error of an Action that needs a person.
type Held struct {
	Reason   string
	Findings []plan.Finding
	Lift     bool // of isolation: the old server must be opened again at once
}

func (h *Held) Error() string { return h.Reason }

func hold(findings []plan.Finding, format string, args ...any) error {
	return &Held{Reason: fmt.Sprintf(format, args...), Findings: findings}
}

// sleep waits, or ends early with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poll calls look until it is content, waiting between calls, for so long at
// most; it then returns false.
func poll(ctx context.Context, c Clock, limit, every time.Duration, look func() (bool, error)) (bool, error) {
	wait := state.Wait{From: moment(c), For: limit}
	for {
		ok, err := look()
		if ok || err != nil {
			return ok, err
		}
		left, _ := wait.Left(moment(c))
		if left <= 0 {
			return false, nil
		}
		if err := sleep(ctx, min(every, left)); err != nil {
			return false, err
		}
	}
}
