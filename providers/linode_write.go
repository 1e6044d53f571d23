package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// Zone reads a zone; see [Zoner].
func (p *linode) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	all, err := p.list(ctx, zone)
	if err != nil {
		return nil, err
	}
	return listedSets(all)
}

// GetRecords reads a zone, for libdns.
func (p *linode) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// Records lists the records of one RRset; see [Editor].
func (p *linode) Records(ctx context.Context, zone, name, typ string) ([]Record, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return nil, err
	}
	all, err := p.list(ctx, w.zone)
	if err != nil {
		return nil, err
	}
	return listedSet(all, w.name, typ)
}

// AddRecord adds a record; see [Editor].
func (p *linode) AddRecord(ctx context.Context, zone string, r Record) error {
	body, err := linodeBody(zone, r)
	if err != nil {
		return err
	}
	d, err := p.find(ctx, zone)
	if err != nil {
		return err
	}
	var made linodeRecord
	if err := p.do(ctx, call{method: http.MethodPost, path: d.path(), body: body, into: &made, zone: zone}); err != nil {
		return err
	}
	if made.TTL != 0 || r.TTL == 0 || made.ID == 0 {
		return nil
	}
	if err := p.setTTL(ctx, d, zone, fmt.Sprint(made.ID), r.TTL); err != nil {
		return Unanswered(p.fence, fmt.Errorf("%s %s %q: the record was added without a TTL, and could not be given one: %w", r.Name, r.Type, r.Data, err))
	}
	return nil
}

// UpdateRecord changes a record's TTL; see [Editor].
func (p *linode) UpdateRecord(ctx context.Context, zone string, r Record) error {
	d, err := p.find(ctx, zone)
	if err != nil {
		return err
	}
	return goneRecord(r, p.setTTL(ctx, d, zone, r.ID, r.TTL))
}

// setTTL sends the TTL alone: what is not sent stays as it is.
func (p *linode) setTTL(ctx context.Context, d linodeDomain, zone, id string, ttl uint32) error {
	body := map[string]uint32{"ttl_sec": ttl}
	return p.do(ctx, call{method: http.MethodPut, path: d.path() + "/" + url.PathEscape(id), body: body, zone: zone})
}

// DeleteRecord deletes a record; see [Editor].
func (p *linode) DeleteRecord(ctx context.Context, zone string, r Record) error {
	d, err := p.find(ctx, zone)
	if err != nil {
		return err
	}
	err = p.do(ctx, call{method: http.MethodDelete, path: d.path() + "/" + url.PathEscape(r.ID), zone: zone})
	if missing(err) {
		return nil // it is gone
	}
	return err
}

// Check refuses what the API would not take, now or on the way back.
func (p *linode) Check(c rrset.Change) error {
	for _, s := range []rrset.Set{c.Before, c.After} {
		for _, d := range s.Data {
			if _, err := linodeBody(c.Zone, Record{Name: s.Name, Type: s.Type, TTL: s.TTL, Data: d}); err != nil {
				return err
			}
		}
	}
	return nil
}

// linodeBody is a record as the API wants it
// (https://techdocs.akamai.com/linode-api/reference/post-domain-record).
func linodeBody(zone string, r Record) (linodeRecord, error) {
	x := linodeRecord{Type: r.Type, Target: rrset.Bare(r.Data), TTL: int64(r.TTL)}
	if x.Name = relative(r.Name, zone); x.Name == "@" {
		x.Name = ""
	}
	if strings.HasSuffix("."+x.Name+".", "."+zone) {
		return x, fmt.Errorf("%s ends with %s twice: Linode would take one off", rrset.Bare(r.Name), rrset.Bare(zone))
	}
	switch r.Type {
	case "A", "AAAA", "CNAME", "NS":
	case "MX":
		mx, err := rrset.ParseMX(r.Data)
		switch {
		case err != nil:
			return x, err
		case mx.Null():
			return x, errors.New("at Linode a null MX (RFC 7505) has no other MX beside it, so that there would be a moment without any; change it by hand")
		case mx.Preference > 255:
			return x, fmt.Errorf("preference %d: Linode takes 0 to 255", mx.Preference)
		}
		for _, n := range []string{x.Name, rrset.Bare(mx.Host)} {
			if n != "" && !linodeMailName(n) {
				return x, fmt.Errorf("%s: Linode takes MX names of letters, digits and hyphens whose labels begin with a letter", n)
			}
		}
		x.Priority, x.Target = int64(mx.Preference), rrset.Bare(mx.Host)
	case "TXT":
		text, err := textOf(r.Data)
		if err != nil || text == "" {
			return x, errors.Join(err, fmt.Errorf("text %.60q: Linode takes no empty one", text))
		}
		x.Target = text
	default:
		return x, fmt.Errorf("records of type %s are not written at Linode", r.Type)
	}
	return x, nil
}

// linodeMailName tells whether the API takes a name in an MX record.
func linodeMailName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for i, l := range strings.Split(name, ".") {
		if i == 0 && l == "*" {
			continue
		}
		if l == "" || l[0] < 'a' || l[0] > 'z' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
