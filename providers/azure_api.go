package providers

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// azureTypes are those of this version of the API.
var azureTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}

// The objects of the API that are used
// (https://learn.microsoft.com/en-us/rest/api/dns/record-sets/get).
type (
	azureSet struct {
		Name       string          `json:"name"` // relative to the zone
		Type       string          `json:"type"` // "Microsoft.Network/dnszones/MX"
		Etag       string          `json:"etag"`
		Properties azureProperties `json:"properties"`
	}
	azureProperties struct {
		Metadata json.RawMessage `json:"metadata,omitempty"`
		TTL      *int64          `json:"TTL"`
		Target   struct {
			ID string `json:"id"`
		} `json:"targetResource,omitzero"`
		A     []azureA    `json:"ARecords,omitempty"`
		AAAA  []azureAAAA `json:"AAAARecords,omitempty"`
		CAA   []azureCAA  `json:"caaRecords,omitempty"`
		CNAME *azureCNAME `json:"CNAMERecord,omitempty"`
		MX    []azureMX   `json:"MXRecords,omitempty"`
		NS    []azureNS   `json:"NSRecords,omitempty"`
		PTR   []azurePTR  `json:"PTRRecords,omitempty"`
		SOA   *azureSOA   `json:"SOARecord,omitempty"`
		SRV   []azureSRV  `json:"SRVRecords,omitempty"`
		TXT   []azureTXT  `json:"TXTRecords,omitempty"`
	}
	azureA struct {
		Address string `json:"ipv4Address"`
	}
	azureAAAA struct {
		Address string `json:"ipv6Address"`
	}
	azureCAA struct {
		Flags int64  `json:"flags"`
		Tag   string `json:"tag"`
		Value string `json:"value"`
	}
	azureCNAME struct {
		Name string `json:"cname"`
	}
	azureMX struct {
		Preference *int64 `json:"preference"`
		Exchange   string `json:"exchange"`
	}
	azureNS struct {
		Name string `json:"nsdname"`
	}
	azurePTR struct {
		Name string `json:"ptrdname"`
	}
	azureSOA struct {
		Host    string `json:"host"`
		Email   string `json:"email"`
		Serial  int64  `json:"serialNumber"`
		Refresh int64  `json:"refreshTime"`
		Retry   int64  `json:"retryTime"`
		Expire  int64  `json:"expireTime"`
		Minimum int64  `json:"minimumTTL"`
	}
	azureSRV struct {
		Priority int64  `json:"priority"`
		Weight   int64  `json:"weight"`
		Port     int64  `json:"port"`
		Target   string `json:"target"`
	}
	azureTXT struct {
		Value []string `json:"value"`
	}
)

// kind is the record type: "MX".
func (s azureSet) kind() string {
	return strings.ToUpper(s.Type[strings.LastIndexByte(s.Type, '/')+1:])
}

// alias tells whether a record set follows another resource.
func (s azureSet) alias() bool { return s.Properties.Target.ID != "" }

// azureSets are the RRsets of record sets. Aliases, and types of later versions,
// are left out.
func azureSets(zone string, all []azureSet) ([]rrset.Set, error) {
	z := newZoneData(zone)
	for _, s := range all {
		name, err := nameBelow(s.Name, zone)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", zone, err)
		}
		data, err := s.data()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s %s: %w", name, s.kind(), err)
		case s.alias() || len(data) == 0:
			continue
		case s.Properties.TTL == nil:
			return nil, fmt.Errorf("%s %s: the service sent no TTL", name, s.kind())
		}
		for _, d := range data {
			if err := z.add(name, s.kind(), *s.Properties.TTL, d); err != nil {
				return nil, err
			}
		}
	}
	return z.sets()
}

