package resolve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// Bounds of one reply. They are above what honest servers say, and keep a name
// or chain that leads back to itself from being followed for ever.
const (
	maxChain   = 10   // CNAMEs within an answer
	maxJumps   = 64   // pointers within a name
	maxRecords = 4096 // in answer and authority
)

var (
	errMessage = errors.New("the reply is no whole message")
	errAliases = fmt.Errorf("the name leads through more than %d aliases, or back to itself", maxChain)
)

// rcodeOf is a reply's response code. Where there is no answer, its upper bits may be
// in the OPT record (RFC 6891 section 6.1.3): BADVERS (16) looks like NOERROR without.
func rcodeOf(p []byte) int {
	rcode := int(p[3] & 0xf)
	if binary.BigEndian.Uint16(p[6:]) > 0 || binary.BigEndian.Uint16(p[4:]) == 0 {
		return rcode
	}
	at, err := skipName(p, headerSize)
	at += 4
	for range min(int(binary.BigEndian.Uint16(p[8:]))+int(binary.BigEndian.Uint16(p[10:])), maxRecords) {
		if err != nil || at > len(p) {
			break
		}
		if at, err = skipName(p, at); err != nil || at+10 > len(p) {
			break
		}
		if binary.BigEndian.Uint16(p[at:]) == dns.TypeOPT {
			return rcode | int(p[at+4])<<4
		}
		at += 10 + int(binary.BigEndian.Uint16(p[at+8:]))
	}
	return rcode
}

// A record is where its parts are in the message.
type record struct {
	owner, data, end int // offsets
	typ              uint16
	ttl              uint32
}

