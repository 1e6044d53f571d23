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

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// scalewayAbout is what people are told.
var scalewayAbout = About{
	Title: "Scaleway Domains and DNS",
	Settings: `  secret_key   required; the secret of an API key with DomainsDNSFullAccess: {file: PATH}, {env: NAME} or {credential: NAME}
  endpoint     the API's address, to reach it by another way (default https://api.scaleway.com/domain/v2beta1)
  timeout      for one request and its answer (default 30s)
  per_second   requests a second at most (default 5)
  A subdomain that is a DNS zone of its own at Scaleway is a zone of its own here, too.`,
	Example: `secret_key: {file: /etc/mxcutover/scaleway.key}
`,
	Quirks: []string{
		"The field serial of a change sets the zone's serial number, and compares nothing. So what somebody else writes in the moment between our reading and our writing is lost. The RRset is read again right before it is written.",
		"Each record has a TTL of its own. An RRset with several is refused until it has one.",
		"Records that depend on who asks, or on a health check (geo_ip_config, view_config, weighted_config, http_service_config), are read as their plain data in a listing, and never changed. A comment stays with its record; a record with a comment is not deleted.",
		"A filter by name could miss a name in another spelling: the zone is always read as a whole, and read again if it changed between two pages.",
		"A change for a zone that is not there may create it. We forbid that in each request.",
		"Names and hosts are in Unicode. They are compared as A-labels, and sent as such.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://www.scaleway.com/en/developers/api/domains-and-dns/",
}

// scalewaySettings is the section of the configuration.
type scalewaySettings struct {
	Key secret.Ref  `yaml:"secret_key,required" json:"secret_key"`
	API apiSettings `yaml:",inline" json:"api"`
}

// A scaleway is an account at Scaleway, by its API Domains and DNS v2beta1.
type scaleway struct {
	*api
}

func openScaleway(decode func(into any) error) (Provider, error) {
	var s scalewaySettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	key, err := s.Key.Read()
	if err != nil {
		return nil, fmt.Errorf("secret_key: %w", err)
	}
	a, err := newAPI(apiKind{
		endpoint: "https://api.scaleway.com/domain/v2beta1", perSecond: 5,
		secrets: []string{key}, credential: "secret_key", complaint: scalewayComplaint,
		// A resource that still works on an earlier change refuses the next one.
		throttled: func(status int, code string) bool { return status < 500 && code == "transient_state" },
		sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("X-Auth-Token", key)
			return nil
		},
	}, s.API)
	if err != nil {
		return nil, err
	}
	return &scaleway{a}, nil
}

