package providers

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"mxcutover/rrset"
)

// What vendors send becomes names and data of RRsets here, and the other way.
// Names of vendors: absolute with or without the final dot ([fullName]), or
// relative to the zone ([absolute], [relative]). Values: in presentation format
// ([parseData]), an MX's preference in a field of its own ([mxData],
// [rrset.ParseMX]), a text without quotes ([quoted], [textOf]).

// fullName is the canonical name of an absolute one, in any script, with or
// without its final dot.
func fullName(name string) (string, error) {
	ascii, err := asciiName(name)
	if err != nil {
		return "", err
	}
	return rrset.CanonicalName(ascii)
}

// nameIn is fullName of a name that must be in the zone.
func nameIn(name, zone string) (string, error) {
	n, err := fullName(name)
	if err == nil && !rrset.Below(n, zone) {
		err = fmt.Errorf("%s is not in zone %s", n, zone)
	}
	return n, err
}

// nameBelow is the canonical name of one that is relative to the zone, in any
// script: "" and "@" are the zone.
func nameBelow(name, zone string) (string, error) {
	ascii, err := asciiName(name)
	if err != nil {
		return "", err
	}
	return absolute(ascii, zone)
}

// asciiName turns the labels of other scripts into A-labels (RFC 5891). Names of
// ASCII alone stay as they are: underscores, escapes and all.
func asciiName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("name %.80q: not in UTF-8", name)
	}
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			a, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(name)
			if err != nil {
				return "", fmt.Errorf("name %.80q: %w", name, err)
			}
			return a, nil
		}
	}
	return name, nil
}

// parseData is the one spelling of a value in presentation format. Names in it
// are absolute, with or without their final dot, in any script. What the library
// does not know stays as it is.
func parseData(typ, value string) (string, error) {
	typ, value = strings.ToUpper(typ), strings.TrimSpace(value)
	switch typ {
	case "MX":
		f := strings.Fields(value)
		if len(f) != 2 {
			return "", fmt.Errorf("MX value %.80q: a preference and a host were expected", value)
		}
		p, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return "", fmt.Errorf("MX value %.80q: the preference is no number", value)
		}
		return mxData(p, f[1])
	case "NS", "CNAME", "PTR":
		return fullName(value)
	}
	if strings.ContainsAny(value, "\r\n") {
		return "", fmt.Errorf("%s value %.80q: a line break", typ, value)
	}
	if rr, err := dns.NewRR(fmt.Sprintf(". 0 IN %s %s", typ, value)); err == nil && rr != nil && dns.TypeToString[rr.Header().Rrtype] == typ {
		return dataOf(rr)
	}
	return value, nil
}

// mxData is an MX record's data, of a preference in a field of its own and a
// host that is absolute, with or without its final dot, in any script.
func mxData(preference int64, host string) (string, error) {
	if preference < 0 || preference > 65535 {
		return "", fmt.Errorf("MX preference %d: 0 to 65535 was expected", preference)
	}
	h, err := fullName(host)
	if err != nil {
		return "", fmt.Errorf("MX host: %w", err)
	}
	return rrset.MX{Preference: uint16(preference), Host: h}.String(), nil
}

// textOf is the whole text of a TXT record's data: its strings joined, without
// quotes and escapes. [quoted] is the other way.
func textOf(data string) (string, error) {
	rr, err := dns.NewRR(". 0 IN TXT " + data)
	if err != nil {
		return "", fmt.Errorf("TXT data %.80q is not in presentation format (RFC 1035 section 5.1)", data)
	}
	t, ok := rr.(*dns.TXT)
	if !ok {
		return "", fmt.Errorf("TXT data %.80q is not in presentation format (RFC 1035 section 5.1)", data)
	}
	return unquoted(t.Txt), nil
}

// A zoneData gathers what a vendor sends of a zone.
type zoneData struct {
	zone string // canonical
	grouping
}

func newZoneData(zone string) *zoneData {
	return &zoneData{zone: zone, grouping: *newGrouping(0)}
}

// add adds one record, by an absolute name and a value in the one spelling.
func (z *zoneData) add(name, typ string, ttl int64, data string) error {
	n, err := nameIn(name, z.zone)
	if err != nil {
		return err
	}
	if ttl < 0 || ttl > rrset.MaxTTL {
		return fmt.Errorf("%s %.20s: a TTL of %d seconds", n, typ, ttl)
	}
	z.grouping.add(n, strings.ToUpper(typ), uint32(ttl), data)
	return nil
}

// pick is one RRset of those of a zone, or of a name. An alias there is
// [ErrCNAME].
func pick(sets []rrset.Set, name, typ string) (rrset.Set, error) {
	want, err := rrset.New(name, typ, 0)
	if err != nil {
		return rrset.Set{}, err
	}
	for _, s := range sets {
		switch {
		case s.Name != want.Name:
		case s.Type == want.Type:
			return s, nil
		case s.Type == "CNAME":
			return rrset.Set{}, aliasError(s.Name)
		}
	}
	return want, nil
}

// libdnsOf reads a zone for libdns.
func libdnsOf(ctx context.Context, z Zoner, zone string) ([]libdns.Record, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	sets, err := z.Zone(ctx, zone)
	if err != nil {
		return nil, err
	}
	var out []libdns.Record
	for _, s := range sets {
		rrs, err := recordsOf(s)
		if err != nil {
			return nil, err
		}
		for _, rr := range rrs {
			r, err := toLibdns(rr, s.Name, zone)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}
