package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func thePlan(t testing.TB, names ...string) plan.Plan {
	t.Helper()
	var inv plan.Inventory
	for i, n := range names {
		mx, err := rrset.New(n, "MX", 3600, "10 mail.old.example.")
		if err != nil {
			t.Fatal(err)
		}
		inv.Domains = append(inv.Domains, plan.Domain{Name: n, Zone: n, Provider: "campus", MX: mx, PointsTo: plan.ToOld, Traffic: plan.Traffic{Messages: uint64(i)}})
	}
	p, err := plan.Make(inv, plan.Settings{
		Migration: "gateway-2026", Made: noon, Planned: []rrset.MX{{Preference: 10, Host: "gw1.example."}, {Preference: 20, Host: "gw2.example."}},
		First: 2, Growth: 2, Max: 100000, LowTTL: 300, Gate: plan.Gate{Approve: plan.Manual, Soak: plan.Duration(30 * time.Minute), Failures: 1}, Ports: []uint16{25},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var six = []string{"apex-tools.example.", "bakery.example.", "choir.example.", "dental.example.", "estates.example.", "farm.example."}

// story is a migration with one domain of each kind of fate.
func story(p plan.Plan) batchMsg {
	var b batchMsg
	add := func(minute int, e state.Event) {
		e.Seq, e.At = uint64(len(b)+1), noon.Add(time.Duration(minute-60)*time.Minute)
		b = append(b, e)
	}
	step := func(minute int, domain string, k plan.Kind) {
		s := p.Cutovers()[0].Before()
		s.Name = domain
		add(minute, state.Event{Kind: state.Intended, Domain: domain, Step: string(k), Intent: &state.Intent{
			Snapshot: &s, Served: map[string]rrset.Set{"ns1.example. 192.0.2.53": s, "ns2.example. 192.0.2.54": s},
		}})
		add(minute, state.Event{Kind: state.Done, Domain: domain, Step: string(k), Findings: []plan.Finding{
			{Check: "ns.sync", Target: domain, Severity: plan.Pass, Detail: "all 2 authoritative servers serve it"},
		}})
	}
	add(0, state.Event{Kind: state.Begun, Reason: p.ID})
	add(0, state.Event{Kind: state.Started, Reason: "mxcutover test"})
	add(0, state.Event{Kind: state.WaveStarted, Wave: "pilot"})
	for _, k := range []plan.Kind{plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish, plan.Propagate, plan.Probe, plan.Soak} {
		step(10, "apex-tools.example.", k)
		step(11, "bakery.example.", k)
	}
	add(20, state.Event{Kind: state.WaveLive, Wave: "pilot"})
	add(21, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Approve, Target: "wave:wave-2", By: "uid 1000 (op)"}})
	add(21, state.Event{Kind: state.WaveStarted, Wave: "wave-2"})
	step(22, "choir.example.", plan.Preflight)
	step(23, "choir.example.", plan.LowerTTL)
	add(24, state.Event{Kind: state.Intended, Domain: "choir.example.", Step: "await-ttl", Intent: &state.Intent{Until: noon.Add(53 * time.Second)}})
	for _, k := range []plan.Kind{plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish, plan.Propagate} {
		step(30, "estates.example.", k)
	}
	add(40, state.Event{
		Kind: state.Failed, Domain: "estates.example.", Step: "probe", Reason: "probe failed: 550 5.7.1 Relay not permitted \x1b[31m",
		Findings: []plan.Finding{{Check: "probe.arrival", Target: "estates.example.", Severity: plan.Fail, Detail: "550 5.7.1 Relay not permitted \x1b[2J\u202e"}},
	})
	add(40, state.Event{Kind: state.Held, Domain: "estates.example.", Reason: "probe failed: 550 5.7.1 Relay not permitted \x1b[31m"})
	add(41, state.Event{Kind: state.WaveHeld, Wave: "wave-2", Reason: "1 failed, and the gate allows 0: estates.example"})
	return b
}

// fake takes decisions.
type fake struct {
	mu    sync.Mutex
	taken []state.Decision
	err   error
	story batchMsg
	fails int
}

func (f *fake) Do(_ context.Context, d state.Decision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = append(f.taken, d)
	return f.err
}

func (f *fake) Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error] {
	return func(yield func(state.Event, error) bool) {
		for i, e := range f.story {
			if e.Seq <= since {
				continue
			}
			if f.fails > 0 && i == len(f.story)/2 {
				f.fails--
				yield(state.Event{}, errors.New("the line dropped"))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		<-ctx.Done()
		yield(state.Event{}, ctx.Err())
	}
}

func started(t testing.TB, width, height int, ascii bool, names ...string) (model, *fake) {
	t.Helper()
	if len(names) == 0 {
		names = six
	}
	p := thePlan(t, names...)
	f := &fake{}
	m := newModel(p, report.Printer{ASCII: ascii}, func() time.Time { return noon }, func(d state.Decision) error { return f.Do(context.Background(), d) })
	m = send(m, tea.WindowSizeMsg{Width: width, Height: height})
	if names[0] == six[0] {
		m = send(m, story(p))
	}
	return m, f
}

// send updates the model, and carries out what it asks for.
func send(m model, msg tea.Msg) model {
	next, cmd := m.Update(msg)
	m = next.(model)
	if cmd == nil {
		return m
	}
	if _, ok := msg.(tickMsg); ok {
		return m
	}
	if answer, ok := cmd().(decidedMsg); ok {
		return send(m, answer)
	}
	return m
}

func press(m model, keys ...string) model {
	for _, k := range keys {
		m = send(m, keyOf(k))
	}
	return m
}

func keyOf(k string) tea.KeyPressMsg {
	switch k {
	case "enter":
		return tea.KeyPressMsg{Code: tea.KeyEnter}
	case "esc":
		return tea.KeyPressMsg{Code: tea.KeyEscape}
	case "backspace":
		return tea.KeyPressMsg{Code: tea.KeyBackspace}
	case "down":
		return tea.KeyPressMsg{Code: tea.KeyDown}
	case "ctrl+y":
		return tea.KeyPressMsg{Code: 'y', Mod: tea.ModCtrl}
	}
	r := []rune(k)
	return tea.KeyPressMsg{Code: r[0], Text: k}
}

func typeIn(m model, text string) model {
	for _, r := range text {
		m = press(m, string(r))
	}
	return m
}

func screenOf(m model) string { return ansi.Strip(strings.Join(m.lines(), "\n")) }

func TestGoldenViews(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{100, 30}, {80, 24}, {60, 16}, {30, 5}} {
		for name, keys := range map[string][]string{
			"overview": nil, "domain": {"down", "down", "enter"}, "held": {"G", "k", "enter"}, "rollback": {"R"}, "approve": {"A"}, "help": {"?"},
		} {
			for _, ascii := range []bool{false, true} {
				if ascii && size[0] != 80 {
					continue
				}
				m, _ := started(t, size[0], size[1], ascii)
				got := screenOf(press(m, keys...)) + "\n"
				file := filepath.Join("testdata", fmt.Sprintf("%s_%dx%d", name, size[0], size[1]))
				if ascii {
					file += "_ascii"
					if strings.ContainsFunc(got, func(r rune) bool { return r > '~' && r != '…' }) {
						t.Errorf("%s: not ASCII:\n%s", file, got)
					}
				}
				golden(t, file+".txt", got)
			}
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s differs (%v); got:\n%s", file, err, got)
	}
}

// TestRollbackWantsItsNameAndCtrlY shows that nothing is sent before both.
func TestRollbackWantsItsNameAndCtrlY(t *testing.T) {
	t.Parallel()
	m, f := started(t, 100, 30, false)
	m = press(m, "R", "enter", "ctrl+y")
	m = typeIn(m, "apex-tools.exampl")
	m = press(m, "enter", "ctrl+y")
	m = send(m, tea.PasteMsg{Content: "e"})
	m = press(m, "ctrl+y")
	if len(f.taken) != 0 {
		t.Fatalf("sent before the name was typed: %+v", f.taken)
	}
	m = press(typeIn(m, "e"), "enter")
	if len(f.taken) != 0 {
		t.Fatal("Enter confirmed")
	}
	m = press(m, "ctrl+y", "ctrl+y")
	want := state.Decision{Verb: state.Rollback, Target: "domain:apex-tools.example.", Confirm: "apex-tools.example"}
	if len(f.taken) != 1 || f.taken[0] != want {
		t.Errorf("sent %+v, want once %+v", f.taken, want)
	}
	if !strings.Contains(screenOf(m), "taken by the engine") {
		t.Errorf("the answer is not shown:\n%s", screenOf(m))
	}
}

func TestEachDecision(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]state.Decision{
		"H": {Verb: state.Hold, Target: "domain:apex-tools.example."},
		"U": {Verb: state.Resume, Target: "domain:apex-tools.example."},
		"T": {Verb: state.Retry, Target: "domain:apex-tools.example."},
		"A": {Verb: state.Approve, Target: "isolate"},
	} {
		m, f := started(t, 100, 30, false)
		press(m, keys, "enter")
		press(m, keys, "esc", "ctrl+y")
		if len(f.taken) != 0 {
			t.Errorf("%s: sent without Ctrl+Y, or after Esc: %+v", keys, f.taken)
		}
		press(m, keys, "ctrl+y")
		if len(f.taken) != 1 || f.taken[0] != want {
			t.Errorf("%s sent %+v, want %+v", keys, f.taken, want)
		}
	}
	m, f := started(t, 100, 30, false)
	m = typeIn(press(m, "W"), "pilot")
	m = press(m, "ctrl+y")
	m = typeIn(press(m, "C"), "isolate")
	press(m, "ctrl+y")
	if len(f.taken) != 2 || f.taken[0].Target != "wave:pilot" || f.taken[0].Confirm != "pilot" || f.taken[1].Verb != state.Keep {
		t.Errorf("sent %+v", f.taken)
	}
}

func TestRefusalIsShown(t *testing.T) {
	t.Parallel()
	m, f := started(t, 100, 30, false)
	f.err = fmt.Errorf("%w: not \x1b[31mnow", state.ErrRefused)
	if s := screenOf(press(m, "H", "ctrl+y")); !strings.Contains(s, `refused: not \x1b[31mnow`) {
		t.Errorf("the refusal is not shown, or not harmless:\n%s", s)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	m, _ := started(t, 80, 24, false)
	m = typeIn(press(m, "/"), "held")
	if s := screenOf(press(m, "enter")); !strings.Contains(s, ">✖ estates.example") || strings.Contains(s, "farm.example  ") {
		t.Errorf("the filter does not leave the held domain alone:\n%s", s)
	}
	if m = press(m, "enter", "esc"); len(m.rows) != len(six) {
		t.Errorf("esc leaves %d rows", len(m.rows))
	}
}

func TestLostEngineIsTold(t *testing.T) {
	t.Parallel()
	m, _ := started(t, 80, 24, false)
	m.now = func() time.Time { return noon.Add(12 * time.Second) }
	m = send(m, lostMsg{errors.New("gone")})
	if s := screenOf(m); !strings.Contains(s, "ENGINE LOST, last seen 00:12 ago") {
		t.Errorf("not told:\n%s", s)
	}
	if s := screenOf(send(m, batchMsg{{Seq: 100, Kind: state.Observed}})); strings.Contains(s, "LOST") {
		t.Error("still lost after an event")
	}
}

// TestFeedGoesOn breaks the stream in the middle: no event is lost or doubled.
func TestFeedGoesOn(t *testing.T) {
	t.Parallel()
	p := thePlan(t, six...)
	f := &fake{story: story(p), fails: 1}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []uint64
	lost := 0
	feed(ctx, f, func(msg tea.Msg) {
		switch msg := msg.(type) {
		case batchMsg:
			for _, e := range msg {
				got = append(got, e.Seq)
			}
			if len(got) == len(f.story) {
				cancel()
			}
		case lostMsg:
			lost++
		}
	})
	for i, n := range got {
		if n != uint64(i+1) {
			t.Fatalf("events %v", got)
		}
	}
	if len(got) != len(f.story) || lost != 1 {
		t.Errorf("%d of %d events, lost %d times", len(got), len(f.story), lost)
	}
}

// TestManyDomains builds the visible rows, and no others.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 20000 {
		names = append(names, fmt.Sprintf("d%05d.example.", i))
	}
	m, _ := started(t, 100, 30, false, names...)
	m = press(m, "G")
	if n := len(m.table()); n != m.tableRows() {
		t.Errorf("%d rows are built for %d that are shown", n, m.tableRows())
	}
	if !strings.Contains(screenOf(m), "d19999.example") {
		t.Error("the last domain is not shown")
	}
}

