package report

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// widest bounds a column of a table but the last.
const widest = 44

// table writes rows in columns; the first row is the head. Cells are made
// harmless here.
func table(w io.Writer, rows [][]string) { tableOf(w, slices.Values(rows)) }

// tableOf is table of rows that are made when they are needed: twice each, since
// how wide a column is all of them say. A row is read before the next is made.
func tableOf(w io.Writer, rows iter.Seq[[]string]) {
	var width []int
	for r := range rows {
		if width == nil {
			width = make([]int, len(r))
		}
		for i, c := range r {
			width[i] = min(max(width[i], utf8.RuneCountInString(Harmless(c))), widest)
		}
	}
	var line []byte
	for r := range rows {
		line = line[:0]
		for i, c := range r {
			if i == len(r)-1 {
				line = append(line, Harmless(c)...)
			} else {
				line = append(append(line, Pad(Harmless(c), width[i])...), "  "...)
			}
		}
		line = append(bytes.TrimRight(line, " "), '\n')
		_, _ = w.Write(line) // told by Flush
	}
}

// Plan writes a plan as a diff of records, wave by wave, then what is left.
func (p Printer) Plan(w io.Writer, pl plan.Plan) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "plan %s\nmigration %s, made %s\n", pl.ID, Harmless(pl.Migration), pl.Made.UTC().Format("2006-01-02 15:04:05Z"))
	p.loads(b, pl)
	p.coverage(b, pl)
	for i, wave := range pl.Waves {
		first := ""
		if i == 0 && wave.Gate.Persons < 2 && wave.Gate.Approve != plan.Auto {
			first = "; the first wave needs no approval: run begins it"
		}
		fmt.Fprintf(b, "\nwave %s: %s; %s%s\n", Harmless(wave.Name), Counted(len(wave.Cutovers), "domain"), GateWords(wave.Gate), first)
		for _, c := range wave.Cutovers {
			fmt.Fprintf(b, "  %s  (zone %s at %s, %d messages)\n", Harmless(rrset.Bare(c.Domain)), Harmless(c.Zone), Harmless(c.Provider), c.Messages)
			for _, l := range p.Diff(c.Before(), c.After(), "    ") {
				fmt.Fprintln(b, l)
			}
			p.companions(b, c)
		}
	}
	p.left(b, pl.Left)
	p.planFindings(b, pl.Findings)
	if len(pl.Isolate) > 0 {
		fmt.Fprintf(b, "\nthen isolate the old server: ports %s closed to all but trusted networks\n", stages(pl.Isolate))
	}
	return b.Flush()
}

// companions writes what else a cutover changes, and why.
func (p Printer) companions(b io.Writer, c plan.Cutover) {
	for _, s := range c.Companions() {
		when, wait := "before its MX", plan.Duration(0)
		if s.Late {
			when = "after it has settled"
		}
		for _, w := range c.Steps {
			if w.Kind == plan.AwaitCompanion && w.Number() == s.Number() {
				wait = w.Wait
			}
		}
		fmt.Fprintf(b, "    and %s, by %s, at least %s are waited: %s\n", when, Harmless(s.Provider), wait, Harmless(s.Why))
		for _, l := range p.Diff(s.Change.Before, s.Change.After, "      ") {
			fmt.Fprintln(b, l)
		}
	}
}

// planFindings writes what was found while looking for companions, and is not
// well.
func (p Printer) planFindings(b io.Writer, found []plan.Finding) {
	head := "\nfound while planning:\n"
	for _, f := range found {
		if f.Severity != plan.Pass {
			fmt.Fprintf(b, "%s  %s %s %s: %s\n", head, f.Severity, f.Check, Harmless(rrset.Bare(f.Target)), Harmless(f.Detail))
			head = ""
		}
	}
}

func (p Printer) left(b io.Writer, left []plan.Left) {
	if len(left) == 0 {
		return
	}
	left = slices.Clone(left)
	slices.SortStableFunc(left, func(a, b plan.Left) int {
		switch {
		case a.Question == b.Question:
			return strings.Compare(a.Domain, b.Domain)
		case a.Question:
			return 1
		}
		return -1
	})
	fmt.Fprintf(b, "\nleft as they are:\n")
	for _, l := range left {
		mark := p.Symbol(Quiet)
		if l.Question {
			mark = "?"
		}
		fmt.Fprintf(b, "  %s %s (%s): %s\n", mark, Harmless(rrset.Bare(l.Domain)), l.PointsTo, Harmless(l.Reason))
	}
}

// stages are the sets of ports, in the order in which they are closed.
func stages(steps []plan.Step) string {
	var sets []string
	for _, s := range steps {
		if s.Kind == plan.Arm {
			sets = append(sets, ports(s.Ports))
		}
	}
	return strings.Join(sets, ", then ")
}

func ports(list []uint16) string {
	var s []string
	for _, n := range list {
		s = append(s, fmt.Sprint(n))
	}
	return strings.Join(s, ", ")
}

// manyDomains is how many are shown one by one without being asked for.
const manyDomains = 200

