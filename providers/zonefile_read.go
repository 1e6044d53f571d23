package providers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// generate makes the records of BIND's $GENERATE, which are kept as the directive
// that makes them.
func (r *fileReader) generate(f *fileText, i int, origin string) error {
	e := &f.entries[i]
	if len(e.words) < 5 {
		return errors.New("$GENERATE wants a range, a name, a type and data")
	}
	rec := fileRecord{file: f, entry: i, origin: origin, ttlWord: -1, classWord: -1}
	k, err := r.prelude(&rec, 3)
	if err != nil {
		return err
	}
	if rec.ttlWord < 0 {
		ttl, ok := r.rule.implied()
		if !ok {
			return errors.New("the $GENERATE has no TTL, and there is no $TTL above it")
		}
		rec.ttl = ttl
	}
	if !r.rule.hasDef {
		r.rule.unsure = true
	}
	text := fmt.Sprintf("$GENERATE %s %s %d IN %s\n", f.word(e, 1), f.word(e, 2), rec.ttl, f.rest(e, k))
	p := dns.NewZoneParser(strings.NewReader(text), origin, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		owner, err := rrset.CanonicalName(rr.Header().Name)
		if err != nil {
			return err
		}
		made := rec
		made.owner, made.typ, made.made = owner, dns.Type(rr.Header().Rrtype).String(), rr
		r.z.records = append(r.z.records, made)
	}
	if p.Err() != nil {
		return errors.New("the $GENERATE cannot be read; write its records one by one")
	}
	return nil
}

// set is the RRset at exactly this name.
func (z *fileZone) set(w wanted) (rrset.Set, error) {
	if err := z.within(w.name); err != nil {
		return rrset.Set{}, err
	}
	typ := dns.Type(w.typ).String()
	var rrs []dns.RR
	for _, rec := range z.membersOf(w.name, typ) {
		rr, err := rec.rr()
		if err != nil {
			return rrset.Set{}, err
		}
		rrs = append(rrs, rr)
	}
	if len(rrs) > 0 {
		return setOf(w.name, w.typ, rrs)
	}
	if w.typ != dns.TypeCNAME && len(z.membersOf(w.name, "CNAME")) > 0 {
		return rrset.Set{}, aliasError(w.name)
	}
	return w.absent(), nil
}

// membersOf lists the records of an RRset in the file's order.
func (z *fileZone) membersOf(name, typ string) (out []*fileRecord) {
	for _, i := range z.at(name) {
		if rec := &z.records[i]; rec.typ == typ {
			out = append(out, rec)
		}
	}
	return out
}

// within checks that the zone answers for a name itself: no other zone begins at
// it or above, and no DNAME stands above.
func (z *fileZone) within(name string) error {
	for at := name; at != z.zone; at = rrset.Parent(at) {
		if len(z.membersOf(at, "NS")) > 0 {
			return fmt.Errorf("%s: another zone begins at %s (its NS records are in %s)", name, at, z.main.path)
		}
		if up := rrset.Parent(at); len(z.membersOf(up, "DNAME")) > 0 {
			return fmt.Errorf("%s is redirected by the DNAME at %s (RFC 6672)", name, up)
		}
	}
	return nil
}

// sets are all RRsets of the zone; signatures are left out.
func (z *fileZone) sets() ([]rrset.Set, error) {
	g := newGrouping(len(z.records))
	err := z.each(func(rec *fileRecord, rr dns.RR) error {
		data, err := dataOf(rr)
		if err != nil {
			return err
		}
		g.add(rec.owner, rec.typ, rec.ttl, data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g.sets()
}

// each goes through the records that lie in the zone, signatures apart.
func (z *fileZone) each(do func(rec *fileRecord, rr dns.RR) error) error {
	for i := range z.records {
		rec := &z.records[i]
		if !rrset.Below(rec.owner, z.zone) || signing(rec.typ) {
			continue
		}
		rr, err := rec.rr()
		if err != nil {
			return err
		}
		if err := do(rec, rr); err != nil {
			return err
		}
	}
	return nil
}

// signing tells whether records of a type only sign others (RFC 4034, RFC 5155).
func signing(typ string) bool { return typ == "RRSIG" || typ == "NSEC" || typ == "NSEC3" }

// soa is the zone's one SOA record, which its own file must hold to be written.
func (z *fileZone) soa() (*fileRecord, *dns.SOA, error) {
	var all []*fileRecord
	for i := range z.records {
		if rec := &z.records[i]; rec.typ == "SOA" && rec.owner == z.zone {
			all = append(all, rec)
		}
	}
	if len(all) != 1 {
		return nil, nil, fmt.Errorf("%s has %d SOA records of %s; one was expected", z.main.path, len(all), rrset.Bare(z.zone))
	}
	rec := all[0]
	rr, err := rec.rr()
	if err != nil {
		return nil, nil, err
	}
	soa, ok := rr.(*dns.SOA)
	if e := &rec.file.entries[rec.entry]; !ok || rec.made == nil && len(e.words) != rec.typeWord+1+soaFields {
		return nil, nil, fmt.Errorf("%s: the SOA record has not %d fields (RFC 1035 section 3.3.13)", rec.file.at(e), soaFields)
	}
	return rec, soa, nil
}

const soaFields = 7
