package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"time"
)

// A Part is a part of a log that is read apart, while others read what is before and
// after it. It hands on the records of messages that begin in it; what it tells of
// messages from before is kept for [Log.Join], which joins the parts in their order
// to what the whole log tells. A part is of one format, and of whole lines.
//
// What a part cannot know is whether an id that it has not seen is known from
// before. So an id is one of three: under way in the part; over in the part, and then
// nobody else's; or not seen, and then all lines of it are kept. Whatever goes beyond
// that makes the part tangled, and it is read anew in its place.
type Part struct {
	Stats
	emit    func(*Record)
	unknown func(line []byte)
	format  format
	servers server // of which there were lines, in syslog
	clock   clock
	join    join
	entry   entry

	begins  []beginOf
	names   []nameOf
	kept    []keptLine
	ids     map[uint64]bool // Message-IDs in kept lines
	rooms   []*message      // for messages to come
	gone    message         // stands for all that are over
	under   int             // messages under way
	peak    int             // the most at once
	tangled bool
}

// beginOf is the begin of a message whose id may be one from before.
type beginOf struct {
	line uint64
	key  uint64
}

// nameOf is when a message's Message-ID was taken up.
type nameOf struct {
	line   uint64
	id     uint64
	shared bool // others asked for it
	second bool // it is another message's, from before the part
}

// keptLine is of a message from before, perhaps.
type keptLine struct {
	line  uint64
	entry entry
}

// apart are the formats whose lines can be understood each by itself.
var apart = map[string]bool{"exim": true, "journald": true, "postfix": true, "sendmail": true, "syslog": true}

// FormatOf is the format of the first line that is understood, if parts of such a log
// can be read apart, or else ""; none = no line is understood.
func FormatOf(text []byte, o Options) (format string, none bool) {
	all, err := chosen(o.Format)
	if err != nil {
		return "", true
	}
	c := clock{now: o.Now, zone: cmp.Or(o.Zone, time.UTC)}
	for line := range bytes.Lines(text) {
		for _, f := range all {
			if f.parse(cut(line), &c, &entry{}) {
				if apart[f.name] {
					return f.name, false
				}
				return "", false
			}
		}
	}
	return "", true
}

// cut takes a line's end away, and what is above the bound.
func cut(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return trim(line[:min(len(line), MaxLine)])
}

// Part begins a part of the file that the log is at, of a format of [FormatOf]. Its
// records are handed to a function of its own: [Log.Join] tells whether they count. A part
// that was joined may be given, whose memory is used again; nil = there is none.
func (l *Log) Part(o Options, emit func(*Record), used *Part) *Part {
	all, err := chosen(o.Format)
	if err != nil || len(all) != 1 {
		return nil
	}
	p := &Part{emit: emit, unknown: o.Unknown, format: all[0], clock: clock{now: o.Now, zone: cmp.Or(o.Zone, time.UTC)}, ids: map[uint64]bool{}}
	p.join = join{part: p}
	p.gone.gone = true
	if used != nil {
		p.begins, p.names, p.kept, p.rooms = used.begins[:0], used.names[:0], used.kept[:0], used.rooms
		p.join.open, p.join.byID = used.join.open, used.join.byID
	}
	return p
}

// Read reads the part: whole lines. The text must stay as it is until the part is
// joined.
func (p *Part) Read(text []byte) {
	p.join.open.reset(len(text) / 512)
	p.join.byID.reset(len(text) / 8192)
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			i = len(text)
		}
		line := text[:i]
		text = text[min(i+1, len(text)):]
		if len(line) > MaxLine {
			line = line[:MaxLine]
			p.Long++
		}
		p.line(trim(line))
	}
}

func (p *Part) line(line []byte) {
	p.Lines++
	p.join.line = p.Lines
	p.entry = entry{}
	if p.format.parse(line, &p.clock, &p.entry) {
		p.Parsed++
		p.servers |= p.entry.server
		p.join.take(&p.entry, p.emit)
		return
	}
	p.Skipped++
	if p.unknown != nil {
		p.unknown(line)
	}
}

// room is for one more message.
func (p *Part) room() *message {
	if len(p.rooms) == 0 {
		more := make([]message, 64)
		for i := range more {
			p.rooms = append(p.rooms, &more[i])
		}
	}
	m := p.rooms[len(p.rooms)-1]
	p.rooms = p.rooms[:len(p.rooms)-1]
	return m
}

// end takes back the room of a message that is over. Nothing leads to it any more.
func (p *Part) end(m *message) {
	p.under--
	*m = message{}
	p.rooms = append(p.rooms, m)
}

// moved is a message that outlives the part, with texts of its own.
func (m *message) moved() *message {
	out := *m
	out.client = nil
	if m.sender != nil {
		out.sender = append([]byte{}, m.sender...)
	}
	if m.user != nil {
		out.user = append([]byte{}, m.user...)
	}
	if m.to == &m.own {
		out.to = &out.own
		out.own.each = append(out.own.few[:0], m.own.each...)
	}
	return &out
}

