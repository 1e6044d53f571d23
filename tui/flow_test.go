package tui

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/teatest/v2"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// A typist is the screen with a person before it, who lets a second go by before each
// key.
type typist struct {
	tea.Model
	at *atomic.Int64 // ns since 1970
}

func (p typist) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, ok := msg.(tea.KeyPressMsg); ok {
		p.at.Add(int64(time.Second))
	}
	var cmd tea.Cmd
	p.Model, cmd = p.Model.Update(msg)
	return p, cmd
}

// A flow is the way to one decision by keys.
type flow struct {
	verb  state.Verb
	story batchMsg
	keys  []string // that open the dialog; "type ..." is typed
	title string
	need  string // that is typed in the dialog
	want  []state.Decision
	also  []tea.Msg // what comes besides, once the story was told
}

// seized is what a screen is told of another session that takes control.
func seized() []tea.Msg {
	by := "uid 7 (night)"
	return []tea.Msg{batchMsg{{Seq: 1000, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Take, By: by}}}, controlMsg{lost: by + " has control"}}
}

// drifts are the events of a domain whose record somebody else changed.
func drifts(p plan.Plan) batchMsg {
	return append(tale(p), state.Event{Seq: 100, Kind: state.Drifted, Domain: "apex-tools.example.", Reason: "apex-tools.example. MX: somebody else changed it: expected 10 gw1.example., 20 gw2.example. TTL 300, found 5 mail.elsewhere.example. TTL 3600", At: noon})
}

const domainA, bareA = "domain:apex-tools.example.", "apex-tools.example"

