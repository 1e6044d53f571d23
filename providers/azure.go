package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// azureAbout is what people are told.
var azureAbout = About{
	Title: "Azure DNS",
	Settings: `  tenant_id        required; the directory's ID or name
  client_id        required; of the application (service principal)
  client_secret    required; likewise: {file: PATH}, {env: NAME} or {credential: NAME}
  subscription_id  required
  resource_group   required; the one that holds the zones
  cloud            public, china or usgov (default public)
  authority        where access tokens come from, to reach it by another way (default by cloud)
  endpoint         the API's address, to reach it by another way (default by cloud)
  timeout          for one request and its answer (default 30s)
  per_second       requests a second at most (default 5)
  The service principal has the role "DNS Zone Contributor" for the zones. Zones are public ones (Microsoft.Network/dnsZones).
  Managed identities and client certificates are not used.`,
	Example: `tenant_id: 00000000-0000-0000-0000-000000000001
client_id: 00000000-0000-0000-0000-000000000002
client_secret: {file: /etc/mxcutover/azure.secret}
subscription_id: 00000000-0000-0000-0000-000000000003
resource_group: dns
`,
	Quirks: []string{
		"A record set is replaced or deleted only while it has the ETag that was read (If-Match), and created only while there is none (If-None-Match), so what somebody else wrote meanwhile stays.",
		"Zones of one name may be in several resource groups. Only those of resource_group are read and written.",
		"A record set's metadata stays with it when its records change; the service would drop it. When the set is deleted it is gone, and does not come back with an undo.",
		"The API of this version has no types beside A, AAAA, CAA, CNAME, MX, NS, PTR, SOA, SRV and TXT. Of these A, AAAA, CNAME, MX and TXT are written.",
		`The null MX "0 ." is refused by the service.`,
		"Alias record sets, which follow another resource of the account, have no data of their own. They are left out.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://learn.microsoft.com/en-us/rest/api/dns/record-sets/create-or-update",
}

// azureSettings is the section of the configuration.
type azureSettings struct {
	Tenant       string      `yaml:"tenant_id,required" json:"tenant_id"`
	Client       string      `yaml:"client_id,required" json:"client_id"`
	Secret       secret.Ref  `yaml:"client_secret,required" json:"client_secret"`
	Subscription string      `yaml:"subscription_id,required" json:"subscription_id"`
	Group        string      `yaml:"resource_group,required" json:"resource_group"`
	Cloud        string      `yaml:"cloud" json:"cloud"`
	Authority    string      `yaml:"authority" json:"authority"`
	API          apiSettings `yaml:",inline" json:"api"`
}

// azureClouds are the API's address and the authority's of each cloud
// (https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud).
var azureClouds = map[string][2]string{
	"public": {"https://management.azure.com", "https://login.microsoftonline.com"},
	"china":  {"https://management.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"},
	"usgov":  {"https://management.usgovcloudapi.net", "https://login.microsoftonline.us"},
}

// An azure is one resource group at Azure DNS
// (https://learn.microsoft.com/en-us/rest/api/dns/).
type azure struct {
	*api
	tokens *bearer
	cloud  string // the API's own address
	zones  string // the path of all zones
}

func openAzure(decode func(into any) error) (Provider, error) {
	s := azureSettings{Cloud: "public"}
	if err := decode(&s); err != nil {
		return nil, err
	}
	cloud, ok := azureClouds[s.Cloud]
	if !ok {
		return nil, fmt.Errorf("cloud %.20q: public, china or usgov was expected", s.Cloud)
	}
	if s.Authority == "" {
		s.Authority = cloud[1]
	}
	key, err := s.Secret.Read()
	if err != nil {
		return nil, fmt.Errorf("client_secret: %w", err)
	}
	a := &azure{cloud: cloud[0]}
	a.zones = "/subscriptions/" + url.PathEscape(s.Subscription) + "/resourceGroups/" + url.PathEscape(s.Group) + "/providers/Microsoft.Network/dnsZones/"
	k := apiKind{perSecond: 5, secrets: []string{key}, credential: "client_id and client_secret"}
	k.endpoint = strings.TrimSuffix(s.Authority, "/") + "/" + url.PathEscape(s.Tenant) + "/oauth2/v2.0/token"
	// https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
	a.tokens, err = newBearer(k, s.API, func(time.Time) (url.Values, string, error) {
		return url.Values{
			"grant_type": {"client_credentials"}, "client_id": {s.Client}, "client_secret": {key}, "scope": {cloud[0] + "/.default"},
		}, "", nil
	})
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	k.endpoint, k.fresh, k.complaint = cloud[0], a.tokens.fresh, azureComplaint
	a.api, err = newAPI(k, s.API)
	return a, err
}

// Close closes the connections that are not in use.
func (a *azure) Close() error { return errors.Join(a.api.Close(), a.tokens.Close()) }

// do makes a call with an access token.
func (a *azure) do(ctx context.Context, c call) error {
	if c.query == nil {
		c.query = url.Values{}
	}
	c.query.Set("api-version", "2018-05-01")
	return a.tokens.do(ctx, a.api, c)
}

func (a *azure) path(zone string) string { return a.zones + url.PathEscape(rrset.Bare(zone)) }

// azureMissing tells an answer of 404.
func azureMissing(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// exists makes sure that the zone is there and public.
func (a *azure) exists(ctx context.Context, zone string) error {
	var z struct {
		Name       string `json:"name"`
		Properties struct {
			Kind string `json:"zoneType"` // "Public" if it is missing
		} `json:"properties"`
	}
	if err := a.do(ctx, call{method: http.MethodGet, path: a.path(zone), into: &z, zone: zone}); err != nil {
		return err
	}
	if got, err := fullName(z.Name); err != nil || got != zone {
		return fmt.Errorf("zone %s: the service answered with zone %.80q", zone, z.Name)
	}
	if z.Properties.Kind != "" && !strings.EqualFold(z.Properties.Kind, "Public") {
		return fmt.Errorf("%w: %s is of the kind %.20q there: the public does not see it", ErrNoZone, rrset.Bare(zone), z.Properties.Kind)
	}
	return nil
}

// Read reads one RRset; see [Reader].
func (a *azure) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	s, _, err := a.read(ctx, w.zone, w.name, strings.ToUpper(typ))
	return s, err
}

// read gives an RRset, and the record set that it came from; nil if there is none.
func (a *azure) read(ctx context.Context, zone, name, typ string) (rrset.Set, *azureSet, error) {
	if !slices.Contains(azureTypes, typ) {
		return rrset.Set{}, nil, fmt.Errorf("%s %s: this version of the API has no such type", name, typ)
	}
	got, err := a.one(ctx, zone, name, typ)
	switch {
	case err != nil:
		return rrset.Set{}, nil, err
	case got != nil && got.alias():
		return rrset.Set{}, nil, fmt.Errorf("%s %s: it is an alias record set, which is not read or written; give it records of its own first", name, typ)
	case got != nil:
		sets, err := azureSets(zone, []azureSet{*got})
		if err != nil {
			return rrset.Set{}, nil, err
		}
		s, err := pick(sets, name, typ)
		return s, got, err
	}
	// It is not there: is the name an alias, is there a zone at all?
	alias, err := a.one(ctx, zone, name, "CNAME")
	switch {
	case err != nil:
		return rrset.Set{}, nil, err
	case alias != nil:
		return rrset.Set{}, nil, aliasError(name)
	}
	if err := a.exists(ctx, zone); err != nil {
		return rrset.Set{}, nil, err
	}
	s, err := rrset.New(name, typ, 0)
	return s, nil, err
}

// one reads one record set; nil if it, or the zone, is not there.
func (a *azure) one(ctx context.Context, zone, name, typ string) (*azureSet, error) {
	var s azureSet
	err := a.do(ctx, call{method: http.MethodGet, path: a.record(zone, name, typ), into: &s, zone: zone})
	switch {
	case azureMissing(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if n, err := nameBelow(s.Name, zone); err != nil || n != name || s.kind() != typ {
		return nil, fmt.Errorf("%s %s: the service answered with %.80q of type %.80q", name, typ, s.Name, s.Type)
	}
	return &s, nil
}

// record is the path of a record set.
func (a *azure) record(zone, name, typ string) string {
	return a.path(zone) + "/" + typ + "/" + url.PathEscape(relative(name, zone))
}

// Zone reads a zone; see [Zoner].
func (a *azure) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	if err := a.exists(ctx, zone); err != nil {
		return nil, err
	}
	var all []azureSet
	path := a.path(zone) + "/recordsets"
	err = pages("", func(at string) (page, error) {
		q, err := url.ParseQuery(at)
		if err != nil {
			return page{}, err
		}
		var l struct {
			Sets *[]azureSet `json:"value"`
			Next string      `json:"nextLink"`
		}
		switch err := a.do(ctx, call{method: http.MethodGet, path: path, query: q, into: &l, zone: zone}); {
		case err != nil:
			return page{}, err
		case l.Sets == nil:
			return page{}, fmt.Errorf("zone %s: the answer holds no list of record sets", zone)
		}
		first := ""
		if len(*l.Sets) > 0 {
			first = (*l.Sets)[0].Name + " " + (*l.Sets)[0].Type
		}
		all = append(all, *l.Sets...)
		next, err := a.next(path, l.Next)
		return page{next, first}, err
	})
	if err != nil {
		return nil, err
	}
	return azureSets(zone, all)
}

// next takes the query of a link to the next page. It leads to the same path at
// the API; another is not followed.
func (a *azure) next(path, link string) (string, error) {
	if link == "" {
		return "", nil
	}
	u, err := url.Parse(link)
	if err != nil {
		return "", fmt.Errorf("the listing goes on at %.80q, which is no address", link)
	}
	cloud, err := url.Parse(a.cloud)
	if err != nil {
		return "", err
	}
	ours := u.Host == a.base.Host && u.Scheme == a.base.Scheme || u.Host == cloud.Host && u.Scheme == cloud.Scheme
	if !ours || !strings.HasSuffix(strings.ToLower(u.EscapedPath()), strings.ToLower(path)) || u.RawQuery == "" {
		return "", fmt.Errorf("the listing goes on at another place, %.80q, which is not followed", u.Scheme+"://"+u.Host+u.Path)
	}
	return u.RawQuery, nil
}

// GetRecords reads a zone, for libdns.
func (a *azure) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, a, zone)
}

