package tui

import (
	"context"
	"errors"
	"flag"
	"iter"
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

// updates tells whether -update was given: teatest has that flag, too.
func updates() bool { return flag.Lookup("update").Value.String() == "true" }

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

// A teller makes the events of a story.
type teller struct {
	p plan.Plan
	b batchMsg
}

func (s *teller) add(minute int, e state.Event) {
	e.Seq, e.At = uint64(len(s.b)+1), noon.Add(time.Duration(minute-60)*time.Minute)
	s.b = append(s.b, e)
}

func (s *teller) step(minute int, domain string, k plan.Kind, found ...plan.Finding) {
	before, after := s.p.Cutovers()[0].Before(), s.p.Cutovers()[0].After()
	before.Name, after.Name = domain, domain
	at := noon.Add(time.Duration(minute-60) * time.Minute)
	for i := range found {
		found[i].At = at
	}
	s.add(minute, state.Event{Kind: state.Intended, Domain: domain, Step: string(k), Intent: &state.Intent{
		Snapshot: &before, Served: map[string]rrset.Set{"ns1.example. 192.0.2.53": before, "ns2.example. 192.0.2.54": before},
		Change: &rrset.Change{Zone: domain, Before: before, After: after},
	}})
	s.add(minute, state.Event{Kind: state.Done, Domain: domain, Step: string(k), Findings: append(found, plan.Finding{
		Check: "ns.sync", Target: domain, Severity: plan.Pass, Detail: "all 2 authoritative servers serve it", At: at,
	})})
}

func arrived(domain, took string) plan.Finding {
	return plan.Finding{
		Check: "probe.arrival", Target: domain, Severity: plan.Pass, Detail: "arrived via gw1.example 192.0.2.25 in " + took, Vantage: "outside",
		Evidence: "accepted 120ms, arrived " + took + ", queued 0ms, stored 200ms",
	}
}

func cached(domain string) plan.Finding {
	return plan.Finding{
		Check: "cache.resolver", Target: "public 9.9.9.9", Severity: plan.Pass, Detail: "it answers 10 gw1.example., 20 gw2.example.",
		Evidence: domain + "\t300\tIN\tMX\t10 gw1.example.\n", Vantage: "outside",
	}
}

// tale is a migration with one domain of each kind of fate.
func tale(p plan.Plan) batchMsg {
	s := &teller{p: p}
	s.add(0, state.Event{Kind: state.Begun, Reason: p.ID})
	s.add(0, state.Event{Kind: state.Started, Reason: "mxcutover test", Engine: &state.Engine{UID: 990, PID: 4711, Version: "test"}})
	s.add(0, state.Event{Kind: state.WaveStarted, Wave: "pilot"})
	for i, d := range []string{"apex-tools.example.", "bakery.example."} {
		for _, k := range []plan.Kind{plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish} {
			s.step(10+i, d, k)
		}
		s.step(12+i, d, plan.Propagate, cached(d))
		s.step(12+i, d, plan.Probe, arrived(d, []string{"420ms", "1340ms"}[i]))
		s.step(15+i, d, plan.Soak, arrived(d, []string{"380ms", "610ms"}[i]))
	}
	s.add(20, state.Event{Kind: state.WaveLive, Wave: "pilot"})
	s.add(21, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Approve, Target: "wave:wave-2", By: "uid 1000 (op)"}})
	s.add(21, state.Event{Kind: state.WaveStarted, Wave: "wave-2"})
	s.step(22, "choir.example.", plan.Preflight)
	s.step(23, "choir.example.", plan.LowerTTL)
	s.add(24, state.Event{Kind: state.Intended, Domain: "choir.example.", Step: "await-ttl", Intent: &state.Intent{Until: noon.Add(53 * time.Second)}})
	for _, k := range []plan.Kind{plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish} {
		s.step(30, "estates.example.", k)
	}
	s.step(31, "estates.example.", plan.Propagate, cached("estates.example."))
	s.add(40, state.Event{
		Kind: state.Failed, Domain: "estates.example.", Step: "probe", Reason: "probe failed: 550 5.7.1 Relay not permitted \x1b[31m",
		Findings: []plan.Finding{{Check: "probe.arrival", Target: "estates.example.", Severity: plan.Fail, Detail: "550 5.7.1 Relay not permitted \x1b[2J\u202e 日本語", At: noon.Add(-20 * time.Minute)}},
	})
	s.add(40, state.Event{Kind: state.Held, Domain: "estates.example.", Reason: "probe failed: 550 5.7.1 Relay not permitted \x1b[31m"})
	s.add(41, state.Event{Kind: state.WaveHeld, Wave: "wave-2", Reason: "1 failed, and the gate allows 0: estates.example"})
	return s.b
}

