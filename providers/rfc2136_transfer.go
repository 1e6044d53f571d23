package providers

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

const (
	// transferTimes bounds a whole zone transfer, in timeouts of one exchange.
	transferTimes = 60
	// recordSize bounds a zone in octets, by record: a million may take 256 MB.
	recordSize = 256
)

// errZoneSize means that a zone is larger than the settings allow.
var errZoneSize = errors.New("the zone is larger than max_records allows")

// transfer gives each record of a zone to each, with the canonical names of the
// zone and of the record. Every message of it is signed.
func (r *rfc2136) transfer(ctx context.Context, zone string, each func(zone, name string, rr dns.RR) error) error {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return err
	}
	s, err := r.session(ctx, zone)
	if err != nil {
		return err
	}
	defer s.end()
	// A refusal may come on a connection that the server closed meanwhile.
	if _, err := s.soa(ctx); err != nil {
		return err
	}
	return s.transfer(ctx, each)
}

// transfer gives each record of the session's zone to each.
func (s *session) transfer(ctx context.Context, each func(zone, name string, rr dns.RR) error) error {
	ctx, cancel := context.WithTimeout(ctx, transferTimes*s.timeout)
	defer cancel()
	m := new(dns.Msg)
	m.SetAxfr(s.zone)
	m.RecursionDesired = false
	asked, err := s.send(ctx, m)
	if err != nil {
		return err
	}
	f := &framing{zone: s.zone, maxRecords: s.maxRecords, each: each}
	mac := asked[0].mac
	for first := true; !f.ended; first = false {
		if mac, err = s.envelope(ctx, asked, mac, first, f); err != nil {
			s.drop() // more of the zone may be on its way
			return err
		}
	}
	return nil
}

// envelope reads one message of a transfer, and returns its MAC for the next.
func (s *session) envelope(ctx context.Context, asked []request, mac string, first bool, f *framing) (string, error) {
	raw, err := s.receive(ctx)
	if err != nil {
		return "", fmt.Errorf("zone transfer: %w", err)
	}
	_, reply, err := s.replyTo(asked, raw)
	if err == nil {
		err = s.verified(reply, raw, mac, !first)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("zone transfer: %w", err)
	case reply.Rcode != dns.RcodeSuccess:
		return "", fmt.Errorf("zone transfer: %w", s.refused(reply.Rcode, duringTransfer))
	}
	if err := f.add(reply.Answer, len(raw)); err != nil {
		return "", fmt.Errorf("%s: zone transfer: %w", s.where(s.zone), err)
	}
	if t := reply.IsTsig(); t != nil {
		mac = t.MAC
	}
	return mac, nil
}

// transferred reads one RRset by a transfer of the zone: what the server keeps,
// where its answers may be old ones from a cache.
func (s *session) transferred(ctx context.Context, w wanted) (rrset.Set, error) {
	var rrs []dns.RR
	alias := false
	err := s.transfer(ctx, func(_, name string, rr dns.RR) error {
		switch {
		case name != w.name:
		case rr.Header().Rrtype == w.typ:
			rrs = append(rrs, rr)
		case rr.Header().Rrtype == dns.TypeCNAME:
			alias = true
		}
		return nil
	})
	switch {
	case err != nil:
		return w.absent(), err
	case alias:
		return w.absent(), aliasError(w.name)
	case len(rrs) == 0:
		return w.absent(), nil
	}
	return setOf(w.name, w.typ, rrs)
}

// framing takes the records of a transfer, which begins and ends with the same
// SOA (RFC 5936 section 2.2), and gives what is between on, with one SOA.
type framing struct {
	zone       string
	maxRecords int
	each       func(zone, name string, rr dns.RR) error

	begin   *dns.SOA
	records int
	octets  int
	ended   bool
}

func (f *framing) add(rrs []dns.RR, octets int) error {
	if len(rrs) == 0 {
		return errors.New("a message without records (RFC 5936 section 2.2)")
	}
	f.octets += octets
	for _, rr := range rrs {
		f.records++
		switch {
		case f.ended:
			return errors.New("records after the final SOA")
		case f.records > f.maxRecords+1 || f.octets > f.maxRecords*recordSize+dns.MaxMsgSize: // +1: the final SOA
			return fmt.Errorf("%w: more than %d records, or %d octets", errZoneSize, f.maxRecords, f.maxRecords*recordSize)
		}
		if err := f.record(rr); err != nil {
			return err
		}
	}
	return nil
}

func (f *framing) record(rr dns.RR) error {
	h := rr.Header()
	name, err := rrset.CanonicalName(h.Name)
	switch {
	case err != nil:
		return err
	case h.Class != dns.ClassINET || !rrset.Below(name, f.zone):
		return fmt.Errorf("a record of %.300s, class %s, which is not in the zone", h.Name, dns.Class(h.Class))
	}
	soa, isSOA := rr.(*dns.SOA)
	switch {
	case isSOA && name != f.zone:
		return fmt.Errorf("a SOA at %s, below the apex", name)
	case f.begin == nil && !isSOA:
		return errors.New("it does not begin with the SOA (RFC 5936 section 2.2)")
	case f.begin == nil:
		f.begin = soa
	case isSOA:
		if !dns.IsDuplicate(f.begin, soa) {
			return fmt.Errorf("it begins with serial %d and ends with %d", f.begin.Serial, soa.Serial)
		}
		f.ended = true
		return nil
	}
	switch h.Rrtype {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
		return nil
	}
	return f.each(f.zone, name, rr)
}
