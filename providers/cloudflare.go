package providers

import (
	"context"
	"encoding/json"
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

// cloudflareAbout is what people are told.
var cloudflareAbout = About{
	Title: "Cloudflare DNS",
	Settings: `  token        required; an API token with Zone:Read and DNS:Edit: {file: PATH}, {env: NAME} or {credential: NAME}
  account_id   only zones of this account (default: all that the token sees)
  zone_ids     zones by their ID, where several have one name: {example.org: 023e105f4ecef8ad9ca31a8372d0c353}
` + apiDoc + `
  The limit is 1200 requests in five minutes, for all of a user's tokens together; per_second is 3 by default.`,
	Example: `token: {file: /etc/mxcutover/cloudflare.token}
account_id: 01a7362d577a6c3019a474fd6f485823
`,
	Quirks: []string{
		"One batch changes all records in one database transaction, but they reach the name servers record by record. So a record that goes is turned into one that comes, where there is one, and there is no moment without MX.",
		"The batch names records by their IDs. It fails, and nothing is written, if somebody else deleted or made anew one of them since it was read. An edit of one of them in place in that moment is lost.",
		`A TTL of 1 means "automatic", which is served as 300: it is read as 300, and written back as 300. Others below 60 or above 86400 are refused by the service.`,
		"A record's comment and tags stay with it when its value changes.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://developers.cloudflare.com/api/resources/dns/subresources/records/",
}

// cloudflareSettings is the section of the configuration.
type cloudflareSettings struct {
	Token   secret.Ref        `yaml:"token,required" json:"token"`
	Account string            `yaml:"account_id" json:"account_id"`
	ZoneIDs map[string]string `yaml:"zone_ids" json:"zone_ids"`
	API     apiSettings       `yaml:",inline" json:"api"`
}

// A cloudflare is an account, or several, by the API v4
// (https://developers.cloudflare.com/api/).
type cloudflare struct {
	*api
	account string
	zoneIDs map[string]string // by canonical name
}

func openCloudflare(decode func(into any) error) (Provider, error) {
	var s cloudflareSettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	token, err := s.Token.Read()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	ids := map[string]string{}
	for name, id := range s.ZoneIDs {
		zone, err := fullName(name)
		if err != nil {
			return nil, fmt.Errorf("zone_ids: %w", err)
		}
		ids[zone] = id
	}
	a, err := newAPI(apiKind{
		endpoint: "https://api.cloudflare.com/client/v4", perSecond: 3, secrets: []string{token}, credential: "token",
		complaint: cloudflareComplaint,
		expired:   func(_ int, code string) bool { return code == "6003" || code == "10000" || code == "9109" },
		sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		},
	}, s.API)
	if err != nil {
		return nil, err
	}
	return &cloudflare{a, s.Account, ids}, nil
}

// cloudflareComplaint reads {"success": false, "errors": [{"code": 81057,
// "message": "..."}]}.
func cloudflareComplaint(_ int, body []byte) (code, words string) {
	var e struct {
		Errors []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || len(e.Errors) == 0 {
		return "", strings.TrimSpace(string(body))
	}
	var all []string
	for _, x := range e.Errors {
		all = append(all, x.Message)
	}
	return strconv.Itoa(e.Errors[0].Code), strings.Join(all, "; ")
}

// The objects of the API that are used.
type (
	cloudflareZone struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Status  string `json:"status"`
		Type    string `json:"type"`
		Account struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"account"`
	}
	cloudflareRecord struct {
		ID       string         `json:"id,omitempty"`
		Name     string         `json:"name,omitempty"`
		Type     string         `json:"type,omitempty"`
		TTL      int64          `json:"ttl"`
		Content  string         `json:"content,omitempty"`
		Priority *int64         `json:"priority,omitempty"`
		Data     map[string]any `json:"data,omitempty"`
	}
	cloudflareInfo struct {
		TotalCount int `json:"total_count"`
	}
)

const cloudflarePage = "100" // the default, and allowed on every plan

// cloudflareList reads all pages of a listing. each gives an item's ID.
func cloudflareList[T any](ctx context.Context, p *cloudflare, c call, each func(raw json.RawMessage) (id string, item T, err error)) ([]T, error) {
	return settled(func() ([]T, error) {
		var out []T
		var count counted
		err := pages("1", func(at string) (page, error) {
			var answer struct {
				Result     []json.RawMessage `json:"result"`
				ResultInfo cloudflareInfo    `json:"result_info"`
			}
			c.method, c.into = http.MethodGet, &answer
			c.query.Set("page", at)
			c.query.Set("per_page", cloudflarePage)
			if err := p.do(ctx, c); err != nil {
				return page{}, err
			}
			var ids []string
			for _, raw := range answer.Result {
				id, item, err := each(raw)
				if err != nil {
					return page{}, fmt.Errorf("%s: %w", p.where(c), err)
				}
				ids, out = append(ids, id), append(out, item)
			}
			last, err := count.page(answer.ResultInfo.TotalCount, ids)
			if err != nil || last {
				return page{}, err
			}
			n, err := strconv.Atoi(at)
			return page{next: strconv.Itoa(n + 1), first: ids[0]}, err
		})
		return out, err
	})
}

// find gives the path of a zone's records.
func (p *cloudflare) find(ctx context.Context, zone string) (string, error) {
	if id := p.zoneIDs[zone]; id != "" {
		return "/zones/" + url.PathEscape(id) + "/dns_records", nil
	}
	q := url.Values{"name": {rrset.Bare(zone)}}
	if p.account != "" {
		q.Set("account.id", p.account)
	}
	all, err := cloudflareList(ctx, p, call{path: "/zones", query: q, zone: zone}, func(raw json.RawMessage) (string, cloudflareZone, error) {
		var z cloudflareZone
		err := json.Unmarshal(raw, &z)
		return z.ID, z, err
	})
	found := slices.DeleteFunc(all, func(z cloudflareZone) bool {
		name, err := fullName(z.Name)
		return err != nil || name != zone
	})
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("%w: %s at %s: the token does not see it", ErrNoZone, rrset.Bare(zone), p.base.Host)
	case len(found) > 1:
		var ids []string
		for _, z := range found {
			ids = append(ids, fmt.Sprintf("%.40q (account %.60q, %.20q)", z.ID, z.Account.Name, z.Status))
		}
		return "", fmt.Errorf("%w: %d zones are named %s: say in zone_ids which: %.400s", ErrNoZone, len(found), rrset.Bare(zone), strings.Join(ids, ", "))
	case found[0].Type == "secondary":
		return "", fmt.Errorf("zone %s: it is a secondary there: write at its primary", zone)
	}
	return "/zones/" + url.PathEscape(found[0].ID) + "/dns_records", nil
}

// records reads those of one name, or of the zone.
func (p *cloudflare) records(ctx context.Context, path, zone, name string) ([]Record, error) {
	q := url.Values{}
	if name != "" {
		q.Set("name.exact", rrset.Bare(name))
	}
	all, err := cloudflareList(ctx, p, call{path: path, query: q, zone: zone}, func(raw json.RawMessage) (string, Record, error) {
		var r cloudflareRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return "", Record{}, err
		}
		rec, err := r.record(zone)
		return r.ID, rec, err
	})
	return slices.DeleteFunc(all, func(r Record) bool { return name != "" && r.Name != name }), err
}

// Read reads one RRset; see [Reader].
func (p *cloudflare) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	path, err := p.find(ctx, w.zone)
	if err != nil {
		return rrset.Set{}, err
	}
	s, _, err := p.read(ctx, path, w.zone, w.name, strings.ToUpper(typ))
	return s, err
}

// read reads one RRset, and the IDs of its records.
func (p *cloudflare) read(ctx context.Context, path, zone, name, typ string) (rrset.Set, []Record, error) {
	all, err := p.records(ctx, path, zone, name)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	return pickRecords(all, name, typ)
}

// Zone reads a zone; see [Zoner].
func (p *cloudflare) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	path, err := p.find(ctx, zone)
	if err != nil {
		return nil, err
	}
	all, err := p.records(ctx, path, zone, "")
	if err != nil {
		return nil, err
	}
	z := newZoneData(zone)
	for _, r := range all {
		if err := z.add(r.Name, r.Type, int64(r.TTL), r.Data); err != nil {
			return nil, err
		}
	}
	return z.sets()
}

// GetRecords reads a zone, for libdns.
func (p *cloudflare) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}
