package providers

import (
	"fmt"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// relative is a canonical name as libdns wants it: without the zone, "@" at the
// apex. libdns.RelativeName knows no labels and no case.
func relative(name, zone string) string {
	if name == zone {
		return "@"
	}
	if zone == "." {
		return rrset.Bare(name)
	}
	return strings.TrimSuffix(name, "."+zone)
}

// absolute is the canonical name of a libdns record.
func absolute(name, zone string) (string, error) {
	switch {
	case name == "@" || name == "":
		return zone, nil
	case zone == ".":
		return rrset.CanonicalName(name)
	}
	return rrset.CanonicalName(strings.TrimSuffix(name, ".") + "." + zone)
}

// toLibdns makes a libdns record of a DNS record at a canonical name of the zone.
// SRV and service bindings stay as they are: libdns takes their names apart, and
// loses some.
func toLibdns(rr dns.RR, name, zone string) (libdns.Record, error) {
	data, err := dataOf(rr)
	if err != nil {
		return nil, err
	}
	out := libdns.RR{
		Name: relative(name, zone), Type: dns.Type(rr.Header().Rrtype).String(),
		TTL: time.Duration(ttlOf(rr)) * time.Second, Data: data,
	}
	switch v := rr.(type) {
	case *dns.TXT:
		return libdns.TXT{Name: out.Name, TTL: out.TTL, Text: unquoted(v.Txt)}, nil
	case *dns.A, *dns.AAAA, *dns.MX, *dns.NS, *dns.CNAME:
		return out.Parse()
	}
	return out, nil
}

// unquoted joins a TXT record's strings and takes their escapes away (RFC 1035
// section 5.1).
func unquoted(parts []string) string {
	var b strings.Builder
	s := strings.Join(parts, "")
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		var octet byte
		if n, err := fmt.Sscanf(s[i+1:min(i+4, len(s))], "%3d", &octet); n == 1 && err == nil && i+3 < len(s) {
			b.WriteByte(octet)
			i += 3
			continue
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

// quoted is a TXT record's data in presentation format, in strings of at most 255
// octets.
func quoted(text string) string {
	var parts []string
	for first := true; first || text != ""; first = false {
		n := min(255, len(text))
		var b strings.Builder
		for _, c := range []byte(text[:n]) {
			switch {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, `\%03d`, c)
			default:
				b.WriteByte(c)
			}
		}
		parts, text = append(parts, `"`+b.String()+`"`), text[n:]
	}
	return strings.Join(parts, " ")
}

// addLibdns adds a libdns record to the RRsets of a zone.
func (g *grouping) addLibdns(r libdns.RR, zone string) error {
	name, err := absolute(r.Name, zone)
	if err != nil {
		return err
	}
	ttl := r.TTL / time.Second
	if ttl < 0 || ttl > rrset.MaxTTL {
		return fmt.Errorf("%s %s: TTL %v", name, r.Type, r.TTL)
	}
	typ, data := strings.ToUpper(r.Type), r.Data
	if typ == "TXT" {
		data = quoted(data)
	}
	g.add(name, typ, uint32(ttl), data)
	return nil
}
