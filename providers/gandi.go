package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// gandiAbout is what people are told.
var gandiAbout = About{
	Title: "Gandi LiveDNS (API v5)",
	Settings: `  token        a personal access token: {file: PATH}, {env: NAME} or {credential: NAME}; it needs
               "manage domain name technical configurations" for the domains
  api_key      instead of a token: the account's older key, which Gandi calls deprecated
` + apiDoc + `
  Gandi allows 1000 requests a minute from one address; the default of per_second is 10.`,
	Example: `token: {file: /etc/mxcutover/gandi.token}
`,
	Quirks: []string{
		"The API compares nothing, and has no ETag: what somebody else writes in the moment between our reading and our writing is lost. The RRset is read again right before it is written.",
		"TTLs below 300 and above 30 days are refused. Such a TTL is raised or lowered to that before it is sent, and told as clamped.",
		"A name is found in the spelling alone that it was written in, capitals and all. A name that is not found as it is here is looked for in the whole zone, and written in the spelling that is there.",
		"A host without its final dot is below the zone, as in a zone file. We always write the dot.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://api.gandi.net/docs/livedns/",
}

// What Gandi takes as TTL (https://api.gandi.net/docs/livedns/).
const (
	gandiMinTTL = 300
	gandiMaxTTL = 30 * 86400
)

// gandiSettings is the section of the configuration.
type gandiSettings struct {
	Token secret.Ref  `yaml:"token" json:"token"`
	Key   secret.Ref  `yaml:"api_key" json:"api_key"`
	API   apiSettings `yaml:",inline" json:"api"`
}

// A gandi is one account at Gandi, by the LiveDNS API.
type gandi struct{ *api }

func openGandi(decode func(into any) error) (Provider, error) {
	var s gandiSettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	if s.Token.IsZero() == s.Key.IsZero() {
		return nil, errors.New("token: a personal access token was expected, or else api_key; one of the two")
	}
	// https://api.gandi.net/docs/authentication/
	scheme, name, ref := "Bearer ", "token", s.Token
	if s.Token.IsZero() {
		scheme, name, ref = "Apikey ", "api_key", s.Key
	}
	key, err := ref.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a, err := newAPI(apiKind{
		endpoint: "https://api.gandi.net/v5/livedns", perSecond: 10, secrets: []string{key}, credential: name,
		complaint: gandiComplaint,
		sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", scheme+key)
			return nil
		},
	}, s.API)
	if err != nil {
		return nil, err
	}
	return &gandi{a}, nil
}

