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

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// hetznerAbout is what people are told.
var hetznerAbout = About{
	Title: "Hetzner DNS (Cloud API)",
	Settings: `  token        required; an API token of the project with the zones, Read & Write: {file: PATH}, {env: NAME} or {credential: NAME}
  endpoint     the API's address, to reach it by another way; https, or http to a loopback address
               (default https://api.hetzner.cloud/v1)
  timeout      for one request and its answer, and for an action to end (default 30s)
  per_second   requests a second at most (default 2: the API allows 3600 an hour to a project, in bursts)
  Zones are in primary mode, and in Hetzner Console: the DNS Console and its API at dns.hetzner.com were shut down in 2026.`,
	Example: `token: {file: /etc/mxcutover/hetzner.token}
`,
	Quirks: []string{
		"No call of the API replaces members and TTL together, and none compares. So what comes is added, then the TTL of the RRset is changed, then what goes is removed, each by a call that touches nothing else; the RRset is read again before each. Other records, comments and labels stay. An RRset that becomes empty, and its labels, are gone.",
		"Writes are actions that run on after their answer. Each is waited for; one that does not end in time leaves the write in doubt.",
		"A TTL is 60 to 2147483647 seconds. Below is refused before anything is written.",
		"An RRset without a TTL has the zone's default, and is read so. Where its TTL is changed it gets its own, also on the way back.",
		"A host without a final dot is relative to the zone, and is read so.",
		"An RRset that is protected against changes is not written; take the protection off first.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://docs.hetzner.cloud/reference/cloud#tag/zone-rrset-actions",
}

// A hetzner is one project at Hetzner (https://docs.hetzner.cloud/reference/cloud).
type hetzner struct{ *api }

func openHetzner(decode func(into any) error) (Provider, error) {
	a, err := openBearer(decode, apiKind{
		endpoint: "https://api.hetzner.cloud/v1", perSecond: 2,
		complaint: hetznerComplaint,
		// Another action is running there.
		throttled: func(_ int, code string) bool { return code == "locked" },
		// RateLimit-Reset tells when all of the limit is there again; a request is
		// there again each second.
		wait: func(http.Header, time.Time) time.Duration { return time.Second },
	})
	if err != nil {
		return nil, err
	}
	return &hetzner{a}, nil
}

// hetznerComplaint reads {"error": {"code": "...", "message": "..."}}.
func hetznerComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Error hetznerError `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Code == "" {
		return "", strings.TrimSpace(string(body))
	}
	if e.Error.Code == "incorrect_zone_mode" {
		e.Error.Message = "the zone is a secondary here, write at its primary; " + e.Error.Message
	}
	return e.Error.Code, e.Error.Message
}

// The objects of the API that are used.
type (
	hetznerError struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	hetznerRRset struct {
		Name       string          `json:"name,omitempty"` // relative, lower case; "@" is the zone
		Type       string          `json:"type,omitempty"`
		TTL        *int64          `json:"ttl,omitempty"` // null: the zone's
		Records    []hetznerRecord `json:"records"`
		Protection *struct {
			Change bool `json:"change"`
		} `json:"protection,omitempty"`
	}
	hetznerRecord struct {
		Value string `json:"value"` // in presentation format; it is the record's identity
	}
	hetznerAction struct {
		ID     int64         `json:"id"`
		Status string        `json:"status"` // running, success, error
		Error  *hetznerError `json:"error"`
	}
)

// hetznerPage is the most that the API allows for RRsets.
const hetznerPage = "100"

func hetznerPath(zone string) string { return "/zones/" + url.PathEscape(rrset.Bare(zone)) }

// hetznerSet is the path of one RRset.
func hetznerSet(zone, name, typ string) string {
	return hetznerPath(zone) + "/rrsets/" + url.PathEscape(relative(name, zone)) + "/" + url.PathEscape(typ)
}

// defaultTTL reads a zone's.
func (p *hetzner) defaultTTL(ctx context.Context, zone string) (int64, error) {
	var answer struct {
		Zone struct {
			TTL *int64 `json:"ttl"`
		} `json:"zone"`
	}
	c := call{method: http.MethodGet, path: hetznerPath(zone), into: &answer, zone: zone}
	if err := p.do(ctx, c); err != nil {
		return 0, err
	}
	if answer.Zone.TTL == nil {
		return 0, fmt.Errorf("%s: the answer has no TTL", p.where(c))
	}
	return *answer.Zone.TTL, nil
}

// list reads the records of one name, or of the zone.
func (p *hetzner) list(ctx context.Context, zone, name string) ([]Record, error) {
	q := url.Values{"per_page": {hetznerPage}}
	if name != "" {
		q.Set("name", relative(name, zone))
	}
	var sets []hetznerRRset
	err := pages("1", func(at string) (page, error) {
		var answer struct {
			RRsets *[]hetznerRRset `json:"rrsets"`
			Meta   struct {
				Pagination struct {
					Next *int64 `json:"next_page"`
				} `json:"pagination"`
			} `json:"meta"`
		}
		q.Set("page", at)
		c := call{method: http.MethodGet, path: hetznerPath(zone) + "/rrsets", query: q, into: &answer, zone: zone}
		if err := p.do(ctx, c); err != nil {
			return page{}, err
		}
		if answer.RRsets == nil {
			return page{}, fmt.Errorf("%s: the answer has no rrsets", p.where(c))
		}
		var out page
		if all := *answer.RRsets; len(all) > 0 {
			out.first = all[0].Name + "/" + all[0].Type
			sets = append(sets, all...)
		}
		if answer.Meta.Pagination.Next != nil {
			out.next = strconv.FormatInt(*answer.Meta.Pagination.Next, 10)
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return p.records(ctx, zone, sets)
}

// records are those of RRsets that the API sent, each with its value as its ID.
func (p *hetzner) records(ctx context.Context, zone string, sets []hetznerRRset) ([]Record, error) {
	var all []Record
	var inherited *int64
	for _, s := range sets {
		if s.TTL == nil {
			if inherited == nil {
				ttl, err := p.defaultTTL(ctx, zone)
				if err != nil {
					return nil, err
				}
				inherited = &ttl
			}
			s.TTL = inherited
		}
		name, err := nameBelow(s.Name, zone)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", zone, err)
		}
		typ := strings.ToUpper(s.Type)
		for _, x := range s.Records {
			data, err := parseRelative(typ, x.Value, zone)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			r, err := newRecord(zone, x.Value, name, typ, *s.TTL, data)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// parseRelative is parseData where a name without a final dot is relative to the
// zone (RFC 1035 section 5.1).
func parseRelative(typ, value, zone string) (string, error) {
	if strings.ContainsAny(typ+value, "\r\n") {
		return "", fmt.Errorf("%.20q value %.80q: a line break", typ, value)
	}
	z := dns.NewZoneParser(strings.NewReader(fmt.Sprintf("@ 0 IN %s %s\n", typ, value)), zone, "")
	rr, ok := z.Next()
	if !ok || dns.TypeToString[rr.Header().Rrtype] != typ {
		switch typ {
		case "MX", "NS", "CNAME", "PTR":
			return "", errors.Join(fmt.Errorf("%s value %.80q is not in presentation format", typ, value), z.Err())
		}
		return value, nil
	}
	if _, more := z.Next(); more {
		return "", fmt.Errorf("%.20s value %.80q is several", typ, value)
	}
	return dataOf(rr)
}
