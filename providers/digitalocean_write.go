package providers

import (
	"context"
	"net/http"
	"net/url"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// Zone reads a zone; see [Zoner].
func (p *digitalocean) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
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
func (p *digitalocean) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// Records lists the records of one RRset; see [Editor].
func (p *digitalocean) Records(ctx context.Context, zone, name, typ string) ([]Record, error) {
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
func (p *digitalocean) AddRecord(ctx context.Context, zone string, r Record) error {
	return p.send(ctx, http.MethodPost, digitaloceanPath(zone), zone, r)
}

// UpdateRecord changes a record's TTL; see [Editor].
func (p *digitalocean) UpdateRecord(ctx context.Context, zone string, r Record) error {
	err := p.send(ctx, http.MethodPut, digitaloceanPath(zone)+"/"+url.PathEscape(r.ID), zone, r)
	return goneRecord(r, err)
}

// send sends a whole record.
func (p *digitalocean) send(ctx context.Context, method, path, zone string, r Record) error {
	body, err := digitaloceanBody(zone, r)
	if err != nil {
		return err
	}
	return p.do(ctx, call{method: method, path: path, body: body, zone: zone})
}

// DeleteRecord deletes a record; see [Editor].
func (p *digitalocean) DeleteRecord(ctx context.Context, zone string, r Record) error {
	err := p.do(ctx, call{method: http.MethodDelete, path: digitaloceanPath(zone) + "/" + url.PathEscape(r.ID), zone: zone})
	if missing(err) {
		return nil // it is gone
	}
	return err
}
