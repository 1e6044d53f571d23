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
	"errors"
	"fmt"
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

// got is the Intent of a Done event.
func (o Outcome) got() *state.Intent {
	if o.Got == nil {
		return nil
	}
	return &state.Intent{Snapshot: o.Got}
}

// A Turn is one step's turn at one domain, or at the old server.
type Turn struct {
	Plan    *plan.Plan
	Cutover plan.Cutover // empty for isolation
	Step    plan.Step
	Attempt int
	Domain  state.DomainStatus // as journaled when the turn began
	Status  func() *state.Status
	Now     func() time.Time
	// Observe journals what was seen, and the deadline if it is known.
	Observe func(ctx context.Context, until time.Time, found ...plan.Finding) error
}

// Held is the error of an Action that needs a person.
type Held struct {
	Reason   string
	Findings []plan.Finding
}

func (h *Held) Error() string { return h.Reason }

// ErrRefused means that the journal, or what is found in the world, does not
// allow the run.
var ErrRefused = errors.New("refused")

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

// poll calls look until it is content, waiting between calls, until the
// deadline; it then returns false.
func poll(ctx context.Context, now func() time.Time, deadline time.Time, every time.Duration, look func() (bool, error)) (bool, error) {
	for {
		ok, err := look()
		if ok || err != nil {
			return ok, err
		}
		left := deadline.Sub(now())
		if left <= 0 {
			return false, nil
		}
		if err := sleep(ctx, min(every, left)); err != nil {
			return false, err
		}
	}
}
