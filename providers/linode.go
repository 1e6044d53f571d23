package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// linodeAbout is what people are told.
var linodeAbout = About{
	Title: "Linode (Akamai) DNS Manager (API v4)",
	Settings: `  token        required; a personal access token with Domains: Read/Write: {file: PATH}, {env: NAME} or {credential: NAME}
  endpoint     the API's address, to reach it by another way; https, or http to a loopback address
               (default https://api.linode.com/v4)
  timeout      for one request and its answer (default 30s)
  per_second   requests a second at most (default 1.5: the API allows 100 listings a minute)
  Domains are of type master.`,
	Example: `token: {file: /etc/mxcutover/linode.token}
`,
	Quirks: []string{
		"The API keeps single records and compares nothing. What comes is added first, then TTLs are changed in place, then what goes is deleted; the RRset is read again before each of these.",
		"A TTL is one of 300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600 and 2419200 seconds. Another is rounded by the service, and is told as it was read back. A record without a TTL has the domain's default, and is read so; a new record that lost its TTL is given it by a second request.",
		"An MX preference is 0 to 255 in the API's schema. Above, it is refused before anything is written.",
		"The labels of an MX record's name and host are letters, digits and hyphens, begin with a letter, and the first may be \"*\". Others are refused before anything is written, in what was there before too: it could not be put back.",
		"A null MX cannot stand beside other MX records, so that there would be a moment without any. It is read, and neither written nor replaced.",
		"A name that ends with the domain's own name once more would lose that end; it is refused before anything is written. So are TLSA and other types that the API does not know, CAA and SRV. The domain's own NS and SOA records are not in the API.",
		"Domains are read whole, 500 records a page: a filter by name may miss names that are spelled in another case.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://techdocs.akamai.com/linode-api/reference/get-domain-records",
}

// A linode is one account at Linode (https://techdocs.akamai.com/linode-api/).
type linode struct{ *api }

func openLinode(decode func(into any) error) (Provider, error) {
	a, err := openBearer(decode, apiKind{
		endpoint: "https://api.linode.com/v4", perSecond: 1.5,
		complaint: linodeComplaint,
	})
	if err != nil {
		return nil, err
	}
	return &linode{a}, nil
}

// linodeComplaint reads {"errors": [{"field": "...", "reason": "..."}]}
// (https://techdocs.akamai.com/linode-api/reference/errors).
func linodeComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Errors []struct{ Field, Reason string } `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || len(e.Errors) == 0 {
		return "", strings.TrimSpace(string(body))
	}
	var all []string
	for _, x := range e.Errors {
		if x.Field != "" {
			x.Reason = x.Field + ": " + x.Reason
		}
		all = append(all, x.Reason)
	}
	return "", strings.Join(all, "; ")
}

// The objects of the API that are used.
type (
	linodeDomain struct {
		ID     int64  `json:"id"`
		Domain string `json:"domain"`
		Type   string `json:"type"`
		TTL    int64  `json:"ttl_sec"`
	}
	// A linodeRecord has a name that is relative, empty for the domain, and a target
	// that is absolute, without final dot.
	linodeRecord struct {
		ID       int64  `json:"id,omitempty"`
		Type     string `json:"type"`
		Name     string `json:"name"`
		Target   string `json:"target"`
		Priority int64  `json:"priority"`
		TTL      int64  `json:"ttl_sec"`

		Weight   int64   `json:"weight,omitempty"`   // SRV
		Port     int64   `json:"port,omitempty"`     // SRV
		Service  *string `json:"service,omitempty"`  // SRV
		Protocol *string `json:"protocol,omitempty"` // SRV
		Tag      *string `json:"tag,omitempty"`      // CAA
	}
)

// linodeDefaultTTL is what a domain's TTL of 0 means
// (https://techdocs.akamai.com/linode-api/reference/get-domain).
const linodeDefaultTTL = 86400

// linodeList reads all pages of a listing into each, which gives an object's ID.
func linodeList[T any](ctx context.Context, p *linode, c call, each func(T) (int64, error)) error {
	return pages("1", func(at string) (page, error) {
		var answer struct {
			Data  *[]T  `json:"data"`
			Pages int64 `json:"pages"`
		}
		c.method, c.into, c.query = http.MethodGet, &answer, url.Values{"page": {at}, "page_size": {"500"}}
		if err := p.do(ctx, c); err != nil {
			return page{}, err
		}
		if answer.Data == nil {
			return page{}, fmt.Errorf("%s: the answer has no data", p.where(c))
		}
		var out page
		for i, x := range *answer.Data {
			id, err := each(x)
			if err != nil {
				return page{}, fmt.Errorf("%s: %w", p.where(c), err)
			}
			if i == 0 {
				out.first = strconv.FormatInt(id, 10)
			}
		}
		if n, _ := strconv.ParseInt(at, 10, 64); n < answer.Pages {
			out.next = strconv.FormatInt(n+1, 10)
		}
		return out, nil
	})
}

// find looks up a domain. Its name is unique among all accounts.
func (p *linode) find(ctx context.Context, zone string) (linodeDomain, error) {
	filter, err := json.Marshal(map[string]string{"domain": rrset.Bare(zone)})
	if err != nil {
		return linodeDomain{}, err
	}
	var found []linodeDomain
	c := call{path: "/domains", header: http.Header{"X-Filter": {string(filter)}}, zone: zone}
	err = linodeList(ctx, p, c, func(d linodeDomain) (int64, error) {
		if name, err := fullName(d.Domain); err == nil && name == zone {
			found = append(found, d)
		}
		return d.ID, nil
	})
	switch {
	case err != nil:
		return linodeDomain{}, err
	case len(found) == 0:
		return linodeDomain{}, fmt.Errorf("%w: %s at %s", ErrNoZone, rrset.Bare(zone), p.base.Host)
	case len(found) > 1:
		return linodeDomain{}, fmt.Errorf("%w: %s is there %d times at %s", ErrNoZone, rrset.Bare(zone), len(found), p.base.Host)
	case found[0].Type != "master":
		return linodeDomain{}, fmt.Errorf("zone %s: Linode is a secondary of it (type %.20q): write at its primary", zone, found[0].Type)
	}
	return found[0], nil
}

func (d linodeDomain) path() string { return fmt.Sprintf("/domains/%d/records", d.ID) }

// list reads all records of a zone.
func (p *linode) list(ctx context.Context, zone string) ([]Record, error) {
	d, err := p.find(ctx, zone)
	if err != nil {
		return nil, err
	}
	if d.TTL == 0 {
		d.TTL = linodeDefaultTTL
	}
	var all []Record
	err = linodeList(ctx, p, call{path: d.path(), zone: zone}, func(x linodeRecord) (int64, error) {
		if x.TTL == 0 {
			x.TTL = d.TTL
		}
		r, err := x.record(zone)
		if err != nil {
			return 0, fmt.Errorf("record %d: %w", x.ID, err)
		}
		all = append(all, r)
		return x.ID, nil
	})
	return all, err
}

// record is a record as the API sends it.
func (x linodeRecord) record(zone string) (Record, error) {
	typ := strings.ToUpper(x.Type)
	if typ == "SRV" && x.Name == "" && x.Service != nil && x.Protocol != nil {
		x.Name = "_" + strings.TrimPrefix(*x.Service, "_") + "._" + strings.TrimPrefix(*x.Protocol, "_")
	}
	name, err := nameBelow(x.Name, zone)
	if err != nil {
		return Record{}, err
	}
	data, err := x.value(typ)
	if err != nil {
		return Record{}, fmt.Errorf("%s %.20s: %w", name, typ, err)
	}
	return newRecord(zone, strconv.FormatInt(x.ID, 10), name, typ, x.TTL, data)
}

// value is a record's data in the one spelling.
func (x linodeRecord) value(typ string) (string, error) {
	switch typ {
	case "MX":
		if x.Target == "" { // RFC 7505
			x.Target = "."
		}
		return mxData(x.Priority, x.Target)
	case "TXT":
		return quoted(x.Target), nil
	case "CAA":
		if x.Tag == nil {
			return "", errors.New("the API sent no tag")
		}
		return parseData(typ, fmt.Sprintf("0 %s %s", *x.Tag, quoted(x.Target)))
	case "SRV":
		host, err := fullName(x.Target)
		if err != nil {
			return "", err
		}
		return parseData(typ, fmt.Sprintf("%d %d %d %s", x.Priority, x.Weight, x.Port, host))
	}
	if x.Target == "" {
		return "", errors.New("the API sent no target")
	}
	return parseData(typ, x.Target)
}
