package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// googleAbout is what people are told.
var googleAbout = About{
	Title: "Google Cloud DNS",
	Settings: `  service_account  required; the JSON key file of a service account: {file: PATH}, {env: NAME} or {credential: NAME}
  project          the project that holds the zones (default: the service account's)
  managed_zones    chooses the managed zone where several have the DNS name, or where it is private: {example.org: NAME}
  endpoint         the API's address, to reach it by another way (default https://dns.googleapis.com/dns/v1)
  timeout          for one request and its answer (default 30s)
  per_second       requests a second at most (default 5)
  The service account has the role roles/dns.admin, or the permissions dns.managedZones.get and list, dns.resourceRecordSets.list,
  create, update and delete, and dns.changes.create. The metadata server of instances and workload identity federation are not used.`,
	Example: `service_account: {file: /etc/mxcutover/google.json}
project: example-dns
managed_zones: {example.org: example-org-public}
`,
	Quirks: []string{
		"A change is one request with the RRset to delete, exactly as it was read, TTL included, and the one to add. The service carries out both or none, so what somebody else wrote meanwhile stays.",
		"A public and a private zone may share a DNS name (split horizon). Then nothing is read or written until managed_zones chooses one.",
		"RRsets with a routing policy have several data. They are in the inventory with all of them, and are never written. Make a simple RRset of it first.",
		"Records of the vendor's own type ALIAS are left out.",
		"Too many requests are answered by status 403 as well as 429; both are repeated after a pause.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://cloud.google.com/dns/docs/reference/rest/v1/changes/create",
}

// googleSettings is the section of the configuration.
type googleSettings struct {
	Account secret.Ref        `yaml:"service_account,required" json:"service_account"`
	Project string            `yaml:"project" json:"project"`
	Zones   map[string]string `yaml:"managed_zones" json:"managed_zones"`
	API     apiSettings       `yaml:",inline" json:"api"`
}

// A google is one project at Google Cloud DNS
// (https://cloud.google.com/dns/docs/reference/rest/v1).
type google struct {
	*api
	tokens  *bearer
	project string            // as a path
	chosen  map[string]string // managed zones, by DNS name
	zones   foundZones        // paths
}

func openGoogle(decode func(into any) error) (Provider, error) {
	var s googleSettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	text, err := s.Account.Read()
	if err != nil {
		return nil, fmt.Errorf("service_account: %w", err)
	}
	account, err := parseGoogleAccount(text)
	if err != nil {
		return nil, fmt.Errorf("service_account: %s: %w", s.Account, err)
	}
	if s.Project == "" {
		s.Project = account.Project
	}
	if s.Project == "" {
		return nil, fmt.Errorf("project: is missing, and the service account has none")
	}
	g := &google{project: "/projects/" + url.PathEscape(s.Project)}
	if g.chosen, err = chosenZones("managed_zones", s.Zones); err != nil {
		return nil, err
	}
	k := apiKind{perSecond: 5, secrets: []string{account.PrivateKey, text}, credential: "service_account"}
	k.endpoint = account.TokenURI
	if g.tokens, err = newBearer(k, s.API, account.grant); err != nil {
		return nil, fmt.Errorf("service_account: token_uri: %w", err)
	}
	k.endpoint, k.fresh, k.complaint, k.throttled = "https://dns.googleapis.com/dns/v1", g.tokens.fresh, googleComplaint, googleThrottled
	g.api, err = newAPI(k, s.API)
	return g, err
}

// Close closes the connections that are not in use.
func (g *google) Close() error { return errors.Join(g.api.Close(), g.tokens.Close()) }

// The objects of the API that are used
// (https://cloud.google.com/dns/docs/reference/rest/v1/resourceRecordSets and its
// neighbours).
type (
	googleZone struct {
		Name       string `json:"name"`
		DNSName    string `json:"dnsName"`
		Visibility string `json:"visibility"` // "public" if it is missing
	}
	googleSet struct {
		Name    string          `json:"name"`
		Type    string          `json:"type"`
		TTL     *int64          `json:"ttl"`
		Rrdatas []string        `json:"rrdatas"`
		Routing json.RawMessage `json:"routingPolicy,omitempty"`
	}
	googleChange struct {
		Additions []googleSet `json:"additions,omitempty"`
		Deletions []googleSet `json:"deletions,omitempty"`
	}
)

// routed tells whether a set has a routing policy.
func (s googleSet) routed() bool { return len(s.Routing) > 0 && string(s.Routing) != "null" }

// do makes a call with an access token.
func (g *google) do(ctx context.Context, c call) error {
	err := g.tokens.do(ctx, g.api, c)
	var e *apiError
	if errors.As(err, &e) && e.Code == "quotaExceeded" { // of records or zones; status 403
		return fmt.Errorf("%s: %w", g.where(c), e)
	}
	return err
}

// find gives the path of a zone.
func (g *google) find(ctx context.Context, zone string) (string, error) {
	return g.zones.find(zone, func() (string, error) {
		if name, ok := g.chosen[zone]; ok {
			var z googleZone
			path := g.project + "/managedZones/" + url.PathEscape(name)
			if err := g.do(ctx, call{method: http.MethodGet, path: path, into: &z, zone: zone}); err != nil {
				return "", err
			}
			if got, err := fullName(z.DNSName); err != nil || got != zone {
				return "", fmt.Errorf("%w: managed_zones: %.80q has the DNS name %.80q, not %s", ErrNoZone, name, z.DNSName, rrset.Bare(zone))
			}
			return path, nil
		}
		all, err := g.named(ctx, zone)
		switch {
		case err != nil:
			return "", err
		case len(all) == 0:
			return "", fmt.Errorf("%w: %s at %s%s", ErrNoZone, rrset.Bare(zone), g.base.Host, g.project)
		case len(all) > 1:
			var told []string
			for _, z := range all {
				told = append(told, fmt.Sprintf("%.80q (%.20s)", z.Name, z.Visibility))
			}
			return "", fmt.Errorf("%w: %d managed zones have the DNS name %s: %.300s; choose one by managed_zones", ErrNoZone, len(all), rrset.Bare(zone), strings.Join(told, ", "))
		case all[0].Visibility != "public":
			return "", fmt.Errorf("%w: the managed zone %.80q of %s is %.20q: the public does not see it; if it is meant, choose it by managed_zones", ErrNoZone, all[0].Name, rrset.Bare(zone), all[0].Visibility)
		}
		return g.project + "/managedZones/" + url.PathEscape(all[0].Name), nil
	})
}

// named lists the managed zones of a DNS name.
func (g *google) named(ctx context.Context, zone string) (out []googleZone, err error) {
	err = pages("", func(at string) (page, error) {
		q := url.Values{"dnsName": {zone}}
		if at != "" {
			q.Set("pageToken", at)
		}
		var l struct {
			Zones []googleZone `json:"managedZones"`
			Next  string       `json:"nextPageToken"`
		}
		if err := g.do(ctx, call{method: http.MethodGet, path: g.project + "/managedZones", query: q, into: &l, zone: zone}); err != nil {
			return page{}, err
		}
		for _, z := range l.Zones {
			if name, err := fullName(z.DNSName); err != nil || name != zone {
				continue
			}
			if z.Name == "" {
				return page{}, fmt.Errorf("zone %s: a managed zone without a name", zone)
			}
			if z.Visibility == "" {
				z.Visibility = "public"
			}
			out = append(out, z)
		}
		return page{next: l.Next}, nil
	})
	return out, err
}

// list lists the RRsets of one name, or of the zone.
func (g *google) list(ctx context.Context, zone, name string) (out []googleSet, err error) {
	path, err := g.find(ctx, zone)
	if err != nil {
		return nil, err
	}
	err = pages("", func(at string) (page, error) {
		q := url.Values{}
		if name != "" {
			q.Set("name", name)
		}
		if at != "" {
			q.Set("pageToken", at)
		}
		var l struct {
			Kind string      `json:"kind"`
			Sets []googleSet `json:"rrsets"`
			Next string      `json:"nextPageToken"`
		}
		if err := g.do(ctx, call{method: http.MethodGet, path: path + "/rrsets", query: q, into: &l, zone: zone}); err != nil {
			return page{}, err
		}
		if l.Kind != "dns#resourceRecordSetsListResponse" {
			return page{}, fmt.Errorf("zone %s: the answer is of kind %.60q; a list of RRsets was expected", zone, l.Kind)
		}
		first := ""
		for i, s := range l.Sets {
			if i == 0 {
				first = s.Name + " " + s.Type
			}
			if n, err := fullName(s.Name); name != "" && err == nil && n != name {
				continue
			}
			out = append(out, s)
		}
		return page{l.Next, first}, nil
	})
	return out, g.zones.after(zone, err)
}

// Read reads one RRset; see [Reader].
func (g *google) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	s, _, err := g.read(ctx, w.zone, w.name, typ)
	return s, err
}

