package tui

import (
	"fmt"
	"image/color"
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
	"hold": {"H"}, "resume": {"U"}, "hold_all": {"P"}, "retry": {"end", "k", "T"}, "servers": {"end", "k", "enter", "pgdown", "a"}, "filter": {"/", "w", "a", "v", "e"},
	"search": {"p", "/", "e", "s", "t"}, "copied": {"end", "k", "enter", "y"}, "log_troubles": {"l", "4"},
}

func TestGoldenViews(t *testing.T) {
	t.Parallel()
	a := &album{t, map[string]bool{}}
	for view, keys := range views {
		a.forms(view, func(w, h int, ascii bool) *stage { return started(t, w, h, ascii).press(keys...) })
	}
	p := thePlan(t, six...)
	for view, c := range map[string]struct {
		story batchMsg
		keys  []string
	}{
		"approve_wave": {tale(p)[:20], []string{"A"}},
		"isolation":    {closing(p), []string{"i"}}, "isolation_overview": {closing(p), nil}, "evidence": {closing(p), []string{"i", "end"}},
		"confirm": {closing(p), []string{"i", "C"}}, "lift": {closing(p), []string{"i", "L"}}, "approve_isolation": {closing(p), []string{"i", "A"}},
		"hand_overview": {handing(p), nil}, "hand": {handing(p), []string{"i"}}, "hand_table": {handing(p), []string{"i", "end"}}, "hand_done": {handing(p), []string{"i", "D"}},
		"hand_closed": {handed(p), []string{"i"}}, "hand_open": {lapsed(p), []string{"i"}}, "hand_open_overview": {lapsed(p), nil},
		"drift_of_the_firewall": {drifted(p), nil}, "drift_of_the_firewall_isolation": {drifted(p), []string{"i"}},
		"late": {late(p), []string{"i"}}, "late_overview": {late(p), nil},
		"drift": {drifts(p), nil}, "drift_adopt": {drifts(p), []string{"T", "tab"}}, "drift_force": {drifts(p), []string{"T", "tab", "tab"}},
	} {
		a.forms(view, func(w, h int, ascii bool) *stage {
			s := began(t, w, h, ascii, p, c.story)
			if strings.HasPrefix(view, "hand") {
				s.byHand = theTable
			}
			return s.press(c.keys...)
		})
	}
	a.forms("begin", func(w, h int, ascii bool) *stage { return notBegun(t, w, h, ascii) })
	a.forms("begin_dialog", func(w, h int, ascii bool) *stage { return notBegun(t, w, h, ascii).press("B") })
	a.forms("start", func(w, h int, ascii bool) *stage {
		s := started(t, w, h, ascii)
		s.send(lostMsg{err: ErrNoEngine, again: time.Second})
		return s.press("S")
	})
	a.forms("lost", func(w, h int, ascii bool) *stage {
		s := started(t, w, h, ascii)
		s.clock.at = noon.Add(12 * time.Second)
		s.send(lostMsg{err: fmt.Errorf("the line dropped"), again: time.Second})
		return s
	})
	a.forms("readonly", func(w, h int, ascii bool) *stage {
		s := started(t, w, h, ascii)
		s.send(batchMsg{{Seq: 1000, Kind: state.Control, At: noon, Decision: &state.Decision{Verb: state.Take, By: "uid 7 (night)"}}})
		s.send(controlMsg{lost: "uid 7 (night) has control"})
		return s
	})
	a.forms("take", func(w, h int, ascii bool) *stage {
		s := started(t, w, h, ascii)
		for _, msg := range seized() {
			s.send(msg)
		}
		return s.press("O")
	})
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !a.compared[f] {
			t.Errorf("%s is of no view any more", f)
		}
	}
}

// An album is the golden files of all views.
type album struct {
	*testing.T
	compared map[string]bool // by their names
}

func notBegun(t testing.TB, w, h int, ascii bool) *stage {
	t.Helper()
	s := began(t, w, h, ascii, thePlan(t, six...), nil)
	s.line = dialling
	s.send(lostMsg{err: ErrNoEngine})
	return s
}

// notOf16 is a colour that is not one of the terminal's own 16; unreadable ones are those
// that are lost on a light background.
var (
	notOf16    = regexp.MustCompile(`\x1b\[(?:[0-9]+;)*[34]8[;:]`)
	unreadable = regexp.MustCompile(`\x1b\[(?:[0-9]+;)*(?:33|37|93|97)m`)
)

var colour = regexp.MustCompile(`\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])(;[0-9;]*)?m`)

// forms compares a screen at each size, in ASCII, and without colours.
func (t *album) forms(view string, at func(w, h int, ascii bool) *stage) {
	t.Helper()
	for _, size := range [][2]int{{100, 30}, {80, 24}, {60, 16}, {30, 5}} {
		s := at(size[0], size[1], false)
		file := filepath.Join("testdata", fmt.Sprintf("%s_%dx%d", view, size[0], size[1]))
		t.golden(file+".txt", s.screenText()+"\n")
		fits(t, s)
		painted := s.View().Content
		if c := notOf16.FindString(painted); c != "" {
			t.Errorf("%s: a colour beyond the 16: %q", file, c)
		}
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
		t.golden(file+"_nocolor.txt", plain+"\n")
		onLight(t.T, file, at(size[0], size[1], false))
		got := at(size[0], size[1], true).screenText() + "\n"
		if i := strings.IndexFunc(got, func(r rune) bool { return r > '~' && !strings.ContainsRune("日本語", r) }); i >= 0 {
			t.Errorf("%s: not ASCII: %q", file, got[i:min(i+20, len(got))])
		}
		t.golden(file+"_ascii.txt", got)
	}
}

// onLight compares a screen on a light background: it says the same, in colours that
// can be read there.
func onLight(t *testing.T, file string, s *stage) {
	t.Helper()
	dark := s.screenText()
	s.send(tea.BackgroundColorMsg{Color: color.White})
	if s.screen == story {
		s.press("a")
	}
	if c := unreadable.FindString(s.View().Content); c != "" {
		t.Errorf("%s: on a light background there is %q", file, c)
	}
	if s.screen != story && s.screenText() != dark {
		t.Errorf("%s: on a light background it says something else", file)
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

func (t *album) golden(file, got string) {
	t.Helper()
	t.compared[file] = true
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
