package tui

import (
	"bytes"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/teatest/v2"

	"mxcutover/report"
	"mxcutover/state"
)

// TestFlows decides each thing in the real program: the key, the dialog as it is drawn,
// the name, the confirming key, and the answer.
func TestFlows(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	for _, c := range []struct {
		name, key, screen string
		story             batchMsg
		need              string
		want              state.Decision
	}{
		{"approve", "A", "", tale(p)[:20], "", state.Decision{Verb: state.Approve, Target: "wave:wave-2"}},
		{"hold", "H", "", tale(p), "", state.Decision{Verb: state.Hold, Target: "domain:apex-tools.example."}},
		{"resume", "U", "", tale(p), "", state.Decision{Verb: state.Resume, Target: "domain:apex-tools.example."}},
		{"retry", "T", "", tale(p), "", state.Decision{Verb: state.Retry, Target: "domain:apex-tools.example."}},
		{"roll back", "R", "", tale(p), "apex-tools.example", state.Decision{Verb: state.Rollback, Target: "domain:apex-tools.example.", Confirm: "apex-tools.example"}},
		{"roll a wave back", "W", "", tale(p), "pilot", state.Decision{Verb: state.Rollback, Target: "wave:pilot", Confirm: "pilot"}},
		{"hold everything", "P", "", tale(p), "", state.Decision{Verb: state.Hold, Target: "all"}},
		{"approve the isolation", "A", "i", closing(p), "", state.Decision{Verb: state.Approve, Target: "isolate"}},
		{"confirm the isolation", "C", "i", closing(p), "isolate", state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate"}},
		{"lift the isolation", "L", "i", closing(p), "", state.Decision{Verb: state.Lift, Target: "isolate"}},
		{"a table is loaded", "D", "i", handing(p), "close-25-3f2a91c4", state.Decision{Verb: state.Loaded, Target: "isolate", Confirm: "close-25-3f2a91c4"}},
		{"stop the engine", "Q", "", tale(p), "", state.Decision{Verb: state.Quit, Target: "all"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			m := newModel(p, report.Printer{}, time.Now, f.effects())
			tm := teatest.NewTestModel(t, m, teatest.WithInitialTermSize(100, 30))
			sees := func(what string) {
				t.Helper()
				teatest.WaitFor(t, tm.Output(), func(b []byte) bool { return bytes.Contains([]byte(ansi.Strip(string(b))), []byte(what)) }, teatest.WithDuration(20*time.Second))
			}
			tm.Send(linkedMsg{uint64(len(c.story))})
			tm.Send(controlMsg{})
			tm.Send(c.story)
			if c.screen != "" {
				tm.Send(keyOf(c.screen))
				sees("Isolate the old server")
			}
			time.Sleep(2 * tooFast) // a person's pause
			tm.Send(keyOf(c.key))
			sees("the same as")
			tm.Type(c.need)
			time.Sleep(settleIn + quietTime) // to read it
			tm.Send(tea.KeyPressMsg{Code: tea.KeyEnter})
			time.Sleep(2 * quietTime)
			tm.Send(keyOf("ctrl+y"))
			sees("taken by the engine")
			tm.Send(keyOf("ctrl+c"))
			tm.WaitFinished(t, teatest.WithFinalTimeout(20*time.Second))
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.taken) != 1 || f.taken[0] != c.want {
				t.Errorf("sent %+v, want %+v", f.taken, c.want)
			}
		})
	}
}
