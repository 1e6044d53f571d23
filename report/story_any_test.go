package report

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// TestStoryOfAnything tells stories of events in no order that an engine would
// write: what a newer release journals, or a salvaged journal holds, must be told
// without a fault, in every format.
func TestStoryOfAnything(t *testing.T) {
	t.Parallel()
	p := makeUp(t, 24, nil).plan
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := NewStory(p, time.Time{}, time.Time{})
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		for seq := range uint64(200) {
			at = at.Add(time.Duration(r.IntN(4000)-300) * time.Second) // clocks are set back, too
			s.Apply(anyEvent(r, seq+1, at))
			checkStory(t, seed, s)
		}
		for _, f := range formats(t) {
			if f.story != nil && seed%10 == 0 {
				if err := f.story(s, io.Discard); err != nil {
					t.Errorf("seed %d: %s: %v", seed, f.name, err)
				}
			}
		}
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func anyEvent(r *rand.Rand, seq uint64, at time.Time) state.Event {
	e := state.Event{Seq: seq, At: at, Kind: pick(
		r, state.Begun, state.Started, state.Stopped, state.Decided, state.Control, state.WaveStarted, state.WaveHeld, state.WaveLive, state.Intended,
		state.Observed, state.Done, state.Done, state.Done, state.Failed, state.Held, state.Drifted, state.InDoubt, state.RollingBack, state.Undoing, state.Undone,
		state.RolledBack, state.Skipped, state.DiskLow, state.DiskFree, state.Lifted, state.Closed, "of-tomorrow",
	)}
	name := fmt.Sprintf("dept%05d.example.", r.IntN(26)) // two of them are not in the plan
	if r.IntN(6) > 0 {
		e.Domain, e.Wave = name, pick(r, "pilot", "wave-2", "nowhere", "")
	} else {
		e.Wave = pick(r, "pilot", "wave-2", "wave-3", "nowhere", "")
	}
	e.Step = string(pick(r, plan.Preflight, plan.LowerTTL, plan.Publish, plan.Probe, plan.Soak, plan.Settle, plan.Observe, plan.Arm, "of-tomorrow", ""))
	e.Reason, e.Err = pick(r, "", "why", hostile[r.IntN(len(hostile)-2)]), pick(r, "", "err")
	if r.IntN(2) == 0 {
		e.Findings = []plan.Finding{{Check: pick(r, probeCheck, "old.names", "x"), Target: name, Severity: pick(r, plan.Pass, plan.Fail, plan.Unknown, "odd"), Evidence: "accepted 1ms, arrived 7ms"}}
	}
	if e.Kind == state.Decided && r.IntN(5) > 0 {
		e.Domain, e.Wave = "", ""
		e.Decision = &state.Decision{
			Verb:   pick(r, state.Approve, state.Hold, state.Resume, state.Retry, state.Rollback, state.Keep, state.Lift, "odd"),
			Target: pick(r, state.All, state.Isolate, "wave:pilot", "wave:nowhere", "domain:"+name, "odd:"), Drift: pick(r, "", state.Skip, state.Force), By: "ada",
		}
	}
	return e
}

// checkStory holds a story to the Status that it stands beside.
func checkStory(t *testing.T, seed uint64, s *Story) {
	t.Helper()
	live, back := 0, 0
	waiting := map[string]bool{}
	for i := range s.Status.Domains {
		d := &s.Status.Domains[i]
		switch d.State {
		case state.Live, state.Settled:
			live++
		case state.IsRolledBack, state.IsSkipped:
			back++
		case state.IsHeld, state.IsDrifted, state.IsInDoubt:
			waiting[s.Domains[i].Domain[:9]+string(d.State)] = true
		}
		if d.Paused {
			waiting[s.Domains[i].Domain[:9]+string(paused)] = true
		}
		if s.Domains[i].state != d.State {
			t.Fatalf("seed %d, event %d: %s is told to be %s, and is %s", seed, s.Status.Seq, d.Domain, s.Domains[i].state, d.State)
		}
	}
	if s.now.Live != live || s.now.Back != back {
		t.Fatalf("seed %d, event %d: told are %d live and %d back, there are %d and %d", seed, s.Status.Seq, s.now.Live, s.now.Back, live, back)
	}
	open := 0
	for _, h := range s.Holds {
		if !h.To.IsZero() || len(h.Who) < 9 || h.Who[:4] != "dept" {
			continue
		}
		if open++; !waiting[h.Who[:9]+string(h.State)] {
			t.Fatalf("seed %d, event %d: %s is told to be %s still", seed, s.Status.Seq, h.Who, h.State)
		}
	}
	if open != len(waiting) {
		t.Fatalf("seed %d, event %d: %d holds are open, %d domains wait", seed, s.Status.Seq, open, len(waiting))
	}
}
