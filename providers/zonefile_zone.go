package providers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// A fileZone is what a master file means: its records, in the file's order.
type fileZone struct {
	zone    string
	main    *fileText
	parts   []*fileText // included files, as they are met
	records []fileRecord
	of      []int32         // by entry of main: its record, or -1
	rules   map[int]ttlRule // by entry of main: what counts after an $INCLUDE or a $GENERATE
	signed  bool

	once  sync.Once
	named map[string][]int32 // by owner within the zone: its records; see at
}

// A fileRecord is one record, and where it is written.
type fileRecord struct {
	file          *fileText
	entry         int
	owner, origin string // canonical
	typ           string
	ttl           uint32
	owned         bool // the first word is its owner
	ttlWord       int  // which word is its TTL, its class, its type; -1 = left out
	classWord     int
	typeWord      int
	made          dns.RR // by a $GENERATE at this entry
}

// ttlRule is what an omitted TTL counts as: $TTL (RFC 2308 section 4), else the
// last one that was written (RFC 1035 section 5.1).
type ttlRule struct {
	def, last       uint32
	hasDef, hasLast bool
	unsure          bool // servers differ; see readInclude
}

func (r ttlRule) implied() (uint32, bool) {
	switch {
	case r.unsure:
		return 0, false
	case r.hasDef:
		return r.def, true
	}
	return r.last, r.hasLast
}

func (r *ttlRule) wrote(ttl uint32) {
	r.last, r.hasLast = ttl, true
	if !r.hasDef {
		r.unsure = false
	}
}

// maxIncludes bounds how deep files include each other.
const maxIncludes = 8

// A fileReader makes a zone of files.
type fileReader struct {
	z     *fileZone
	load  func(path string) (*fileText, error) // an included file
	rule  ttlRule
	depth int
}

// readFileZone makes out what a master file means. load reads what it includes.
func readFileZone(zone string, main *fileText, load func(path string) (*fileText, error)) (*fileZone, error) {
	z := &fileZone{zone: zone, main: main, rules: map[int]ttlRule{}, records: make([]fileRecord, 0, len(main.entries))}
	z.of = slices.Repeat([]int32{-1}, len(main.entries))
	r := &fileReader{z: z, load: load}
	if err := r.read(main, zone); err != nil {
		return nil, err
	}
	for i := range z.records {
		rec := &z.records[i]
		if rec.file == main && rec.made == nil {
			z.of[rec.entry] = int32(i)
		}
		z.signed = z.signed || signing(rec.typ) || rec.typ == "NSEC3PARAM"
	}
	return z, nil
}

// at lists the records at a name within the zone: servers ignore what lies outside.
// Who reads a whole zone needs no list.
func (z *fileZone) at(name string) []int32 {
	z.once.Do(func() {
		z.named = make(map[string][]int32, len(z.records))
		for i := range z.records {
			if owner := z.records[i].owner; rrset.Below(owner, z.zone) {
				z.named[owner] = append(z.named[owner], int32(i))
			}
		}
	})
	return z.named[name]
}

// read reads one file. Neither its origin nor its last owner is left to the file
// that includes it.
func (r *fileReader) read(f *fileText, origin string) error {
	owner := ""
	for i := range f.entries {
		e := &f.entries[i]
		if f.text[e.words[0].start] == '$' && !e.blank {
			o, err := r.directive(f, i, origin)
			if err != nil {
				return fmt.Errorf("%s: %w", f.at(e), err)
			}
			origin = o
			continue
		}
		rec, err := r.record(f, i, origin, owner)
		if err != nil {
			return fmt.Errorf("%s: %w", f.at(e), err)
		}
		owner = rec.owner
		r.z.records = append(r.z.records, rec)
	}
	return nil
}