// flows are those to each decision, and each choice, that a person has.
func flows(p plan.Plan) map[string]flow {
	one := func(v state.Verb, target, confirm string) []state.Decision {
		return []state.Decision{{Verb: v, Target: target, Confirm: confirm}}
	}
	retry := func(verb state.Verb, c state.Drift, confirm string) []state.Decision {
		return []state.Decision{{Verb: verb, Target: domainA, Drift: c, Confirm: confirm}}
	}
	return map[string]flow{
		"approve":                {verb: state.Approve, story: tale(p)[:20], keys: []string{"A"}, title: "Approve wave wave-2", want: one(state.Approve, "wave:wave-2", "")},
		"approve a wave by name": {verb: state.Approve, story: tale(p)[:20], keys: []string{":", "type approve wave-2", "enter"}, title: "Approve wave wave-2", want: one(state.Approve, "wave:wave-2", "")},
		"approve the isolation":  {verb: state.Approve, story: closing(p), keys: []string{"i", "A"}, title: "Approve the isolation", want: one(state.Approve, "isolate", "")},

		"hold":               {verb: state.Hold, story: tale(p), keys: []string{"H"}, title: "Hold domain", want: one(state.Hold, domainA, "")},
		"hold a wave":        {verb: state.Hold, story: tale(p), keys: []string{":", "type hold wave wave-2", "enter"}, title: "Hold wave wave-2", want: one(state.Hold, "wave:wave-2", "")},
		"hold everything":    {verb: state.Hold, story: tale(p), keys: []string{"P"}, title: "Hold everything", want: one(state.Hold, "all", "")},
		"hold the isolation": {verb: state.Hold, story: closing(p), keys: []string{"i", "H"}, title: "Hold the isolation", want: one(state.Hold, "isolate", "")},
		"hold many": {verb: state.Hold, story: tale(p), keys: []string{"space", "space", "H"}, title: "Hold 2 marked domains", want: append(
			one(state.Hold, domainA, ""), one(state.Hold, "domain:bakery.example.", "")...)},

		"resume":               {verb: state.Resume, story: tale(p), keys: []string{"U"}, title: "Resume domain", want: one(state.Resume, domainA, "")},
		"resume a wave":        {verb: state.Resume, story: tale(p), keys: []string{":", "type resume wave-2", "enter"}, title: "Resume wave wave-2", want: one(state.Resume, "wave:wave-2", "")},
		"resume everything":    {verb: state.Resume, story: tale(p), keys: []string{":", "type resume everything", "enter"}, title: "Resume everything", want: one(state.Resume, "all", "")},
		"resume the isolation": {verb: state.Resume, story: closing(p), keys: []string{"i", "U"}, title: "Resume the isolation", want: one(state.Resume, "isolate", "")},

		"retry":               {verb: state.Retry, story: tale(p), keys: []string{"T"}, title: "Retry domain", want: one(state.Retry, domainA, "")},
		"retry a wave":        {verb: state.Retry, story: tale(p), keys: []string{":", "type retry wave-2", "enter"}, title: "Retry wave wave-2", want: one(state.Retry, "wave:wave-2", "")},
		"retry everything":    {verb: state.Retry, story: tale(p), keys: []string{":", "type retry everything", "enter"}, title: "Retry everything", want: one(state.Retry, "all", "")},
		"retry the isolation": {verb: state.Retry, story: closing(p), keys: []string{"i", "T"}, title: "Retry the isolation", want: one(state.Retry, "isolate", "")},
		"look again":          {verb: state.Retry, story: drifts(p), keys: []string{"T"}, title: "Retry domain", want: retry(state.Retry, "", "")},
		"adopt":               {verb: state.Retry, story: drifts(p), keys: []string{"T", "tab"}, title: "built upon", want: retry(state.Retry, state.Adopt, "")},
		"force":               {verb: state.Retry, story: drifts(p), keys: []string{"T", "tab", "tab"}, title: "OVERWRITTEN with ours", need: bareA, want: retry(state.Retry, state.Force, bareA)},
		"skip":                {verb: state.Retry, story: drifts(p), keys: []string{"T", "tab", "tab", "tab"}, title: "the domain is left out", want: retry(state.Retry, state.Skip, "")},

		"roll back":            {verb: state.Rollback, story: tale(p), keys: []string{"R"}, title: "Roll back domain", need: bareA, want: one(state.Rollback, domainA, bareA)},
		"roll a wave back":     {verb: state.Rollback, story: tale(p), keys: []string{"W"}, title: "Roll back wave pilot", need: "pilot", want: one(state.Rollback, "wave:pilot", "pilot")},
		"roll everything back": {verb: state.Rollback, story: tale(p), keys: []string{":", "type roll everything", "enter"}, title: "Roll back everything", need: "all", want: one(state.Rollback, "all", "all")},
		"roll many back": {verb: state.Rollback, story: tale(p), keys: []string{"space", "space", "R"}, title: "Roll back 2 marked domains", need: "2 domains", want: append(
			one(state.Rollback, domainA, bareA), one(state.Rollback, "domain:bakery.example.", "bakery.example")...)},
		"roll back by force": {verb: state.Rollback, story: drifts(p), keys: []string{"R", "tab", "tab"}, title: "OVERWRITTEN with the snapshot", need: bareA, want: retry(state.Rollback, state.Force, bareA)},

		"confirm the isolation": {verb: state.Keep, story: closing(p), keys: []string{"i", "C"}, title: "Confirm the isolation", need: "isolate", want: one(state.Keep, "isolate", "isolate")},
		"lift the isolation":    {verb: state.Lift, story: closing(p), keys: []string{"i", "L"}, title: "Lift the isolation", want: one(state.Lift, "isolate", "")},
		"a table is loaded":     {verb: state.Loaded, story: handing(p), keys: []string{"i", "D"}, title: "The firewall's table is loaded", need: handTable, want: one(state.Loaded, "isolate", handTable)},
		"stop the engine":       {verb: state.Quit, story: tale(p), keys: []string{"Q"}, title: "Stop the engine", want: one(state.Quit, "all", "")},

		"take control over": {verb: state.Take, story: tale(p), keys: []string{"O"}, title: "Take control over", also: seized()},
		"begin":             {story: nil, keys: []string{"B"}, title: "Begin the migration", need: "gateway-2026", also: []tea.Msg{lostMsg{err: ErrNoEngine}}},
		"start an engine":   {story: tale(p), keys: []string{"S"}, title: "Start an engine", also: []tea.Msg{lostMsg{err: ErrNoEngine}}},
	}
}

