package providers

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// dataBelow is parseData for vendors that read values as a zone file does: a
// host without its final dot is below the zone (RFC 1035 section 5.1).
func dataBelow(typ, value, zone string) (string, error) {
	typ, value = strings.ToUpper(typ), strings.TrimSpace(value)
	absolute := func(host string) (string, error) {
		if strings.HasSuffix(host, ".") {
			return fullName(host)
		}
		return nameBelow(host, zone)
	}
	switch typ {
	case "MX":
		preference, host, ok := strings.Cut(value, " ")
		if !ok {
			break // told by parseData
		}
		h, err := absolute(strings.TrimSpace(host))
		if err != nil {
			return "", fmt.Errorf("MX value %.80q: %w", value, err)
		}
		value = preference + " " + h
	case "NS", "CNAME", "PTR":
		return absolute(value)
	case "SRV", "DNAME", "NAPTR", "KX", "AFSDB", "RP":
		if rr, ok := parseBelow(typ, value, zone); ok {
			return dataOf(rr)
		}
	}
	return parseData(typ, value)
}

// parseBelow reads one record of a zone file.
func parseBelow(typ, value, zone string) (dns.RR, bool) {
	if strings.ContainsAny(value, "\r\n") {
		return nil, false
	}
	p := dns.NewZoneParser(strings.NewReader(fmt.Sprintf(". 0 IN %s %s\n", typ, value)), zone, "")
	rr, ok := p.Next()
	return rr, ok && p.Err() == nil && dns.TypeToString[rr.Header().Rrtype] == typ
}