// gandiComplaint reads {"cause", "code", "message", "object"}, and, of what was
// sent wrongly, {"status", "errors": [{"location", "name", "description"}]}.
func gandiComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Cause   string `json:"cause"`
		Message string `json:"message"`
		Errors  []struct {
			Name        string `json:"name"`
			Description string `json:"description"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || e.Message == "" && len(e.Errors) == 0 {
		return "", strings.TrimSpace(string(body))
	}
	for _, x := range e.Errors {
		e.Message = strings.TrimPrefix(e.Message+"; "+x.Name+": "+x.Description, "; ")
	}
	return e.Cause, e.Message
}

// A gandiRRset is one of the API (https://api.gandi.net/docs/livedns/).
type gandiRRset struct {
	Name   string   `json:"rrset_name,omitempty"` // relative to the domain; "@"
	Type   string   `json:"rrset_type,omitempty"`
	TTL    int64    `json:"rrset_ttl"`
	Values []string `json:"rrset_values"`
}

func gandiPath(zone string) string { return "/domains/" + url.PathEscape(rrset.Bare(zone)) }

// named reads the RRsets of one name. Where the type is not among those of the
// name as it is spelled here, another spelling of it may be in the zone.
func (p *gandi) named(ctx context.Context, zone, name, typ string) ([]gandiRRset, error) {
	label := relative(name, zone)
	var all []gandiRRset
	err := p.do(ctx, call{method: http.MethodGet, path: gandiPath(zone) + "/records/" + url.PathEscape(label), into: &all, zone: zone})
	var refused *apiError
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound: // no such name, or no such zone
	case err != nil:
		return nil, err
	case slices.ContainsFunc(all, func(s gandiRRset) bool { return s.Name == label && (s.Type == typ || s.Type == "CNAME") }):
		return all, nil
	}
	if all, err = p.listing(ctx, zone); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s gandiRRset) bool {
		n, err := nameBelow(s.Name, zone)
		return err == nil && n != name
	}), nil
}

// listing reads all pages of a zone. The link to the next page is in a header,
// and the number of all RRsets may be.
func (p *gandi) listing(ctx context.Context, zone string) ([]gandiRRset, error) {
	var all []gandiRRset
	total := ""
	err := pages("1", func(at string) (page, error) {
		var some []gandiRRset
		var head http.Header
		err := p.do(ctx, call{method: http.MethodGet, path: gandiPath(zone) + "/records", query: url.Values{"page": {at}}, into: &some, head: &head, zone: zone})
		if err != nil {
			return page{}, err
		}
		all = append(all, some...)
		total = head.Get("Total-Count")
		next, err := nextLink(head, "page")
		var first string
		if len(some) > 0 {
			first = some[0].Name + " " + some[0].Type
		}
		return page{next: next, first: first}, err
	})
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(total); err == nil && n > len(all) {
		return nil, fmt.Errorf("zone %s: %d RRsets came of %d that were told; it changes, or the listing is not whole", zone, len(all), n)
	}
	return all, nil
}

func (p *gandi) sets(zone string, all []gandiRRset) ([]rrset.Set, error) {
	z := newZoneData(zone)
	for _, s := range all {
		name, err := nameBelow(s.Name, zone)
		if err != nil {
			return nil, err
		}
		for _, v := range s.Values {
			data, err := dataBelow(s.Type, v, zone)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := z.add(name, s.Type, s.TTL, data); err != nil {
				return nil, err
			}
		}
	}
	return z.sets()
}

// Read reads one RRset; see [Reader].
func (p *gandi) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	_, found, err := p.find(ctx, w.zone, w.name, w.absent().Type)
	return found, err
}

// find reads one RRset, and how its name is spelled at Gandi.
func (p *gandi) find(ctx context.Context, zone, name, typ string) (spelled string, found rrset.Set, err error) {
	all, err := p.named(ctx, zone, name, typ)
	if err != nil {
		return "", rrset.Set{}, err
	}
	sets, err := p.sets(zone, all)
	if err != nil {
		return "", rrset.Set{}, err
	}
	for _, s := range all {
		switch {
		case s.Type != typ:
		case spelled != "":
			return "", rrset.Set{}, fmt.Errorf("%s %s is there as %.80q and as %.80q, which the API takes for two names; give them one spelling at Gandi", name, typ, spelled, s.Name)
		default:
			spelled = s.Name
		}
	}
	if spelled == "" {
		spelled = relative(name, zone)
	}
	found, err = pick(sets, name, typ)
	return spelled, found, err
}

// Zone reads a zone; see [Zoner].
func (p *gandi) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	all, err := p.listing(ctx, zone)
	if err != nil {
		return nil, err
	}
	return p.sets(zone, all)
}

// GetRecords reads a zone, for libdns.
func (p *gandi) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// SetRRset replaces one RRset; see [Setter]. It looks once more right before,
// since PUT asks for nothing.
func (p *gandi) SetRRset(ctx context.Context, c rrset.Change) error {
	spelled, found, err := p.find(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	w := call{method: http.MethodDelete, path: gandiPath(c.Zone) + "/records/" + url.PathEscape(spelled) + "/" + url.PathEscape(c.After.Type), zone: c.Zone}
	if !c.After.Absent() {
		w.method = http.MethodPut
		w.body = gandiRRset{TTL: min(max(int64(c.After.TTL), gandiMinTTL), gandiMaxTTL), Values: c.After.Data}
	}
	return p.do(ctx, w)
}
