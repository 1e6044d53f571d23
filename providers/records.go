package providers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// dataOf is a record's data in the one spelling that RRsets are compared in.
func dataOf(rr dns.RR) (string, error) {
	switch v := rr.(type) {
	case *dns.MX:
		h, err := rrset.CanonicalName(v.Mx)
		return rrset.MX{Preference: v.Preference, Host: h}.String(), err
	case *dns.NS:
		return rrset.CanonicalName(v.Ns)
	case *dns.CNAME:
		return rrset.CanonicalName(v.Target)
	case *dns.PTR:
		return rrset.CanonicalName(v.Ptr)
	case *dns.A:
		return address(v.A.To4()) // the library has it in 16 octets, read from a text
	case *dns.AAAA:
		return address(v.AAAA)
	case *dns.RFC3597:
		return fmt.Sprintf(`\# %d %s`, len(v.Rdata)/2, v.Rdata), nil
	case *dns.TLSA, *dns.SMIMEA, *dns.SSHFP, *dns.DS, *dns.CDS: // numbers and a digest in hexadecimal, of either case
		return strings.ToLower(strings.TrimPrefix(rr.String(), rr.Header().String())), nil
	}
	data := strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Header().String()))
	if data == "" {
		data = `\# 0` // RFC 3597 section 5
	}
	return data, nil
}

func address(ip []byte) (string, error) {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return "", fmt.Errorf("an address of %d octets", len(ip))
	}
	return a.String(), nil
}

// sameName compares a name from the library, which keeps case and has escapes of
// its own, with a canonical one.
func sameName(name, canonical string) bool {
	if name == canonical {
		return true
	}
	c, err := rrset.CanonicalName(name)
	return err == nil && c == canonical
}

// ttlOf is a record's TTL; one with the high bit set counts as 0 (RFC 2181
// section 8).
func ttlOf(rr dns.RR) uint32 {
	if t := rr.Header().Ttl; t <= rrset.MaxTTL {
		return t
	}
	return 0
}

// setOf makes one RRset of records that share name and type. Records with
// several TTLs are no RRset (RFC 2181 section 5.2) and could not be restored.
func setOf(name string, typ uint16, rrs []dns.RR) (rrset.Set, error) {
	var ttl uint32
	var data []string
	for i, rr := range rrs {
		d, err := dataOf(rr)
		if err != nil {
			return rrset.Set{}, fmt.Errorf("%s %s: %w", name, dns.Type(typ), err)
		}
		if i > 0 && ttlOf(rr) != ttl {
			return rrset.Set{}, fmt.Errorf("%s %s: its records have several TTLs, %d and %d (RFC 2181 section 5.2)", name, dns.Type(typ), ttl, ttlOf(rr))
		}
		ttl = ttlOf(rr)
		data = append(data, d)
	}
	return rrset.New(name, dns.Type(typ).String(), ttl, data...)
}

// recordsOf makes the records of an RRset, and refuses one whose text would not
// be read back as it was written.
func recordsOf(s rrset.Set) ([]dns.RR, error) {
	typ, err := typeOf(s.Type)
	if err != nil {
		return nil, err
	}
	var rrs []dns.RR
	for _, d := range s.Data {
		var rr dns.RR
		if typ == dns.TypeMX { // not by text: MX is what we are here for
			m, err := rrset.ParseMX(d)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", s.Name, s.Type, err)
			}
			rr = &dns.MX{Preference: m.Preference, Mx: m.Host}
		} else if rr, err = dns.NewRR(fmt.Sprintf(". %d IN %s %s", s.TTL, s.Type, d)); err != nil || rr == nil {
			return nil, fmt.Errorf("%s %s: data %.80q is not in presentation format (RFC 1035 section 5.1)", s.Name, s.Type, d)
		}
		*rr.Header() = dns.RR_Header{Name: s.Name, Rrtype: typ, Class: dns.ClassINET, Ttl: s.TTL}
		rrs = append(rrs, rr)
	}
	back, err := setOf(s.Name, typ, rrs)
	if err != nil {
		return nil, err
	}
	if !back.Equal(s) {
		return nil, fmt.Errorf("%s %s: %.200q would be read back as %.200q; write it so", s.Name, s.Type, s.Data, back.Data)
	}
	return rrs, nil
}

// typeOf is the number of a record type that a zone can hold.
func typeOf(typ string) (uint16, error) {
	typ = strings.ToUpper(typ)
	t, ok := dns.StringToType[typ]
	if !ok {
		if _, err := fmt.Sscanf(typ, "TYPE%d", &t); err != nil || dns.Type(t).String() != typ {
			return 0, fmt.Errorf("%.20q is no type of record", typ)
		}
	}
	if t == 0 || t == dns.TypeOPT || t >= 128 && t <= 255 { // RFC 6895 section 3.1
		return 0, fmt.Errorf("%s is no type of record that a zone holds", typ)
	}
	return t, nil
}

// A grouping gathers records into RRsets. Most RRsets of a zone have the same data
// as many others: they share it.
type grouping struct {
	at     map[groupKey]int32
	all    []rrset.Set
	shared map[string][]string // by the data, one a line
}

type groupKey struct{ name, typ string }

// maxShared bounds how much data is remembered: where all differ, nothing is saved.
const maxShared = 1 << 14

func newGrouping(records int) *grouping {
	return &grouping{at: make(map[groupKey]int32, records), all: make([]rrset.Set, 0, records), shared: map[string][]string{}}
}

// share is the same data, of which there is one.
func (g *grouping) share(data []string) []string {
	key := data[0]
	if len(data) > 1 {
		key = strings.Join(data, "\n")
	}
	if s, ok := g.shared[key]; ok {
		return s
	}
	data = slices.Clip(data)
	if len(g.shared) < maxShared {
		g.shared[key] = data
	}
	return data
}

// add adds one record by its canonical name. Of several TTLs the highest counts:
// waiting too long is the harmless mistake.
func (g *grouping) add(name, typ string, ttl uint32, data string) {
	k := groupKey{name, typ}
	i, ok := g.at[k]
	if !ok {
		g.at[k] = int32(len(g.all))
		g.all = append(g.all, rrset.Set{Name: name, Type: typ, TTL: ttl, Data: g.share([]string{data})})
		return
	}
	g.all[i].TTL = max(g.all[i].TTL, ttl)
	g.all[i].Data = append(g.all[i].Data, data) // a copy, since what is shared has no room
}

// sets are the RRsets, canonical, by name and type. It is the end of the grouping.
func (g *grouping) sets() ([]rrset.Set, error) {
	g.at = nil
	for i, s := range g.all {
		c, err := rrset.New(s.Name, s.Type, s.TTL, s.Data...)
		if err != nil {
			return nil, err
		}
		if len(c.Data) > 0 {
			c.Data = g.share(c.Data)
		}
		g.all[i] = c
	}
	slices.SortFunc(g.all, bySetName)
	return g.all, nil
}