// Swap changes one record set while it is as it was read; see [Swapper].
func (a *azure) Swap(ctx context.Context, c rrset.Change) error {
	found, there, err := a.read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	case there == nil && c.After.Absent():
		return nil
	}
	err = a.write(ctx, c, there)
	var e *apiError
	if !errors.As(err, &e) || !slices.Contains([]int{http.StatusPreconditionFailed, http.StatusNotFound, http.StatusConflict}, e.Status) {
		return err
	}
	now, _, rerr := a.read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case rerr != nil:
		return err
	case now.Equal(c.After): // somebody else wanted the same
		return nil
	case !now.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: now}
	case e.Status == http.StatusPreconditionFailed: // its metadata, or there and back
		return Transient(err)
	}
	return err
}

// write replaces, creates or deletes a record set.
func (a *azure) write(ctx context.Context, c rrset.Change, there *azureSet) error {
	path := a.record(c.Zone, c.After.Name, c.After.Type)
	only := http.Header{"If-None-Match": {"*"}}
	if there != nil {
		if there.Etag == "" || there.Etag == "*" {
			return fmt.Errorf("%s %s: the service sent no ETag to compare by", c.After.Name, c.After.Type)
		}
		only = http.Header{"If-Match": {there.Etag}}
	}
	if c.After.Absent() {
		return a.do(ctx, call{method: http.MethodDelete, path: path, header: only, zone: c.Zone})
	}
	body, err := azureBody(c.After, there)
	if err != nil {
		return err
	}
	var answer azureSet
	put := call{method: http.MethodPut, path: path, header: only, body: body, into: &answer, zone: c.Zone}
	if err := a.do(ctx, put); err != nil {
		return err
	}
	if answer.Etag == "" {
		return Unanswered(a.fence, fmt.Errorf("%s: the answer holds no record set", a.where(put)))
	}
	return nil
}