// read gives an RRset, and how the service spells it.
func (g *google) read(ctx context.Context, zone, name, typ string) (rrset.Set, *googleSet, error) {
	all, err := g.list(ctx, zone, name)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	var spelled *googleSet
	for i, s := range all {
		switch {
		case s.Type == "CNAME" && !strings.EqualFold(typ, "CNAME"):
			return rrset.Set{}, nil, aliasError(name)
		case !strings.EqualFold(s.Type, typ):
			continue
		case s.routed():
			return rrset.Set{}, nil, fmt.Errorf("%s %s: it has a routing policy, which is not read or written; make a simple RRset of it first", name, s.Type)
		}
		spelled = &all[i]
	}
	sets, err := googleSets(zone, all)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	found, err := pick(sets, name, typ)
	return found, spelled, err
}

// Zone reads a zone; see [Zoner].
func (g *google) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	all, err := g.list(ctx, zone, "")
	if err != nil {
		return nil, err
	}
	return googleSets(zone, all)
}

// GetRecords reads a zone, for libdns.
func (g *google) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, g, zone)
}

// Swap changes one RRset in one request; see [Swapper]. It reads once more, for
// what is deleted must be spelled as the service has it.
func (g *google) Swap(ctx context.Context, c rrset.Change) error {
	found, spelled, err := g.read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	var change googleChange
	if spelled != nil {
		change.Deletions = []googleSet{*spelled}
	}
	if !c.After.Absent() {
		ttl := int64(c.After.TTL)
		change.Additions = []googleSet{{Name: c.After.Name, Type: c.After.Type, TTL: &ttl, Rrdatas: c.After.Data}}
	}
	if change.Deletions == nil && change.Additions == nil {
		return nil
	}
	err = g.change(ctx, c.Zone, change)
	var e *apiError
	if !errors.As(err, &e) || !slices.Contains([]int{http.StatusPreconditionFailed, http.StatusConflict, http.StatusNotFound}, e.Status) {
		return err
	}
	// What was to be deleted is another (412) or not there (404), or what was to be
	// added is there (409).
	now, _, rerr := g.read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case rerr != nil:
		return err
	case now.Equal(c.After): // somebody else wanted the same
		return nil
	case !now.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: now}
	case e.Status == http.StatusPreconditionFailed: // there and back
		return Transient(err)
	}
	return err
}

// change carries out a change, all of it or nothing.
func (g *google) change(ctx context.Context, zone string, change googleChange) error {
	path, err := g.find(ctx, zone)
	if err != nil {
		return err
	}
	var answer struct {
		Status string `json:"status"`
	}
	c := call{method: http.MethodPost, path: path + "/changes", body: change, into: &answer, zone: zone}
	if err := g.do(ctx, c); err != nil {
		return g.zones.after(zone, err)
	}
	if !strings.EqualFold(answer.Status, "pending") && !strings.EqualFold(answer.Status, "done") {
		return Unanswered(g.fence, fmt.Errorf("%s: the change has the status %.40q; pending or done was expected", g.where(c), answer.Status))
	}
	return nil
}
