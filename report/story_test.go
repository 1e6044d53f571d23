package report

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// sampleVerification has a finding of each severity, some that domains share, and
// checks that were not asked.
func sampleVerification() Verification {
	var found []Found
	for _, d := range []string{"choir.example.", "bakery.example.", "estates.example."} {
		found = append(found, Of(d, []plan.Finding{
			{Check: "gw.connect", Target: "gw1.example 192.0.2.25", Severity: plan.Pass, Detail: "it answers with SMTP", Vantage: "outside"},
			{Check: "gw.relay", Target: "gw2.example 192.0.2.26", Severity: plan.Fail, Detail: "it relays for anybody: 250 <a@b>", RFC: "RFC 5321 section 7.8", Vantage: "outside"},
			{Check: "ns.sync", Target: d, Severity: plan.Pass, Detail: "2 servers serve 10 gw1.example."},
			{Check: "dmarc", Target: d, Severity: plan.Warn, Detail: "no record"},
		})...)
	}
	found = append(found, Of("estates.example.", []plan.Finding{{Check: probeCheck, Target: "estates.example.", Severity: plan.Unknown, Detail: "could not check: IMAP: i/o timeout"}})...)
	return Verification{
		Title: "Verification", Migration: "gateway-2026", At: time.Date(2026, 3, 5, 6, 0, 0, 0, time.UTC), Took: 2500 * time.Millisecond, Domains: 3,
		Left: map[state.Phase]int{state.IsHeld: 2, state.Planned: 1200}, NotAsked: map[string]string{"mail.real": "traffic.gateway_logs"}, Findings: Gather(found),
	}
}

func TestReportGolden(t *testing.T) {
	t.Parallel()
	v := sampleVerification()
	m := makeUp(t, 24, nil)
	m.closeOld()
	s := loaded(m.story())
	s.Verified = &v
	s.Load.Seen = []Seen{{At: time.Date(2026, 3, 12, 6, 0, 0, 0, time.UTC), Refused: 4711, Sources: 12}}
	metrics := MetricsOf(s.Status, "1.0", s.Last)
	metrics.Findings, metrics.Verified = CountByCheck(v.Findings), &v
	for name, write := range map[string]func(io.Writer) error{
		"verification.txt":        func(w io.Writer) error { return Printer{}.Verification(w, v, false) },
		"verification_ascii.txt":  func(w io.Writer) error { return Printer{ASCII: true}.Verification(w, v, false) },
		"verification.json":       v.JSON,
		"verification.xml":        v.JUnit,
		"verification.md":         v.Markdown,
		"verification.html":       v.HTML,
		"verification_nagios.txt": func(w io.Writer) error { _, err := v.Nagios(w); return err },
		"metrics.prom":            metrics.Write,
		"story.txt":               func(w io.Writer) error { return Printer{}.Story(w, s, false) },
		"story_ascii.txt":         func(w io.Writer) error { return Printer{ASCII: true}.Story(w, s, true) },
		"story.json":              s.JSON,
		"story.md":                s.Markdown,
		"story.html":              s.HTML,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden(t, name, b.String())
	}
}

// TestGather: what passed and is shared stands once, what did not pass for each
// domain.
func TestGather(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, f := range sampleVerification().Findings {
		b.WriteString(string(f.Severity) + " " + f.Check + " " + f.label() + "\n")
	}
	const want = `fail gw.relay choir.example at gw2.example 192.0.2.26
fail gw.relay bakery.example at gw2.example 192.0.2.26
fail gw.relay estates.example at gw2.example 192.0.2.26
unknown probe.arrival estates.example
warn dmarc choir.example
warn dmarc bakery.example
warn dmarc estates.example
pass gw.connect gw1.example 192.0.2.25
pass ns.sync choir.example
pass ns.sync bakery.example
pass ns.sync estates.example
`
	if b.String() != want {
		t.Errorf("gathered:\n%s", b.String())
	}
}

func TestHeadlines(t *testing.T) {
	t.Parallel()
	s := makeUp(t, 24, nil).story()
	if got, want := s.Headline(), "22 of 24 domains live; 1 drifted; 1 rolled back; 1 of 94 probes failed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := makeUp(t, 3, nil).story().Headline(), "3 of 3 domains live; no message lost in 12 probes"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	none := NewStory(makeUp(t, 24, nil).plan, time.Time{}, time.Time{})
	if got, want := none.Headline(), "0 of 24 domains live; 24 not begun; no probe was sent"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := sampleVerification().Headline(), "4 of 11 findings passed over 3 domains; 3 failed; 1 could not be checked; 3 warned"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (Verification{}).Headline(); got != "nothing was checked" {
		t.Errorf("of nothing: %q", got)
	}
}

