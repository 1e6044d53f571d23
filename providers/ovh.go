package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// ovhAbout is what people are told.
var ovhAbout = About{
	Title: "OVHcloud DNS (API v1)",
	Settings: `  region            ovh-eu (default), ovh-ca or ovh-us: where the account is
  application_key   the application's key, with
  application_secret its secret: {file: PATH}, {env: NAME} or {credential: NAME}, and
  consumer_key      the key for the account, as a reference, too; it is granted GET, POST, PUT and DELETE of
                    /domain/zone/*
  client_id         or else a service account's, for OAuth 2.0, with
  client_secret     its secret, as a reference; its IAM policy allows dnsZone:apiovh:* for the zones
  token_url         where access tokens are had, to reach it by another way
` + apiDoc + `
  The default of per_second is 10.`,
	Example: `region: ovh-eu
application_key: 7f0123456789abcd
application_secret: {file: /etc/mxcutover/ovh.secret}
consumer_key: {file: /etc/mxcutover/ovh.consumer}
`,
	Quirks: []string{
		"What is written is not served before the zone is refreshed. Each change, also one half way, ends with that; a change that is found to be there already is refreshed all the same, since whoever wrote it may have died before. A change whose refresh fails is told as not finished.",
		"A refresh publishes whatever else waits in the zone, as the control panel's own does.",
		"Records are kept one by one: all new ones are added before an old one is deleted. A record is looked at once more right before it is changed or deleted.",
		"TTLs below 60 are refused, and 0 stands for the zone's default. Such a TTL is raised to 60, and told as clamped; a record without its own TTL is read with the default.",
		"A host without its final dot is below the zone, as in a zone file. We always write the dot.",
		"Its own types SPF, DKIM and DMARC are served as TXT, and are read as such.",
		"Requests are signed with the time; the API's own clock is used.",
	},
	Proven: "a fake beside the code that speaks HTTP as documented.",
	Docs:   "https://api.ovh.com/console/#/domain/zone",
}

// ovhMinTTL is the lowest TTL that is taken.
const ovhMinTTL = 60

// maxOVHRecords bounds what is asked for one by one, of one name.
const maxOVHRecords = 1000

// An ovhRecord is one of the API: domain.zone.Record.
type ovhRecord struct {
	ID        int64  `json:"id"`
	FieldType string `json:"fieldType"`
	SubDomain string `json:"subDomain"` // relative; "" at the apex
	Target    string `json:"target"`
	TTL       int64  `json:"ttl"` // 0: the zone's default
}

func ovhPath(zone string) string { return "/domain/zone/" + url.PathEscape(rrset.Bare(zone)) }

// fieldTypes are those that are served as a type.
func fieldTypes(typ string) []string {
	if typ == "TXT" {
		return []string{"TXT", "SPF", "DKIM", "DMARC"}
	}
	return []string{typ}
}

// Records lists the records of one RRset; see [Editor].
func (p *ovh) Records(ctx context.Context, zone, name, typ string) ([]Record, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return nil, err
	}
	typ = w.absent().Type
	out, err := p.list(ctx, w, typ)
	if err != nil || len(out) > 0 || typ == "CNAME" {
		return out, err
	}
	alias, err := p.list(ctx, w, "CNAME")
	if err == nil && len(alias) > 0 {
		err = aliasError(w.name)
	}
	return nil, err
}

// list asks for the IDs and then for each record. The filter of names is one of
// patterns (SQL's LIKE), so that the names are compared here.
func (p *ovh) list(ctx context.Context, w wanted, typ string) ([]Record, error) {
	var out []Record
	for _, field := range fieldTypes(typ) {
		var ids []int64
		q := url.Values{"fieldType": {field}, "subDomain": {subname(w.name, w.zone)}}
		if err := p.call(ctx, call{method: http.MethodGet, path: ovhPath(w.zone) + "/record", query: q, into: &ids, zone: w.zone}); err != nil {
			return nil, err
		}
		if len(ids) > maxOVHRecords {
			return nil, fmt.Errorf("%s %s: more than %d records", w.name, typ, maxOVHRecords)
		}
		for _, id := range ids {
			r, there, err := p.record(ctx, w.zone, strconv.FormatInt(id, 10))
			if err != nil {
				return nil, err
			}
			if there && r.Name == w.name && r.Type == typ {
				out = append(out, r.Record)
			}
		}
	}
	return out, nil
}

// An ovhKept is a record, and how it is kept.
type ovhKept struct {
	Record
	kept ovhRecord
}

