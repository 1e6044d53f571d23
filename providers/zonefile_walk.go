package providers

import (
	"strconv"
	"strings"
)

// A fileWalk goes through the main file's entries as a server would, and writes
// an owner or a TTL out where a line would no longer take over the right one.
type fileWalk struct {
	*fileChange
	p     patches
	rule  ttlRule
	owner string
	spelt map[string]spelling // by owner: how it was written last
}

// A spelling is a name as the file writes it, which counts under its origin.
type spelling struct{ text, origin string }

// walk gives the patches of all but the serial.
func (ch *fileChange) walk() patches {
	w := &fileWalk{fileChange: ch, spelt: map[string]spelling{}}
	f := ch.z.main
	for i := range f.entries {
		e := &f.entries[i]
		if ch.z.of[i] < 0 {
			w.directive(e, i)
			continue
		}
		rec := &ch.z.records[ch.z.of[i]]
		if rec.owned {
			w.spelt[rec.owner] = spelling{f.word(e, 0), rec.origin}
		}
		if ch.gone[i] {
			w.p.replace(e.start, e.end, "")
		} else {
			w.record(rec, e)
		}
		for _, line := range ch.insert[i] {
			w.line(e, line)
		}
	}
	return w.p
}

func (w *fileWalk) directive(e *fileEntry, i int) {
	if rule, ok := w.z.rules[i]; ok { // what it leaves behind does not depend on the lines above
		w.rule.unsure = rule.unsure
		return
	}
	if strings.EqualFold(w.z.main.word(e, 0), "$TTL") {
		if ttl, err := fileTTL(w.z.main.word(e, 1)); err == nil {
			w.rule.def, w.rule.hasDef, w.rule.unsure = ttl, true, false
		}
	}
}

// record keeps a record, or changes it.
func (w *fileWalk) record(rec *fileRecord, e *fileEntry) {
	want := rec.ttl
	if w.ttl[rec.entry] {
		want = w.c.After.TTL
	}
	if data, ok := w.data[rec.entry]; ok && !w.setData(rec, e, data) {
		w.whole(rec, e, data, want)
		return
	}
	if !rec.owned && w.owner != rec.owner {
		w.setOwner(rec, e)
	}
	w.owner = rec.owner
	implied, ok := w.rule.implied()
	switch {
	case rec.ttlWord >= 0:
		if want != rec.ttl {
			w.p.replace(e.words[rec.ttlWord].start, e.words[rec.ttlWord].end, seconds(want))
		}
		w.rule.wrote(want)
	case rec.typ == "SOA" && !ok:
		w.rule.def, w.rule.hasDef = want, true
	case !ok || implied != want:
		at := e.words[rec.typeWord].start
		if rec.classWord >= 0 {
			at = e.words[rec.classWord].start
		}
		gap := " "
		if at > 0 && w.z.main.text[at-1] == '\t' {
			gap = "\t"
		}
		w.p.replace(at, at, seconds(want)+gap)
		w.rule.wrote(want)
	}
}

func seconds(ttl uint32) string { return strconv.FormatUint(uint64(ttl), 10) }

// spell writes an owner as the file did, where that still means the same.
func (w *fileWalk) spell(owner, origin string) string {
	if s, ok := w.spelt[owner]; ok && s.origin == origin {
		return s.text
	}
	w.spelt[owner] = spelling{owner, origin}
	return owner
}

// setOwner writes the owner in front of a line that began with white space. It
// takes the place of spaces, so that columns stay, where there are enough.
func (w *fileWalk) setOwner(rec *fileRecord, e *fileEntry) {
	name := w.spell(rec.owner, rec.origin)
	n := int32(0)
	for int(n) < len(name) && w.z.main.text[e.start+n] == ' ' {
		n++
	}
	if b := w.z.main.text[e.start+n]; int(n) < len(name) || b != ' ' && b != '\t' {
		n = 0
	}
	w.p.replace(e.start, e.start+n, name)
}