// begin notes a message that begins in the part, in the place of another or of none.
func (p *Part) begin(m, old *message) {
	if old == nil {
		p.begins = append(p.begins, beginOf{m.begun, m.key})
	}
	p.under++
	p.peak = max(p.peak, p.under)
}

// later keeps a line that may be of a message from before. It tells whether it did.
func (p *Part) later(e *entry) bool {
	j := &p.join
	switch e.kind {
	case idle, refused, submitted:
		return false
	case client:
		if len(e.next) == 0 || j.open.get(j.hash(e.host, e.next)) != nil && !bytes.Equal(e.next, e.queue) {
			return false
		}
		p.tangled = p.tangled || bytes.Equal(e.next, e.queue)
		p.hand(e)
	case arrival:
		if !e.handed || len(e.messageID) == 0 {
			return false
		}
		if m := j.known(e.key); m != nil {
			j.remove(m)
		}
		if first := j.byID.get(maphash.Bytes(seed, e.messageID)); first != nil && !first.gone {
			return false
		}
		p.hand(e)
	case internal, proxied:
		if j.open.get(j.hash(e.host, e.next)) != nil {
			return false
		}
		p.keep(e, j.line)
	case named:
		m := j.open.get(e.key)
		switch {
		case m == nil:
			p.keep(e, j.line)
		case m.gone || !m.handed || len(e.messageID) == 0:
			return false
		default:
			if first := j.byID.get(maphash.Bytes(seed, e.messageID)); first != nil && !first.gone {
				return false
			}
			if m.client == nil {
				p.tangled = true
				return false
			}
			p.give(m)
			p.keep(e, j.line)
		}
	default:
		if j.open.get(e.key) != nil {
			return false
		}
		p.keep(e, j.line)
	}
	return true
}

// hand keeps a line with which a message begins, and all of that message.
func (p *Part) hand(e *entry) {
	j := &p.join
	if m := j.known(e.key); m != nil {
		j.remove(m)
	}
	j.open.put(e.key, nil)
	p.keep(e, j.line)
}

// give hands a message over of which there is its first line alone.
func (p *Part) give(m *message) {
	p.keep(m.client, m.begun)
	key := m.key
	p.join.remove(m)
	p.join.open.put(key, nil)
}

func (p *Part) keep(e *entry, line uint64) {
	if len(e.messageID) > 0 {
		id := maphash.Bytes(seed, e.messageID)
		if m := p.join.byID.get(id); m != nil && !m.gone {
			p.tangled = true
		}
		p.ids[id] = true
	}
	p.kept = append(p.kept, keptLine{line, *e})
}

// Records are how many records the lines may give, at most, that are kept to be joined.
func (p *Part) Records() (n int) {
	for i := range p.kept {
		e := &p.kept[i].entry
		n += 1 + bytes.Count(e.recipients, []byte{cmp.Or(e.sep, ' ')})
	}
	return n
}

// Join takes the next part up. False: it must be read in its place, by Write, and
// what it handed on does not count.
func (l *Log) Join(p *Part) bool {
	j := &l.join
	if len(l.lines.part) > 0 || p.tangled || j.open.n+p.peak+len(p.kept) > maxOpen {
		return false
	}
	for _, n := range p.names {
		if n.shared && (j.byID.get(n.id) != nil || p.ids[n.id]) {
			return false
		}
	}
	slices.SortStableFunc(p.kept, func(a, b keptLine) int { return cmp.Compare(a.line, b.line) })
	begins, names := p.begins, p.names
	upTo := func(line uint64) {
		for len(begins)+len(names) > 0 {
			switch {
			case len(begins) > 0 && begins[0].line <= line && (len(names) == 0 || begins[0].line <= names[0].line):
				if m := j.open.get(begins[0].key); m != nil {
					j.remove(m)
				}
				begins = begins[1:]
			case len(names) > 0 && names[0].line <= line:
				first := j.byID.get(names[0].id)
				names[0].second = first != nil && !first.gone
				names = names[1:]
			default:
				return
			}
		}
	}
	for i := range p.kept {
		k := &p.kept[i]
		upTo(k.line)
		j.line = l.Lines + k.line
		j.take(&k.entry, l.emit)
	}
	upTo(p.Lines)
	for m := range p.join.open.all() {
		if m.gone {
			continue
		}
		to := m.moved()
		to.begun += l.Lines
		j.open.put(m.key, to)
		if m.id != 0 && p.join.byID.get(m.id) == m && !p.names[m.name-1].second {
			j.byID.put(m.id, to)
		}
	}
	j.back = j.back || p.join.back
	l.Stats = l.Plus(p.Stats)
	l.lines.Long += p.Long
	l.known = []format{p.format}
	l.servers |= p.servers
	return true
}
