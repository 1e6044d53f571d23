package report

import (
	"fmt"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// made is a migration that was made up: events as an engine journals them, one
// wave a night, with what can go wrong.
type made struct {
	plan   plan.Plan
	events []state.Event
	now    time.Time
	dice   uint32
}

// makeUp makes up a migration of n domains. Texts that come from outside are
// said by foreign; nil = plain ones.
func makeUp(t testing.TB, n int, foreign func(string) string) *made {
	t.Helper()
	if foreign == nil {
		foreign = func(s string) string { return s }
	}
	var inv plan.Inventory
	for i := range n {
		name := fmt.Sprintf("dept%05d.example.", i)
		set, err := rrset.New(name, "MX", 3600, "10 mail.old.example.")
		if err != nil {
			t.Fatal(err)
		}
		inv.Domains = append(inv.Domains, plan.Domain{
			Name: name, Zone: name, Provider: "campus", MX: set, PointsTo: plan.ToOld, Why: "mail.old.example.", Traffic: plan.Traffic{Messages: uint64(i * i)},
		})
	}
	p, err := plan.Make(inv, plan.Settings{
		Migration: "gateway-2026", Made: time.Unix(1772480000, 0), Planned: []rrset.MX{{Preference: 10, Host: "gw1.example."}}, First: 3, Growth: 4, Max: 500, LowTTL: 300,
		Gate: plan.Gate{Approve: plan.Manual, Soak: plan.Duration(30 * time.Minute), Failures: 1, Shared: 3}, Ports: []uint16{25},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &made{plan: p, now: time.Date(2026, 3, 2, 21, 55, 0, 0, time.UTC), dice: 7}
	m.event(time.Second, state.Event{Kind: state.Begun, Reason: p.ID})
	m.event(time.Second, state.Event{Kind: state.Started, Reason: "mxcutover 1.0, uid 1000 (ada), pid 4711", Engine: &state.Engine{UID: 1000}})
	for i, w := range p.Waves {
		if i > 0 {
			m.now = time.Date(2026, 3, 2+i, 22, 0, 0, 0, time.UTC)
			m.event(time.Minute, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Approve, Target: state.WaveTarget(w.Name), By: "uid 1000 (ada)"}})
		}
		m.wave(i, w, foreign)
	}
	return m
}

func (m *made) event(after time.Duration, e state.Event) {
	m.now = m.now.Add(after)
	e.Seq, e.At = uint64(len(m.events)+1), m.now
	for i := range e.Findings {
		e.Findings[i].At = m.now
	}
	m.events = append(m.events, e)
}

// roll gives numbers that look like chance and are the same each time.
func (m *made) roll(most int) int {
	m.dice = m.dice*1664525 + 1013904223
	return int(m.dice>>8) % most
}

func (m *made) wave(i int, w plan.Wave, foreign func(string) string) {
	m.event(time.Second, state.Event{Kind: state.WaveStarted, Wave: w.Name})
	step := 2 * time.Hour / time.Duration(12*len(w.Cutovers)+1)
	for j, c := range w.Cutovers {
		one := func(k state.Kind, s plan.Kind, found ...plan.Finding) {
			m.event(step, state.Event{Kind: k, Wave: w.Name, Domain: c.Domain, Step: string(s), Findings: found})
		}
		one(state.Intended, plan.Preflight)
		if i == 1 && j == 2 {
			m.preflightFails(w.Name, c.Domain, foreign)
		}
		one(state.Done, plan.Preflight, m.probe(c.Domain, 40, 300), plan.Finding{
			Check: "gw.connect", Target: "gw1.example 192.0.2.25", Severity: plan.Pass, Detail: foreign("it greets: 220 gw1.example ESMTP"), Vantage: "outside",
		}, plan.Finding{Check: "ns.sync", Target: c.Domain, Severity: plan.Pass, Detail: "all 2 authoritative servers serve 10 mail.old.example. (TTL 3600)"})
		for _, s := range []plan.Kind{plan.LowerTTL, plan.AwaitTTL, plan.Publish, plan.Propagate, plan.Probe} {
			one(state.Intended, s)
			if s == plan.Probe && i == 1 && j == 4 {
				m.probeFails(w.Name, c.Domain, foreign)
				break
			}
			one(state.Done, s, m.found(s, c.Domain, foreign)...)
		}
		if i == 1 && j == 4 {
			continue
		}
		one(state.Intended, plan.Soak)
		one(state.Observed, plan.Soak, m.probe(c.Domain, 200, 900))
		if i == 2 && j == 5 {
			m.drifts(w.Name, c.Domain, foreign)
			continue
		}
		one(state.Done, plan.Soak, m.probe(c.Domain, 200, 900))
	}
	if i != 1 && i != 2 {
		m.event(time.Minute, state.Event{Kind: state.WaveLive, Wave: w.Name})
	}
}

func (m *made) found(s plan.Kind, domain string, foreign func(string) string) []plan.Finding {
	switch s {
	case plan.Probe:
		return []plan.Finding{m.probe(domain, 200, 2000)}
	case plan.Propagate:
		f := plan.Finding{Check: "cache.resolver", Target: domain, Severity: plan.Pass, Detail: "9.9.9.9 answers the new MX", Vantage: "outside"}
		if m.roll(9) == 0 {
			f.Severity, f.Detail = plan.Warn, foreign("192.0.2.53 still answers 10 mail.old.example., 41 s beyond its TTL")
		}
		return []plan.Finding{f}
	}
	return nil
}

func (m *made) probe(domain string, least, most int) plan.Finding {
	ms := least + m.roll(most)
	return plan.Finding{
		Check: probeCheck, Target: domain, Severity: plan.Pass, Vantage: "outside", RFC: "RFC 5321 section 4.4",
		Detail: fmt.Sprintf("arrived via gw1.example 192.0.2.25 in %dms", ms), Evidence: fmt.Sprintf("accepted %dms, arrived %dms", ms/3, ms),
	}
}

func (m *made) preflightFails(wave, domain string, foreign func(string) string) {
	m.event(time.Second, state.Event{
		Kind: state.Held, Wave: wave, Domain: domain, Step: "preflight", Reason: foreign("gw.recipient: 550 5.1.1 User unknown"),
		Findings: []plan.Finding{{Check: "gw.recipient", Target: domain, Severity: plan.Fail, Detail: foreign("550 5.1.1 User unknown"), Vantage: "outside"}},
	})
	m.event(20*time.Minute, state.Event{Kind: state.Decided, Decision: &state.Decision{Verb: state.Retry, Target: state.DomainTarget(domain), By: "uid 1001 (grace)"}})
	m.event(time.Second, state.Event{Kind: state.Intended, Wave: wave, Domain: domain, Step: "preflight", Findings: []plan.Finding{{Check: "gw.recipient", Target: domain, Severity: plan.Pass, Detail: "250", Vantage: "outside"}}})
}

func (m *made) probeFails(wave, domain string, foreign func(string) string) {
	reason := foreign("probe failed: via gw1.example 192.0.2.25: 550 5.7.1 Relay not permitted")
	ev := func(k state.Kind, step plan.Kind, f ...plan.Finding) {
		m.event(20*time.Second, state.Event{Kind: k, Wave: wave, Domain: domain, Step: string(step), Reason: reason, Findings: f})
	}
	ev(state.Failed, plan.Probe, plan.Finding{Check: probeCheck, Target: domain, Severity: plan.Fail, Detail: foreign("550 5.7.1 Relay not permitted"), Vantage: "outside"})
	m.event(0, state.Event{Kind: state.WaveHeld, Wave: wave, Reason: "1 domain failed"})
	ev(state.RollingBack, "")
	ev(state.Undoing, plan.Publish)
	back := m.probe(domain, 400, 200)
	back.Detail = "arrived via mail.old.example 192.0.2.10"
	ev(state.Undone, plan.Publish, back)
	ev(state.Undoing, plan.LowerTTL)
	ev(state.Undone, plan.LowerTTL)
	ev(state.RolledBack, "")
}

func (m *made) drifts(wave, domain string, foreign func(string) string) {
	m.event(time.Second, state.Event{Kind: state.Drifted, Wave: wave, Domain: domain, Step: "soak", Reason: foreign("the MX is 10 mail.elsewhere.example., which nobody of us wrote")})
}

// closeOld makes up the isolation of the old server.
func (m *made) closeOld() {
	m.now = m.now.AddDate(0, 0, 7)
	for _, s := range []plan.Kind{plan.Observe, plan.Arm, plan.Prove, plan.Confirm} {
		m.event(time.Minute, state.Event{Kind: state.Intended, Step: string(s)})
		m.event(time.Minute, state.Event{Kind: state.Done, Step: string(s), Findings: []plan.Finding{
			{Check: "old.names", Target: "all", Severity: plan.Pass, Detail: "14 names were asked about, 0 lead to the old server"},
		}})
	}
}

func (m *made) story() *Story {
	s := NewStory(m.plan, time.Time{}, time.Time{})
	for _, e := range m.events {
		s.Apply(e)
	}
	return s
}
