package state

import (
	"fmt"
	"time"

	"mxcutover/plan"
)

func (i *IsolationStatus) apply(e Event, at Moment) {
	i.asked(e.Findings)
	i.Findings = mergeFindings(i.Findings, e.Findings)
	switch e.Kind {
	case Intended:
		i.Step, i.Held = e.Step, i.Paused
		if u := untilOf(e); !u.IsZero() || !i.Closed || i.Hand {
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
			i.confirmed()
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

// confirmed ends a set of ports. Each set is approved by itself.
func (i *IsolationStatus) confirmed() {
	i.Until, i.Keep = time.Time{}, false
	done := 0
	for id, r := range i.Steps {
		if plan.KindOf(id) == plan.Confirm && r.Done {
			done++
		}
	}
	if done < i.stages {
		i.State, i.Approved, i.Asked = IsolationPartly, false, nil
		i.Reason = fmt.Sprintf("%d of %d sets of ports are closed for good", done, i.stages)
	}
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
