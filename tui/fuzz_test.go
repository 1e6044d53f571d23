package tui

import (
	"errors"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mxcutover/plan"
	"mxcutover/state"
)

// FuzzKeysAndSizes presses keys, resizes, breaks the line and sends hostile events: no
// screen panics, overflows, or has anything but text.
func FuzzKeysAndSizes(f *testing.F) {
	f.Add([]byte("jjR\x00\x01apex\x03qA/x?"), 100, 30, "\x1b]52;c;x\x07")
	f.Add([]byte("GW\x01"), 41, 11, "日本語の長い理由 \u202e\u0301")
	f.Add([]byte("l1234k\x00p\x06\x00cireyx:wave\x00"), 60, 16, "👍🏽🇩🇪")
	f.Add([]byte("*H\x01\x07\x08 S\x01\x09B"), 80, 24, "\xff\xfe")
	f.Fuzz(func(t *testing.T, keys []byte, width, height int, hostile string) {
		s := started(t, max(width%300, 0), max(height%100, 0), false)
		s.send(batchMsg{
			{Seq: 60, Kind: state.Failed, Domain: "farm.example.", Reason: hostile, Step: hostile, Findings: []plan.Finding{{Check: hostile, Target: hostile, Detail: hostile, Evidence: hostile, Vantage: hostile}}},
			{Seq: 61, Kind: state.Held, Domain: "farm.example.", Reason: hostile, Err: hostile},
			{Seq: 62, Kind: state.WaveHeld, Wave: "wave-2", Reason: hostile},
			{Seq: 63, Kind: state.Kind(hostile), Domain: hostile},
		})
		names := map[byte]string{0: "enter", 1: "ctrl+y", 2: "esc", 3: "backspace", 4: "tab", 5: "pgdown", 6: "end", 11: "left", 12: "right", 13: "ctrl+o", 14: "space"}
		for _, k := range keys[:min(len(keys), 80)] {
			s.clock.at = s.clock.at.Add(time.Duration(k) * 3 * time.Millisecond)
			switch name, ok := names[k]; {
			case ok:
				s.send(keyOf(name))
			case k == 7:
				s.send(tea.WindowSizeMsg{Width: len(keys) % 200, Height: int(keys[0]) % 60})
			case k == 8:
				s.send(lostMsg{errors.New(hostile), time.Second})
			case k == 9:
				s.send(lostMsg{ErrNoEngine, time.Second})
			case k == 10:
				s.send(tea.PasteMsg{Content: hostile})
			case k == 15:
				s.send(linkedMsg{100})
				s.send(tickMsg{})
			default:
				s.send(keyOf(string(rune(k))))
			}
			fits(t, s)
		}
		for _, d := range s.taken {
			if err := s.status().Check(d); errors.Is(err, state.ErrRefused) && d.Destroys() && d.Confirm != state.ConfirmName(d.Target) {
				t.Fatalf("sent without its name: %+v", d)
			}
		}
	})
}
