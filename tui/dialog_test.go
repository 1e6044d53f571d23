package tui

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mxcutover/report"
	"mxcutover/state"
)

// TestRollbackWantsItsNameAndCtrlY shows that nothing is sent before both.
func TestRollbackWantsItsNameAndCtrlY(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false).press("R", "enter", "ctrl+y").typeIn("apex-tools.exampl").press("enter", "ctrl+y")
	s.send(tea.PasteMsg{Content: "e"})
	s.press("ctrl+y")
	if len(s.taken) != 0 {
		t.Fatalf("sent before the name was typed: %+v", s.taken)
	}
	s.shows(t, "Type apex-tools.example first.")
	s.typeIn("e").press("enter")
	if len(s.taken) != 0 {
		t.Fatal("Enter confirmed")
	}
	s.press("ctrl+y")
	s.shows(t, "taken by the engine")
	s.press("ctrl+y")
	want := state.Decision{Verb: state.Rollback, Target: "domain:apex-tools.example.", Confirm: "apex-tools.example"}
	if len(s.taken) != 1 || s.taken[0] != want {
		t.Errorf("sent %+v, want once %+v", s.taken, want)
	}
}

func TestEachDecision(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]state.Decision{
		"H": {Verb: state.Hold, Target: "domain:apex-tools.example."},
		"U": {Verb: state.Resume, Target: "domain:apex-tools.example."},
		"T": {Verb: state.Retry, Target: "domain:apex-tools.example."},
		"A": {Verb: state.Approve, Target: "isolate"},
		"L": {Verb: state.Lift, Target: "isolate"},
		"P": {Verb: state.Hold, Target: "all"},
		"Q": {Verb: state.Quit, Target: "all"},
	} {
		s := started(t, 100, 30, false).press(keys, "enter", keys).press("esc", "ctrl+y")
		s.press(keys, keys).press("esc")
		if len(s.taken) != 0 {
			t.Errorf("%s: sent without Ctrl+Y, or after Esc: %+v", keys, s.taken)
		}
		s.press(keys)
		for _, what := range []string{"does", "takes", "undone", "the same as"} {
			s.shows(t, what)
		}
		s.press("ctrl+y")
		if len(s.taken) != 1 || s.taken[0] != want {
			t.Errorf("%s sent %+v, want %+v", keys, s.taken, want)
		}
	}
	s := started(t, 100, 30, false).press("W").typeIn("pilot").press("ctrl+y", "C").typeIn("isolate").press("ctrl+y")
	if len(s.taken) != 2 || s.taken[0].Target != "wave:pilot" || s.taken[0].Confirm != "pilot" || s.taken[1].Verb != state.Keep || s.taken[1].Confirm != "isolate" {
		t.Errorf("sent %+v", s.taken)
	}
	s = started(t, 100, 30, false).press("i", "H", "ctrl+y", "T", "ctrl+y")
	if len(s.taken) != 2 || s.taken[0] != (state.Decision{Verb: state.Hold, Target: "isolate"}) || s.taken[1].Target != "isolate" {
		t.Errorf("on the isolation's screen: %+v", s.taken)
	}
}

// TestManyMarked decides about the marked domains one by one, each with its name.
func TestManyMarked(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false).press("space", "down", "space", "R").typeIn("2 domain").press("ctrl+y")
	if len(s.taken) != 0 {
		t.Fatalf("sent before the number was typed: %+v", s.taken)
	}
	s.typeIn("s").press("ctrl+y")
	if len(s.taken) != 2 || s.taken[0].Confirm != "apex-tools.example" || s.taken[1].Target != "domain:choir.example." || s.taken[1].Confirm != "choir.example" {
		t.Errorf("sent %+v", s.taken)
	}
	if len(s.list.marks) != 0 {
		t.Error("the marks are still there")
	}
	s = started(t, 100, 30, false)
	s.err = state.ErrRefused
	s.press("*", "H", "ctrl+y")
	s.shows(t, "0 of 6 were taken")
}

