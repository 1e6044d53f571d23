package providers

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// wanted is an RRset to read.
type wanted struct {
	zone, name string // canonical
	typ        uint16
}

func newWanted(zone, name, typ string) (wanted, error) {
	var w wanted
	var err error
	if w.zone, err = rrset.CanonicalName(zone); err != nil {
		return w, err
	}
	if w.name, err = rrset.CanonicalName(name); err != nil {
		return w, err
	}
	if w.typ, err = typeOf(typ); err != nil {
		return w, err
	}
	if !rrset.Below(w.name, w.zone) {
		return w, fmt.Errorf("%s is not in zone %s", w.name, w.zone)
	}
	return w, nil
}

func (w wanted) absent() rrset.Set {
	return rrset.Set{Name: w.name, Type: dns.Type(w.typ).String()}
}

// read reads the RRset that exists at exactly this name in exactly this zone.
//
// An answer alone does not show that. It may have been synthesised from a
// wildcard, or come from a zone below that the same server holds. Both are told
// by asking for a random name below: if the name exists, nothing is synthesised
// there (RFC 4592 section 3.3.1), and the NXDOMAIN carries the zone's SOA.
func (s *session) read(ctx context.Context, w wanted) (rrset.Set, error) {
	asked := []question{{w.name, w.typ}}
	below, fits := s.below(w.name)
	if w.name != w.zone && fits {
		asked = append(asked, below)
	}
	replies, err := s.queries(ctx, asked...)
	if err != nil {
		return rrset.Set{}, err
	}
	set, alias, err := s.found(replies[0], w)
	switch {
	case err != nil || set.Absent() && !alias || w.name == w.zone:
		return set, err
	case !fits:
		return rrset.Set{}, s.tooLong(w.name)
	}
	there, err := s.exists(ctx, w.name, replies[1])
	switch {
	case err != nil:
		return rrset.Set{}, err
	case !there:
		return w.absent(), s.noCut(ctx, w.name)
	case alias:
		return rrset.Set{}, aliasError(w.name)
	}
	return set, nil
}

// found is what an answer has, and whether the name is an alias. That there is
// nothing must be said by the zone itself.
func (s *session) found(reply *dns.Msg, w wanted) (set rrset.Set, alias bool, err error) {
	set, alias, err = answered(reply, w)
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", s.where(s.zone), err)
	case set.Absent() && !alias:
		err = s.sameZone(reply, w.name)
	}
	return set, alias, err
}

// answered is the RRset in an answer, and whether the name is an alias. It does
// not know of wildcards.
func answered(reply *dns.Msg, w wanted) (set rrset.Set, alias bool, err error) {
	var rrs []dns.RR
	for _, rr := range reply.Answer {
		h := rr.Header()
		owner, err := rrset.CanonicalName(h.Name)
		switch {
		case err != nil:
			return w.absent(), false, err
		case h.Class != dns.ClassINET:
			return w.absent(), false, fmt.Errorf("an answer of class %s", dns.Class(h.Class))
		case h.Rrtype == dns.TypeDNAME && owner != w.name && rrset.Below(w.name, owner):
			return w.absent(), false, fmt.Errorf("%s is redirected by the DNAME at %s (RFC 6672)", w.name, owner)
		case owner != w.name:
		case h.Rrtype == w.typ:
			rrs = append(rrs, rr)
		case h.Rrtype == dns.TypeCNAME:
			alias = true
		}
	}
	if alias || len(rrs) == 0 {
		return w.absent(), alias, nil
	}
	set, err = setOf(w.name, w.typ, rrs)
	return set, false, err
}

// maxStars bounds how many wildcards one below the other are looked through.
const maxStars = 3

// exists tells whether a name exists in the zone, given that it was answered for,
// and the answer for a random name below. That is NXDOMAIN only then. If it is
// not, either the name does not exist and the same wildcard answered again, or
// there is a wildcard right below the name: then that one is looked at in the same
// way.
func (s *session) exists(ctx context.Context, name string, reply *dns.Msg) (bool, error) {
	for star := 1; ; star++ {
		if reply.Rcode == dns.RcodeNameError && len(reply.Answer) == 0 {
			return true, s.sameZone(reply, name)
		}
		if dnameAt(reply, name) { // its own redirection, of what lies below it
			return true, nil
		}
		if star == maxStars {
			return false, nil
		}
		name = "*." + name
		below, fits := s.below(name)
		if !fits {
			return false, s.tooLong(name)
		}
		var err error
		if reply, err = s.query(ctx, below.name, below.typ); err != nil {
			return false, err
		}
	}
}

// below asks for a random name below one; false: that is too long to have any.
func (s *session) below(name string) (question, bool) {
	below := strings.ToLower(rand.Text()[:16]) + "." + name
	_, ok := dns.IsDomainName(below)
	return question{below, dns.TypeMX}, ok
}

func (s *session) tooLong(name string) error {
	return fmt.Errorf("%s: %s is too long to tell whether it comes from a wildcard", s.where(s.zone), name)
}

func dnameAt(reply *dns.Msg, name string) bool {
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype == dns.TypeDNAME && sameName(rr.Header().Name, name) {
			return true
		}
	}
	return false
}

// sameZone checks that a negative answer came from the zone: it carries the SOA
// (RFC 2308 section 3).
func (s *session) sameZone(reply *dns.Msg, name string) error {
	for _, rr := range reply.Ns {
		if rr.Header().Rrtype != dns.TypeSOA {
			continue
		}
		owner, err := rrset.CanonicalName(rr.Header().Name)
		if err != nil || owner == s.zone {
			return err
		}
		return fmt.Errorf("%s: %s lies in another zone there, %s", s.where(s.zone), name, owner)
	}
	return fmt.Errorf("%s: a negative answer without the zone's SOA, for %s (RFC 2308 section 3)", s.where(s.zone), name)
}

// noCut checks that no zone of the same server begins between a name and the
// zone's apex.
func (s *session) noCut(ctx context.Context, name string) error {
	for ; name != s.zone; name = rrset.Parent(name) {
		reply, err := s.query(ctx, name, dns.TypeSOA)
		if err != nil {
			return err
		}
		if soa, _, err := answered(reply, wanted{s.zone, name, dns.TypeSOA}); err != nil || !soa.Absent() {
			return fmt.Errorf("%s: another zone begins at %s there", s.where(s.zone), name)
		}
	}
	return nil
}
