package state_test

import (
	"fmt"
	"testing"

	"mxcutover/state"
	"mxcutover/state/storetest"
)

// looked is a journal that came to an orderly end, and its status then.
func looked(t *testing.T) (*storetest.Memory, string) {
	t.Helper()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 50))
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
	if got, ok, err := state.Look(t.Context(), s); !ok || err != nil || got.Seq != 33 || got.Engine != "running" {
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
