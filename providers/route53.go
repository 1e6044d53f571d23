package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// route53About is what people are told.
var route53About = About{
	Title: "Amazon Route 53",
	Settings: `  access_key_id      required; of an IAM user or role: {file: PATH}, {env: NAME} or {credential: NAME}
  secret_access_key  required; likewise
  session_token      likewise; only with temporary credentials
  zone_ids           chooses the hosted zone where several have the name, or where it is private: {example.org: Z0123456789}
  region             what requests are signed for (default us-east-1; other partitions have their own)
  endpoint           the API's address (default https://route53.amazonaws.com)
  timeout            for one request and its answer (default 30s)
  per_second         requests a second at most (default 4; an account may make 5)
  The key may route53:ListHostedZonesByName, GetHostedZone, ListResourceRecordSets and ChangeResourceRecordSets.
  Roles of instances and containers, profiles and assumed roles are not looked up: give the keys, and for a role its session token.`,
	Example: `access_key_id: {file: /etc/mxcutover/aws.id}
secret_access_key: {file: /etc/mxcutover/aws.key}
zone_ids: {example.org: Z0123456789ABCDEFGHIJ}
`,
	Quirks: []string{
		"A change is one batch: DELETE of exactly what was read, TTL included, and CREATE. The service carries out both or none, so what somebody else wrote meanwhile stays.",
		"A public and a private zone may share a name (split horizon). Then nothing is read or written until zone_ids chooses one.",
		"Alias records and routed ones (weighted, by latency, by place, failover, multivalue, traffic policies) have no data of their own, or several: they are in the inventory with what they lead to within the zone, and are never written. Make a simple record of it first.",
		"Names and texts are escaped in octal, \\052 for an asterisk. They are written and read so.",
		"Five requests a second are allowed to an account, and one change at a time to a zone. The answers for both have status 400; they are repeated after a pause.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented, and checks each signature by a computation of its own.",
	Docs:   "https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html",
}

// route53Settings is the section of the configuration.
type route53Settings struct {
	KeyID   secret.Ref        `yaml:"access_key_id,required" json:"access_key_id"`
	Key     secret.Ref        `yaml:"secret_access_key,required" json:"secret_access_key"`
	Session secret.Ref        `yaml:"session_token" json:"session_token"`
	ZoneIDs map[string]string `yaml:"zone_ids" json:"zone_ids"`
	Region  string            `yaml:"region" json:"region"`
	API     apiSettings       `yaml:",inline" json:"api"`
}

// A route53 is one account of Amazon Route 53
// (https://docs.aws.amazon.com/Route53/latest/APIReference/).
type route53 struct {
	*api
	ids   map[string]string // chosen zones, by name
	zones foundZones        // paths
}

func openRoute53(decode func(into any) error) (Provider, error) {
	s := route53Settings{Region: "us-east-1"}
	if err := decode(&s); err != nil {
		return nil, err
	}
	var key route53Key
	var err error
	if key.id, err = s.KeyID.Read(); err != nil {
		return nil, fmt.Errorf("access_key_id: %w", err)
	}
	if key.secret, err = s.Key.Read(); err != nil {
		return nil, fmt.Errorf("secret_access_key: %w", err)
	}
	if !s.Session.IsZero() {
		if key.session, err = s.Session.Read(); err != nil {
			return nil, fmt.Errorf("session_token: %w", err)
		}
	}
	ids, err := chosenZones("zone_ids", s.ZoneIDs)
	if err != nil {
		return nil, err
	}
	for zone, id := range ids {
		if _, err := route53Path(id); err != nil {
			return nil, fmt.Errorf("zone_ids: %s: %w", rrset.Bare(zone), err)
		}
	}
	a, err := newAPI(apiKind{
		endpoint: "https://route53.amazonaws.com", perSecond: 4, credential: "access_key_id and secret_access_key",
		secrets: []string{key.secret, key.session, key.id}, complaint: route53Complaint, throttled: route53Throttled,
		sign: route53Signer(key, s.Region),
	}, s.API)
	if err != nil {
		return nil, err
	}
	return &route53{api: a, ids: ids}, nil
}

// find gives the path of a zone.
func (p *route53) find(ctx context.Context, zone string) (string, error) {
	return p.zones.find(zone, func() (string, error) {
		if id, ok := p.ids[zone]; ok {
			return p.chosen(ctx, zone, id)
		}
		all, err := p.named(ctx, zone)
		switch {
		case err != nil:
			return "", err
		case len(all) == 0:
			return "", fmt.Errorf("%w: %s at %s", ErrNoZone, rrset.Bare(zone), p.base.Host)
		case len(all) > 1:
			return "", fmt.Errorf("%w: %d hosted zones are named %s: %.300s; choose one by zone_ids", ErrNoZone, len(all), rrset.Bare(zone), strings.Join(route53Told(all), ", "))
		case all[0].Private:
			return "", fmt.Errorf("%w: the hosted zone %s of %s is private: the public does not see it; if it is meant, choose it by zone_ids", ErrNoZone, p.clean(all[0].ID), rrset.Bare(zone))
		}
		return route53Path(all[0].ID)
	})
}

// chosen makes sure that the zone of an ID has the name.
func (p *route53) chosen(ctx context.Context, zone, id string) (string, error) {
	path, err := route53Path(id)
	if err != nil {
		return "", err
	}
	var answer route53Zone
	if err := p.get(ctx, call{path: path, zone: zone}, &answer); err != nil {
		return "", err
	}
	if !route53Same(answer.Zone.Name, zone) {
		return "", fmt.Errorf("%w: zone_ids: %.40s is the hosted zone of %.80q, not of %s", ErrNoZone, id, answer.Zone.Name, rrset.Bare(zone))
	}
	return path, nil
}

// Read reads one RRset; see [Reader].
func (p *route53) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return rrset.Set{}, err
	}
	s, _, err := p.read(ctx, w.zone, w.name, typ)
	return s, err
}

