package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// Metrics are a migration's numbers for Prometheus: what /metrics of a running
// engine and the file of verify --textfile show alike. No label is a domain: ten
// thousand of them would be ten thousand series each.
type Metrics struct {
	Migration string
	Version   string
	Now       time.Time
	Status    *state.Status    // nil: no migration was begun
	Findings  map[string]Tally // by check: of a verification, or the last ones of the journal
	Verified  *Verification    // nil: none was made
}

// MetricsOf are the numbers of a status alone, with the last findings of its
// journal.
func MetricsOf(s *state.Status, version string, now time.Time) Metrics {
	return Metrics{Migration: s.Migration, Version: version, Now: now, Status: s, Findings: tallies(s)}
}

// tallies counts the last findings of the journal by check, without a copy.
func tallies(s *state.Status) map[string]Tally {
	out := map[string]Tally{}
	for i := range s.Domains {
		tally(out, s.Domains[i].Findings)
	}
	tally(out, s.Isolation.Findings)
	return out
}

// CountByCheck counts findings by check.
func CountByCheck(found []Found) map[string]Tally {
	out := map[string]Tally{}
	for _, f := range found {
		tally(out, []plan.Finding{f.Finding})
	}
	return out
}

func tally(into map[string]Tally, found []plan.Finding) {
	for _, f := range found {
		t := into[f.Check]
		t.add(f.Severity)
		into[f.Check] = t
	}
}

// The states that are always shown, also with nothing in them: an alert on a
// series that is not there never rings.
var (
	domainPhases = []state.Phase{
		state.Planned, state.Preflighted, state.TTLLowered, state.Waited, state.Published, state.Propagated, state.Probed, state.Soaking,
		state.Live, state.Settled, state.IsHeld, state.IsDrifted, state.IsInDoubt, state.IsRollingBack, state.IsRolledBack, state.IsSkipped,
	}
	wavePhases      = []state.Phase{state.WaveWaiting, state.WaveRunning, state.Live, state.IsHeld}
	isolationPhases = []state.Phase{
		state.IsolationOpen, state.IsolationObserved, state.IsolationArmed, state.IsolationProven, state.IsolationPartly, state.IsolationConfirmed,
		state.IsolationLifted, state.IsDrifted,
	}
)

// Write writes the numbers in the text format of Prometheus, version 0.0.4.
// There are no time stamps on samples, which node_exporter refuses: times are
// values.
func (m Metrics) Write(w io.Writer) error {
	e := exposition{Writer: bufio.NewWriter(w), migration: m.Migration}
	e.family("mxcutover_info", "The release that wrote these numbers.")
	e.sample("mxcutover_info", 1, "version", m.Version)
	if m.Status != nil {
		m.status(&e)
	}
	m.findings(&e)
	if v := m.Verified; v != nil {
		e.one("mxcutover_verify_timestamp_seconds", "When the last verification ended, in seconds since 1970.", seconds(v.At))
		e.one("mxcutover_verify_duration_seconds", "How long the last verification took.", v.Took.Seconds())
		e.one("mxcutover_verify_domains", "How many domains the last verification asked about.", float64(v.Domains))
		e.one("mxcutover_verify_not_asked", "How many checks the configuration leaves out.", float64(len(v.NotAsked)))
	}
	return e.Flush()
}

