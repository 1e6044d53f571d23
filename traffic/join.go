package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
)

// Bounds of what is remembered of messages under way.
const (
	maxOpen  = 1 << 16 // messages
	maxNamed = 1000    // recipients of one message that are told apart
	maxText  = 1 << 10 // bytes of a sender or a user that are kept; longer ones are not told
)

// seed is of the hashes by which messages, recipients and domains are known. Who writes to
// a log cannot know it.
var seed = maphash.MakeSeed()

// A join puts together what the lines of one message tell. A message that is
// handed back by a content filter is the same message: it is known by its
// Message-ID, from a loopback address, while the first is still in the queue, or
// because the filter says so. It counts once, as what came from outside.
type join struct {
	open messages // by host and queue id
	byID messages // by Message-ID, of those
	line uint64   // that is taken now: its number in the log
	back bool     // a filter has handed a message back
	part *Part    // that this is a join of; nil = of the whole log
	out  Record

	key    []byte
	host   []byte // of the last line, and its hash
	ofHost uint64
}

func newJoin() join {
	return join{open: newMessages(0), byID: newMessages(0)}
}

// take adds an entry, and hands on the records that follow from it.
func (j *join) take(e *entry, emit func(*Record)) {
	if e.kind == idle {
		return
	}
	e.key = j.hash(e.host, e.queue)
	e.comes()
	if j.part != nil && j.part.later(e) {
		return
	}
	switch e.kind {
	case arrival:
		j.arrive(e, emit)
	case client:
		m := j.fresh(e)
		m.came(e, j)
		if first := j.find(e.host, e.next); len(e.next) > 0 && first != nil {
			j.continues(m, first)
		}
		if j.part != nil && len(e.next) == 0 && m.handed {
			c := *e
			m.client = &c
		}
	case submitted:
		j.fresh(e).origin = Submitted
	case named:
		j.name(j.get(e, Internal), e) // one that begins with it is the server's own
	case queued:
		m := j.get(e, Unknown)
		if m.sender == nil {
			m.sender, m.size = j.text(e.sender), e.size
		}
		j.accept(m, e, emit)
	case outcome:
		j.outcome(e, emit)
	case refused:
		j.out = Record{At: e.at, Event: e.event, Origin: from(e), Queue: e.queue, Sender: e.sender, Recipient: e.recipient, Peer: e.from, User: e.user, Port: e.port, Status: e.status}
		emit(&j.out)
	case internal:
		if m := j.find(e.host, e.next); m != nil {
			m.origin = Internal
		}
	case proxied:
		if m := j.find(e.host, e.next); m != nil && m.handed && m.origin == Submitted && itself(m.peer) && m.user == nil {
			m.origin, m.peer = Outside, netip.Addr{} // the filter did not say for whom
		}
	case expanded:
		j.expand(e)
	case done:
		if m := j.known(e.key); m != nil {
			j.remove(m)
		}
	}
}

// text is a part of a line to keep. Of a part of a log the text stays until it is
// joined.
func (j *join) text(b []byte) []byte {
	if len(b) > maxText {
		return nil
	}
	if j.part != nil && b != nil {
		return b
	}
	return append([]byte{}, b...)
}

// comes reads who hands a message over. A filter on this machine may say for whom it
// speaks; of others that is not believed: they are who came.
func (e *entry) comes() {
	e.from = addr(e.peer)
	e.handed = e.from.IsLoopback()
	if a := addr(e.behalf); e.handed && a.IsValid() {
		e.from = a
	}
}

// from is where a message comes from, by what its first line tells.
func from(e *entry) Origin {
	switch {
	case e.own:
		return Internal
	case e.auth, itself(e.from):
		return Submitted
	}
	return Outside
}

// itself tells whether a peer is the server itself, as a content filter is.
func itself(a netip.Addr) bool {
	return a.Unmap() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}

// came notes by which way a message came.
func (m *message) came(e *entry, j *join) {
	m.peer, m.handed, m.port, m.origin = e.from, e.handed, e.port, from(e)
	if len(e.user) > 0 {
		m.user = j.text(e.user)
	}
}

// arrive takes a whole message in.
func (j *join) arrive(e *entry, emit func(*Record)) {
	if e.lasting {
		if m := j.known(e.key); m != nil { // another service of the server took it over
			m.accepted = false
			j.accept(m, e, emit)
			return
		}
	}
	m := j.fresh(e)
	m.size = e.size
	if e.sender != nil {
		m.sender = j.text(e.sender)
	}
	m.came(e, j)
	j.name(m, e)
	j.accept(m, e, emit)
}

// accept tells, once, that a message was taken over, with its recipients if they
// are known.
func (j *join) accept(m *message, e *entry, emit func(*Record)) {
	if m.accepted || m.again || m.origin == Internal {
		return
	}
	m.accepted = true
	all := e.recipients
	for {
		to, rest := nextAddress(all, e.sep)
		all = rest
		if len(to) == 0 && len(e.recipients) > 0 {
			return
		}
		j.out = m.record(e, Accepted)
		if len(to) > 0 {
			j.out.Recipient = to
			j.tell(m, to, Accepted)
		}
		emit(&j.out)
		if len(to) == 0 {
			return
		}
	}
}