// TestDrift lets a person choose what becomes of somebody else's record; overwriting
// it wants the name.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false)
	s.send(batchMsg{{Seq: 100, Kind: state.Drifted, Domain: "apex-tools.example.", Reason: "somebody else changed it", At: noon}})
	s.press("T", "tab", "ctrl+y")
	s.press("T", "tab", "tab", "ctrl+y")
	if len(s.taken) != 1 || s.taken[0].Drift != state.Adopt {
		t.Fatalf("sent %+v", s.taken)
	}
	s.shows(t, "OVERWRITTEN")
	s.shows(t, "--force --confirm apex-tools.example")
	s.typeIn("apex-tools.example").press("ctrl+y")
	if len(s.taken) != 2 || s.taken[1].Drift != state.Force || s.taken[1].Confirm != "apex-tools.example" {
		t.Errorf("sent %+v", s.taken)
	}
}

func TestRefusalIsShown(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false)
	s.err = fmt.Errorf("%w: not \x1b[31mnow", state.ErrRefused)
	s.press("H", "ctrl+y")
	s.shows(t, `refused: not \x1b[31mnow`)
}

// TestBurstsChangeNothing sends keys as a paste without brackets does.
func TestBurstsChangeNothing(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false)
	burst := func(keys ...string) {
		for _, k := range keys {
			s.clock.at = s.clock.at.Add(time.Millisecond)
			s.send(keyOf(k))
		}
	}
	burst("H", "ctrl+y", "ctrl+y")
	burst("a", "b", "ctrl+y")
	if len(s.taken) != 0 {
		t.Fatalf("a burst sent %+v", s.taken)
	}
	s.press("esc")
	burst("j", "k", "j", "k", "A", "R", "W")
	if s.dialog != nil {
		t.Error("a burst opened a dialog")
	}
	s.shows(t, "as if pasted")
	s.press("g", "g") // a pause ends it
	for range 50 {
		burst("k")
	}
	if s.at[overview].cursor != 0 {
		t.Error("a key that is held down is taken for a burst")
	}
	s.send(tea.PasteMsg{Content: "RWA"})
	if s.dialog != nil || !strings.Contains(s.note, "pasted") {
		t.Error("a paste acts")
	}
	s.press("R")
	burst(strings.Split("apex-tools.example", "")...)
	s.shows(t, "as if pasted: type it")
	s.press("ctrl+y")
	if s.dialog == nil || s.dialog.typed != "" || len(s.taken) != 0 {
		t.Errorf("a burst was carried into a dialog: %+v, %+v", s.dialog, s.taken)
	}
	s.press("esc", "H")
	s.clock.at = s.clock.at.Add(100 * time.Millisecond)
	s.send(keyOf("ctrl+y"))
	if len(s.taken) != 0 {
		t.Error("a dialog was confirmed that nobody can have read")
	}
	s.press("ctrl+y")
	if len(s.taken) != 1 {
		t.Error("and then it cannot be confirmed")
	}
}

// TestNothingIsSentUnseen refuses on a screen that is too small for a dialog.
func TestNothingIsSentUnseen(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false).press("H")
	s.send(tea.WindowSizeMsg{Width: 30, Height: 5})
	s.press("ctrl+y")
	if len(s.taken) != 0 || s.dialog != nil {
		t.Errorf("sent %+v", s.taken)
	}
}

