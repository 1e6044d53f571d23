package tui

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/state"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// views are every screen, by the keys that lead there.
var views = map[string][]string{
	"overview": nil, "marked": {"space", "space", "s"}, "domain": {"down", "down", "enter"}, "held": {"end", "k", "enter"}, "explain": {"end", "k", "e"},
	"log": {"l", "k", "k", "k"}, "plan": {"p", "end", "k"}, "findings": {"c"}, "report": {"r"}, "help": {"?"},
	"rollback": {"R"}, "bulk": {"space", "space", "R"}, "approve": {"A"}, "wave_back": {"W"}, "stop": {"Q"}, "palette": {":", "w", "a", "v", "e"},
}

func TestGoldenViews(t *testing.T) {
	t.Parallel()
	for view, keys := range views {
		forms(t, view, func(w, h int, ascii bool) *stage { return started(t, w, h, ascii).press(keys...) })
	}
	p := thePlan(t, six...)
	forms(t, "isolation", func(w, h int, ascii bool) *stage { return began(t, w, h, ascii, p, closing(p)).press("i") })
	forms(t, "confirm", func(w, h int, ascii bool) *stage { return began(t, w, h, ascii, p, closing(p)).press("i", "C") })
	forms(t, "begin", func(w, h int, ascii bool) *stage { return notBegun(t, w, h, ascii) })
	forms(t, "begin_dialog", func(w, h int, ascii bool) *stage { return notBegun(t, w, h, ascii).press("B") })
	forms(t, "lost", func(w, h int, ascii bool) *stage {
		s := started(t, w, h, ascii)
		s.clock.at = noon.Add(12 * time.Second)
		s.send(lostMsg{err: fmt.Errorf("the line dropped"), again: time.Second})
		return s
	})
	forms(t, "readonly", func(w, h int, ascii bool) *stage {
		s := started(t, w, h, ascii)
		s.send(batchMsg{{Seq: 1000, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Take, By: "uid 7 (night)"}}})
		s.send(controlMsg{lost: "uid 7 (night) has control"})
		return s
	})
}

func notBegun(t testing.TB, w, h int, ascii bool) *stage {
	t.Helper()
	s := began(t, w, h, ascii, thePlan(t, six...), nil)
	s.line = dialling
	s.send(lostMsg{err: ErrNoEngine})
	return s
}

var colour = regexp.MustCompile(`\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])(;[0-9;]*)?m`)

// forms compares a screen at each size, in ASCII, and without colours.
func forms(t *testing.T, view string, at func(w, h int, ascii bool) *stage) {
	t.Helper()
	for _, size := range [][2]int{{100, 30}, {80, 24}, {60, 16}, {30, 5}} {
		s := at(size[0], size[1], false)
		file := filepath.Join("testdata", fmt.Sprintf("%s_%dx%d", view, size[0], size[1]))
		golden(t, file+".txt", s.screenText()+"\n")
		fits(t, s)
		plain := withoutColour(t, s)
		if c := colour.FindString(plain); c != "" {
			t.Errorf("%s: without colours there is %q", file, c)
		}
		if ansi.Strip(plain) != s.screenText() {
			t.Errorf("%s: without colours it says something else", file)
		}
		if size[0] != 80 {
			continue
		}
		got := at(size[0], size[1], true).screenText() + "\n"
		if i := strings.IndexFunc(got, func(r rune) bool { return r > '~' && !strings.ContainsRune("日本語", r) }); i >= 0 {
			t.Errorf("%s: not ASCII: %q", file, got[i:min(i+20, len(got))])
		}
		golden(t, file+"_ascii.txt", got)
	}
}

// withoutColour is the screen as a terminal without colours gets it.
func withoutColour(t testing.TB, s *stage) string {
	t.Helper()
	var b strings.Builder
	w := colorprofile.Writer{Forward: &b, Profile: colorprofile.ASCII}
	if _, err := w.WriteString(s.View().Content); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// fits fails if a screen is larger than the terminal, or has anything but text and
// colours.
func fits(t testing.TB, s *stage) {
	t.Helper()
	lines := s.lines()
	if len(lines) > max(s.height, 0) {
		t.Fatalf("%d lines on a screen of %d", len(lines), s.height)
	}
	for _, l := range lines {
		if w := ansi.StringWidth(l); w > s.width {
			t.Fatalf("a line of %d columns on a screen of %d: %q", w, s.width, l)
		}
		for _, r := range strings.ReplaceAll(ansi.Strip(l), "\x1b", "") {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Fatalf("a line has %U: %q", r, l)
			}
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if updates() {
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

var _ tea.Model = model{}
