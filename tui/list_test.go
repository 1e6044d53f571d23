package tui

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mxcutover/report"
	"mxcutover/state"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	s := started(t, 80, 24, false).press("/").typeIn("held")
	s.shows(t, ">✖ estates.example")
	s.hides(t, "farm.example ")
	s.press("enter", "enter", "esc")
	if s.screen != overview || len(s.list.rows) != 1 {
		t.Errorf("screen %d, %d rows", s.screen, len(s.list.rows))
	}
	if s.press("esc"); len(s.list.rows) != len(six) {
		t.Errorf("esc leaves %d rows", len(s.list.rows))
	}
	s.press("/").typeIn("wave-2").press("enter")
	if len(s.list.rows) != 4 {
		t.Errorf("of the wave %d rows are left", len(s.list.rows))
	}
	s.press("/", "ctrl+u").typeIn("zzz")
	s.shows(t, "no domain is so")
	s.press("esc")
	if len(s.list.rows) != 4 {
		t.Error("esc does not put back the filter that was")
	}
	s.press("/", "ctrl+u")
	s.send(tea.PasteMsg{Content: "choir\x1b\nrm -rf"})
	if s.list.filter != "choir" {
		t.Errorf("pasted filter %q", s.list.filter)
	}
}

// TestRowsMove compares the rows that events moved with rows that are sorted anew.
func TestRowsMove(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("d%03d.example.", i))
	}
	p := thePlan(t, names...)
	rnd := rand.New(rand.NewPCG(1, 2))
	for by := range order(orders) {
		for _, filter := range []string{"", "held", "d1", "wave-3"} {
			s := began(t, 80, 24, false, p, nil)
			s.list.sort(by)
			s.list.refilter(filter)
			for seq := range uint64(60) {
				var b batchMsg
				for range rnd.IntN(6) {
					e := state.Event{Seq: seq, At: noon.Add(time.Duration(seq) * time.Second), Domain: names[rnd.IntN(len(names))]}
					switch rnd.IntN(4) {
					case 0:
						e.Kind = state.Held
					case 1:
						e.Kind, e.Step, e.Intent = state.Intended, "await-ttl", &state.Intent{Until: noon.Add(time.Duration(rnd.IntN(1000)) * time.Second)}
					case 2:
						e = state.Event{Seq: seq, At: e.At, Kind: state.Decided, Decision: &state.Decision{Verb: state.Retry, Target: "domain:" + e.Domain}}
					case 3:
						e.Kind, e.Step = state.Done, "preflight"
					}
					b = append(b, e)
				}
				s.send(b)
				got := slices.Clone(s.list.rows)
				s.list.place()
				if !slices.Equal(got, s.list.rows) {
					t.Fatalf("%s, filter %q, after %d batches: rows\n%v, sorted anew\n%v", by, filter, seq, got, s.list.rows)
				}
			}
		}
	}
}

// TestTheCursorStaysAtItsDomain moves rows above it.
func TestTheCursorStaysAtItsDomain(t *testing.T) {
	t.Parallel()
	s := started(t, 80, 24, false).press("s", "down", "down")
	at := s.selected().Domain
	s.send(batchMsg{{Seq: 300, Kind: state.Held, Domain: "farm.example.", Reason: "x", At: noon}})
	if s.selected().Domain != at || s.list.names[s.list.rows[1]] != "farm.example" {
		t.Errorf("at %s, was at %s; rows %v", s.selected().Domain, at, s.list.rows)
	}
}

// TestManyDomains builds the visible rows, and no others.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	s := many(t, 20000)
	s.press("end")
	if n := len(s.table(s.layout().rows)); n > s.layout().rows {
		t.Errorf("%d rows are built for %d that are shown", n, s.layout().rows)
	}
	s.shows(t, "d019999.example")
	s.press("p", "end")
	s.shows(t, "d019999.example")
	s.press("g").press("/").typeIn("d019998").press("enter")
	s.shows(t, "d019998.example")
}

func many(t testing.TB, n int) *stage {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("d%06d.example.", i)
	}
	return began(t, 100, 30, false, thePlan(t, names...), nil)
}

func TestLostEngineIsTold(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 24, false)
	s.clock.at = noon.Add(12 * time.Second)
	s.send(lostMsg{errors.New("gone \x1b[31m"), 2 * time.Second})
	s.shows(t, "ENGINE LOST 00:12 ago")
	s.shows(t, "what you see is of 11-23 12:00:00Z")
	s.shows(t, "00:53") // the countdown is of then
	if s.press("H"); s.dialog != nil {
		t.Error("a decision is asked about that nobody can take")
	}
	s.send(batchMsg{{Seq: 100, Kind: state.Observed}})
	s.hides(t, "LOST")
	s.hides(t, "00:53")
}

func TestTheEndIsNoLoss(t *testing.T) {
	t.Parallel()
	s := started(t, 80, 24, false)
	s.send(batchMsg{{Seq: 100, Kind: state.Closed}})
	s.send(lostMsg{errors.New("gone"), 0})
	s.shows(t, "DONE")
	s.hides(t, "LOST")
}

// TestReading shows how far a long journal was read.
func TestReading(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 24, false)
	s.send(linkedMsg{104})
	s.shows(t, "reading the journal, 50%")
}

// TestLog follows, filters, and shows an event's findings.
func TestLog(t *testing.T) {
	t.Parallel()
	s := started(t, 100, 30, false).press("l")
	s.shows(t, "follow ON")
	s.send(batchMsg{{Seq: 53, Kind: state.Held, Domain: "farm.example.", Reason: "a new one", At: noon}})
	s.shows(t, ">12:00:00.000 farm.example")
	s.press("k")
	s.send(batchMsg{{Seq: 54, Kind: state.Held, Domain: "farm.example.", Reason: "another", At: noon}})
	if got := s.at[events].cursor; got != s.length()-3 {
		t.Errorf("the cursor moved to %d of %d", got, s.length())
	}
	s.press("4")
	s.hides(t, "new MX written")
	s.press("1", "/").typeIn("RELAY").press("enter")
	s.shows(t, "probe failed")
	s.hides(t, "a new one")
	s.press("enter")
	s.shows(t, "estates.example  wave wave-2")
}

// TestLogForgets keeps what is shown in step with the events that go.
func TestLogForgets(t *testing.T) {
	t.Parallel()
	var l eventLog
	l.level = troubles
	p := report.Printer{}
	for i := range 3 * mostEvents {
		e := state.Event{Seq: uint64(i), Kind: state.Done, Step: "soak"}
		if i%10 == 0 {
			e.Kind = state.Held
		}
		l.add([]state.Event{e}, p)
	}
	if len(l.all) > 2*mostEvents || len(l.shown) == 0 {
		t.Fatalf("%d events, %d shown", len(l.all), len(l.shown))
	}
	for _, i := range l.shown {
		if l.all[i].Kind != state.Held {
			t.Fatal("the wrong events are shown")
		}
	}
}