// TestReadOnly shows who has control, and takes nothing but what is urgent until
// it is taken over.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := started(t, 120, 30, false)
	s.send(batchMsg{{Seq: 1000, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Take, By: "uid 7 (op)"}}})
	s.send(controlMsg{lost: "uid 7 (op) has control"})
	s.shows(t, "READ-ONLY")
	s.shows(t, "read-only: uid 7 (op) decides since 12:00:00")
	if s.press("A"); s.dialog != nil || !strings.Contains(s.note, "O takes control over") {
		t.Errorf("a read-only screen opens a dialog, or says nothing: %q", s.note)
	}
	if s.press("R"); s.dialog == nil || s.dialog.asks[0].Verb != state.Rollback {
		t.Fatal("a rollback is locked out")
	}
	if s.press("esc", "O"); s.dialog == nil || s.dialog.asks[0].Verb != state.Take {
		t.Fatal("control cannot be taken over")
	}
	s.press("ctrl+y")
	s.send(controlMsg{})
	s.press("A")
	if s.dialog == nil {
		t.Error("after taking over nothing can be decided")
	}
	s.hides(t, "READ-ONLY")
	s.shows(t, "you decide")
}

// TestControlComesBack takes control once whoever had it has given it up.
func TestControlComesBack(t *testing.T) {
	t.Parallel()
	s := started(t, 120, 30, false)
	s.send(batchMsg{{Seq: 1000, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Take, By: "uid 7 (op)"}}})
	s.send(controlMsg{lost: "uid 7 (op) has control"})
	asked := false
	s.do.take = func(bool) error { asked = true; return nil }
	s.send(batchMsg{{Seq: 1001, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Release, By: "uid 7 (op)"}}})
	if !asked {
		t.Error("control is not asked for")
	}
}

// TestBegin shows a plan that was not begun, and begins it by its name.
func TestBegin(t *testing.T) {
	t.Parallel()
	s := notBegun(t, 100, 30, false)
	s.shows(t, "Plan ")
	begun := 0
	s.do.start = func() (string, error) { begun++; return "an engine was started: pid 1", nil }
	s.press("B", "ctrl+y", "enter").typeIn("gateway").press("ctrl+y")
	if begun != 0 {
		t.Fatal("begun without the name")
	}
	s.typeIn("-2026").press("ctrl+y")
	if begun != 1 {
		t.Fatalf("begun %d times", begun)
	}
	s.shows(t, "an engine was started")
}

// TestNoEngine decides nothing, and starts one.
func TestNoEngine(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false)
	s.send(lostMsg{err: ErrNoEngine, again: time.Second})
	s.shows(t, "NO ENGINE")
	s.shows(t, "S starts one")
	if s.press("H"); s.dialog != nil {
		t.Error("a decision is asked about that nobody can take")
	}
	if s.press("S"); s.dialog == nil {
		t.Fatal("no engine can be started")
	}
	s.press("ctrl+y")
	s.send(batchMsg{{Seq: 200, Kind: state.Started, At: noon, Engine: &state.Engine{}}})
	s.shows(t, "engine running")
}

func TestPalette(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false).press(":").typeIn("roll everything").press("enter")
	if s.dialog == nil || s.dialog.asks[0].Target != state.All || s.dialog.need != "all" {
		t.Fatalf("%+v", s.dialog)
	}
	s.press("esc", ":").typeIn("estat").press("enter")
	s.shows(t, "estates.example  wave wave-2  HELD")
	s.press(":").typeIn("zzz").press("enter")
	if s.palette != nil {
		t.Error("the palette stays")
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false).press("y")
	if len(s.copied) != 1 || s.copied[0] != "apex-tools.example" {
		t.Errorf("copied %q", s.copied)
	}
	s.shows(t, "apex-tools.example")
	s.press("x", "enter", "y")
	if got := strings.Join(s.copied, ""); got != "dig +norecurse apex-tools.example MX @192.0.2.53" {
		t.Errorf("copied %q", got)
	}
	s.press("x", "R", "ctrl+o")
	if got := strings.Join(s.copied, ""); got != "mxcutover rollback --domain apex-tools.example --confirm apex-tools.example" {
		t.Errorf("copied %q", got)
	}
	if s.press("x"); s.dialog == nil || s.dialog.typed != "" {
		t.Error("after copying the dialog is not as it was")
	}
}

