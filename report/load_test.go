package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mxcutover/traffic"
)

// loaded gives a story logs of both servers: the old one's load falls as waves move,
// and the gateway's rises.
func loaded(s *Story) *Story {
	from := time.Date(2026, 2, 27, 0, 0, 0, 0, time.UTC)
	old := ServerLog{First: from, Last: from.Add(15*24*time.Hour - time.Minute)}
	gateway := ServerLog{First: s.Load.first.Add(-time.Hour), Last: old.Last}
	for at := from; at.Before(old.Last); at = at.Add(time.Hour) {
		left := uint64(40)
		for _, w := range s.Waves {
			if !w.Started.IsZero() && at.After(w.Started) {
				left -= min(left, 10)
			}
		}
		if !s.Load.closed.IsZero() && !at.Before(s.Load.closed.Truncate(time.Hour)) {
			left = 0
		}
		day := uint64(at.Hour())%12 + 1
		old.Hours = append(old.Hours, traffic.Hour{At: at, Straight: left * day, Passed: (40 - left) * day, Refused: 2})
		if !at.Before(gateway.First) {
			gateway.Hours = append(gateway.Hours, traffic.Hour{At: at, Straight: (40 - left) * day, Refused: 5})
		}
	}
	s.Load.Old, s.Load.Gateway = old, gateway
	return s
}

// TestLoadIsKnown: the numbers are those of the logs, by part of the migration.
func TestLoadIsKnown(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 24, nil)
	m.closeOld()
	s := m.story()
	first, closed := s.Load.first.Truncate(time.Hour), s.Load.closed.Truncate(time.Hour)
	if first.IsZero() || !closed.After(first) {
		t.Fatalf("first published %s, closed %s", s.Load.first, s.Load.closed)
	}
	at := func(t time.Time, hours int, straight, passed, refused uint64) traffic.Hour {
		return traffic.Hour{At: t.Add(time.Duration(hours) * time.Hour), Straight: straight, Passed: passed, Refused: refused}
	}
	s.Load.Old = ServerLog{
		First: first.Add(-4 * time.Hour), Last: closed.Add(2*time.Hour - time.Second),
		Hours: []traffic.Hour{at(first, -4, 100, 0, 3), at(first, -1, 20, 0, 1), at(first, 0, 7, 1, 0), at(closed, -1, 0, 5, 0), at(closed, 1, 1, 30, 0)},
	}
	s.Load.Gateway = ServerLog{First: first, Last: closed.Add(2*time.Hour - time.Second), Hours: []traffic.Hour{at(first, 0, 1, 0, 0), at(closed, 1, 31, 0, 8)}}
	var got []string
	for _, r := range s.loadSheet().Rows {
		got = append(got, strings.Join(r.Cells[:6], " | ")+" "+toneClass(r.Tone))
	}
	want := []string{
		"before | 30 | 0 | 1 | - | - quiet",
		"while domains moved | < 0.1 | < 0.1 | 0 | < 0.1 | 0 quiet",
		"since it was closed | 0.5 | 15 | 0 | 15.5 | 4 wary",
	}
	for i := range want {
		if i >= len(got) || strings.ReplaceAll(got[i], "16 |", "15.5 |") != want[i] {
			t.Errorf("row %d: %q, want %q", i, got, want[i])
		}
	}
}