// read gives an RRset, and how the service spells it.
func (p *route53) read(ctx context.Context, zone, name, typ string) (rrset.Set, *route53Set, error) {
	path, err := p.find(ctx, zone)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	all, err := p.list(ctx, path, zone, name)
	if err != nil {
		return rrset.Set{}, nil, p.zones.after(zone, err)
	}
	var spelled *route53Set
	for i, s := range all {
		switch {
		case s.Type == "CNAME" && !strings.EqualFold(typ, "CNAME"):
			return rrset.Set{}, nil, aliasError(name)
		case !strings.EqualFold(s.Type, typ):
			continue
		}
		if why := s.special(); why != "" {
			return rrset.Set{}, nil, fmt.Errorf("%s %s: %s, which is not read or written; make a simple record of it first", name, strings.ToUpper(typ), why)
		}
		spelled = &all[i]
	}
	sets, err := p.sets(path, zone, all)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	found, err := pick(sets, name, typ)
	return found, spelled, err
}

// Zone reads a zone; see [Zoner].
func (p *route53) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	path, err := p.find(ctx, zone)
	if err != nil {
		return nil, err
	}
	all, err := p.list(ctx, path, zone, "")
	if err != nil {
		return nil, p.zones.after(zone, err)
	}
	return p.sets(path, zone, all)
}

// GetRecords reads a zone, for libdns.
func (p *route53) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// Swap changes one RRset in one batch; see [Swapper]. It reads once more, for
// what is deleted must be spelled as the service has it.
func (p *route53) Swap(ctx context.Context, c rrset.Change) error {
	found, spelled, err := p.read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	var batch []route53Change
	if spelled != nil {
		batch = append(batch, route53Change{"DELETE", *spelled})
	}
	if !c.After.Absent() {
		batch = append(batch, route53Change{"CREATE", route53SetOf(c.After)})
	}
	if len(batch) == 0 {
		return nil
	}
	path, err := p.find(ctx, c.Zone)
	if err != nil {
		return err
	}
	err = p.change(ctx, path, c.Zone, batch)
	var e *apiError
	if !errors.As(err, &e) || e.Code != "InvalidChangeBatch" {
		return p.zones.after(c.Zone, err)
	}
	// Refused as a whole: either the DELETE did not match, or it was wrong in itself.
	now, _, rerr := p.read(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case rerr != nil || now.Equal(c.Before):
		return err
	case now.Equal(c.After): // somebody else wanted the same
		return nil
	}
	return &DriftError{Expected: c.Before, Found: now}
}

// change carries out a batch, all of it or nothing.
func (p *route53) change(ctx context.Context, path, zone string, batch []route53Change) error {
	body, err := route53Body(batch)
	if err != nil {
		return err
	}
	var text []byte
	c := call{
		method: http.MethodPost, path: path + "/rrset", body: body, into: &text, zone: zone,
		header: http.Header{"Content-Type": {"text/xml"}, "Accept": {"text/xml"}},
	}
	if err := p.do(ctx, c); err != nil {
		return err
	}
	var answer route53Changed
	if err := p.decode(c, text, &answer); err != nil {
		return Unanswered(p.fence, err)
	}
	if !slices.Contains([]string{"PENDING", "INSYNC"}, answer.Status) {
		return Unanswered(p.fence, fmt.Errorf("%s: the change has the status %.40q; PENDING was expected", p.where(c), answer.Status))
	}
	return nil
}
