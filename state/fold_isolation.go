package state

import (
	"fmt"
	"slices"
	"time"

	"mxcutover/plan"
)

func (i *IsolationStatus) apply(e Event, at Moment) {
	i.asked(e.Findings)
	i.Findings = mergeFindings(i.without(e.Findings), e.Findings)
	switch e.Kind {
	case Intended:
		i.Step, i.Held = e.Step, i.Paused
		if u := intentOf(e).Until; !u.IsZero() || !i.Closed || i.Hand {
			i.Until = u
		}
		if plan.KindOf(e.Step) == plan.Arm {
			i.Keep = false
		}
		i.Closed = i.Closed || plan.KindOf(e.Step).Writes()
		i.Steps[e.Step] = StepRecord{Intent: intentOf(e), Begun: at}
	case Done:
		r := i.Steps[e.Step]
		r.Done, r.DoneAt = true, at
		i.Steps[e.Step] = r
		i.Step = ""
		if p, ok := isolationAfter[plan.KindOf(e.Step)]; ok {
			i.State, i.Reason, i.Since = p, e.Reason, e.At
		}
		if plan.KindOf(e.Step) == plan.Confirm {
			i.Until, i.Keep = time.Time{}, false
			i.confirmed()
			if i.State == IsolationPartly {
				i.Approved, i.Asked = false, nil
			}
		}
	case Observed:
		if u := intentOf(e).Until; !u.IsZero() {
			i.Until = u
		}
		if j := plan.Judge(e.Findings); i.State == IsDrifted && (j == plan.Pass || j == plan.Warn) { // it is there again
			i.confirmed()
			i.Since = e.At
		}
	case Drifted:
		i.State, i.Reason, i.Since = IsDrifted, e.Reason, e.At
	case Failed, Held:
		i.Step, i.Reason, i.Held, i.Paused = "", e.Reason, true, false
	case Undone:
		delete(i.Steps, e.Step)
		i.Step = ""
	}
}

// without are the findings but those of checks that were asked anew: each is asked of
// all that it is about, and what is mended then must not be shown for ever. What was so
// before arming is not asked again.
func (i *IsolationStatus) without(anew []plan.Finding) []plan.Finding {
	return slices.DeleteFunc(slices.Clone(i.Findings), func(o plan.Finding) bool {
		return o.Check != "old.inside" && o.Check != plan.BeforeClosing && slices.ContainsFunc(anew, func(f plan.Finding) bool { return f.Check == o.Check })
	})
}

// confirmed is the state of one whose sets of ports are closed for good: all of them,
// or as yet some. Each set is approved by itself.
func (i *IsolationStatus) confirmed() {
	i.State, i.Reason = IsolationConfirmed, ""
	if done := i.setsConfirmed(); done < i.stages {
		i.State, i.Reason = IsolationPartly, fmt.Sprintf("%d of %d sets of ports are closed for good", done, i.stages)
	}
}

func (i *IsolationStatus) setsConfirmed() (n int) {
	for id, r := range i.Steps {
		if plan.KindOf(id) == plan.Confirm && r.Done {
			n++
		}
	}
	return n
}

// forget drops evidence that may no longer hold, and what was approved on it.
// From arming on, the steps themselves look.
func (i *IsolationStatus) forget() {
	if i.State == IsolationObserved && !i.Closed {
		*i = IsolationStatus{
			State: IsolationOpen, Reason: "a domain is no longer where it should be, so it is observed again",
			Steps: map[string]StepRecord{}, Lift: i.Lift, Held: i.Held, Paused: i.Paused, Hand: i.Hand, persons: i.persons, stages: i.stages,
		}
	}
}

var isolationAfter = map[plan.Kind]Phase{
	plan.Observe: IsolationObserved, plan.Arm: IsolationArmed, plan.Prove: IsolationProven, plan.Confirm: IsolationConfirmed,
}