// Status writes how a migration stands. Of many domains it shows those that wait
// for a person or go back, unless all are asked for.
func (p Printer) Status(w io.Writer, s *state.Status, all bool) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "migration %s  engine %s  event %d\n", Harmless(s.Migration), s.Engine, s.Seq)
	if s.Control != "" && s.Engine == "running" { // who had it when an engine died has nothing
		fmt.Fprintf(b, "control: %s, since %s\n", Harmless(s.Control), Clock(s.Since))
	}
	fmt.Fprintln(b)
	rows := [][]string{{"  WAVE", "STATE", "LIVE", "HELD", "FAILED", "NOTE"}}
	for _, x := range s.Waves {
		note := x.Reason
		if x.State == state.WaveWaiting && !x.Approved {
			note = "mxcutover approve --wave " + Quote(x.Name)
		}
		rows = append(rows, []string{
			p.Symbol(ToneOf(x.State)) + " " + x.Name, string(x.State), fmt.Sprintf("%d/%d", x.Live, x.Total),
			fmt.Sprint(x.Held), fmt.Sprint(x.Failed), note,
		})
	}
	table(b, rows)
	fmt.Fprintln(b)
	rows = [][]string{{"  DOMAIN", "WAVE", "STATE", "SINCE", "NOTE"}}
	left := 0
	for i := range s.Domains {
		d := &s.Domains[i]
		if !all && len(s.Domains) > manyDomains && (ToneOf(d.State) != Bad && ToneOf(d.State) != Wary || len(rows) > manyDomains) {
			left++
			continue
		}
		since := "-"
		if !d.Since.IsZero() {
			since = Clock(d.Since)
		}
		note := d.Reason
		if d.Asked != "" {
			note = d.Asked
		}
		if d.Paused {
			note = strings.TrimSuffix("on hold; "+note, "; ")
		}
		if note == "" && !d.Until.IsZero() {
			note = "until " + Clock(d.Until)
		}
		rows = append(rows, []string{p.Symbol(ToneOf(d.State)) + " " + rrset.Bare(d.Domain), d.Wave, string(d.State), since, note})
	}
	table(b, rows)
	if left > 0 {
		fmt.Fprintf(b, "and %d more; see them with: mxcutover status --all\n", left)
	}
	fmt.Fprintf(b, "\nisolation: %s\n", strings.TrimRight(isolationWords(&s.Isolation)+" "+Harmless(s.Isolation.Reason), " "))
	if s.Isolation.Stuck() && s.Isolation.Asks == "" && !s.Isolation.Lift {
		fmt.Fprintln(b, "  what is missing: mxcutover isolate status; once that is mended: "+closeAgain)
	}
	if s.Isolation.State == state.IsDrifted {
		fmt.Fprintf(b, "  the old server was closed for good, and is not any more; to close it again, with fresh proof: %s\n", closeAgain)
	}
	if c := askedCommand(&s.Isolation); c != "" {
		fmt.Fprintf(b, "  a person is asked for %s: mxcutover isolate show, then: %s\n", Harmless(s.Isolation.Asks), Harmless(c))
	}
	if s.DiskLow != "" {
		fmt.Fprintf(b, "the disk is full, and only rollbacks start: %s\n", Harmless(s.DiskLow))
	}
	fmt.Fprintln(b, RollbackWords(s))
	return b.Flush()
}

// RollbackWords says how long a rollback of all would take now or, after one,
// when the last cache lets the gateway go.
func RollbackWords(s *state.Status) string {
	var gone time.Time
	for i := range s.Domains {
		if g := s.Domains[i].Gone; g.After(gone) {
			gone = g
		}
	}
	line := "a rollback now: nothing is published"
	if e := s.Rollback; e.Domains > 0 {
		line = fmt.Sprintf("a rollback now: %d domains, written within about %s, and then caches follow within %s",
			e.Domains, Span(max(e.Write, time.Second)), Span(e.Caches))
	}
	if !gone.IsZero() {
		line += fmt.Sprintf("\nrolled back: the last cache lets the gateway go at %s; the gateway must accept that mail until %s, since senders may try for five days (RFC 5321 section 4.5.4.1)",
			gone.UTC().Format("2006-01-02 15:04:05Z"), gone.UTC().AddDate(0, 0, 5).Format("2006-01-02"))
	}
	return line
}

// Findings writes findings, the bad ones first, with a line that counts them.
func (p Printer) Findings(w io.Writer, found []plan.Finding) error {
	b := bufio.NewWriter(w)
	found = slices.Clone(found)
	order := map[plan.Severity]int{plan.Fail: 0, plan.Unknown: 1, plan.Warn: 2, plan.Pass: 3}
	slices.SortStableFunc(found, func(a, b plan.Finding) int { return cmp.Compare(order[a.Severity], order[b.Severity]) })
	n := map[plan.Severity]int{}
	for _, f := range found {
		n[f.Severity]++
		from := ""
		if f.Vantage != "" {
			from = " (from " + Harmless(f.Vantage) + ")"
		}
		t := severityTone(f.Severity)
		fmt.Fprintf(b, "%s %s %s %s: %s%s\n", p.paint(t, p.Symbol(t)), Pad(string(f.Severity), 7), checkColumn(f.Check),
			Harmless(rrset.Bare(f.Target)), Harmless(f.Detail), from)
	}
	fmt.Fprintf(b, "%d passed, %d warned, %d failed, %d could not be checked\n", n[plan.Pass], n[plan.Warn], n[plan.Fail], n[plan.Unknown])
	return b.Flush()
}