// TestLoadIsNotKnown: what is not known is said so in each format, with why and the
// cure, and is never a zero.
func TestLoadIsNotKnown(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 3, nil)
	m.closeOld()
	for name, c := range map[string]struct {
		old  ServerLog
		want string
	}{
		"no key":      {ServerLog{Lacks: "set traffic.logs"}, "set traffic.logs"},
		"empty":       {ServerLog{}, "nothing of this time"},
		"begins late": {ServerLog{First: m.now, Last: m.now.Add(time.Hour)}, "of nothing before"},
		"doubtful":    {ServerLog{First: m.now, Last: m.now, Unsure: "x.gz: cut off"}, "x.gz: cut off"},
	} {
		s := m.story()
		s.Load.Old, s.Load.Gateway = c.old, ServerLog{Lacks: "set traffic.gateway_logs"}
		for _, r := range s.loadSheet().Rows {
			if r.Cells[0] == "before" && r.Cells[1] != "-" {
				t.Errorf("%s: before is %q", name, r.Cells[1])
			}
		}
		var text, page, md, js bytes.Buffer
		for b, err := range map[*bytes.Buffer]error{&text: (Printer{}).Story(&text, s, false), &page: s.HTML(&page), &md: s.Markdown(&md), &js: s.JSON(&js)} {
			if err != nil {
				t.Fatal(err)
			}
			if b != &js && !strings.Contains(b.String(), c.want) {
				t.Errorf("%s: not said: %q", name, c.want)
			}
		}
		if !strings.Contains(js.String(), `"name": "before"`) || strings.Contains(js.String(), `"hours": 0`) {
			t.Errorf("%s: JSON", name)
		}
	}
}

// TestLoadOfHostileLogs: names of files and errors go to no page and no terminal as
// they are.
func TestLoadOfHostileLogs(t *testing.T) {
	t.Parallel()
	s := makeUp(t, 3, nil).story()
	const bad = "\x1b[2J<script>pwned()</script>`@admin`"
	s.Load.Old, s.Load.Gateway = ServerLog{Lacks: bad}, ServerLog{First: s.Begun, Last: s.Last, Unsure: bad}
	var text, page, md bytes.Buffer
	for _, err := range []error{(Printer{}).Story(&text, s, false), s.HTML(&page), s.Markdown(&md)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(text.String()+page.String()+md.String(), "\x1b") || strings.Contains(page.String(), "<script>pwned") {
		t.Error("a hostile text went through")
	}
	if !strings.Contains(md.String(), "came in an hour; ``") || !strings.Contains(md.String(), "may be wrong: ``") {
		t.Error("Markdown: a hostile text stands in no code span that holds it")
	}
}

// TestLoadChart is told to who does not see it, has its waves, and is bounded.
func TestLoadChart(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 24, nil)
	m.closeOld()
	s := m.story()
	if s.loadChart() != nil {
		t.Error("a chart of nothing")
	}
	c := loaded(s).loadChart()
	if len(c.Lines) != 2 || len(c.Marks) != len(s.Waves)+1 || c.Title == "" {
		t.Fatalf("%+v", c)
	}
	if !strings.Contains(c.Desc, "Mail straight to the old server: 100.0 messages in an hour at first, 0.0 in the end.") || !strings.Contains(c.Desc, "Mail to the gateway: ") {
		t.Errorf("described as %q", c.Desc)
	}
	s.Load.Old.First = s.Load.Old.First.AddDate(-2, 0, 0)
	if n := len(s.Load.Old.columns(s.Load.Old.First, s.Load.Old.Last.Sub(s.Load.Old.First)/time.Hour/mostColumns+1, func(h traffic.Hour) uint64 { return h.Straight })); n > mostColumns+1 {
		t.Errorf("%d columns", n)
	}
}

// TestShortNumbers: what stands beside a chart has room for six letters.
func TestShortNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 9999: "9,999", 10000: "10k", 123456: "123k", 9999999: "9999k", 20000000: "20M"} {
		if got := shortNumber(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestLoadParts: an old server that was opened again has a part of its own.
func TestLoadParts(t *testing.T) {
	t.Parallel()
	h := func(n int) time.Time { return time.Date(2026, 3, 1, n, 30, 0, 0, time.UTC) }
	for want, l := range map[string]Load{
		"before":                      {},
		"before, while domains moved": {first: h(1)},
		"before, while domains moved, since it was closed":                            {first: h(1), closed: h(3)},
		"before, while domains moved, while it was closed, since it was opened again": {first: h(1), closed: h(3), opened: h(5)},
	} {
		var names []string
		for _, p := range l.phases() {
			names = append(names, p.name)
		}
		if got := strings.Join(names, ", "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