// read takes a reply apart whose question is known to be the right one. A
// recursive server's chain of CNAMEs is followed. It reads what it needs where it
// lies: a full parse took half the time of a question.
func read(p []byte, name string, qtype uint16) (Answer, error) {
	a := Answer{RCode: dns.RcodeToString[int(p[3]&0xf)], AA: p[2]&0x04 != 0, AD: p[3]&0x20 != 0}
	a.Set = rrset.Set{Name: name, Type: dns.TypeToString[qtype]}
	if binary.BigEndian.Uint16(p[4:]) == 0 {
		return a, nil // a refusal
	}
	var few [16]record
	answer, authority, err := records(p, few[:0])
	if err != nil {
		return a, err
	}
	if err := a.follow(p, answer, qtype); err != nil {
		return a, err
	}
	for _, r := range answer {
		if err := a.note(p, r); err != nil {
			return a, err
		}
	}
	for _, r := range authority {
		if err := a.note(p, r); err != nil {
			return a, err
		}
		if r.typ == dns.TypeNS && !a.AA && a.Zone == "" {
			if a.Zone, err = nameAt(p, r.owner); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// records finds those of answer and authority.
func records(p []byte, out []record) (answer, authority []record, err error) {
	at, err := skipName(p, headerSize)
	if err != nil || at+4 > len(p) {
		return nil, nil, errMessage
	}
	at += 4
	answers, others := int(binary.BigEndian.Uint16(p[6:])), int(binary.BigEndian.Uint16(p[8:]))
	for range min(answers+others, maxRecords) {
		r := record{owner: at}
		if at, err = skipName(p, at); err != nil || at+10 > len(p) {
			return nil, nil, errMessage
		}
		r.typ, r.ttl = binary.BigEndian.Uint16(p[at:]), binary.BigEndian.Uint32(p[at+4:])
		r.data = at + 10
		if r.end = r.data + int(binary.BigEndian.Uint16(p[at+8:])); r.end > len(p) {
			return nil, nil, errMessage
		}
		if binary.BigEndian.Uint16(p[at+2:]) != dns.ClassINET {
			r.typ = dns.TypeNone
		}
		at = r.end
		out = append(out, r)
	}
	n := min(answers, len(out))
	return out[:n], out[n:], nil
}

// follow finds the RRset of the name, or of where it leads as an alias.
func (a *Answer) follow(p []byte, answer []record, qtype uint16) error {
	owner := headerSize // the question's name
	for range maxChain {
		alias := 0
		var data []string
		var ttl uint32
		for _, r := range answer {
			if r.typ != qtype && r.typ != dns.TypeCNAME || !sameName(p, owner, r.owner) {
				continue
			}
			if r.typ != qtype {
				alias = r.data
				continue
			}
			text, err := r.text(p)
			if err != nil {
				return err
			}
			// Waits are counted by the longest, so one with its highest bit set is not
			// taken for zero (RFC 2181 section 8) here.
			data, ttl = append(data, text), max(ttl, min(r.ttl, rrset.MaxTTL))
		}
		if alias == 0 || qtype == dns.TypeCNAME {
			return a.set(data, ttl)
		}
		if a.CNAME == "" {
			target, err := nameAt(p, alias)
			if err != nil {
				return err
			}
			a.CNAME = target
		}
		owner = alias
	}
	if !a.AA { // a resolver that did not come to the end: what is there is not known
		return errAliases
	}
	return nil
}

func (a *Answer) set(data []string, ttl uint32) (err error) {
	switch {
	case len(data) == 0:
		return nil
	case len(data) == 1 && spelled(a.Set.Type):
		a.Set.TTL, a.Set.Data = ttl, data
		return nil
	}
	a.Set, err = rrset.New(a.Set.Name, a.Set.Type, ttl, data...)
	return err
}

// spelled are the types whose data [record.text] spells canonically by itself.
func spelled(typ string) bool {
	switch typ {
	case "MX", "NS", "CNAME", "PTR", "A", "AAAA":
		return true
	}
	return false
}

// note takes what answers say beside the RRset: the zone, its serial, and how
// long its negative answers count.
func (a *Answer) note(p []byte, r record) error {
	if r.typ != dns.TypeSOA {
		return nil
	}
	at, err := skipName(p, r.data)
	if err == nil {
		at, err = skipName(p, at)
	}
	if err != nil || at+20 > r.end {
		return errMessage
	}
	a.Serial, a.Negative = binary.BigEndian.Uint32(p[at:]), min(r.ttl, binary.BigEndian.Uint32(p[at+16:]))
	a.Zone, err = nameAt(p, r.owner)
	return err
}

// text is a record's data as it stands in a master file.
func (r record) text(p []byte) (string, error) {
	switch r.typ {
	case dns.TypeMX:
		if r.data+2 > r.end {
			return "", errMessage
		}
		host, err := nameAt(p, r.data+2)
		return strconv.Itoa(int(binary.BigEndian.Uint16(p[r.data:]))) + " " + host, err
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR:
		return nameAt(p, r.data)
	case dns.TypeA, dns.TypeAAAA:
		addr, ok := netip.AddrFromSlice(p[r.data:r.end])
		if !ok || addr.Is4() != (r.typ == dns.TypeA) {
			return "", errMessage
		}
		return addr.String(), nil
	}
	rr, _, err := dns.UnpackRR(p[:r.end], r.owner)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMessage, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Header().String())), nil
}

// nameAt is a name in its canonical form. Host names, in whatever capitals, are
// spelled here; what needs escapes is left to package rrset.
func nameAt(p []byte, at int) (string, error) {
	var room [256]byte
	out := room[:0]
	for from := at; ; {
		l, next, ok := label(p, from)
		if !ok {
			return "", errMessage
		}
		if len(l) == 0 {
			break
		}
		if len(out)+len(l)+1 > 254 {
			return "", errMessage
		}
		for _, c := range l {
			if c = lower(c); c < 'a' || c > 'z' {
				if (c < '0' || c > '9') && c != '-' && c != '_' {
					return escapedName(p, at)
				}
			}
			out = append(out, c)
		}
		out = append(out, '.')
		from = next
	}
	if len(out) == 0 {
		return ".", nil
	}
	return string(out), nil
}

func escapedName(p []byte, at int) (string, error) {
	s, _, err := dns.UnpackDomainName(p, at)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMessage, err)
	}
	return rrset.CanonicalName(s)
}

// skipName is where a name ends that begins at a place.
func skipName(p []byte, at int) (int, error) {
	for at < len(p) {
		switch n := int(p[at]); {
		case n == 0:
			return at + 1, nil
		case n&0xc0 == 0xc0:
			if at+2 > len(p) {
				return 0, errMessage
			}
			return at + 2, nil
		case n&0xc0 != 0:
			return 0, errMessage
		default:
			at += 1 + n
		}
	}
	return 0, errMessage
}

// label finds the label at a place, behind pointers, and where the next one is;
// an empty one ends the name.
func label(p []byte, at int) (text []byte, next int, ok bool) {
	for range maxJumps {
		if at >= len(p) {
			return nil, 0, false
		}
		n := int(p[at])
		switch {
		case n&0xc0 == 0xc0 && at+1 < len(p):
			at = n&0x3f<<8 | int(p[at+1])
		case n&0xc0 != 0 || at+1+n > len(p):
			return nil, 0, false
		default:
			return p[at+1 : at+1+n], at + 1 + n, true
		}
	}
	return nil, 0, false
}

// sameName compares two names in one message (RFC 4343). A broken one equals none.
func sameName(p []byte, a, b int) bool {
	for range 128 { // a name has no more labels
		x, nextA, ok := label(p, a)
		if !ok {
			return false
		}
		y, nextB, ok := label(p, b)
		if !ok || len(x) != len(y) || !foldEqual(x, y) {
			return false
		}
		if len(x) == 0 {
			return true
		}
		a, b = nextA, nextB
	}
	return false
}