// TestStoryTells wants each part of the story from its events.
func TestStoryTells(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 24, nil)
	m.event(time.Hour, state.Event{Kind: state.Started, Reason: "again", Engine: &state.Engine{}})
	s := m.story()
	if s.Engines != 2 || s.Crashes != 1 {
		t.Errorf("%d engines, %d crashes", s.Engines, s.Crashes)
	}
	var way []string
	for _, x := range s.Domains[7].Marks {
		way = append(way, string(x.State))
	}
	if got := strings.Join(way, " "); got != "preflighted ttl-lowered waited published propagated rolling-back rolled-back" {
		t.Errorf("the way of a domain that failed: %s", got)
	}
	if d := s.Domains[5]; d.HeldTimes != 1 || d.Held != 20*time.Minute || d.Live.IsZero() {
		t.Errorf("a domain that was held: %+v", d)
	}
	var holds []string
	for _, h := range s.Holds {
		holds = append(holds, h.Who+" "+string(h.State))
	}
	if got := strings.Join(holds, ", "); got != "dept00005.example held, wave wave-2 held, dept00020.example drifted" {
		t.Errorf("holds: %s", got)
	}
	var decided []string
	for _, x := range s.Moments {
		if x.Class == aDecision {
			decided = append(decided, x.Who+": "+x.Words)
		}
	}
	if got := strings.Join(decided, "; "); got != "uid 1000 (ada): approve wave-2; uid 1001 (grace): retry dept00005.example; uid 1000 (ada): approve wave-3" {
		t.Errorf("decisions: %s", got)
	}
	if p := s.Probes; p[Straight].Pass != 24 || p[Back].Pass != 1 || p[Public].Fail != 1 || p[Public].Pass != 68 {
		t.Errorf("probes: %+v", p)
	}
	if w := s.Waves[1]; w.Started.IsZero() || w.Approved.By != "uid 1000 (ada)" || !w.Live.IsZero() {
		t.Errorf("wave-2: %+v", w)
	}
	last := s.Progress[len(s.Progress)-1]
	if last.Live != 22 || last.Back != 1 || last.Moved != s.Load.Moved || s.Load.Moved >= s.Load.Messages {
		t.Errorf("progress ends with %+v, load %+v", last, s.Load)
	}
}

func TestStoryWindow(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 24, nil)
	s := NewStory(m.plan, time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC), time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC))
	for _, e := range m.events {
		s.Apply(e)
	}
	if got, want := s.Headline(), "14 of 24 domains live; 1 rolled back; 9 not begun; 1 of 47 probes failed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, x := range s.Moments {
		if x.At.Before(s.Since) || x.At.After(s.Until) {
			t.Errorf("listed: %+v", x)
		}
	}
	if days := s.latency.days(); !slices.Equal(days, []string{"2026-03-03", "2026-03-04"}) {
		t.Errorf("days %v", days)
	}
	if w := s.Waves[0]; w.Started.IsZero() {
		t.Error("a wave forgot when it began, since that is not listed")
	}
}

// TestNeeds wants each thing that waits for a person, with a command.
func TestNeeds(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 24, nil)
	m.event(time.Second, state.Event{Kind: state.DiskLow, Reason: "no space left on device"})
	m.event(time.Second, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Hold, Target: "domain:dept00000.example.", By: "ada"}})
	var got []string
	for _, n := range m.story().Needs() {
		got = append(got, n.words()+" -> "+n.Command)
	}
	want := []string{
		"the disk is full, and only rollbacks start: no space left on device -> ",
		"wave wave-2 is held, and no later wave starts: 1 domain failed -> mxcutover status",
		"dept00020.example: drifted: somebody else changed the record: the MX is 10 mail.elsewhere.example., which nobody of us wrote -> mxcutover status --domain dept00020.example",
		"dept00000.example: on hold, as a person said -> mxcutover resume --domain dept00000.example",
		"dept00007.example: rolled back: probe failed: via gw1.example 192.0.2.25: 550 5.7.1 Relay not permitted -> mxcutover retry --domain dept00007.example",
	}
	if !slices.Equal(got, want) {
		t.Errorf("needs:\n%s", strings.Join(got, "\n"))
	}
	m = makeUp(t, 3, nil)
	m.event(time.Minute, state.Event{Kind: state.Done, Step: "observe"})
	if n := m.story().Needs(); len(n) != 1 || n[0].Command != "mxcutover approve --isolate" {
		t.Errorf("needs %+v", n)
	}
	gate := NewStory(makeUp(t, 24, nil).plan, time.Time{}, time.Time{})
	for _, e := range []state.Event{{Kind: state.Started, At: time.Unix(1, 0)}, {Kind: state.WaveStarted, Wave: "pilot"}, {Kind: state.WaveLive, Wave: "pilot"}} {
		gate.Apply(e)
	}
	if n := gate.Needs(); len(n) != 1 || n[0].Command != "mxcutover approve --wave wave-2" {
		t.Errorf("needs %+v", n)
	}
}

