package tui

import (
	"cmp"
	"slices"
	"strings"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// An order is how domains are sorted.
type order int

const (
	byPlan    order = iota // as they move
	byUrgency              // what needs a person first
	byName
	byDeadline // what is waited for, the soonest first
	byMail     // the most used first
	orders     = iota
)

func (o order) String() string {
	return [...]string{"by plan", "by urgency", "by name", "by deadline", "by mail"}[o]
}

// A list is the domains that the filter leaves, in their order. An event moves the
// rows of its own domains and no others: there may be a hundred thousand.
type list struct {
	status *state.Status
	names  []string // bare, by place in the status
	widest int      // of the names, in bytes
	mail   []uint64
	places map[string]int
	probes []probed
	rows   []int // places in the status
	filter string
	by     order
	marks  map[int]bool
	moved  []int  // to be placed anew
	going  []bool // is, by place
	all    bool   // are
}

// probed is what became of a domain's probes by the public way.
type probed struct{ arrived, all uint32 }

func (l *list) begin(s *state.Status, p plan.Plan) {
	*l = list{status: s, filter: l.filter, by: l.by, marks: map[int]bool{}, going: make([]bool, len(s.Domains)), all: true}
	l.places = make(map[string]int, len(s.Domains))
	l.probes = make([]probed, len(s.Domains))
	for _, w := range p.Waves {
		for i := range w.Cutovers {
			l.places[w.Cutovers[i].Domain] = len(l.names)
			l.names = append(l.names, rrset.Bare(w.Cutovers[i].Domain))
			l.widest = max(l.widest, len(l.names[len(l.names)-1]))
			l.mail = append(l.mail, w.Cutovers[i].Messages)
		}
	}
	l.settle(s)
}

// at is the place of the domain in a row.
func (l *list) at(row int) (place int, ok bool) {
	if row < 0 || row >= len(l.rows) {
		return 0, false
	}
	return l.rows[row], true
}

// touch notes what an event may have moved.
func (l *list) touch(s *state.Status, e state.Event) {
	if e.Domain == "" {
		if e.Kind == state.Decided && e.Decision != nil && (l.filter != "" || l.by != byPlan) {
			l.touchTargets(s, e.Decision.Target)
		}
		return
	}
	i, ok := l.places[e.Domain]
	if !ok {
		return
	}
	l.move(i)
	if k := plan.KindOf(e.Step); k == plan.Probe || k == plan.Soak {
		for _, f := range e.Findings {
			if f.Check == probeCheck {
				l.probes[i].all++
				if f.Severity == plan.Pass {
					l.probes[i].arrived++
				}
			}
		}
	}
}

func (l *list) touchTargets(s *state.Status, target string) {
	_, domains, err := s.Targets(target)
	if err != nil {
		return
	}
	if len(domains) > len(l.names)/8 {
		l.all = true
		return
	}
	for _, d := range domains {
		l.move(l.places[d.Domain])
	}
}

func (l *list) move(i int) {
	if !l.going[i] {
		l.going[i] = true
		l.moved = append(l.moved, i)
	}
}

// settle places anew what was moved.
func (l *list) settle(s *state.Status) {
	l.status = s
	switch {
	case l.all || len(l.moved) > len(l.names)/8+64:
		l.place()
	case l.by == byPlan && l.filter == "", l.by == byName && l.filter == "", len(l.moved) == 0:
	default:
		l.replace()
	}
	for _, i := range l.moved {
		l.going[i] = false
	}
	l.moved, l.all = l.moved[:0], false
}

// place finds all rows anew.
func (l *list) place() {
	l.rows = l.rows[:0]
	for i := range l.status.Domains {
		if l.passes(i) {
			l.rows = append(l.rows, i)
		}
	}
	if l.by != byPlan {
		slices.SortFunc(l.rows, l.compare)
	}
}

// replace takes the moved rows out, and puts those that pass back where they belong.
func (l *list) replace() {
	kept := l.rows[:0]
	for _, i := range l.rows {
		if !l.going[i] {
			kept = append(kept, i)
		}
	}
	l.rows = kept
	var back []int
	for _, i := range l.moved {
		if l.passes(i) {
			back = append(back, i)
		}
	}
	slices.SortFunc(back, l.compare)
	if len(back) == 0 {
		return
	}
	n, last := len(kept), len(back)-1
	l.rows = append(l.rows, back...) // room
	for to := len(l.rows) - 1; last >= 0; last-- {
		at, _ := slices.BinarySearchFunc(l.rows[:n], back[last], l.compare)
		copy(l.rows[to-(n-at)+1:to+1], l.rows[at:n])
		to -= n - at
		l.rows[to] = back[last]
		to--
		n = at
	}
}

// refilter leaves the domains that a text is in: in the name, or it is the state or
// the wave. A longer filter looks only at what the shorter one left.
func (l *list) refilter(filter string) {
	was := l.filter
	l.filter = strings.ToLower(filter)
	if was == "" || !strings.HasPrefix(l.filter, was) || l.word(was) {
		l.place()
		return
	}
	kept := l.rows[:0]
	for _, i := range l.rows {
		if l.passes(i) {
			kept = append(kept, i)
		}
	}
	l.rows = kept
}

// word tells whether a filter is the name of a wave: a longer one may then leave what
// it did not.
func (l *list) word(filter string) bool { return l.status.Wave(filter) != nil }

func (l *list) passes(i int) bool {
	if l.filter == "" {
		return true
	}
	d := &l.status.Domains[i]
	return strings.Contains(l.names[i], l.filter) || strings.Contains(string(d.State), l.filter) || d.Wave == l.filter ||
		l.filter == "marked" && l.marks[i] || l.filter == "on hold" && d.Paused
}

func (l *list) sort(by order) {
	l.by = by
	l.place()
}

// compare orders two places.
func (l *list) compare(a, b int) int {
	x, y := &l.status.Domains[a], &l.status.Domains[b]
	switch l.by {
	case byUrgency:
		return cmp.Or(cmp.Compare(urgency(y), urgency(x)), cmp.Compare(a, b))
	case byName:
		return cmp.Or(strings.Compare(l.names[a], l.names[b]), cmp.Compare(a, b))
	case byDeadline:
		if x.Until.IsZero() != y.Until.IsZero() {
			if y.Until.IsZero() {
				return -1
			}
			return 1
		}
		return cmp.Or(x.Until.Compare(y.Until), cmp.Compare(a, b))
	case byMail:
		return cmp.Or(cmp.Compare(l.mail[b], l.mail[a]), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

// urgency is how much a domain needs to be looked at.
func urgency(d *state.DomainStatus) int {
	n := int(report.ToneOf(d.State))
	switch {
	case d.Paused, d.Asked != "":
		n = int(report.Bad)
	case d.State == state.Live, d.State == state.Settled:
		n = -1
	}
	return n
}

// row is where a place is shown; -1 = nowhere.
func (l *list) row(place int) int {
	if l.by == byPlan && l.filter == "" {
		return place
	}
	return slices.Index(l.rows, place)
}

// chosen are the marked places or, without marks, the one that is given.
func (l *list) chosen(one int) []int {
	if len(l.marks) == 0 {
		return []int{one}
	}
	var out []int
	for i := range l.marks {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// mark marks a place, or takes its mark away.
func (l *list) mark(place int) {
	if l.marks[place] {
		delete(l.marks, place)
		return
	}
	l.marks[place] = true
}

// markAll marks all that the filter leaves.
func (l *list) markAll() {
	for _, i := range l.rows {
		l.marks[i] = true
	}
}

func (l *list) unmark() { l.marks = map[int]bool{} }

// probeCheck is the check that sends a message and waits for it.
const probeCheck = "probe.arrival"
