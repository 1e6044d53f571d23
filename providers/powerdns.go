package providers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// powerdnsAbout is what people are told.
var powerdnsAbout = About{
	Title: "PowerDNS Authoritative Server (HTTP API)",
	Settings: `  endpoint     required; the web server's address, "https://ns.example.net:8081"; http to a loopback address
  api_key      required; the key of the API: {file: PATH}, {env: NAME} or {credential: NAME}
  server_id    the server's name in the API (default localhost)
  timeout      for one request and its answer (default 30s)
  per_second   requests a second at most (default 50)
  The server has api=yes and webserver-allow-from for this machine. Zones are of kind Native or Master.`,
	Example: `endpoint: https://ns1.example.net:8081
api_key: {file: /etc/mxcutover/powerdns.key}
`,
	Quirks: []string{
		"The API compares nothing: what somebody else writes in the moment between our reading and our writing is lost. The RRset is read again right before it is written.",
		"Disabled records, and comments, of the RRset are kept as they are.",
		"With SQLite two writers at once (the API, dynamic updates) make one of them fail with status 500 (seen on 4.7): the write is in doubt, and looked at again.",
	},
	Proven: "the real server (4.7, with SQLite; `make integration`), and a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://doc.powerdns.com/authoritative/http-api/zone.html",
}

// powerdnsSettings is the section of the configuration.
type powerdnsSettings struct {
	Key      secret.Ref  `yaml:"api_key,required" json:"api_key"`
	ServerID string      `yaml:"server_id" json:"server_id"`
	API      apiSettings `yaml:",inline" json:"api"`
}

// A powerdns is one PowerDNS Authoritative Server, by its HTTP API
// (https://doc.powerdns.com/authoritative/http-api/).
type powerdns struct {
	*api
	server string // as a segment of a path
}

func openPowerDNS(decode func(into any) error) (Provider, error) {
	s := powerdnsSettings{ServerID: "localhost"}
	if err := decode(&s); err != nil {
		return nil, err
	}
	if s.API.Endpoint == "" {
		return nil, fmt.Errorf(`endpoint: is missing; the web server's address was expected, as in "https://ns.example.net:8081"`)
	}
	key, err := s.Key.Read()
	if err != nil {
		return nil, fmt.Errorf("api_key: %w", err)
	}
	a, err := newAPI(apiKind{
		perSecond: 50, secrets: []string{key}, credential: "api_key", complaint: powerdnsComplaint,
		sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("X-API-Key", key)
			return nil
		},
	}, s.API)
	if err != nil {
		return nil, err
	}
	return &powerdns{a, url.PathEscape(s.ServerID)}, nil
}

// powerdnsComplaint reads {"error": "...", "errors": [...]}
// (https://doc.powerdns.com/authoritative/http-api/index.html).
func powerdnsComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Error  string   `json:"error"`
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		return "", strings.TrimSpace(string(body))
	}
	return "", strings.Join(append([]string{e.Error}, e.Errors...), "; ")
}

// The objects of the API that are used
// (https://doc.powerdns.com/authoritative/http-api/zone.html).
type (
	powerdnsZone struct {
		ID     string          `json:"id"`
		Name   string          `json:"name"`
		Kind   string          `json:"kind"`
		RRsets []powerdnsRRset `json:"rrsets"`
	}
	powerdnsRRset struct {
		Name       string           `json:"name"`
		Type       string           `json:"type"`
		TTL        *int64           `json:"ttl,omitempty"` // not with DELETE
		ChangeType string           `json:"changetype,omitempty"`
		Records    []powerdnsRecord `json:"records"`
	}
	powerdnsRecord struct {
		Content  string `json:"content"`
		Disabled bool   `json:"disabled"`
	}
)

// find gives the path of a zone. The ID is the server's own spelling of the name.
func (p *powerdns) find(ctx context.Context, zone string) (string, error) {
	zones := "/api/v1/servers/" + p.server + "/zones"
	var list []powerdnsZone
	if err := p.do(ctx, call{method: http.MethodGet, path: zones, query: url.Values{"zone": {zone}}, into: &list, zone: zone}); err != nil {
		return "", err
	}
	for _, z := range list {
		if name, err := fullName(z.Name); err != nil || name != zone {
			continue
		}
		if strings.EqualFold(z.Kind, "Slave") || strings.EqualFold(z.Kind, "Consumer") {
			return "", fmt.Errorf("zone %s: this server is a secondary of it (kind %.20s): write at its primary", zone, z.Kind)
		}
		return zones + "/" + url.PathEscape(z.ID), nil
	}
	return "", fmt.Errorf("%w: %s at %s", ErrNoZone, rrset.Bare(zone), p.base.Host)
}