// TestDriftOfTheFirewallIsShown says on the first screen that what was closed for good is
// not, and what closes it again. D opens nothing while nobody is asked for a table.
func TestDriftOfTheFirewallIsShown(t *testing.T) {
	t.Parallel()
	s := started(t, 120, 30, false)
	s.send(batchMsg{
		{Seq: 1000, Kind: state.Intended, At: noon, Step: "confirm"},
		{Seq: 1001, Kind: state.Done, At: noon, Step: "confirm"},
		{Seq: 1002, Kind: state.Drifted, At: noon, Step: "confirm", Reason: "it holds []"},
	})
	s.shows(t, "drifted")
	s.shows(t, "mxcutover retry --isolate  it holds []")
	s.press("D").shows(t, "nobody is asked to load anything now")
}

// TestEveryChangeHasItsNames looks for each key that changes something in the help, in
// the palette and in the manual.
func TestEveryChangeHasItsNames(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../docs/screen.md")
	if err != nil {
		t.Fatal(err)
	}
	p := thePlan(t, six...)
	scenes := []func() *stage{
		func() *stage { return started(t, 100, 30, false) },
		func() *stage { return began(t, 100, 30, false, p, handing(p)).press("i") },
		func() *stage { return notBegun(t, 100, 30, false) },
		func() *stage {
			s := started(t, 100, 30, false)
			s.send(lostMsg{err: ErrNoEngine})
			return s
		},
	}
	var help string
	for _, part := range helpParts {
		for _, k := range part.keys {
			help += " " + k[0] + " "
		}
	}
	changes := 0
	for r := 'A'; r <= 'Z'; r++ {
		k := string(r)
		opens := false
		for _, scene := range scenes {
			opens = opens || scene().press(k).dialog != nil
		}
		if !opens {
			continue
		}
		changes++
		if !strings.Contains(help, " "+k+" ") {
			t.Errorf("%s changes something, and the help has it not", k)
		}
		if !slices.ContainsFunc(choices(), func(c choice) bool { return c.key == k }) {
			t.Errorf("%s changes something, and the palette has it not", k)
		}
		if !strings.Contains(string(manual), "`"+k+"`") {
			t.Errorf("%s changes something, and docs/screen.md has it not", k)
		}
	}
	if changes < 12 {
		t.Errorf("only %d keys change something", changes)
	}
}

// TestLowerCaseOnlyLooks presses all that is no upper-case letter, on every screen:
// nothing is decided, and no dialog opens.
func TestLowerCaseOnlyLooks(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	for _, screen := range []string{"o", "l", "p", "c", "i", "r", "?", "e", "enter"} {
		s := began(t, 100, 30, false, p, closing(p)).press(screen)
		for r := rune(' '); r <= '~'; r++ {
			if r >= 'A' && r <= 'Z' || r == 'q' {
				continue
			}
			s.press(string(r), "ctrl+y", "enter")
			if s.dialog != nil || s.count() > 0 {
				t.Fatalf("on %s, %q opens %+v or sends %+v", screen, r, s.dialog, s.taken)
			}
			s.press("esc", "esc", "o", screen)
		}
	}
}

// TestTheFirewallIsAskedAnew asks it again once it was armed, so that what is shown of it
// is not of before.
func TestTheFirewallIsAskedAnew(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	all := closing(p)
	armed := slices.IndexFunc(all, func(e state.Event) bool { return e.Kind == state.Intended && e.Step == "arm" })
	s := began(t, 100, 40, false, p, all[:armed])
	asked := 0
	rules := s.do.rules
	s.do.rules = func(stage int) (report.Rules, error) {
		asked++
		return rules(stage)
	}
	s.press("i").send(all[armed : armed+1])
	if asked != 1 {
		t.Errorf("asked %d times before anything changed; want once", asked)
	}
	if s.send(all[armed+1:]); asked != 2 {
		t.Errorf("asked %d times after it was armed; want twice", asked)
	}
}