// name takes a Message-ID in.
func (j *join) name(m *message, e *entry) {
	m.client = nil
	if len(e.messageID) == 0 {
		return
	}
	id := maphash.Bytes(seed, e.messageID)
	if m.id != 0 && m.id != id {
		j.byID.drop(m.id, m)
		if j.part != nil {
			j.part.tangled = true
		}
	}
	m.id = id
	first := j.byID.get(id)
	switch {
	case first == nil || first.gone:
		j.byID.put(id, m)
		if j.part != nil {
			j.part.names = append(j.part.names, nameOf{line: j.line, id: id})
			m.name = len(j.part.names)
		}
	case first != m:
		if j.part != nil {
			j.part.names[first.name-1].shared = true
		}
		if m.handed {
			j.continues(m, first)
		}
	}
}

// continues makes a message the same as one before it.
func (j *join) continues(m, first *message) {
	if m == first {
		return
	}
	j.back = true
	if first.to == &first.own {
		first.to = &recipients{each: slices.Clone(first.own.each)}
	}
	m.again, m.peer, m.handed, m.user, m.port, m.origin, m.to = true, first.peer, first.handed, first.user, first.port, first.origin, first.to
	if first.sender != nil {
		m.sender, m.size = first.sender, first.size
	}
}

func (j *join) outcome(e *entry, emit func(*Record)) {
	m := j.get(e, Unknown)
	if m.sender == nil && e.sender != nil {
		m.sender = j.text(e.sender)
	}
	if m.origin == Unknown && e.auth {
		m.origin = Submitted
	}
	m.size = cmp.Or(m.size, e.size)
	if j.back && e.event == Delivered && e.nextIn != nil {
		// Handed to a filter: what comes of it is told by the message it hands back.
		if next := j.find(e.host, e.nextIn(e.reply)); next != nil && next != m && next.again && next.to == m.to {
			return
		}
	}
	if len(e.recipients) == 0 {
		j.became(m, e, e.recipient, emit)
	}
	for all := e.recipients; ; {
		to, rest := nextAddress(all, e.sep)
		if all = rest; len(to) == 0 {
			return
		}
		j.became(m, e, to, emit)
	}
}

// became tells what became of a message for a recipient. Of one that was put in for
// another, as an alias, it is told of that other; but what a user of this server
// submits is always put in for that user.
func (j *join) became(m *message, e *entry, to []byte, emit func(*Record)) {
	if len(e.original) > 0 && m.origin != Submitted && !bytes.Equal(e.original, m.sender) {
		to = e.original
	}
	j.out = m.record(e, e.event)
	j.out.Recipient, j.out.Status = to, e.status
	if len(to) > 0 {
		j.tell(m, to, e.event)
	}
	emit(&j.out)
}

func (m *message) record(e *entry, event Event) Record {
	return Record{At: e.at, Event: event, Origin: m.origin, Queue: e.queue, Sender: m.sender, Size: m.size, Peer: m.peer, User: m.user, Port: m.port}
}

// tell notes an event of a recipient in the record to come.
func (j *join) tell(m *message, recipient []byte, event Event) {
	hash := maphash.Bytes(seed, recipient)
	for i := range m.to.each {
		if t := &m.to.each[i]; t.hash == hash {
			j.out.domain = t.domain
			j.out.Again = t.events&(1<<event) != 0
			t.events |= 1 << event
			return
		}
	}
	j.key = lowerDomain(j.key[:0], recipient)
	domain := maphash.Bytes(seed, j.key)
	j.out.First, j.out.Domain, j.out.domain = true, true, domain
	for i := range m.to.each {
		j.out.Domain = j.out.Domain && m.to.each[i].domain != domain
	}
	if len(m.to.each) < maxNamed {
		m.to.each = append(m.to.each, told{hash, domain, 1 << event})
	}
}

// expand notes that recipients were put in the place of others, or others in theirs: if
// some were told of before, all of them were, as it counts who was addressed.
func (j *join) expand(e *entry) {
	m := j.known(e.key)
	if m == nil {
		return
	}
	told := false
	j.each(e, func(address []byte) {
		hash := maphash.Bytes(seed, address)
		for i := range m.to.each {
			told = told || m.to.each[i].hash == hash
		}
	})
	if told {
		j.each(e, func(address []byte) { j.tell(m, address, 0) })
	}
}

// each gives all addresses of an expansion.
func (j *join) each(e *entry, do func(address []byte)) {
	for _, all := range [...][]byte{e.recipients, e.original} {
		for len(all) > 0 {
			var address []byte
			if address, all = nextAddress(all, e.sep); len(address) > 0 {
				do(address)
			}
		}
	}
}
