package state_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/state/storetest"
)

// looked is a journal that came to an orderly end, and its status then.
func looked(t *testing.T) (*storetest.Memory, string) {
	t.Helper()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 600))
	long := strings.Repeat("what was found ", 250) // so that pages are of the size that they have
	for i := range 600 {
		e := state.Event{Kind: state.Observed, Domain: fmt.Sprintf("d%04d.example.", i), Findings: []plan.Finding{
			{Check: "mx.target", Target: fmt.Sprint(i), Severity: plan.Pass, Detail: long, At: epoch},
		}}
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		e := intended(t, fmt.Sprintf("d%04d.example.", i), 1)
		if i%3 == 0 {
			e = state.Event{Kind: state.Held, Domain: e.Domain, Reason: fmt.Sprintf("why %d", i%5)}
		}
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Decide(t.Context(), state.Decision{Verb: state.Hold, Target: "domain:d0007.example."}); err != nil {
		t.Fatal(err)
	}
	want := asJSON(t, j.Status())
	closeJournal(t, j)
	return s, want
}

// TestLook reads the status back that an orderly end left.
func TestLook(t *testing.T) {
	t.Parallel()
	s, want := looked(t)
	got, ok, err := state.Look(t.Context(), s)
	if err != nil || !ok || asJSON(t, got) != want {
		t.Fatalf("ok %v, %v:\n%s\nwant\n%s", ok, err, asJSON(t, got), want)
	}
	j := reopen(t, s)
	if asJSON(t, j.Status()) != want {
		t.Error("the fold differs from what is looked at")
	}
	if err := j.Append(t.Context(), state.Event{Kind: state.Started}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := state.Look(t.Context(), s); ok || err != nil {
		t.Errorf("a checkpoint of what was before counts: %v", err)
	}
	closeJournal(t, j)
	if got, ok, err := state.Look(t.Context(), s); !ok || err != nil || got.Seq != 633 || got.Engine != "running" {
		t.Errorf("after the next end: %v, %v", ok, err)
	}
}

// TestDamagedCheckpointIsPassedOver changes each of its keys.
func TestDamagedCheckpointIsPassedOver(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"checkpoint/head", "checkpoint/00000000"} {
		for name, value := range map[string][]byte{"gone": nil, "empty": {}, "other": []byte("{}")} {
			s, want := looked(t)
			put(t, s, key, value)
			if _, ok, err := state.Look(t.Context(), s); ok || err != nil {
				t.Errorf("%s %s: ok %v, %v", key, name, ok, err)
			}
			if j := reopen(t, s); asJSON(t, j.Status()) != want {
				t.Errorf("%s %s: the fold differs", key, name)
			}
		}
	}
}

// TestRestartFromACheckpoint folds only what came since, and comes to the very
// same status, steps and deadlines too; events of any number are still there.
func TestRestartFromACheckpoint(t *testing.T) {
	t.Parallel()
	s, _ := looked(t)
	for _, k := range []state.Kind{state.Started, state.Held, state.RollingBack} {
		j, err := state.Open(t.Context(), s, state.Options{Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		if j.FromCheckpoint() == 0 || j.FromCheckpoint() != j.Status().Seq {
			t.Fatalf("the checkpoint counts up to event %d of %d", j.FromCheckpoint(), j.Status().Seq)
		}
		whole, err := state.Open(t.Context(), s.Copy(), state.Options{Now: clock, Verify: true})
		if err != nil {
			t.Fatal(err)
		}
		if whole.FromCheckpoint() != 0 || !reflect.DeepEqual(j.Status(), whole.Status()) {
			t.Errorf("the status differs:\n%s\n%s", asJSON(t, j.Status()), asJSON(t, whole.Status()))
		}
		if got, want := asJSON(t, history(t, j, 603)), asJSON(t, history(t, whole, 603)); got != want {
			t.Errorf("events differ:\n%s\n%s", got, want)
		}
		closeJournal(t, whole)
		e := state.Event{Kind: k, Domain: "d0011.example.", Reason: "why", Up: 5, Engine: &state.Engine{Boot: "b", UID: 3}}
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		closeJournal(t, j)
	}
}