// closing is a migration whose domains are live, and whose old server is armed and
// proven.
func closing(p plan.Plan) batchMsg {
	s := &teller{p: p}
	s.add(0, state.Event{Kind: state.Begun, Reason: p.ID})
	s.add(0, state.Event{Kind: state.Started, Reason: "mxcutover test", Engine: &state.Engine{UID: 990, PID: 4711}})
	for _, w := range p.Waves {
		s.add(1, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Approve, Target: "wave:" + w.Name, By: "uid 1000 (op)"}})
		s.add(1, state.Event{Kind: state.WaveStarted, Wave: w.Name})
		for _, c := range w.Cutovers {
			for _, k := range []plan.Kind{plan.Preflight, plan.LowerTTL, plan.AwaitTTL, plan.Publish, plan.Propagate, plan.Probe, plan.Soak} {
				s.step(2, c.Domain, k)
			}
		}
		s.add(3, state.Event{Kind: state.WaveLive, Wave: w.Name})
	}
	at := noon.Add(-10 * time.Minute)
	s.add(40, state.Event{Kind: state.Intended, Step: "observe", Intent: &state.Intent{Until: at, Wait: 1}})
	s.add(50, state.Event{Kind: state.Done, Step: "observe", Findings: []plan.Finding{
		{Check: "old.names", Target: "all", Severity: plan.Pass, Detail: "7 names were asked about, 0 lead to the old server", At: at},
		{Check: "old.log", Target: "old.log", Severity: plan.Warn, Detail: "traffic.logs names no log of the old server; isolate.blind goes on without", At: at},
		{Check: "old.trust", Target: "gw1.example 192.0.2.25", Severity: plan.Pass, Detail: "the old server saw it come from 192.0.2.25, which it trusts", Vantage: "outside", At: at},
	}})
	s.add(51, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Approve, Target: "isolate", By: "uid 1000 (op)"}})
	until := noon.Add(7*time.Minute + 30*time.Second)
	s.add(57, state.Event{Kind: state.Intended, Step: "arm", Intent: &state.Intent{Until: until, Wait: 10 * time.Minute}})
	s.add(57, state.Event{Kind: state.Done, Step: "arm"})
	s.add(57, state.Event{Kind: state.Intended, Step: "prove", Intent: &state.Intent{Until: until, Wait: 10 * time.Minute}})
	s.add(58, state.Event{Kind: state.Done, Step: "prove", Findings: []plan.Finding{
		{Check: "old.closed", Target: "192.0.2.10:25", Severity: plan.Pass, Detail: "refused at once", Vantage: "outside", At: noon.Add(-2 * time.Minute)},
		{Check: "probe.arrival", Target: "choir.example.", Severity: plan.Pass, Detail: "arrived via gw1.example in 222ms", Evidence: "accepted 14ms, arrived 222ms", Vantage: "outside", At: noon.Add(-2 * time.Minute)},
	}})
	return s.b
}

// fake takes decisions.
type fake struct {
	mu    sync.Mutex
	taken []state.Decision
	err   error
	story batchMsg
	fails int

	forced, started int    // control was taken over, an engine was started
	byHand          string // the table of a firewall that a person loads; "" = the firewall is ours
}

// count is how much was asked for.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.taken) + f.forced + f.started
}