func FuzzKeysAndSizes(f *testing.F) {
	f.Add([]byte("jjR\x00\x01apex\x03qA/x?"), 100, 30)
	f.Add([]byte("GW\x01"), 41, 11)
	f.Fuzz(func(t *testing.T, keys []byte, width, height int) {
		width, height = max(width%300, 0), max(height%100, 0)
		m, _ := started(t, width, height, false)
		for _, k := range keys[:min(len(keys), 60)] {
			switch k % 32 {
			case 0:
				m = press(m, "enter")
			case 1:
				m = press(m, "ctrl+y")
			case 2:
				m = press(m, "esc")
			case 3:
				m = press(m, "backspace")
			case 4:
				m = send(m, tea.WindowSizeMsg{Width: int(k), Height: int(k) / 3})
				width, height = int(k), int(k)/3
			default:
				m = press(m, string(rune(k)))
			}
			lines := m.lines()
			if len(lines) > max(height, 0) {
				t.Fatalf("%d lines on a screen of %d", len(lines), height)
			}
			for _, l := range lines {
				if w := ansi.StringWidth(l); w > width {
					t.Fatalf("a line of %d columns on a screen of %d: %q", w, width, l)
				}
			}
		}
	})
}

func TestTheEndIsNoLoss(t *testing.T) {
	t.Parallel()
	m, _ := started(t, 80, 24, false)
	m = send(send(m, batchMsg{{Seq: 100, Kind: state.Closed}}), lostMsg{errors.New("gone")})
	if s := screenOf(m); !strings.Contains(s, "DONE") || strings.Contains(s, "LOST") {
		t.Errorf("the end of the migration looks like a loss:\n%s", s)
	}
}