// directive carries a directive out; it tells the origin afterwards.
func (r *fileReader) directive(f *fileText, i int, origin string) (string, error) {
	e := &f.entries[i]
	word := strings.ToUpper(f.word(e, 0))
	if len(e.words) < 2 {
		return origin, fmt.Errorf("%s has no value", word)
	}
	switch value := f.word(e, 1); word {
	case "$ORIGIN":
		return absoluteIn(value, origin)
	case "$TTL":
		ttl, err := fileTTL(value)
		r.rule = ttlRule{def: ttl, hasDef: true, last: r.rule.last, hasLast: r.rule.hasLast}
		return origin, err
	case "$INCLUDE":
		err := r.include(f, e, origin)
		r.remember(f, i)
		return origin, err
	case "$GENERATE":
		err := r.generate(f, i, origin)
		r.remember(f, i)
		return origin, err
	}
	return origin, fmt.Errorf("the directive %.40q is not known", word)
}

func (r *fileReader) remember(f *fileText, i int) {
	if f == r.z.main {
		r.z.rules[i] = r.rule
	}
}

// include reads another file in its place. Whether a $TTL in it counts after it,
// and what was written last, is not the same at all servers: an omitted TTL after
// it is then refused.
func (r *fileReader) include(f *fileText, e *fileEntry, origin string) error {
	if r.depth == maxIncludes {
		return fmt.Errorf("files include each other more than %d deep", maxIncludes)
	}
	if len(e.words) > 2 {
		o, err := absoluteIn(f.word(e, 2), origin)
		if err != nil {
			return err
		}
		origin = o
	}
	part, err := r.load(strings.Trim(f.word(e, 1), `"`))
	if err != nil {
		return err
	}
	r.z.parts = append(r.z.parts, part)
	before := r.rule
	r.depth++
	err = r.read(part, origin)
	r.depth--
	if !before.hasDef || r.rule.def != before.def {
		r.rule.unsure = true
	}
	return err
}

var errNoOwner = errors.New("the first record has no owner")

// record reads the words before a record's data.
func (r *fileReader) record(f *fileText, i int, origin, last string) (fileRecord, error) {
	e := &f.entries[i]
	rec := fileRecord{file: f, entry: i, origin: origin, owner: last, ttlWord: -1, classWord: -1}
	k := 0
	if !e.blank {
		if e.words[0].start != e.start || f.text[e.start] == '"' {
			return rec, errors.New("the line begins with a parenthesis or a quote where a name was expected")
		}
		name, err := absoluteIn(f.word(e, 0), origin)
		if err != nil {
			return rec, err
		}
		rec.owner, rec.owned, k = name, true, 1
	}
	if rec.owner == "" {
		return rec, errNoOwner
	}
	k, err := r.prelude(&rec, k)
	if err != nil {
		return rec, err
	}
	rec.typeWord = k
	if rec.typ, err = fileType(f.word(e, k)); err != nil {
		return rec, err
	}
	if k+1 == len(e.words) {
		return rec, fmt.Errorf("%s %s has no data", rec.owner, rec.typ)
	}
	return rec, r.setTTL(&rec)
}

// fileType is a type by its name, or by its number (RFC 3597 section 5).
func fileType(word string) (string, error) {
	if digits, ok := strings.CutPrefix(strings.ToUpper(word), "TYPE"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			word = dns.Type(n).String()
		}
	}
	t, err := typeOf(word)
	return dns.Type(t).String(), err
}

// prelude reads TTL and class, in either order; it tells which word is the type.
func (r *fileReader) prelude(rec *fileRecord, k int) (int, error) {
	f, e := rec.file, &rec.file.entries[rec.entry]
	for ; k < len(e.words); k++ {
		word := f.word(e, k)
		upper := strings.ToUpper(word)
		switch {
		case rec.ttlWord < 0 && word[0] >= '0' && word[0] <= '9':
			ttl, err := fileTTL(word)
			if err != nil {
				return k, err
			}
			rec.ttl, rec.ttlWord = ttl, k
		case rec.classWord < 0 && (upper == "IN" || upper == "CLASS1"):
			rec.classWord = k
		case upper == "CH" || upper == "HS" || upper == "CS" || strings.HasPrefix(upper, "CLASS"):
			return k, fmt.Errorf("the class %.20s is not the Internet's", word)
		default:
			return k, nil
		}
	}
	return k, errors.New("the record has no type")
}