func (f *fake) noted(n *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n++
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

// A clock goes on by itself with each key, as a person's does.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// A stage is a model with what is around it.
type stage struct {
	model
	*fake
	clock  *clock
	copied []string
	quit   bool
}

func (f *fake) effects() effects {
	return effects{
		decide: func(d state.Decision) error { return f.Do(context.Background(), d) },
		take: func(force bool) error {
			if force {
				f.noted(&f.forced)
			}
			return nil
		},
		start: func() (string, error) {
			f.noted(&f.started)
			return "an engine was started", nil
		},
		servers: func(_, domain string) ([]Answer, error) {
			set := func(ttl uint32, data ...string) rrset.Set {
				return rrset.Set{Name: domain, Type: "MX", TTL: ttl, Data: data}
			}
			before, after := set(287, "10 mail.old.example."), set(300, "10 gw1.example.", "20 gw2.example.")
			return []Answer{
				{Server: "ns1.example. 192.0.2.53", Set: after, Keep: 5 * time.Minute},
				{Server: "ns2.example. 2001:db8:aaaa:bbbb:cccc:dddd:eeee:54", Set: before, Keep: 287 * time.Second},
				{Server: "ns3.example. 192.0.2.55", Err: "no answer from 192.0.2.55:53: \x1b[2Ji/o timeout"},
				{Server: "public 9.9.9.9:53", Cache: true, Set: before.WithTTL(53), Keep: 53 * time.Second},
				{Server: "inside 192.0.2.53:53", Cache: true, Set: set(12, "10 elsewhere.example."), Keep: 12 * time.Second},
			}, nil
		},
		rules: func(int) (report.Rules, error) {
			if f.byHand != "" {
				return report.Rules{Text: f.byHand}, nil
			}
			return report.Rules{Asked: true, Closed: []uint16{25}, Until: noon.Add(450 * time.Second), Difference: []string{"+ closed port 25", "- nothing else"}}, nil
		},
		refused: func() ([]report.Refused, error) {
			return []report.Refused{{Source: addr("203.0.113.7"), Port: 25, Count: 22}, {Source: addr("2001:db8::9"), Port: 25, Count: 1}}, nil
		},
	}
}

func began(t testing.TB, width, height int, ascii bool, p plan.Plan, b batchMsg) *stage {
	t.Helper()
	s := &stage{fake: &fake{}, clock: &clock{noon}}
	s.model = newModel(p, report.Printer{ASCII: ascii, Color: true}, s.clock.now, s.effects())
	s.send(tea.WindowSizeMsg{Width: width, Height: height})
	s.send(linkedMsg{uint64(len(b))})
	s.send(controlMsg{})
	s.send(b)
	return s
}

func started(t testing.TB, width, height int, ascii bool) *stage {
	t.Helper()
	p := thePlan(t, six...)
	return began(t, width, height, ascii, p, tale(p))
}

// send updates the model, and carries out what it asks for.
func (s *stage) send(msg tea.Msg) {
	next, cmd := s.Update(msg)
	s.model = next.(model)
	if _, ok := msg.(tickMsg); ok || cmd == nil {
		return
	}
	switch answer := cmd().(type) {
	case tea.QuitMsg:
		s.quit = true
	case nil:
	case decidedMsg, wallMsg, sightMsg, controlMsg:
		s.send(answer)
	default: // of the clipboard
		s.copied = s.shown
	}
}

// press presses keys as a person does, one after the other.
func (s *stage) press(keys ...string) *stage {
	for _, k := range keys {
		s.clock.at = s.clock.at.Add(time.Second)
		s.send(keyOf(k))
	}
	return s
}

func keyOf(k string) tea.KeyPressMsg {
	if name, ok := strings.CutPrefix(k, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: rune(name[0]), Mod: tea.ModCtrl}
	}
	code, ok := map[string]rune{
		"enter": tea.KeyEnter, "esc": tea.KeyEscape, "backspace": tea.KeyBackspace, "down": tea.KeyDown, "up": tea.KeyUp, "tab": tea.KeyTab,
		"pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "end": tea.KeyEnd, "home": tea.KeyHome, "left": tea.KeyLeft, "right": tea.KeyRight,
	}[k]
	switch {
	case ok:
		return tea.KeyPressMsg{Code: code}
	case k == "space":
		return tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
	}
	r := []rune(k)
	return tea.KeyPressMsg{Code: r[0], Text: k}
}

func (s *stage) typeIn(text string) *stage {
	for _, r := range text {
		if r == ' ' {
			s.press("space")
			continue
		}
		s.press(string(r))
	}
	return s
}

func (s *stage) screenText() string { return ansi.Strip(strings.Join(s.lines(), "\n")) }

// shows fails unless the screen has a text.
func (s *stage) shows(t testing.TB, what string) {
	t.Helper()
	if got := s.screenText(); !strings.Contains(got, what) {
		t.Errorf("the screen does not show %q:\n%s", what, got)
	}
}

// hides fails if the screen has a text.
func (s *stage) hides(t testing.TB, what string) {
	t.Helper()
	if got := s.screenText(); strings.Contains(got, what) {
		t.Errorf("the screen shows %q:\n%s", what, got)
	}
}

// handTable is the name of the table that a person is asked to load.
const handTable = "close-25-3f2a91c4"

