package providers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// desecAbout is what people are told.
var desecAbout = About{
	Title: "deSEC (API v1)",
	Settings: `  token        required; a token of the account: {file: PATH}, {env: NAME} or {credential: NAME}; if it has
               policies, they allow the domains' MX (and what else is to be written)
` + apiDoc + `
  deSEC allows an account 50 readings a minute, 2000 requests a day, and 15 writes a minute, 100 an hour
  and 300 a day of each domain; the default of per_second is 0.65, after a burst of 9. A change takes about
  5 requests: some 400 changes a day, unless deSEC raises the account's limits. Let few changes be written
  at once ("writes: 2" of this provider), so that each can be read back in time.`,
	Example: `token: {file: /etc/mxcutover/desec.token}
`,
	Quirks: []string{
		"The API compares nothing, and has no ETag: what somebody else writes in the moment between our reading and our writing is lost. The RRset is read again right before it is written.",
		"TTLs below the domain's minimum, mostly 3600, are refused, and so are those above 86400. Such a TTL is raised or lowered to that before it is sent, and told as clamped. deSEC lowers the minimum on request.",
		"When there were too many requests it says for how long to wait. Up to 30 seconds are waited for; after a longer one the write is given back, as not done.",
		"SOA, and what belongs to DNSSEC, are not shown.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://desec.readthedocs.io/en/latest/dns/rrsets.html",
}

// TTLs at deSEC. Below the first, a domain's own minimum is asked for
// (https://desec.readthedocs.io/en/latest/dns/domains.html).
const (
	desecUsualMinTTL = 3600
	desecMaxTTL      = 86400
)

// desecSettings is the section of the configuration.
type desecSettings struct {
	Token secret.Ref  `yaml:"token,required" json:"token"`
	API   apiSettings `yaml:",inline" json:"api"`
}

// A desec is one account at deSEC.
type desec struct{ *api }

func openDeSEC(decode func(into any) error) (Provider, error) {
	var s desecSettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	token, err := s.Token.Read()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	a, err := newAPI(apiKind{
		endpoint: "https://desec.io/api/v1", secrets: []string{token}, credential: "token", complaint: desecComplaint,
		// 10 a second and 50 a minute: https://desec.readthedocs.io/en/latest/rate-limits.html
		perSecond: 0.65, burst: 9,
		sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "Token "+token)
			return nil
		},
	}, s.API)
	if err != nil {
		return nil, err
	}
	return &desec{a}, nil
}

// desecComplaint reads {"detail": "..."}. What was wrong in an RRset comes as
// {"field": ["...", ...]}, or a list of that, and is shown as it is.
func desecComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &e) != nil || e.Detail == "" {
		return "", strings.TrimSpace(string(body))
	}
	return "", e.Detail
}

// A desecRRset is one of the API
// (https://desec.readthedocs.io/en/latest/dns/rrsets.html).
type desecRRset struct {
	Name    string   `json:"name,omitempty"` // absolute; not written
	Subname string   `json:"subname"`        // relative to the domain; "" at its apex
	Type    string   `json:"type"`
	TTL     *int64   `json:"ttl,omitempty"` // not with a deletion
	Records []string `json:"records"`       // none: a deletion
}

func desecPath(zone string) string { return "/domains/" + url.PathEscape(rrset.Bare(zone)) + "/" }

func subname(name, zone string) string { return strings.TrimPrefix(relative(name, zone), "@") }

// rrsets lists those that a query is about. A cursor must be in it from the first
// page on, since more than 500 RRsets are refused without one.
func (p *desec) rrsets(ctx context.Context, zone string, query url.Values) ([]rrset.Set, error) {
	z := newZoneData(zone)
	err := pages("", func(at string) (page, error) {
		query.Set("cursor", at)
		var some []desecRRset
		var head http.Header
		if err := p.do(ctx, call{method: http.MethodGet, path: desecPath(zone) + "rrsets/", query: query, into: &some, head: &head, zone: zone}); err != nil {
			return page{}, err
		}
		for _, s := range some {
			if err := s.addTo(z); err != nil {
				return page{}, err
			}
		}
		next, err := nextLink(head, "cursor")
		var first string
		if len(some) > 0 {
			first = some[0].Name + " " + some[0].Type
		}
		return page{next: next, first: first}, err
	})
	if err != nil {
		return nil, err
	}
	return z.sets()
}

func (s desecRRset) addTo(z *zoneData) error {
	if s.TTL == nil {
		return fmt.Errorf("%.80q %.20q: no TTL was sent", s.Name, s.Type)
	}
	for _, r := range s.Records {
		data, err := parseData(s.Type, r)
		if err != nil {
			return fmt.Errorf("%.80s: %w", s.Name, err)
		}
		if err := z.add(s.Name, s.Type, *s.TTL, data); err != nil {
			return err
		}
	}
	return nil
}

// Read reads one RRset; see [Reader].
func (p *desec) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	sets, err := p.rrsets(ctx, w.zone, url.Values{"subname": {subname(w.name, w.zone)}})
	if err != nil {
		return rrset.Set{}, err
	}
	return pick(sets, w.name, typ)
}

// Zone reads a zone; see [Zoner].
func (p *desec) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	return p.rrsets(ctx, zone, url.Values{})
}

// GetRecords reads a zone, for libdns.
func (p *desec) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// SetRRset replaces one RRset; see [Setter]. It looks once more right before,
// since PUT asks for nothing. A list of one is sent, by which an RRset may be
// new, replaced or deleted.
func (p *desec) SetRRset(ctx context.Context, c rrset.Change) error {
	set := desecRRset{Subname: subname(c.After.Name, c.Zone), Type: c.After.Type, Records: c.After.Data}
	method := http.MethodPut
	if c.After.Absent() {
		method, set.Records = http.MethodPatch, []string{} // PUT would ask for a TTL
	} else {
		ttl, err := p.ttl(ctx, c.Zone, c.After.TTL)
		if err != nil {
			return err
		}
		set.TTL = &ttl
	}
	found, err := p.Read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	return p.do(ctx, call{method: method, path: desecPath(c.Zone) + "rrsets/", body: []desecRRset{set}, zone: c.Zone})
}

// ttl is the nearest that the domain takes.
func (p *desec) ttl(ctx context.Context, zone string, ttl uint32) (int64, error) {
	if ttl >= desecUsualMinTTL {
		return min(int64(ttl), desecMaxTTL), nil
	}
	var d struct {
		Minimum *int64 `json:"minimum_ttl"`
	}
	if err := p.do(ctx, call{method: http.MethodGet, path: desecPath(zone), into: &d, zone: zone}); err != nil {
		return 0, err
	}
	if d.Minimum == nil || *d.Minimum < 0 || *d.Minimum > desecMaxTTL {
		return 0, fmt.Errorf("zone %s: the domain's minimum TTL cannot be read", zone)
	}
	return max(int64(ttl), *d.Minimum), nil
}