// data are a record set's records, canonical.
func (s azureSet) data() ([]string, error) {
	var out []string
	var first error
	add := func(d string, err error) {
		if out = append(out, d); err != nil && first == nil {
			first = err
		}
	}
	parse := func(format string, a ...any) { add(parseData(s.kind(), fmt.Sprintf(format, a...))) }
	p := s.Properties
	switch s.kind() {
	case "A":
		for _, r := range p.A {
			parse("%s", r.Address)
		}
	case "AAAA":
		for _, r := range p.AAAA {
			parse("%s", r.Address)
		}
	case "CAA":
		for _, r := range p.CAA {
			parse("%d %s %s", r.Flags, r.Tag, quoted(r.Value))
		}
	case "CNAME":
		if p.CNAME != nil {
			parse("%s", p.CNAME.Name)
		}
	case "MX":
		for _, r := range p.MX {
			if r.Preference == nil {
				return nil, fmt.Errorf("a record without a preference")
			}
			add(mxData(*r.Preference, r.Exchange))
		}
	case "NS":
		for _, r := range p.NS {
			parse("%s", r.Name)
		}
	case "PTR":
		for _, r := range p.PTR {
			parse("%s", r.Name)
		}
	case "SOA":
		if r := p.SOA; r != nil {
			parse("%s %s %d %d %d %d %d", dns.Fqdn(r.Host), dns.Fqdn(r.Email), r.Serial, r.Refresh, r.Retry, r.Expire, r.Minimum)
		}
	case "SRV":
		for _, r := range p.SRV {
			parse("%d %d %d %s", r.Priority, r.Weight, r.Port, dns.Fqdn(r.Target))
		}
	case "TXT":
		for _, r := range p.TXT {
			parts := make([]string, len(r.Value))
			for i, v := range r.Value {
				parts[i] = quoted(v)
			}
			if len(parts) == 0 {
				parts = []string{`""`}
			}
			parse("%s", strings.Join(parts, " "))
		}
	}
	return out, first
}

// azureBody is the record set to write: the metadata stays.
func azureBody(after rrset.Set, there *azureSet) (any, error) {
	ttl := int64(after.TTL)
	p := azureProperties{TTL: &ttl}
	if there != nil {
		p.Metadata = there.Properties.Metadata
	}
	for _, d := range after.Data {
		switch after.Type {
		case "A":
			p.A = append(p.A, azureA{d})
		case "AAAA":
			p.AAAA = append(p.AAAA, azureAAAA{d})
		case "CNAME":
			p.CNAME = &azureCNAME{rrset.Bare(d)}
		case "MX":
			mx, err := rrset.ParseMX(d)
			if err != nil {
				return nil, err
			}
			number := int64(mx.Preference)
			p.MX = append(p.MX, azureMX{&number, rrset.Bare(mx.Host)})
		case "TXT":
			r, err := azureText(d)
			if err != nil {
				return nil, fmt.Errorf("%s TXT: %w", after.Name, err)
			}
			p.TXT = append(p.TXT, r)
		default:
			return nil, fmt.Errorf("%s %s: records of this type are not written there; A, AAAA, CNAME, MX and TXT are", after.Name, after.Type)
		}
	}
	return map[string]azureProperties{"properties": p}, nil
}

// azureText takes a text apart into its strings of at most 255 octets, as they
// are, without quotes and escapes
// (https://learn.microsoft.com/en-us/azure/dns/dns-zones-records#txt-records).
func azureText(data string) (azureTXT, error) {
	rr, err := dns.NewRR(". 0 IN TXT " + data)
	txt, ok := rr.(*dns.TXT)
	if err != nil || !ok {
		return azureTXT{}, fmt.Errorf("data %.80q is not in presentation format (RFC 1035 section 5.1)", data)
	}
	var out azureTXT
	for _, part := range txt.Txt {
		text := unquoted([]string{part})
		for i := range len(text) {
			if text[i] < ' ' || text[i] > '~' {
				return azureTXT{}, fmt.Errorf("data %.80q has octets beside printable ASCII, for which the service documents no spelling", data)
			}
		}
		out.Value = append(out.Value, text)
	}
	return out, nil
}

// azureComplaint reads {"error": {"code": "...", "message": "..."}}, or the same
// without "error", as the DNS service itself sends it.
func azureComplaint(_ int, body []byte) (code, words string) {
	type complaint struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var e struct {
		Error complaint `json:"error"`
		complaint
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Code == "" && e.Code == "" {
		return "", strings.TrimSpace(string(body))
	}
	if e.Error.Code == "" {
		e.Error = e.complaint
	}
	return e.Error.Code, e.Error.Message
}