// record reads one, if it is there.
func (p *ovh) record(ctx context.Context, zone, id string) (ovhKept, bool, error) {
	var r ovhRecord
	err := p.call(ctx, call{method: http.MethodGet, path: ovhPath(zone) + "/record/" + url.PathEscape(id), into: &r, zone: zone})
	var refused *apiError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return ovhKept{}, false, nil
	}
	if err != nil {
		return ovhKept{}, false, err
	}
	if strconv.FormatInt(r.ID, 10) != id {
		return ovhKept{}, false, fmt.Errorf("zone %s: record %.20s was asked for, and %d came", zone, id, r.ID)
	}
	out := ovhKept{Record{ID: id, Type: strings.ToUpper(r.FieldType)}, r}
	if out.Name, err = nameBelow(r.SubDomain, zone); err != nil {
		return ovhKept{}, false, err
	}
	if slices.Contains(fieldTypes("TXT"), out.Type) {
		out.Type = "TXT"
		if !strings.HasPrefix(r.Target, `"`) {
			r.Target = quoted(r.Target)
		}
	}
	if out.Data, err = dataBelow(out.Type, r.Target, zone); err != nil {
		return ovhKept{}, false, fmt.Errorf("%s: %w", out.Name, err)
	}
	if r.TTL == 0 {
		if _, r.TTL, err = p.export(ctx, zone); err != nil {
			return ovhKept{}, false, err
		}
	}
	if r.TTL < 0 || r.TTL > rrset.MaxTTL {
		return ovhKept{}, false, fmt.Errorf("%s %s: a TTL of %d seconds", out.Name, out.Type, r.TTL)
	}
	out.TTL = uint32(r.TTL)
	return out, true, nil
}

// AddRecord adds one; see [Editor].
func (p *ovh) AddRecord(ctx context.Context, zone string, r Record) error {
	body := map[string]any{"fieldType": r.Type, "subDomain": subname(r.Name, zone), "target": r.Data, "ttl": max(r.TTL, ovhMinTTL)}
	return p.call(ctx, call{method: http.MethodPost, path: ovhPath(zone) + "/record", body: body, zone: zone})
}

// UpdateRecord changes the TTL; see [Editor]. The rest is sent as it is kept.
func (p *ovh) UpdateRecord(ctx context.Context, zone string, r Record) error {
	now, err := p.same(ctx, zone, r)
	if err != nil {
		return err
	}
	body := map[string]any{"subDomain": now.kept.SubDomain, "target": now.kept.Target, "ttl": max(r.TTL, ovhMinTTL)}
	return p.call(ctx, call{method: http.MethodPut, path: ovhPath(zone) + "/record/" + url.PathEscape(r.ID), body: body, zone: zone})
}

// DeleteRecord deletes one; see [Editor].
func (p *ovh) DeleteRecord(ctx context.Context, zone string, r Record) error {
	if _, err := p.same(ctx, zone, r); err != nil {
		return err
	}
	return p.call(ctx, call{method: http.MethodDelete, path: ovhPath(zone) + "/record/" + url.PathEscape(r.ID), zone: zone})
}

// same reads a record again: one that is edited in the control panel may keep
// its ID.
func (p *ovh) same(ctx context.Context, zone string, r Record) (ovhKept, error) {
	now, there, err := p.record(ctx, zone, r.ID)
	if err == nil && (!there || now.Name != r.Name || now.Type != r.Type || now.Data != r.Data) {
		err = Transient(fmt.Errorf("%s %s: somebody else changed %.200q in the meantime", r.Name, r.Type, r.Data))
	}
	return now, err
}

// Publish lets the servers load the zone; see [Publisher].
func (p *ovh) Publish(ctx context.Context, zone string) error {
	return p.call(ctx, call{method: http.MethodPost, path: ovhPath(zone) + "/refresh", reads: true, zone: zone})
}

// export is the zone as a zone file, and the TTL of records without their own.
func (p *ovh) export(ctx context.Context, zone string) (text string, ttl int64, err error) {
	if err := p.call(ctx, call{method: http.MethodGet, path: ovhPath(zone) + "/export", into: &text, zone: zone}); err != nil {
		return "", 0, err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || !strings.HasPrefix(f[0], "$") {
			continue
		}
		n := uint64(0)
		if f[0] == "$TTL" && len(f) == 2 {
			n, err = strconv.ParseUint(f[1], 10, 31)
		}
		if err != nil || n == 0 { // or $INCLUDE and the like
			return "", 0, fmt.Errorf("zone %s: its export has the line %.40q", zone, line)
		}
		ttl = int64(n)
	}
	if ttl == 0 {
		return "", 0, fmt.Errorf("zone %s: its export has no $TTL, which records without a TTL have", zone)
	}
	return text, ttl, nil
}

// Zone reads a zone in one request; see [Zoner].
func (p *ovh) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	text, _, err := p.export(ctx, zone)
	if err != nil {
		return nil, err
	}
	z := newZoneData(zone)
	parser := dns.NewZoneParser(strings.NewReader(text), zone, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		data, err := dataOf(rr)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", zone, err)
		}
		h := rr.Header()
		if err := z.add(h.Name, dns.Type(h.Rrtype).String(), int64(h.Ttl), data); err != nil {
			return nil, err
		}
	}
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("zone %s: its export cannot be read: %.200s", zone, err.Error())
	}
	return z.sets()
}

// GetRecords reads a zone, for libdns.
func (p *ovh) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}