// TestFlows decides each thing in the real program: the keys, the dialog as it is drawn,
// Enter, which does nothing, the name, the confirming key, and the answer.
func TestFlows(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	decided := map[state.Verb]bool{state.Release: true} // which leaving the screen does
	for name, c := range flows(p) {
		decided[c.verb] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, at := &fake{}, &atomic.Int64{}
			at.Store(noon.UnixNano())
			m := newModel(p, report.Printer{}, func() time.Time { return time.Unix(0, at.Load()).UTC() }, f.effects())
			tm := teatest.NewTestModel(t, typist{m, at}, teatest.WithInitialTermSize(100, 30))
			sees := func(what string) {
				t.Helper()
				teatest.WaitFor(t, tm.Output(), func(b []byte) bool { return bytes.Contains([]byte(ansi.Strip(string(b))), []byte(what)) }, teatest.WithDuration(20*time.Second))
			}
			if c.story != nil {
				tm.Send(linkedMsg{uint64(len(c.story))})
				tm.Send(controlMsg{})
				tm.Send(c.story)
			}
			for _, msg := range c.also {
				tm.Send(msg)
			}
			sendKeys(tm, c.keys...)
			sees(c.title)
			for _, k := range c.need {
				sendKeys(tm, string(k))
			}
			sendKeys(tm, "enter")
			sees("Enter never confirms")
			if n := f.count(); n != 0 {
				t.Fatalf("Enter confirmed: %d were sent", n)
			}
			sendKeys(tm, "ctrl+y")
			teatest.WaitFor(t, tm.Output(), func([]byte) bool { return f.count() >= max(len(c.want), 1) }, teatest.WithDuration(20*time.Second))
			sendKeys(tm, "ctrl+c")
			tm.WaitFinished(t, teatest.WithFinalTimeout(20*time.Second))
			f.mu.Lock()
			defer f.mu.Unlock()
			if !slices.Equal(f.taken, c.want) {
				t.Errorf("sent %+v, want %+v", f.taken, c.want)
			}
			if c.want == nil && f.forced+f.started != 1 {
				t.Errorf("control was taken %d times, an engine started %d times; want one of these", f.forced, f.started)
			}
		})
	}
	for _, v := range []state.Verb{
		state.Approve, state.Hold, state.Resume, state.Retry, state.Rollback, state.Keep, state.Lift, state.Loaded, state.Quit, state.Take, state.Release,
	} {
		if !decided[v] {
			t.Errorf("no flow decides %s", v)
		}
	}
}

// sendKeys presses keys in the program; "type ..." is pressed letter by letter.
func sendKeys(tm *teatest.TestModel, keys ...string) {
	for _, k := range keys {
		if text, ok := cutType(k); ok {
			for _, r := range text {
				tm.Send(keyOf(map[bool]string{true: "space", false: string(r)}[r == ' ']))
			}
			continue
		}
		tm.Send(keyOf(k))
	}
}

// TestReadOnlyFlow decides nothing from a screen that only looks, whichever key is
// pressed, but what is urgent.
func TestReadOnlyFlow(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	for name, c := range flows(p) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.story == nil || c.also != nil {
				return // there is no other session, or it is taken over
			}
			s := began(t, 100, 30, false, p, c.story)
			for _, msg := range seized() {
				s.send(msg)
			}
			for _, k := range c.keys {
				if text, ok := cutType(k); ok {
					s.typeIn(text)
				} else {
					s.press(k)
				}
			}
			s.typeIn(c.need).press("ctrl+y")
			urgent := c.verb.Urgent()
			if urgent != (len(s.taken) > 0) {
				t.Errorf("read-only, and urgent %v: sent %+v", urgent, s.taken)
			}
			s.shows(t, "READ-ONLY")
		})
	}
}

// TestAStoppedEngineTakesNothing tells what becomes of a decision that gets no answer.
func TestAStoppedEngineTakesNothing(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false)
	s.err = errors.Join(errors.New("the engine does not answer"), context.DeadlineExceeded)
	s.press("H", "ctrl+y")
	s.shows(t, "the engine does not answer")
	if s.dialog == nil || s.dialog.busy {
		t.Error("the dialog is gone, or waits for ever")
	}
}
