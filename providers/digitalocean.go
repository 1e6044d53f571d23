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
	"time"

	"mxcutover/rrset"
)

// digitaloceanAbout is what people are told.
var digitaloceanAbout = About{
	Title: "DigitalOcean DNS (API v2)",
	Settings: `  token        required; a personal access token with the scopes domain:read, domain:create, domain:update
               and domain:delete: {file: PATH}, {env: NAME} or {credential: NAME}
  endpoint     the API's address, to reach it by another way; https, or http to a loopback address
               (default https://api.digitalocean.com)
  timeout      for one request and its answer (default 30s)
  per_second   requests a second at most (default 1.3: the API allows 5000 an hour, and 250 a minute)`,
	Example: `token: {file: /etc/mxcutover/digitalocean.token}
`,
	Quirks: []string{
		"The API keeps single records and compares nothing. What comes is added first, then TTLs are changed in place, then what goes is deleted; the RRset is read again before each of these.",
		"Hosts are sent with a final dot, without which they are refused, and come back without it; the zone itself comes back as \"@\". A record is therefore always sent whole, also where its TTL alone changes: what somebody else makes of the same record in that moment is lost.",
		"A TTL below 30 seconds is refused. It is refused here before anything is written.",
		"A null MX, TLSA and other types that the API does not know, and texts that are empty, have a backslash or are longer than 509 octets in quotes are refused before anything is written: they are not accepted, or come back as something else. CAA and SRV records are read, and not written.",
		"The SOA is no record of the API. It is left out of listings.",
		"Zones are read whole, 200 records a page: the API's filter by name may miss names that are spelled in another case.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://docs.digitalocean.com/products/networking/dns/reference/api/domain-records/",
}

// A digitalocean is one account or team at DigitalOcean
// (https://docs.digitalocean.com/reference/api/).
type digitalocean struct{ *api }

func openDigitalOcean(decode func(into any) error) (Provider, error) {
	a, err := openBearer(decode, apiKind{
		endpoint: "https://api.digitalocean.com", perSecond: 1.3,
		complaint: digitaloceanComplaint, wait: digitaloceanWait,
	})
	if err != nil {
		return nil, err
	}
	return &digitalocean{a}, nil
}

// digitaloceanComplaint reads {"id": "not_found", "message": "..."}.
func digitaloceanComplaint(_ int, body []byte) (code, words string) {
	var e struct{ ID, Message string }
	if json.Unmarshal(body, &e) != nil || e.ID == "" {
		return "", strings.TrimSpace(string(body))
	}
	return e.ID, e.Message
}

// digitaloceanWait reads ratelimit-reset: when the oldest request no longer
// counts, in Unix time.
func digitaloceanWait(h http.Header, now time.Time) time.Duration {
	at, err := strconv.ParseInt(h.Get("Ratelimit-Reset"), 10, 64)
	if err != nil || at < 0 || at > now.Add(24*time.Hour).Unix() {
		return 0
	}
	return max(0, time.Unix(at, 0).Sub(now))
}

// A digitaloceanRecord is the API's object. Name is relative, "@" is the zone.
type digitaloceanRecord struct {
	ID       int64  `json:"id,omitempty"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Data     string `json:"data"`
	Priority *int64 `json:"priority"`
	TTL      int64  `json:"ttl"`

	Port   *int64  `json:"port,omitempty"`   // SRV
	Weight *int64  `json:"weight,omitempty"` // SRV
	Flags  *int64  `json:"flags,omitempty"`  // CAA
	Tag    *string `json:"tag,omitempty"`    // CAA
}

// digitaloceanPages is what a listing says of its other pages.
type digitaloceanPages struct {
	Pages struct {
		Next string `json:"next"`
	} `json:"pages"`
}

// digitaloceanPage is the most that the API allows.
const digitaloceanPage = "200"

func digitaloceanPath(zone string) string {
	return "/v2/domains/" + url.PathEscape(rrset.Bare(zone)) + "/records"
}

// list reads all records of a zone.
func (p *digitalocean) list(ctx context.Context, zone string) (all []Record, err error) {
	err = pages("1", func(at string) (page, error) {
		var answer struct {
			Records *[]digitaloceanRecord `json:"domain_records"`
			Links   digitaloceanPages     `json:"links"`
		}
		q := url.Values{"page": {at}, "per_page": {digitaloceanPage}}
		c := call{method: http.MethodGet, path: digitaloceanPath(zone), query: q, into: &answer, zone: zone}
		if err := p.do(ctx, c); err != nil {
			return page{}, err
		}
		if answer.Records == nil {
			return page{}, fmt.Errorf("%s: the answer has no domain_records", p.where(c))
		}
		var out page
		for i, x := range *answer.Records {
			if i == 0 {
				out.first = strconv.FormatInt(x.ID, 10)
			}
			if x.Type == "SOA" {
				continue
			}
			r, err := x.record(zone)
			if err != nil {
				return page{}, fmt.Errorf("%s: record %d: %w", p.where(c), x.ID, err)
			}
			all = append(all, r)
		}
		if answer.Links.Pages.Next == "" {
			return out, nil
		}
		next, err := url.Parse(answer.Links.Pages.Next)
		if err != nil || next.Query().Get("page") == "" {
			return page{}, fmt.Errorf("%s: the next page is %.80q", p.where(c), answer.Links.Pages.Next)
		}
		out.next = next.Query().Get("page")
		return out, nil
	})
	return all, err
}

// record is a record as the API sends it.
func (x digitaloceanRecord) record(zone string) (Record, error) {
	name, err := nameBelow(x.Name, zone)
	if err != nil {
		return Record{}, err
	}
	typ := strings.ToUpper(x.Type)
	data, err := x.value(typ, zone)
	if err != nil {
		return Record{}, fmt.Errorf("%s %.20s: %w", name, typ, err)
	}
	return newRecord(zone, strconv.FormatInt(x.ID, 10), name, typ, x.TTL, data)
}

// value is a record's data in the one spelling.
func (x digitaloceanRecord) value(typ, zone string) (string, error) {
	switch typ {
	case "MX", "SRV", "NS", "CNAME":
	case "TXT":
		return quoted(x.Data), nil
	case "CAA":
		if x.Flags == nil || x.Tag == nil {
			return "", errors.New("the API sent no flags or no tag")
		}
		return parseData(typ, fmt.Sprintf("%d %s %s", *x.Flags, *x.Tag, quoted(x.Data)))
	default:
		return parseData(typ, x.Data)
	}
	host, err := target(x.Data, zone)
	switch {
	case err != nil || typ == "NS" || typ == "CNAME":
		return host, err
	case x.Priority == nil:
		return "", errors.New("the API sent no priority")
	case typ == "MX":
		return mxData(*x.Priority, host)
	case x.Weight == nil || x.Port == nil:
		return "", errors.New("the API sent no weight or no port")
	}
	return parseData(typ, fmt.Sprintf("%d %d %d %s", *x.Priority, *x.Weight, *x.Port, host))
}

// Check refuses what the API would not take, or gives back as something else.
func (p *digitalocean) Check(c rrset.Change) error {
	if !c.After.Absent() && c.After.TTL < 30 {
		return fmt.Errorf("a TTL of %d seconds: DigitalOcean takes 30 or more", c.After.TTL)
	}
	for _, s := range []rrset.Set{c.Before, c.After} {
		for _, d := range s.Data {
			if _, err := digitaloceanBody(c.Zone, Record{Name: s.Name, Type: s.Type, TTL: s.TTL, Data: d}); err != nil {
				return err
			}
		}
	}
	return nil
}

// digitaloceanBody is a record as the API wants it.
func digitaloceanBody(zone string, r Record) (digitaloceanRecord, error) {
	x := digitaloceanRecord{Type: r.Type, Name: relative(r.Name, zone), Data: r.Data, TTL: int64(r.TTL)}
	switch r.Type {
	case "A", "AAAA", "CNAME", "NS":
	case "MX":
		mx, err := rrset.ParseMX(r.Data)
		if err != nil {
			return x, err
		}
		if mx.Null() {
			return x, errors.New("a null MX (RFC 7505) is not taken by DigitalOcean")
		}
		priority := int64(mx.Preference)
		x.Priority, x.Data = &priority, mx.Host
	case "TXT":
		text, err := textOf(r.Data)
		switch {
		case err != nil:
			return x, err
		case text == "", strings.Contains(text, `\`), len(quoted(text)) > 509:
			return x, fmt.Errorf("text %.60q: DigitalOcean takes none that is empty, has a backslash, or is above 509 octets in quotes", text)
		}
		x.Data = text
	default:
		return x, fmt.Errorf("records of type %s are not written at DigitalOcean", r.Type)
	}
	return x, nil
}