// TestDriftOfTheFirewallIsShown says on the first screen that what was closed for good is
// not, and what closes it again.
func TestDriftOfTheFirewallIsShown(t *testing.T) {
	t.Parallel()
	m, _ := started(t, 120, 30, false, six...)
	m = send(m, batchMsg{
		{Seq: 1000, Kind: state.Intended, At: noon, Step: "confirm"}, {Seq: 1001, Kind: state.Done, At: noon, Step: "confirm"},
		{Seq: 1002, Kind: state.Drifted, At: noon, Step: "confirm", Reason: "it holds []"},
	})
	if s := screenOf(m); !strings.Contains(s, "drifted") || !strings.Contains(s, "mxcutover retry --isolate  it holds []") {
		t.Errorf("it is not shown:\n%s", s)
	}
}

// TestReadOnly shows who has control, and takes nothing but what is urgent until
// it is taken over.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	m, _ := started(t, 120, 30, false, six...)
	m = send(m, batchMsg{{Seq: 1000, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Take, By: "uid 7 (op)"}}})
	m = send(m, controlMsg{lost: "uid 7 (op) has control"})
	if !strings.Contains(screenOf(m), "read-only: uid 7 (op) has control since 12:00:00") {
		t.Errorf("head: %s", m.head())
	}
	if m = press(m, "A"); m.dialog != nil || !strings.Contains(m.note, "O takes control over") {
		t.Errorf("a read-only screen opens a dialog, or says nothing: %q", m.note)
	}
	if m = press(m, "R"); m.dialog == nil || m.dialog.decision.Verb != state.Rollback {
		t.Fatal("a rollback is locked out")
	}
	if m = press(m, "esc", "O"); m.dialog == nil || m.dialog.decision.Verb != state.Take {
		t.Fatal("control cannot be taken over")
	}
	m = send(m, decidedMsg{decision: m.dialog.decision})
	m = send(m, controlMsg{})
	if m = press(m, "A"); m.dialog == nil || strings.Contains(screenOf(m), "read-only") {
		t.Errorf("after taking over: %s", m.head())
	}
}
