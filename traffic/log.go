package traffic

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say how a log is to be understood.
type Options struct {
	Format string         // a name of [Formats]; "" = found from the lines themselves
	Now    time.Time      // about when the log was written: syslog's times have no year
	Zone   *time.Location // of times without one; nil = UTC

	Unknown func(line []byte) // is told of each line that is skipped; may be nil
}

// Stats count the lines of a log: each is parsed or skipped.
type Stats struct {
	Lines   uint64
	Parsed  uint64 // understood, if only to be of no interest
	Skipped uint64
	Long    uint64 // above [MaxLine], and cut there
}

// Plus adds others.
func (s Stats) Plus(o Stats) Stats {
	return Stats{s.Lines + o.Lines, s.Parsed + o.Parsed, s.Skipped + o.Skipped, s.Long + o.Long}
}

// Since are what came after others of the same log.
func (s Stats) Since(o Stats) Stats {
	return Stats{s.Lines - o.Lines, s.Parsed - o.Parsed, s.Skipped - o.Skipped, s.Long - o.Long}
}

// A format understands the lines of one kind of server.
type format struct {
	name  string
	parse func(line []byte, c *clock, e *entry) bool
	begin func() // of a file; nil = nothing is kept of one
	alone bool   // only if it is asked for by name: another understands its lines too
}

// formats are all of them, in the order in which they are tried. What one keeps of a
// file is its own: each Log has others.
func formats() []format {
	x := &exchange{}
	return []format{
		{name: "syslog", parse: parseSyslog},
		{name: "exim", parse: parseExim},
		{name: "exchange", parse: x.parse, begin: x.begin},
		{name: "journald", parse: parseJournald},
		{name: "postfix", parse: only(postfixServer), alone: true},
		{name: "sendmail", parse: only(sendmailServer), alone: true},
	}
}

// Formats are the names of the formats.
func Formats() (names []string) {
	for _, f := range formats() {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// A Log understands the log of one server, from the first line on. Rotated files
// of it are one log; logs of several servers are several.
type Log struct {
	Stats
	emit    func(*Record)
	unknown func(line []byte)
	all     []format // that it may be
	known   []format // one, when it is known
	servers server   // of which the file had lines, in syslog
	clock   clock
	lines   Lines
	join    join
	entry   entry
}

// NewLog makes a Log that hands its records to a function. The records are good
// until that returns.
func NewLog(o Options, emit func(*Record)) (*Log, error) {
	all, err := chosen(o.Format)
	if err != nil {
		return nil, err
	}
	l := &Log{emit: emit, unknown: o.Unknown, all: all, known: all, clock: clock{now: o.Now, zone: o.Zone}, join: newJoin()}
	if l.clock.zone == nil {
		l.clock.zone = time.UTC
	}
	l.lines.Each = l.Line
	return l, nil
}

// chosen are the formats of a name; "" = all.
func chosen(name string) ([]format, error) {
	all := formats()
	if name == "" {
		return slices.DeleteFunc(all, func(f format) bool { return f.alone }), nil
	}
	i := slices.IndexFunc(all, func(f format) bool { return f.name == name })
	if i < 0 {
		return nil, fmt.Errorf("traffic: no format %.40q; there are: %s", name, strings.Join(Formats(), ", "))
	}
	return all[i : i+1], nil
}

// At tells about when what comes next was written.
func (l *Log) At(now time.Time) { l.clock.at(now) }

// File tells that a new file of the log begins, and about when it was written. Its
// format is found anew.
func (l *Log) File(now time.Time) {
	l.At(now)
	l.known, l.servers = l.all, 0
	for _, f := range l.all {
		if f.begin != nil {
			f.begin()
		}
	}
}

// Format is the name of the file's format; "" = it is not known yet. Of a syslog it is
// the servers' that wrote it, as "postfix" or "postfix+sendmail".
func (l *Log) Format() string {
	switch {
	case len(l.known) > 1:
		return ""
	case l.known[0].name == "syslog" && l.servers != 0:
		return l.servers.String()
	}
	return l.known[0].name
}

// Line takes one line, without its end.
func (l *Log) Line(line []byte) {
	l.Lines++
	l.join.line = l.Lines
	for i, f := range l.known {
		l.entry = entry{}
		if f.parse(line, &l.clock, &l.entry) {
			l.Parsed++
			l.servers |= l.entry.server
			l.known = l.known[i : i+1]
			l.join.take(&l.entry, l.emit)
			return
		}
	}
	l.Skipped++
	if l.unknown != nil {
		l.unknown(line)
	}
}

// Write takes the next bytes, whatever lines they are cut into. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	n, err := l.lines.Write(p)
	l.Long = l.lines.Long
	return n, err
}

// Read takes all of a reader.
func (l *Log) Read(r io.Reader) error {
	err := l.lines.read(r)
	l.Long = l.lines.Long
	return err
}

// Rest takes the last line, if it has no end.
func (l *Log) Rest() {
	l.lines.Rest()
	l.Long = l.lines.Long
}

// Drop forgets a last line whose end has not come.
func (l *Log) Drop() { l.lines.Drop() }

// Under is how many messages are under way, as far as the log goes.
func (l *Log) Under() int { return l.join.open.n }