// handing is closing, up to where a person is asked to load a table.
func handing(p plan.Plan) batchMsg {
	b := closing(p)
	for i, e := range b {
		if e.Kind == state.Intended && e.Step == "arm" {
			e.Intent = &state.Intent{}
			next := e
			next.Seq, next.Kind, next.Intent = e.Seq+1, state.Observed, nil
			next.Findings = []plan.Finding{{
				Check: plan.HandFirewall, Target: handTable, Severity: plan.Unknown, At: e.At,
				Detail:   "load the table " + handTable + " into the firewall (mxcutover isolate show), then say so: mxcutover isolate done --confirm " + handTable,
				Evidence: theTable,
			}}
			return append(b[:i:i], e, next)
		}
	}
	return b
}

// handed is handing, once the table was loaded and proven.
func handed(p plan.Plan) batchMsg {
	s := &teller{p: p, b: handing(p)}
	said := plan.Finding{Check: plan.HandFirewall, Target: handTable, Severity: plan.Pass, Detail: "it is loaded, as seen from outside", At: noon.Add(-3 * time.Minute)}
	until := noon.Add(7*time.Minute + 30*time.Second)
	s.add(57, state.Event{Kind: state.Done, Step: "arm", Findings: []plan.Finding{said}})
	s.add(57, state.Event{Kind: state.Intended, Step: "prove", Intent: &state.Intent{Until: until, Wait: 10 * time.Minute}})
	s.add(58, state.Event{Kind: state.Done, Step: "prove", Findings: []plan.Finding{
		{Check: "old.closed", Target: "192.0.2.10:25", Severity: plan.Pass, Detail: "refused at once", Vantage: "outside", At: noon.Add(-2 * time.Minute)},
		{Check: "old.ssh", Target: "192.0.2.10:22", Severity: plan.Warn, Detail: "a new connection is taken; nobody signed in", Vantage: "outside", At: noon.Add(-2 * time.Minute)},
	}})
	return s.b
}

// lapsed is handed, when nobody confirmed it in time.
func lapsed(p plan.Plan) batchMsg {
	s := &teller{p: p, b: handed(p)}
	open := plan.Finding{
		Check: plan.HandFirewall, Target: "open-25-77ab01fe", Severity: plan.Unknown, At: noon,
		Evidence: strings.ReplaceAll(theTable, "reject", "accept"),
		Detail:   "open the old server again: take the rules away (mxcutover isolate show --open), then: mxcutover isolate lift",
	}
	s.add(60, state.Event{Kind: state.Held, Step: "confirm", Reason: "OPEN THE OLD SERVER AGAIN BY HAND, nothing opens it by itself: nobody confirmed it in time; take the rules away (mxcutover isolate show --open), then: mxcutover isolate lift", Findings: []plan.Finding{open}})
	return s.b
}

// late is closing, when nobody confirmed it in time, and the kernel is left to open it.
func late(p plan.Plan) batchMsg {
	s := &teller{p: p, b: closing(p)}
	s.add(60, state.Event{Kind: state.Held, Step: "confirm", Reason: "confirm: nobody confirmed in time; it is left to expire, and the old server opens again at 12:07:30"})
	return s.b
}

// drifted is closing, confirmed, and then found open.
func drifted(p plan.Plan) batchMsg {
	s := &teller{p: p, b: closing(p)}
	s.add(58, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Keep, Target: "isolate", Confirm: "isolate", By: "uid 1000 (op)"}})
	s.add(58, state.Event{Kind: state.Intended, Step: "confirm", Intent: &state.Intent{}})
	s.add(59, state.Event{Kind: state.Done, Step: "confirm"})
	why := "ports [25] were confirmed, and it holds []: somebody else has changed its rules, or a boot has lost them; see mxcutover isolate show"
	s.add(60, state.Event{Kind: state.Drifted, Step: "confirm", Reason: why, Findings: []plan.Finding{
		{Check: "old.closed", Target: "firewall", Severity: plan.Fail, Detail: why, At: noon},
	}})
	return s.b
}

// theTable is the table that a person loads, as isolate show prints it.
const theTable = `family  source          port  verdict  destination    to
ipv4    192.0.2.25/32   25    accept   192.0.2.10/32  -
ipv4    192.0.2.26/32   25    accept   192.0.2.10/32  -
ipv4    10.0.0.0/8      25    accept   192.0.2.10/32  -
ipv4    0.0.0.0/0       25    reject   192.0.2.10/32  -
`

// cutType is what is typed by a key that is written "type ...".
func cutType(k string) (string, bool) { return strings.CutPrefix(k, "type ") }