func (m Metrics) status(e *exposition) {
	s := m.Status
	domains, waves := map[state.Phase]int{}, map[state.Phase]int{}
	waiting := 0
	for i := range s.Domains {
		domains[s.Domains[i].State]++
		if s.Domains[i].Waiting() || s.Domains[i].Asked != "" {
			waiting++
		}
	}
	for _, x := range s.Waves {
		waves[x.State]++
	}
	e.states("mxcutover_domains", "Domains by state.", domainPhases, domains)
	e.states("mxcutover_waves", "Waves by state.", wavePhases, waves)
	e.one("mxcutover_domains_waiting_for_person", "Domains that go on only when a person says so.", float64(waiting))
	e.states("mxcutover_isolation_state", "1 for the state of the old server's isolation.", isolationPhases, map[state.Phase]int{s.Isolation.State: 1})
	e.one("mxcutover_isolation_held", "1 while isolation waits for a person.", oneIf(s.Isolation.Waiting()))
	if i := &s.Isolation; i.Closed && !i.Until.IsZero() {
		e.one("mxcutover_isolation_deadline_timestamp_seconds", "When the armed old server is open again, or must be opened, unless that is renewed or confirmed; in seconds since 1970.", seconds(i.Until))
	}
	if h := arrivals(s); h.n > 0 {
		e.one("mxcutover_probe_arrival_median_seconds", "How long the last probe of each moved domain took to the mailbox: half of them at most so long.", h.quantile(0.5).Seconds())
		e.one("mxcutover_probe_arrival_max_seconds", "How long the slowest of these probes took.", h.quantile(1).Seconds())
	}
	e.one("mxcutover_engine_running", "1 while an engine walks the plan.", oneIf(s.Engine == "running"))
	e.one("mxcutover_over", "1 once all is settled.", oneIf(s.Over))
	e.one("mxcutover_disk_low", "1 while the disk has room for rollbacks only.", oneIf(s.DiskLow != ""))
	e.family("mxcutover_journal_events_total", "The sequence number of the journal's last event.")
	e.sample("mxcutover_journal_events_total", float64(s.Seq))
	e.one("mxcutover_journal_last_event_timestamp_seconds", "When the last event was, in seconds since 1970.", seconds(s.At))
	if d := NextDeadline(s); !d.IsZero() {
		e.one("mxcutover_next_deadline_timestamp_seconds", "The earliest deadline that something waits for, in seconds since 1970.", seconds(d))
		e.one("mxcutover_next_deadline_seconds", "Seconds until that deadline; negative when it has passed.", d.Sub(m.Now).Seconds())
	}
}

// arrivals are how long the last probe of each moved domain took, by the way that all
// mail takes since it moved.
func arrivals(s *state.Status) (h histogram) {
	for i := range s.Domains {
		from := s.Domains[i].Published()
		for _, f := range s.Domains[i].Findings {
			if from.IsZero() || f.Check != probeCheck || f.Severity != plan.Pass || f.At.Before(from) {
				continue
			}
			if d, ok := Legs(f.Evidence)[wholeLeg]; ok {
				h.add(d)
			}
		}
	}
	return h
}

// NextDeadline is the earliest that a domain or isolation waits for; zero = none.
func NextDeadline(s *state.Status) (next time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i := range s.Domains {
		sooner(s.Domains[i].Until)
	}
	sooner(s.Isolation.Until)
	return next
}

func (m Metrics) findings(e *exposition) {
	if len(m.Findings) == 0 {
		return
	}
	e.family("mxcutover_findings", "Findings by check and severity.")
	for _, check := range slices.Sorted(maps.Keys(m.Findings)) {
		for _, s := range severities {
			e.sample("mxcutover_findings", float64(m.Findings[check].Of(s)), "check", check, "severity", string(s))
		}
	}
}

// An exposition is the text format being written.
type exposition struct {
	*bufio.Writer
	migration string
}

// family heads the samples of one name. What ends in _total only grows.
func (e *exposition) family(name, help string) {
	kind := "gauge"
	if strings.HasSuffix(name, "_total") {
		kind = "counter"
	}
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one value with its labels, in pairs.
func (e *exposition) sample(name string, value float64, labels ...string) {
	fmt.Fprintf(e, `%s{migration="%s"`, name, labelValue(e.migration))
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(e, `,%s="%s"`, labels[i], labelValue(labels[i+1]))
	}
	fmt.Fprintf(e, "} %s\n", strconv.FormatFloat(value, 'f', -1, 64))
}

func (e *exposition) one(name, help string, value float64) {
	e.family(name, help)
	e.sample(name, value)
}

// states writes a sample for each known state, and for each other that is there.
func (e *exposition) states(name, help string, known []state.Phase, n map[state.Phase]int) {
	e.family(name, help)
	all := slices.Clone(known)
	for _, p := range slices.Sorted(maps.Keys(n)) {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	for _, p := range all {
		e.sample(name, float64(n[p]), "state", string(p))
	}
}

// labelValue is harmless text, escaped as the format wants it.
func labelValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(Harmless(cmp.Or(s, "none")))
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