// rrsets reads those of one name, or of the zone. Servers before 4.8 do not know
// the parameter and send the whole zone.
func (p *powerdns) rrsets(ctx context.Context, path, zone, name string) ([]powerdnsRRset, error) {
	q := url.Values{}
	if name != "" {
		q.Set("rrset_name", name)
	}
	var z powerdnsZone
	if err := p.do(ctx, call{method: http.MethodGet, path: path, query: q, into: &z, zone: zone}); err != nil {
		return nil, err
	}
	if got, err := fullName(z.Name); err != nil || got != zone {
		return nil, fmt.Errorf("zone %s: the server answered with zone %.80q", zone, z.Name)
	}
	if name == "" {
		return z.RRsets, nil
	}
	return slices.DeleteFunc(z.RRsets, func(s powerdnsRRset) bool {
		n, err := fullName(s.Name)
		return err == nil && n != name
	}), nil
}

// sets are the RRsets that the server answers with: without disabled records.
func (p *powerdns) sets(zone string, all []powerdnsRRset) ([]rrset.Set, error) {
	z := newZoneData(zone)
	for _, s := range all {
		if s.TTL == nil {
			return nil, fmt.Errorf("%.80q %.20q: the server sent no TTL", s.Name, s.Type)
		}
		for _, r := range s.Records {
			if r.Disabled {
				continue
			}
			data, err := parseData(s.Type, r.Content)
			if err != nil {
				return nil, fmt.Errorf("%.80s: %w", s.Name, err)
			}
			if err := z.add(s.Name, s.Type, *s.TTL, data); err != nil {
				return nil, err
			}
		}
	}
	return z.sets()
}

// Read reads one RRset; see [Reader].
func (p *powerdns) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	path, err := p.find(ctx, w.zone)
	if err != nil {
		return rrset.Set{}, err
	}
	all, err := p.rrsets(ctx, path, w.zone, w.name)
	if err != nil {
		return rrset.Set{}, err
	}
	sets, err := p.sets(w.zone, all)
	if err != nil {
		return rrset.Set{}, err
	}
	return pick(sets, w.name, typ)
}

// Zone reads a zone; see [Zoner].
func (p *powerdns) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	path, err := p.find(ctx, zone)
	if err != nil {
		return nil, err
	}
	all, err := p.rrsets(ctx, path, zone, "")
	if err != nil {
		return nil, err
	}
	return p.sets(zone, all)
}

// GetRecords reads a zone, for libdns.
func (p *powerdns) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// SetRRset replaces one RRset; see [Setter]. It looks once more right before,
// since REPLACE asks for nothing.
func (p *powerdns) SetRRset(ctx context.Context, c rrset.Change) error {
	path, err := p.find(ctx, c.Zone)
	if err != nil {
		return err
	}
	all, err := p.rrsets(ctx, path, c.Zone, c.After.Name)
	if err != nil {
		return err
	}
	sets, err := p.sets(c.Zone, all)
	if err != nil {
		return err
	}
	found, err := pick(sets, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	ttl := int64(c.After.TTL)
	set := powerdnsRRset{Name: c.After.Name, Type: c.After.Type, TTL: &ttl, ChangeType: "REPLACE"}
	for _, d := range c.After.Data {
		set.Records = append(set.Records, powerdnsRecord{Content: d})
	}
	for _, s := range all {
		for _, r := range s.Records {
			if strings.EqualFold(s.Type, set.Type) && r.Disabled {
				set.Records, ttl = append(set.Records, r), cmp.Or(ttl, *s.TTL)
			}
		}
	}
	if len(set.Records) == 0 {
		set.ChangeType, set.TTL, set.Records = "DELETE", nil, []powerdnsRecord{}
	}
	body := map[string][]powerdnsRRset{"rrsets": {set}}
	return p.do(ctx, call{method: http.MethodPatch, path: path, body: body, zone: c.Zone})
}