// scalewayComplaint reads {"type": "...", "message": "...", "details": [...]}
// (https://www.scaleway.com/en/developers/api/#responses).
func scalewayComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Details []struct {
			Argument string `json:"argument_name"`
			Reason   string `json:"reason"`
			Help     string `json:"help_message"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &e) != nil || e.Type == "" && e.Message == "" {
		return "", strings.TrimSpace(string(body))
	}
	words = e.Message
	for _, d := range e.Details {
		words += fmt.Sprintf("; %s: %s %s", d.Argument, d.Reason, d.Help)
	}
	return e.Type, words
}

// A scalewayRecord is one record as it is sent and received.
type scalewayRecord struct {
	ID       string  `json:"id,omitempty"`
	Name     string  `json:"name"` // relative; empty at the zone's apex
	Type     string  `json:"type"`
	Data     string  `json:"data"` // received with an MX's preference before the host
	Priority int64   `json:"priority"`
	TTL      int64   `json:"ttl"`
	Comment  *string `json:"comment"`

	Geo      json.RawMessage `json:"geo_ip_config,omitempty"`
	Service  json.RawMessage `json:"http_service_config,omitempty"`
	Weighted json.RawMessage `json:"weighted_config,omitempty"`
	View     json.RawMessage `json:"view_config,omitempty"`

	name, data string // canonical
}

// dynamic tells whether what is answered is not simply the data.
func (r *scalewayRecord) dynamic() bool {
	for _, c := range []json.RawMessage{r.Geo, r.Service, r.Weighted, r.View} {
		if len(c) > 0 && string(c) != "null" {
			return true
		}
	}
	return false
}

// path is that of a zone's records.
func (s *scaleway) path(zone string) string {
	return "/dns-zones/" + url.PathEscape(rrset.Bare(zone)) + "/records"
}

// list reads all records of a zone.
func (s *scaleway) list(ctx context.Context, zone string) ([]scalewayRecord, error) {
	all, err := settled(func() ([]scalewayRecord, error) { return s.listOnce(ctx, zone) })
	if err != nil {
		return nil, err
	}
	if len(all) == 0 { // not even its NS records
		return nil, fmt.Errorf("zone %s: the service told of no records at all", rrset.Bare(zone))
	}
	for i := range all {
		r := &all[i]
		if r.name, err = nameBelow(r.Name, zone); err != nil {
			return nil, fmt.Errorf("zone %s: %w", rrset.Bare(zone), err)
		}
		if r.data, err = r.canonical(); err != nil {
			return nil, fmt.Errorf("%s %.20q: %w", r.name, r.Type, err)
		}
	}
	return all, nil
}

// canonical is the one spelling of the data.
func (r *scalewayRecord) canonical() (string, error) {
	if r.Type == "MX" && len(strings.Fields(r.Data)) == 1 {
		return mxData(r.Priority, r.Data)
	}
	return parseData(r.Type, r.Data)
}

// listOnce reads page after page. A server may send fewer records on each than
// were asked for.
func (s *scaleway) listOnce(ctx context.Context, zone string) ([]scalewayRecord, error) {
	var all []scalewayRecord
	var count counted
	err := pages("1", func(at string) (page, error) {
		var got struct {
			Total   int              `json:"total_count"`
			Records []scalewayRecord `json:"records"`
		}
		q := url.Values{"page": {at}, "page_size": {"1000"}, "order_by": {"name_asc"}}
		if err := s.do(ctx, call{method: http.MethodGet, path: s.path(zone), query: q, into: &got, zone: zone}); err != nil {
			return page{}, s.noZone(err, zone)
		}
		ids := make([]string, len(got.Records))
		for i, r := range got.Records {
			ids[i] = r.ID
		}
		all = append(all, got.Records...)
		last, err := count.page(got.Total, ids)
		if err != nil || last {
			return page{}, err
		}
		n, err := strconv.Atoi(at)
		return page{next: strconv.Itoa(n + 1)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", rrset.Bare(zone), err)
	}
	return all, nil
}

// noZone turns the API's answer for a zone of nobody or of somebody else, which
// is 403 "domain not found", into [ErrNoZone].
func (s *scaleway) noZone(err error, zone string) error {
	var e *apiError
	if errors.As(err, &e) && e.Status == http.StatusForbidden && strings.Contains(e.words, "not found") {
		return fmt.Errorf("%w: %s at %s: %w", ErrNoZone, rrset.Bare(zone), s.base.Host, e)
	}
	return err
}

// sets makes RRsets of records.
func (s *scaleway) sets(zone string, all []scalewayRecord) ([]rrset.Set, error) {
	z := newZoneData(zone)
	for _, r := range all {
		if err := z.add(r.name, r.Type, r.TTL, r.data); err != nil {
			return nil, err
		}
	}
	return z.sets()
}

// find reads one RRset, and the records that it consists of.
func (s *scaleway) find(ctx context.Context, zone, name, typ string) (rrset.Set, []scalewayRecord, error) {
	all, err := s.list(ctx, zone)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	var there, members []scalewayRecord
	for _, r := range all {
		if r.name == name {
			there = append(there, r)
		}
	}
	sets, err := s.sets(zone, there)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	found, err := pick(sets, name, typ)
	for _, r := range there {
		if err != nil || !strings.EqualFold(r.Type, found.Type) {
			continue
		}
		members = append(members, r)
		switch {
		case r.dynamic():
			err = fmt.Errorf("%s %s: it depends on who asks or on a health check (a dynamic record): it cannot be changed here", name, found.Type)
		case r.TTL != members[0].TTL:
			err = mixedError(found)
		case r.Name != members[0].Name:
			err = fmt.Errorf("%s %s: its records' names are spelled in several ways, %.80q and %.80q: give them one", name, found.Type, members[0].Name, r.Name)
		}
	}
	return found, members, err
}

// Read reads one RRset; see [Reader].
func (s *scaleway) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	found, _, err := s.find(ctx, w.zone, w.name, typ)
	return found, err
}

// Zone reads a zone; see [Zoner].
func (s *scaleway) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	all, err := s.list(ctx, zone)
	if err != nil {
		return nil, err
	}
	return s.sets(zone, all)
}

// GetRecords reads a zone, for libdns.
func (s *scaleway) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, s, zone)
}
