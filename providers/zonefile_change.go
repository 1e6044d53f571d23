package providers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// A fileChange is what an RRset's change does to the lines of its master file.
// The file is then gone through once, and written anew only where it must be.
type fileChange struct {
	z      *fileZone
	c      rrset.Change
	gone   map[int]bool           // entries that are taken out
	data   map[int]string         // entries whose data is another
	ttl    map[int]bool           // entries whose TTL is After's
	insert map[int][]insertedLine // lines after an entry
}

// An insertedLine is written like another.
type insertedLine struct {
	like *fileRecord
	data string
}

// change is the text of the zone's file with an RRset changed from Before, which
// must be what is there, and with the serial set. Only the RRset's lines, the
// serial, and lines that took their owner or TTL from one that went differ.
func (z *fileZone) change(c rrset.Change, serial func(old uint32) uint32) ([]byte, error) {
	ch := &fileChange{z: z, c: c, gone: map[int]bool{}, data: map[int]string{}, ttl: map[int]bool{}, insert: map[int][]insertedLine{}}
	if err := ch.decide(); err != nil {
		return nil, err
	}
	soa, old, err := z.soa()
	if err != nil {
		return nil, err
	}
	if soa.file != z.main || soa.made != nil {
		return nil, fmt.Errorf("the SOA record stands in the included file %s, which is not written; move it to %s", soa.file.path, z.main.path)
	}
	next := serial(old.Serial)
	p := ch.walk()
	at := z.main.entries[soa.entry].words[soa.typeWord+3]
	p.replace(at.start, at.end, strconv.FormatUint(uint64(next), 10))
	text := p.apply(z.main.text)
	return text, z.check(text, c, next)
}

// decide says what happens to which line.
func (ch *fileChange) decide() error {
	members := ch.z.membersOf(ch.c.After.Name, ch.c.After.Type)
	var old, kept []*fileRecord
	added := slices.Clone(ch.c.After.Data)
	for _, m := range members {
		if err := ch.writable(m); err != nil {
			return err
		}
		rr, err := m.rr()
		if err != nil {
			return err
		}
		data, err := dataOf(rr)
		if err != nil {
			return err
		}
		if slices.Contains(ch.c.After.Data, data) {
			kept = append(kept, m)
			added = slices.DeleteFunc(added, func(d string) bool { return d == data })
			continue
		}
		old = append(old, m)
	}
	for _, m := range kept {
		ch.ttl[m.entry] = true
	}
	n := min(len(old), len(added))
	for i, m := range old[:n] {
		ch.data[m.entry], ch.ttl[m.entry] = added[i], true
	}
	for _, m := range old[n:] {
		ch.gone[m.entry] = true
	}
	if len(added) > n {
		like := ch.place(append(kept, old[:n]...))
		if like == nil {
			return fmt.Errorf("%s has no record beside which a new one could stand", ch.z.main.path)
		}
		for _, d := range added[n:] {
			ch.insert[like.entry] = append(ch.insert[like.entry], insertedLine{like, d})
		}
	}
	return nil
}

// writable refuses a line that is not the file's own.
func (ch *fileChange) writable(m *fileRecord) error {
	where := m.file.at(&m.file.entries[m.entry])
	switch {
	case m.made != nil:
		return fmt.Errorf("%s: %s %s is made by a $GENERATE, which is not taken apart; write its records one by one", where, m.owner, m.typ)
	case m.file != ch.z.main:
		return fmt.Errorf("%s: %s %s stands in an included file, which is not written; move it to %s", where, m.owner, m.typ, ch.z.main.path)
	}
	return nil
}

// place is the record after which new ones stand: the RRset's last, else the
// name's last, else the file's last.
func (ch *fileChange) place(members []*fileRecord) *fileRecord {
	var like *fileRecord
	later := func(rec *fileRecord) {
		if rec.file == ch.z.main && rec.made == nil && !ch.gone[rec.entry] && (like == nil || rec.entry > like.entry) {
			like = rec
		}
	}
	for _, m := range members {
		later(m)
	}
	if like != nil {
		return like
	}
	for _, i := range ch.z.at(ch.c.After.Name) {
		later(&ch.z.records[i])
	}
	if like != nil {
		return like
	}
	for i := range ch.z.records {
		later(&ch.z.records[i])
	}
	return like
}

// patches are replacements in a text, none within another.
type patches []patch

type patch struct {
	start, end int32
	text       string
}

func (p *patches) replace(start, end int32, text string) { *p = append(*p, patch{start, end, text}) }

// apply makes the new text. A file that did not end in a newline still does not.
func (p patches) apply(text []byte) []byte {
	slices.SortStableFunc(p, func(a, b patch) int { return cmp.Compare(a.start, b.start) })
	out := make([]byte, 0, len(text)+64*len(p))
	at := int32(0)
	for _, x := range p {
		out = append(out, text[at:x.start]...)
		out = append(out, x.text...)
		at = x.end
	}
	out = append(out, text[at:]...)
	if len(text) > 0 && text[len(text)-1] != '\n' && len(out) > 0 && out[len(out)-1] == '\n' {
		out = out[:len(out)-1]
		if len(out) > 0 && out[len(out)-1] == '\r' {
			out = out[:len(out)-1]
		}
	}
	return out
}

var errOtherwise = errors.New("the new text would mean something else than it should, so nothing is written; change the record by hand")

// check reads the new text, and compares all that it means with what was there.
func (z *fileZone) check(text []byte, c rrset.Change, serial uint32) error {
	main, err := cutFile(z.main.path, text)
	if err != nil {
		return fmt.Errorf("%w (%w)", errOtherwise, err)
	}
	parts := z.parts
	now, err := readFileZone(z.zone, main, func(string) (*fileText, error) {
		if len(parts) == 0 {
			return nil, errOtherwise
		}
		part := parts[0]
		parts = parts[1:]
		return part, nil
	})
	if err != nil {
		return fmt.Errorf("%w (%w)", errOtherwise, err)
	}
	w, err := newWanted(c.Zone, c.After.Name, c.After.Type)
	if err != nil {
		return err
	}
	got, err := now.set(w)
	if err != nil || !got.Equal(c.After) {
		return fmt.Errorf("%w (%v)", errOtherwise, got)
	}
	_, soa, err := now.soa()
	if err != nil || soa.Serial != serial {
		return errOtherwise
	}
	if !slices.Equal(z.others(c.After), now.others(c.After)) {
		return errOtherwise
	}
	return nil
}

// others are all records but an RRset's, in order, and without the serial.
func (z *fileZone) others(but rrset.Set) (out []string) {
	for i := range z.records {
		rec := &z.records[i]
		if rec.owner == but.Name && rec.typ == but.Type {
			continue
		}
		data := ""
		if rec.made != nil {
			data = rec.made.String()
		} else {
			data = rec.file.rest(&rec.file.entries[rec.entry], rec.typeWord+1)
		}
		if rec.typ == "SOA" && rec.owner == z.zone {
			words := strings.Fields(data)
			if len(words) > 2 {
				words[2] = ""
			}
			data = strings.Join(words, " ")
		}
		out = append(out, fmt.Sprintf("%s %d %s %s in %s", rec.owner, rec.ttl, rec.typ, data, rec.origin))
	}
	return out
}
