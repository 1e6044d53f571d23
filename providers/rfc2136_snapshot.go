package providers

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// snapshot reads the zone's SOA, and after it the RRset: whatever changes the
// RRset once it was read has changed the SOA.
//
// That may take one question at the apex: ANY has both, as of one moment, where it
// has both (RFC 8482 lets a server choose). A name below that exists takes two:
// the NXDOMAIN for a random name below it carries the SOA. Asking for both at once
// would not do: the RRset's answer might be the older one.
func (s *session) snapshot(ctx context.Context, w wanted, plain bool) (*dns.SOA, rrset.Set, error) {
	if !plain {
		soa, found, err := s.short(ctx, w)
		switch {
		case err != nil:
			return nil, rrset.Set{}, err
		case soa != nil && found != nil:
			return soa, *found, nil
		case soa != nil:
			set, err := s.readExisting(ctx, w)
			return soa, set, err
		}
	}
	soa, err := s.soa(ctx)
	if err != nil {
		return nil, rrset.Set{}, err
	}
	set, err := s.read(ctx, w)
	return soa, set, err
}

// short asks for the SOA in a way that saves a question. There may be no SOA in
// the answer; at the apex there may be the RRset as well.
func (s *session) short(ctx context.Context, w wanted) (*dns.SOA, *rrset.Set, error) {
	switch {
	case w.name != w.zone:
		soa, err := s.soaBelow(ctx, w)
		return soa, nil, err
	case s.noAny.Load():
		return nil, nil, nil
	}
	reply, err := s.query(ctx, w.zone, dns.TypeANY)
	if errors.As(err, new(*lost)) || errors.As(err, new(*transient)) {
		return nil, nil, err
	}
	var soa *dns.SOA
	if err == nil {
		soa = soaIn(reply.Answer, w.zone)
	}
	if soa == nil {
		s.noAny.Store(true)
		return nil, nil, nil
	}
	if set, _, err := answered(reply, w); err == nil && !set.Absent() {
		return soa, &set, nil
	}
	return soa, nil, nil
}

// soaIn is the SOA of a zone among records, or nil.
func soaIn(rrs []dns.RR, zone string) *dns.SOA {
	for _, rr := range rrs {
		if soa, ok := rr.(*dns.SOA); ok && sameName(soa.Hdr.Name, zone) {
			return soa
		}
	}
	return nil
}

// soaBelow is the zone's SOA out of the proof that a name exists in the zone, or
// that nothing is synthesised in its place. Nil if that is not so.
func (s *session) soaBelow(ctx context.Context, w wanted) (*dns.SOA, error) {
	below, fits := s.below(w.name)
	if !fits {
		return nil, nil
	}
	reply, err := s.query(ctx, below.name, below.typ)
	if err != nil {
		return nil, err
	}
	if reply.Rcode == dns.RcodeNameError && len(reply.Answer) == 0 {
		return soaIn(reply.Ns, w.zone), nil
	}
	return nil, nil
}

// readExisting reads the RRset of a name where nothing is synthesised.
func (s *session) readExisting(ctx context.Context, w wanted) (rrset.Set, error) {
	reply, err := s.query(ctx, w.name, w.typ)
	if err != nil {
		return rrset.Set{}, err
	}
	set, alias, err := s.found(reply, w)
	if err == nil && alias {
		err = aliasError(w.name)
	}
	return set, err
}

// soa reads the zone's SOA record.
func (s *session) soa(ctx context.Context) (*dns.SOA, error) {
	reply, err := s.query(ctx, s.zone, dns.TypeSOA)
	if err != nil {
		return nil, err
	}
	if soa := soaIn(reply.Answer, s.zone); soa != nil {
		return soa, nil
	}
	return nil, fmt.Errorf("%w: %s: there is none of this name at the server", ErrNoZone, s.where(s.zone))
}
