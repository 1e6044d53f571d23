package state_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestVersion1FoldsAlikeForEver folds a file of events that no release may ever
// fold otherwise.
func TestVersion1FoldsAlikeForEver(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "events-v1.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s := state.NewStatus(plan.Plan{ID: "its id", Migration: "gateway", Waves: []plan.Wave{
		{Name: "pilot", Cutovers: []plan.Cutover{cutover("d0000.example.", "pilot"), cutover("d0001.example.", "pilot")}},
		{Name: "wave-2", Cutovers: []plan.Cutover{cutover("d0002.example.", "wave-2")}},
	}})
	for line := range strings.Lines(string(text)) {
		var e state.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s.Apply(e)
	}
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "status-v1.json")
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Errorf("the fold changed:\n%s", got)
	}
}

// cutover is written out here, since the planner may change.
func cutover(domain, wave string) plan.Cutover {
	c := plan.Cutover{Domain: domain, Wave: wave}
	for _, k := range []plan.Kind{plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish, plan.Propagate, plan.Probe, plan.Soak, plan.Settle} {
		c.Steps = append(c.Steps, plan.Step{ID: string(k), Kind: k})
	}
	return c
}

// anyEvent draws an event, sensible or not.
func anyEvent(p plan.Plan) *rapid.Generator[state.Event] {
	kinds := []state.Kind{
		state.Begun, state.Started, state.Stopped, state.Decided, state.WaveStarted, state.WaveHeld, state.WaveLive, state.Intended,
		state.Observed, state.Done, state.Failed, state.Held, state.Drifted, state.InDoubt, state.RollingBack, state.Undoing, state.Undone,
		state.RolledBack, state.Lifted, state.Closed, "unknown",
	}
	verbs := []state.Verb{state.Approve, state.Hold, state.Resume, state.Retry, state.Rollback, state.Keep, state.Lift, state.Quit, "unknown"}
	targets := []string{state.All, state.Isolate, "wave:pilot", "wave:wave-2", "wave:none", "domain:d0001.example", "domain:none", "", ":"}
	steps := []string{"", "preflight", "lower-ttl", "publish", "soak", "settle", "arm", "arm:465", "confirm", "none"}
	return rapid.Custom(func(t *rapid.T) state.Event {
		e := state.Event{
			Kind:   rapid.SampledFrom(kinds).Draw(t, "kind"),
			Step:   rapid.SampledFrom(steps).Draw(t, "step"),
			Wave:   rapid.SampledFrom([]string{"", "", "pilot", "wave-2", "none"}).Draw(t, "wave"),
			Domain: rapid.SampledFrom([]string{"", dom, "d0001.example.", "d0002.example.", "none."}).Draw(t, "domain"),
			Reason: rapid.SampledFrom([]string{"", "because"}).Draw(t, "reason"),
		}
		if rapid.Bool().Draw(t, "intent") {
			e.Intent = &state.Intent{Until: epoch.Add(time.Hour), Snapshot: &rrset.Set{Name: dom, Type: "MX"}}
		}
		if rapid.Bool().Draw(t, "findings") {
			e.Findings = []plan.Finding{{Check: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "check"), Severity: plan.Pass}}
		}
		if e.Kind == state.Decided && rapid.IntRange(0, 9).Draw(t, "empty") > 0 {
			e.Decision = &state.Decision{Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), Target: rapid.SampledFrom(targets).Draw(t, "target")}
		}
		return e
	})
}

// TestFoldProperties: a clone taken after every event is not touched by later
// ones, and equals the fold from the start; and a wave's counts are those of
// its domains.
func TestFoldProperties(t *testing.T) {
	t.Parallel()
	p := samplePlan(t, 3)
	rapid.Check(t, func(r *rapid.T) {
		events := rapid.SliceOfN(anyEvent(p), 0, 40).Draw(r, "events")
		s := state.NewStatus(p)
		clones := []*state.Status{s.Clone()}
		for i := range events {
			events[i].Seq, events[i].At = uint64(i+1), epoch.Add(time.Duration(i)*time.Second)
			s.Apply(events[i])
			clones = append(clones, s.Clone())
		}
		for i, c := range clones {
			again := state.NewStatus(p)
			for _, e := range events[:i] {
				again.Apply(e)
			}
			if !reflect.DeepEqual(again, c) {
				r.Fatalf("after %d events:\n%+v\n%+v", i, again, c)
			}
		}
		for _, w := range s.Waves {
			live, held, failed := 0, 0, 0
			for _, d := range s.Domains {
				switch {
				case d.Wave != w.Name:
				case d.State == state.Live, d.State == state.Settled:
					live++
				case d.State == state.IsHeld, d.State == state.IsDrifted, d.State == state.IsInDoubt:
					held++
				case d.State == state.IsRolledBack, d.State == state.IsRollingBack:
					failed++
				}
			}
			if w.Live != live || w.Held != held || w.Failed != failed {
				r.Fatalf("wave %+v, counted %d, %d, %d", w, live, held, failed)
			}
		}
	})
}