// TestManyDomains holds a page of ten thousand domains to a size that browsers and
// mail can take, and a story to bounds of its own.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	m := makeUp(t, 10000, nil)
	for i := range 3 * mostMoments {
		m.event(time.Second, state.Event{Kind: state.Failed, Domain: "dept00000.example.", Step: "soak", Reason: strings.Repeat("x", i%100)})
	}
	s := m.story()
	if len(s.Moments) > mostMoments || s.Unlisted == 0 || len(s.Progress) > mostPoints {
		t.Errorf("%d moments, %d unlisted, %d points", len(s.Moments), s.Unlisted, len(s.Progress))
	}
	var b bytes.Buffer
	if err := s.HTML(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.Len(); got > 3<<20 || strings.Count(b.String(), "dept09999.example") == 0 {
		t.Errorf("the page has %d bytes", got)
	}
	t.Logf("the page has %d bytes", b.Len())
	b.Reset()
	if err := (Printer{}).Story(&b, s, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 250 {
		t.Errorf("the terminal is shown %d lines", n)
	}
	b.Reset()
	if err := s.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 6*mostMarkdown {
		t.Errorf("Markdown has %d lines", n)
	}
}

// TestManyFindings bounds what a page and a terminal list.
func TestManyFindings(t *testing.T) {
	t.Parallel()
	var found []Found
	for _, s := range []plan.Severity{plan.Pass, plan.Fail} {
		for i := range 20000 {
			found = append(found, Of("d"+number(i)+".example.", []plan.Finding{{Check: "gw.relay", Target: "gw1", Severity: s, Detail: "words " + number(i%30)}})...)
		}
	}
	v := Verification{Title: "Verification", Findings: Gather(found), Domains: 20000}
	var b bytes.Buffer
	if err := v.HTML(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<tr class="); n > mostBadRows+mostPassedRows+10 || !strings.Contains(b.String(), "more are not listed on this page") {
		t.Errorf("%d rows", n)
	}
	b.Reset()
	if err := (Printer{}).Verification(&b, v, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 100 {
		t.Errorf("%d lines", n)
	}
	b.Reset()
	if code, err := v.Nagios(&b); err != nil || code != NagiosCritical || b.Len() > 4096 {
		t.Errorf("%v, %v, %d bytes", code, err, b.Len())
	}
}

// TestNagiosCodes: failed goes before unknown, and nothing checked is unknown.
func TestNagiosCodes(t *testing.T) {
	t.Parallel()
	of := func(all ...plan.Severity) Verification {
		var v Verification
		for _, s := range all {
			v.Findings = append(v.Findings, Found{Finding: plan.Finding{Check: "x", Severity: s}})
		}
		return v
	}
	for _, c := range []struct {
		v    Verification
		want NagiosCode
	}{
		{of(plan.Pass), NagiosOK},
		{of(plan.Pass, plan.Warn), NagiosWarning},
		{of(plan.Warn, plan.Unknown), NagiosUnknown},
		{of(plan.Unknown, plan.Fail, plan.Pass), NagiosCritical},
		{of(), NagiosUnknown},
	} {
		var b bytes.Buffer
		if got, err := c.v.Nagios(&b); got != c.want || err != nil {
			t.Errorf("%v, %v: %s", got, err, b.String())
		}
	}
}

// TestStoryJSONIsStable holds the names of its fields.
func TestStoryJSONIsStable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := makeUp(t, 3, nil).story().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("v migration plan headline begun last engine over engines crashes needs waves domains moments holds probes latency progress unlisted isolation load verification") {
		if _, ok := got[name]; !ok {
			t.Errorf("it has no %s", name)
		}
	}
}

// How long a message took by the old way is told beside the new one.
func TestDirectWay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := plan.Plan{Waves: []plan.Wave{{Name: "pilot", Cutovers: []plan.Cutover{{Domain: "a.example.", Wave: "pilot"}}}}}
	s := NewStory(p, time.Time{}, time.Time{})
	s.Apply(state.Event{
		Seq: 1, At: at, Kind: state.Done, Wave: "pilot", Domain: "a.example.", Step: string(plan.Preflight),
		Findings: []plan.Finding{
			{Check: "old.source", Target: "192.0.2.10", Severity: plan.Warn, Evidence: plan.Legs{Accepted: 20 * time.Millisecond, Arrived: 900 * time.Millisecond, Queued: plan.Unmeasured, Stored: plan.Unmeasured}.String()},
			{Check: "old.source", Target: "192.0.2.11", Severity: plan.Pass},
		},
	})
	got := s.latency.by("all", wholeLeg, []string{""})
	if len(got) != 1 || got[0].Way != Direct || got[0].N != 1 || got[0].P50 != 900*time.Millisecond {
		t.Errorf("%+v", got)
	}
}