// setData puts other data in the place of a record's, word for word if there are
// as many. It tells false where comments or parentheses stand in the way.
func (w *fileWalk) setData(rec *fileRecord, e *fileEntry, data string) bool {
	f := w.z.main
	now, k := e.words[rec.typeWord+1:], rec.typeWord+1
	cut, err := cutFile("", []byte(data))
	if err != nil || len(cut.entries) != 1 || len(now) == 0 || f.word(e, k) == `\#` || !strings.EqualFold(f.word(e, rec.typeWord), rec.typ) {
		return false
	}
	want := &cut.entries[0]
	if len(want.words) == len(now) && glued(now) == glued(want.words) {
		for i := range now {
			if text := cut.word(want, i); text != f.word(e, k+i) {
				w.p.replace(now[i].start, now[i].end, text)
			}
		}
		return true
	}
	first, last := now[0].start, now[len(now)-1].end
	for i := range now[1:] {
		if strings.Trim(string(f.text[now[i].end:now[i+1].start]), " \t") != "" {
			return false
		}
	}
	w.p.replace(first, last, data)
	return true
}

// glued tells whether words stand together without a blank.
func glued(words []fileWord) bool {
	for i := 1; i < len(words); i++ {
		if words[i-1].end == words[i].start {
			return true
		}
	}
	return false
}

// whole writes an entry anew, in one line.
func (w *fileWalk) whole(rec *fileRecord, e *fileEntry, data string, ttl uint32) {
	text := w.compose(rec, e, rec.owner, data, ttl)
	if w.z.main.text[e.end-1] == '\n' {
		text += w.z.main.newline(e.end)
	}
	w.p.replace(e.start, e.end, text)
}

// line puts a new line after an entry.
func (w *fileWalk) line(e *fileEntry, l insertedLine) {
	f := w.z.main
	like := &f.entries[l.like.entry]
	text := w.compose(l.like, like, w.c.After.Name, l.data, w.c.After.TTL)
	nl := f.newline(e.end)
	if f.text[e.end-1] == '\n' {
		text += nl
	} else {
		text = nl + text
	}
	w.p.replace(e.end, e.end, text)
}

// compose writes a record in the manner of another: the same words before the
// type, the same white space, a TTL where it needs one.
func (w *fileWalk) compose(like *fileRecord, e *fileEntry, owner, data string, ttl uint32) string {
	f := w.z.main
	var b strings.Builder
	k := 0
	lead := string(f.text[e.start:e.words[0].start])
	if strings.Trim(lead, " \t") != "" {
		lead = "\t"
	}
	switch {
	case like.owned && like.owner == owner:
		b.WriteString(f.word(e, 0) + w.gap(e, 0))
	case like.owned:
		b.WriteString(owner + w.gap(e, 0))
	case like.owner == owner && w.owner == owner:
		b.WriteString(lead)
	default:
		b.WriteString(w.spell(owner, like.origin) + "\t")
	}
	if like.owned {
		k = 1
	}
	implied, ok := w.rule.implied()
	if like.ttlWord < 0 && (!ok || implied != ttl) {
		b.WriteString(seconds(ttl) + w.gap(e, like.typeWord))
		w.rule.wrote(ttl)
	}
	for ; k < like.typeWord; k++ {
		word := f.word(e, k)
		if k == like.ttlWord {
			word = seconds(ttl)
			w.rule.wrote(ttl)
		}
		b.WriteString(word + w.gap(e, k))
	}
	b.WriteString(w.c.After.Type + w.gap(e, like.typeWord) + data)
	w.owner = owner
	return b.String()
}

// gap is the white space after a word.
func (w *fileWalk) gap(e *fileEntry, i int) string {
	if i+1 >= len(e.words) {
		return " "
	}
	s := string(w.z.main.text[e.words[i].end:e.words[i+1].start])
	if s == "" || strings.Trim(s, " \t") != "" {
		return "\t"
	}
	return s
}