// setTTL gives a record its TTL, and the rule what the record means for the next.
func (r *fileReader) setTTL(rec *fileRecord) error {
	if rec.ttlWord >= 0 {
		r.rule.wrote(rec.ttl)
		return nil
	}
	ttl, ok := r.rule.implied()
	switch {
	case ok:
		rec.ttl = ttl
		return nil
	case r.rule.unsure:
		return errors.New("the record has no TTL, and servers differ on which one it has after an included file or a $GENERATE; write it")
	case rec.typ != "SOA":
		return errors.New("the record has no TTL, and there is no $TTL above it (RFC 2308 section 4)")
	}
	rr, err := rec.rr() // without any, the SOA's last field counts (RFC 1035 section 3.3.13)
	if err != nil {
		return err
	}
	if soa, ok := rr.(*dns.SOA); ok {
		rec.ttl = min(soa.Minttl, rrset.MaxTTL)
		r.rule.def, r.rule.hasDef = rec.ttl, true
	}
	return nil
}

// rr is the record, with its names made absolute.
func (rec *fileRecord) rr() (dns.RR, error) {
	if rec.made != nil {
		return rec.made, nil
	}
	f, e := rec.file, &rec.file.entries[rec.entry]
	text := fmt.Sprintf("x. %d IN %s %s\n", rec.ttl, rec.typ, f.rest(e, rec.typeWord+1))
	p := dns.NewZoneParser(strings.NewReader(text), rec.origin, "")
	rr, ok := p.Next()
	if !ok || p.Err() != nil {
		return nil, fmt.Errorf("%s: the data of %s %s cannot be read (RFC 1035 section 5.1)", f.at(e), rec.owner, rec.typ)
	}
	rr.Header().Name, rr.Header().Ttl = rec.owner, rec.ttl
	return rr, nil
}

// absoluteIn is the canonical name of a word, given the origin.
func absoluteIn(word, origin string) (string, error) {
	switch {
	case word == "@":
		return origin, nil
	case strings.HasPrefix(word, `"`):
		return "", errors.New("a name stands in quotes")
	case endsInDot(word) || origin == ".":
		return rrset.CanonicalName(word)
	}
	return rrset.CanonicalName(word + "." + origin)
}

// endsInDot tells whether the final dot is none of a label's octets.
func endsInDot(word string) bool {
	if !strings.HasSuffix(word, ".") {
		return false
	}
	slashes := 0
	for i := len(word) - 2; i >= 0 && word[i] == '\\'; i-- {
		slashes++
	}
	return slashes%2 == 0
}

// fileTTL reads seconds, or BIND's way to write them: 1h30m, 2d, 1w.
func fileTTL(word string) (uint32, error) {
	var total, n uint64
	digits, units := false, false
	for _, c := range []byte(strings.ToLower(word)) {
		unit := map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[c]
		switch {
		case c >= '0' && c <= '9' && n <= rrset.MaxTTL:
			n, digits = n*10+uint64(c-'0'), true
			continue
		case unit == 0 || !digits:
			return 0, fmt.Errorf("%.40q is no TTL", word)
		}
		total, n, digits, units = total+n*unit, 0, false, true
		if total > rrset.MaxTTL {
			break
		}
	}
	if digits && units || !digits && !units {
		return 0, fmt.Errorf("%.40q is no TTL", word)
	}
	if total += n; total > rrset.MaxTTL {
		return 0, fmt.Errorf("the TTL %.40q is above %s (RFC 2181 section 8)", word, strconv.Itoa(rrset.MaxTTL))
	}
	return uint32(total), nil
}
