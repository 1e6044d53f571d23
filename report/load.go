package report

import (
	"fmt"
	"strings"
	"time"

	"mxcutover/traffic"
)

// Load is what is known of the old server's work, and of the gateway's beside it.
type Load struct {
	Messages uint64    // that the plan's domains had, when they were counted; 0 = not counted
	Moved    uint64    // of these, of domains whose mail goes to the gateway now
	Seen     []Seen    // refused connections, as the firewall counted them; none = not known
	Old      ServerLog // by traffic.logs
	Gateway  ServerLog // by traffic.gateway_logs

	first          time.Time // when the first domain was published; zero = none was
	closed, opened time.Time // the old server, the last time
}

// A ServerLog is what a server's logs tell of the mail of the plan's domains. Its
// texts are foreign.
type ServerLog struct {
	Lacks       string // why nothing is known, with the cure; "" = it is known
	Unsure      string // why the numbers may be wrong; "" = nothing is known against them
	First, Last time.Time
	Hours       []traffic.Hour // in which there was something, in their order
}

// A loadPhase is a part of the migration, by whole hours.
type loadPhase struct {
	name     string
	from, to time.Time // zero = not bounded
}

// phases are before the first domain was published, until the old server was closed,
// and since; those that have begun.
func (l *Load) phases() []loadPhase {
	hour := func(t time.Time) time.Time { return t.Truncate(time.Hour) }
	if l.first.IsZero() {
		return []loadPhase{{"before", time.Time{}, time.Time{}}}
	}
	out := []loadPhase{{"before", time.Time{}, hour(l.first)}, {"while domains moved", hour(l.first), time.Time{}}}
	if l.closed.IsZero() {
		return out
	}
	out[1].to = hour(l.closed)
	out = append(out, loadPhase{"since it was closed", hour(l.closed), time.Time{}})
	if !l.opened.IsZero() {
		out[2].name, out[2].to = "while it was closed", hour(l.opened)
		out = append(out, loadPhase{"since it was opened again", hour(l.opened), time.Time{}})
	}
	return out
}

// A rate is what a server had in a part of the migration.
type rate struct {
	Hours    int    `json:"hours"` // of it that the log covers; 0 = none
	Straight uint64 `json:"straight"`
	Passed   uint64 `json:"by_gateway"`
	Refused  uint64 `json:"refused"`
}

// in sums what a log tells of a part.
func (s *ServerLog) in(p loadPhase) (r rate) {
	if s.Lacks != "" || s.First.IsZero() {
		return r
	}
	from, to := s.First.Truncate(time.Hour), s.Last.Truncate(time.Hour).Add(time.Hour)
	if from.Before(p.from) {
		from = p.from
	}
	if !p.to.IsZero() && to.After(p.to) {
		to = p.to
	}
	if r.Hours = int(to.Sub(from) / time.Hour); r.Hours <= 0 {
		return rate{}
	}
	for _, h := range s.Hours {
		if !h.At.Before(from) && h.At.Before(to) {
			r.Straight, r.Passed, r.Refused = r.Straight+h.Straight, r.Passed+h.Passed, r.Refused+h.Refused
		}
	}
	return r
}

// hourly is a number an hour; "-" if no hour is known.
func (r rate) hourly(n uint64) string {
	switch x := float64(n) / float64(r.Hours); {
	case r.Hours == 0:
		return "-"
	case n > 0 && x < 0.1:
		return "< 0.1"
	case x < 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
	default:
		return number(int(x + 0.5))
	}
}

// loadSheet sets the old server's load beside the gateway's, by part of the migration.
func (s *Story) loadSheet() sheet {
	t := sheet{
		ID: "hourly", Title: "Mail in an hour, before and after", Numbers: 6,
		Head: []string{"When", "Old server, straight", "by the gateway", "refused", "Gateway, taken", "refused", "Hours known"},
		Note: "Messages in an hour, each once for each of the plan's domains that it is for, without probes; refused are refusals. Hours known: of the old server's log + of the gateway's; \"-\" is not known.",
	}
	known := false
	for _, p := range s.Load.phases() {
		o, g := s.Load.Old.in(p), s.Load.Gateway.in(p)
		tone := Quiet
		if strings.Contains(p.name, "closed") && o.Straight > 0 {
			tone = Wary // somebody comes past what was closed
		}
		t.Rows = append(t.Rows, line{tone, p.name, []string{
			p.name, o.hourly(o.Straight), o.hourly(o.Passed), o.hourly(o.Refused), g.hourly(g.Straight + g.Passed), g.hourly(g.Refused), fmt.Sprintf("%d + %d", o.Hours, g.Hours),
		}})
		known = known || o.Hours+g.Hours > 0
	}
	if !known {
		t.Rows, t.Note = nil, ""
		t.Empty = "No log tells; see below why."
	}
	return t
}

// A said is a sentence of ours, and what is foreign behind it.
type said struct{ ours, foreign string }

func (s said) String() string { return strings.TrimSpace(s.ours + " " + s.foreign) }

// loadWords say what is known besides the hours, and what is not known, and why.
func (s *Story) loadWords() []said {
	var out []said
	l := &s.Load
	say := func(format string, args ...any) { out = append(out, said{ours: fmt.Sprintf(format, args...)}) }
	if l.Messages > 0 {
		say("When the plan was made: %s messages of the plan's domains were counted, straight to the old server. Domains with %d%% of these are live at the gateway.", number(int(l.Messages)), 100*l.Moved/l.Messages)
	} else {
		say("When the plan was made: not known; no traffic was counted then. Set traffic.table or traffic.logs in the configuration before a plan is made.")
	}
	out = append(out, l.Old.words("The old server", l.phases())...)
	out = append(out, l.Gateway.words("The gateway", l.phases()[1:])...)
	for _, x := range l.Seen {
		say("Refused connections since it was closed: %s, from %s, as the firewall has them %s; it forgets a source a day after its last call.",
			number(int(x.Refused)), Counted(x.Sources, "source"), stamp(x.At))
	}
	switch {
	case len(l.Seen) > 0:
	case l.closed.IsZero():
		say("Refused connections: none yet; the old server was not closed.")
	default:
		say("Refused connections since it was closed: not known; the firewall could not be asked from here. Run the report as root where the section isolate of the configuration leads to the old server.")
	}
	return out
}

// words say why something of a log is not known.
func (s *ServerLog) words(who string, phases []loadPhase) []said {
	if s.Lacks != "" {
		return []said{{who + ": not known how much mail came in an hour;", s.Lacks}}
	}
	if s.First.IsZero() {
		return []said{{who + ": not known how much mail came in an hour; its logs have nothing of this time. Are they the right ones, and kept long enough?", s.Unsure}}
	}
	var missing []string
	for _, p := range phases {
		if s.in(p).Hours == 0 {
			missing = append(missing, p.name)
		}
	}
	told := fmt.Sprintf("%s: its logs tell of %s to %s", who, stamp(s.First), stamp(s.Last))
	if len(missing) > 0 {
		told += ", and of nothing " + strings.Join(missing, ", nor ") + ": give it the logs of that time, too"
	}
	out := []said{{told + ".", ""}}
	if s.Unsure != "" {
		out = append(out, said{who + ": the numbers may be wrong:", s.Unsure})
	}
	return out
}
