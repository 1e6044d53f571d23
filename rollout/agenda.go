package rollout

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// An agenda knows which domains must be looked at, so that a turn costs by what
// has changed and not by how many domains there are. Engine.mu guards it.
type agenda struct {
	all    bool            // look at every domain
	dirty  map[string]bool // look at these
	timers timers          // look at these then
	own    int             // timers of domains that go on by themselves, and are not only watched
	ready  map[string]*queue
	busy   map[string]int // by wave: domains that are worked on, waits apart
}

func newAgenda() agenda {
	return agenda{all: true, dirty: map[string]bool{}, ready: map[string]*queue{}, busy: map[string]int{}}
}

// A queue holds the domains of one wave that could go on, the next one first.
type queue struct {
	lines [3][]string // by urgency
	in    map[string]bool
}

// urgency is a domain's place: what goes back is first, then what is published
// and must be proven, before any more is published.
func urgency(d state.DomainStatus) int {
	switch {
	case d.Back:
		return 0
	case d.Moved():
		return 1
	}
	return 2
}

func (q *queue) push(d state.DomainStatus) {
	if !q.in[d.Domain] {
		q.in[d.Domain] = true
		q.lines[urgency(d)] = append(q.lines[urgency(d)], d.Domain)
	}
}

func (q *queue) pop() (string, bool) {
	for i, line := range q.lines {
		if len(line) > 0 {
			q.lines[i] = line[1:]
			delete(q.in, line[0])
			return line[0], true
		}
	}
	return "", false
}

func (a *agenda) queue(wave string) *queue {
	q := a.ready[wave]
	if q == nil {
		q = &queue{in: map[string]bool{}}
		a.ready[wave] = q
	}
	return q
}

// due takes the domains that must be looked at now, in the plan's order when it
// is all of them.
func (a *agenda) due(p *plan.Plan, now time.Time) (out []string) {
	for len(a.timers) > 0 && !now.Before(a.timers[0].at) {
		t, _ := heap.Pop(&a.timers).(timer)
		a.dirty[t.domain] = true
		if !t.watch {
			a.own--
		}
	}
	if a.all {
		a.timers, a.own = nil, 0 // they are found again
		for _, w := range p.Waves {
			for i := range w.Cutovers {
				out = append(out, w.Cutovers[i].Domain)
			}
		}
	} else {
		for d := range a.dirty {
			out = append(out, d)
		}
		slices.Sort(out)
	}
	a.all = false
	clear(a.dirty)
	return out
}

// at is when to look again; zero = only when something happens.
func (a *agenda) at() (t time.Time) {
	if len(a.timers) > 0 {
		t = a.timers[0].at
	}
	return t
}

func (a *agenda) later(domain string, at time.Time, watch bool) {
	heap.Push(&a.timers, timer{domain, at, watch})
	if !watch {
		a.own++
	}
}

// waits tells whether anything will go on by itself at a known time. Watching
// live domains is not that.
func (a *agenda) waits() bool { return a.own > 0 }

// A timer says when to look at a domain again.
type timer struct {
	domain string
	at     time.Time
	watch  bool // only to watch it
}

// timers is a heap, the earliest first.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is heap.Interface's.
func (t *timers) Push(x any) {
	if v, ok := x.(timer); ok {
		*t = append(*t, v)
	}
}

// Pop is heap.Interface's.
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// newestFirst orders domains that go back: the one that was published last is
// the first.
func newestFirst(a, b state.DomainStatus) int {
	return cmp.Or(b.Published().Compare(a.Published()), cmp.Compare(a.Domain, b.Domain))
}
