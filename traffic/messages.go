package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
)

type message struct {
	key      uint64
	begun    uint64 // the line of the log
	id       uint64 // of its Message-ID
	sender   []byte // nil = not told
	size     int64
	peer     netip.Addr
	user     []byte
	port     uint16
	origin   Origin
	handed   bool // over by a peer on this machine, which may be a filter
	accepted bool // told
	again    bool // a filter handed it back
	gone     bool
	to       *recipients // own, unless they are shared
	own      recipients

	// In a part of a log:
	client *entry // the line of a client that may be a filter, and nothing since
	name   int    // from 1: in the part's names
}

// recipients are a message's, shared with the message that a filter hands back.
type recipients struct {
	each []told
	few  [2]told // room for most
}

// told is what was told of one recipient.
type told struct {
	hash   uint64 // of the address
	domain uint64 // of its domain, in lower case
	events uint8  // 1<<Event
}

// messages are found by a hash: of host and queue id, or of a Message-ID. A table of
// our own, since each line of a log asks it once at least.
type messages struct {
	slots []slot // a power of two, at least half of them without a key
	shift int    // of a hash, to its slot
	keys  int    // slots with one
	n     int    // slots with a message
}

type slot struct {
	key uint64 // 0 = none
	m   *message
}

// newMessages has room for so many without growing.
func newMessages(n int) messages {
	t := messages{shift: 64 - 4}
	for 1<<(64-t.shift) < 2*n {
		t.shift--
	}
	t.slots = make([]slot, 1<<(64-t.shift))
	return t
}

// reset empties a table, and has room for so many.
func (t *messages) reset(n int) {
	if len(t.slots) < max(2*n, 1) || len(t.slots) > 8*max(n, 64) {
		*t = newMessages(n)
		return
	}
	clear(t.slots)
	t.keys, t.n = 0, 0
}

// find is the slot of a hash, or the free one that it would have.
func (t *messages) find(key uint64) *slot {
	key |= 1 // never 0
	for i := key >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; s.key == key || s.key == 0 {
			return s
		}
	}
}

// get gives a message; nil = there is none.
func (t *messages) get(key uint64) *message { return t.find(key).m }

// put takes a message in, or with nil forgets one, and gives what was in its place.
func (t *messages) put(key uint64, m *message) (old *message) {
	s := t.find(key)
	old, s.m = s.m, m
	switch {
	case old == nil && m != nil:
		t.n++
	case old != nil && m == nil:
		t.n--
	}
	if s.key == 0 {
		s.key = key | 1
		if t.keys++; t.keys > len(t.slots)/2 {
			t.grow()
		}
	}
	return old
}

// drop forgets a message, if it is the one of that hash.
func (t *messages) drop(key uint64, m *message) {
	if s := t.find(key); s.m == m {
		s.m = nil
		t.n--
	}
}

// grow makes room, and forgets the hashes of which there is no message any more.
func (t *messages) grow() {
	all := t.slots
	*t = newMessages(max(2*t.n, len(all)/4))
	for _, s := range all {
		if s.m != nil {
			*t.find(s.key) = s
			t.keys++
			t.n++
		}
	}
}

// all gives each message.
func (t *messages) all() iter.Seq[*message] {
	return func(yield func(*message) bool) {
		for i := range t.slots {
			if m := t.slots[i].m; m != nil && !yield(m) {
				return
			}
		}
	}
}

// hash is that of a host and a queue id. The host is nearly always the last one.
func (j *join) hash(host, id []byte) uint64 {
	if len(host) == 0 {
		return maphash.Bytes(seed, id)
	}
	if !bytes.Equal(host, j.host) {
		j.host = append(j.host[:0], host...)
		j.ofHost = maphash.Bytes(seed, host)
	}
	return maphash.Bytes(seed, id) ^ bits.RotateLeft64(j.ofHost, 32)
}

// find gives a message under way; nil = there is none of that id.
func (j *join) find(host, id []byte) *message {
	return j.known(j.hash(host, id))
}

// known is find, of a hash.
func (j *join) known(key uint64) *message {
	if m := j.open.get(key); m != nil && !m.gone {
		m.client = nil
		return m
	}
	return nil
}

// get is find, or a message of which nothing was told before.
func (j *join) get(e *entry, origin Origin) *message {
	if m := j.known(e.key); m != nil {
		return m
	}
	m := j.fresh(e)
	m.origin = origin
	return m
}

// fresh begins a message. One of the same id, which servers use again, is over.
func (j *join) fresh(e *entry) *message {
	var m *message
	if j.part == nil {
		j.room(e.key)
		m = &message{}
	} else {
		m = j.part.room()
	}
	m.key, m.begun, m.to = e.key, j.line, &m.own
	m.own.each = m.own.few[:0]
	old := j.open.put(m.key, m)
	if j.part != nil {
		j.part.begin(m, old)
	}
	if old != nil && !old.gone {
		j.over(old)
	}
	return m
}

// room makes room for one more message. It forgets the older half of those under way,
// and not the oldest one, so that it is seldom and parts of a log can be joined apart.
func (j *join) room(key uint64) {
	if j.open.n < maxOpen || j.open.get(key) != nil {
		return
	}
	all := slices.SortedFunc(j.open.all(), func(a, b *message) int { return cmp.Compare(a.begun, b.begun) })
	for _, m := range all[:(len(all)+1)/2] {
		j.remove(m)
	}
}

// remove ends a message. In a part of a log it is remembered that it is over.
func (j *join) remove(m *message) {
	if j.part == nil {
		j.open.put(m.key, nil)
	} else {
		j.open.put(m.key, &j.part.gone)
	}
	j.over(m)
}

// over ends a message that is found no more.
func (j *join) over(m *message) {
	m.gone = true
	if m.id != 0 {
		j.byID.drop(m.id, m)
	}
	if j.part != nil {
		j.part.end(m)
	}
}
