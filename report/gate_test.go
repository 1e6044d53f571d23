package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// Each condition is shown with what it rests on; what was not asked is not passed.
func TestIsolationGate(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	p := &plan.Plan{
		Waves:   []plan.Wave{{Name: "pilot", Gate: plan.Gate{Persons: 2}, Cutovers: []plan.Cutover{{Domain: "a.example."}, {Domain: "b.example."}}}},
		Isolate: []plan.Step{{ID: "observe", Kind: plan.Observe}, {ID: "arm", Kind: plan.Arm}, {ID: "prove", Kind: plan.Prove}, {ID: "confirm", Kind: plan.Confirm}},
	}
	st := state.NewStatus(*p)
	by := func() map[string]Line {
		out := map[string]Line{}
		for _, l := range IsolationGate(p, st) {
			out[l.What] = l
		}
		return out
	}
	for what, l := range by() {
		if l.Severity == plan.Pass {
			t.Errorf("nothing was asked, and it is said that %s", what)
		}
	}
	if _, shown := by()["refused from outside"]; shown {
		t.Error("nothing is armed, and it is told what follows from that")
	}
	for i := range st.Domains {
		st.Domains[i].State, st.Domains[i].Since = state.Live, at
	}
	i := &st.Isolation
	i.State, i.Asked = state.IsolationObserved, []int{7}
	i.Steps["observe"] = state.StepRecord{Done: true, DoneAt: state.Moment{At: at}}
	i.Findings = []plan.Finding{
		{Check: "old.names", Target: "all", Severity: plan.Pass, At: at, Detail: "2 names"},
		{Check: "old.stragglers", Target: "all", Severity: plan.Pass, At: at},
		{Check: "old.stragglers", Target: "a.example.", Severity: plan.Fail, At: at.Add(time.Minute), Detail: "192.0.2.7 \x1b[31mcomes"},
	}
	got := by()
	for what, want := range map[string]plan.Severity{
		"every domain is live": plan.Pass, "caches have let go, and isolate.after has passed": plan.Pass, "no name leads to the old server": plan.Pass,
		"nobody legitimate comes past the gateway": plan.Fail, "each node of the gateway gets in": plan.Unknown, "a person approved": plan.Unknown,
	} {
		if l := got[what]; l.Severity != want {
			t.Errorf("%s: %s (%s), want %s", what, l.Severity, l.Detail, want)
		}
	}
	if l := got["a person approved"]; l.Detail != "1 of 2 persons" || l.Command == "" {
		t.Errorf("approval: %+v", l)
	}
	if l := got["nobody legitimate comes past the gateway"]; !l.At.Equal(at.Add(time.Minute)) || !strings.Contains(l.Detail, "a.example") {
		t.Errorf("stragglers: %+v", l)
	}
	var b bytes.Buffer
	if err := (Printer{}).IsolationStatus(&b, p, st); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.ContainsRune(text, '\x1b') || !strings.Contains(text, "next: mxcutover approve --isolate") {
		t.Errorf("%q", text)
	}
	b.Reset()
	if err := IsolationJSON(&b, p, st); err != nil || !strings.Contains(b.String(), `"gate"`) || strings.ContainsRune(b.String(), '\x1b') {
		t.Errorf("%v %q", err, b.String())
	}
	metrics := func() string {
		var b bytes.Buffer
		if err := MetricsOf(st, "v", at).Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const deadline = `mxcutover_isolation_deadline_timestamp_seconds{migration="none"} `
	i.Until = at.Add(time.Hour)
	if text := metrics(); strings.Contains(text, deadline) {
		t.Errorf("not armed, and yet\n%s", text)
	}
	i.State, i.Closed, i.Approved = state.IsolationProven, true, true
	if text := metrics(); !strings.Contains(text, fmt.Sprintf("%s%d\n", deadline, i.Until.Unix())) {
		t.Errorf("armed until %s, and\n%s", i.Until, text)
	}
	if l := by()["a person confirmed"]; l.Command == "" {
		t.Errorf("proven: %+v", l)
	}
	if l := by()["refused from outside"]; l.Severity != plan.Unknown {
		t.Errorf("armed, and not asked: %+v", l)
	}
	i.Held = true // nobody confirmed in time: that would be refused now
	if l := by()["a person confirmed"]; l.Command != "mxcutover retry --isolate" {
		t.Errorf("held: %+v", l)
	}
	if i.Paused = true; by()["a person confirmed"].Command != "mxcutover isolate confirm --confirm isolate" {
		t.Errorf("on hold: %+v", by()["a person confirmed"])
	}
}

// TestDriftOfTheFirewall shows in each place that what was closed for good is not any
// more, and what a person does.
func TestDriftOfTheFirewall(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	p := plan.Plan{Waves: []plan.Wave{{Name: "pilot"}}, Isolate: []plan.Step{{ID: "arm", Kind: plan.Arm}, {ID: "confirm", Kind: plan.Confirm}}}
	st := state.NewStatus(p)
	ev := state.Event{Kind: state.Drifted, Step: "confirm", At: at, Reason: "ports [25] were confirmed, and it holds []", Findings: []plan.Finding{
		{Check: "old.closed", Target: "firewall", Severity: plan.Fail, At: at, Detail: "it holds []"},
	}}
	for _, e := range []state.Event{{Kind: state.Intended, Step: "arm"}, {Kind: state.Done, Step: "arm"}, {Kind: state.Intended, Step: "confirm"}, {Kind: state.Done, Step: "confirm"}, ev} {
		st.Apply(e)
	}
	var b bytes.Buffer
	shows := func(where string, err error, want ...string) {
		t.Helper()
		for _, w := range want {
			if err != nil || !strings.Contains(b.String(), w) {
				t.Errorf("%s lacks %q: %v\n%s", where, w, err, b.String())
			}
		}
		b.Reset()
	}
	shows("isolate status", (Printer{}).IsolationStatus(&b, &p, st), "isolation: drifted", "it holds []", "next: mxcutover retry --isolate", "fail    refused from outside")
	shows("status", (Printer{}).Status(&b, st, false), "isolation: drifted", "mxcutover retry --isolate")
	shows("metrics", MetricsOf(st, "v", at).Write(&b), `state="drifted"} 1`, `mxcutover_isolation_held{migration="none"} 1`)
	b.WriteString((Printer{}).Line(ev))
	shows("watch", nil, "old server", "closed for good, and not any more: ports [25]")
	needs := (&Story{Status: st}).Needs()
	if len(needs) == 0 || needs[0].Command != "mxcutover retry --isolate" || needs[0].tone != Bad {
		t.Errorf("needs: %+v", needs)
	}
}
