package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// The bodies of writes. A preference of 0 is sent, none is not.
type (
	dnsimpleCreate struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Content  string `json:"content"`
		TTL      uint32 `json:"ttl"`
		Priority *int64 `json:"priority,omitempty"`
	}
	dnsimpleUpdate struct {
		ID       int64  `json:"id,omitempty"`
		Content  string `json:"content,omitempty"`
		TTL      uint32 `json:"ttl"`
		Priority *int64 `json:"priority,omitempty"`
	}
	dnsimpleDelete struct {
		ID int64 `json:"id"`
	}
)

func newDNSimpleCreate(zone string, r Record) (dnsimpleCreate, error) {
	content, priority, err := dnsimpleContent(r.Type, r.Data)
	name := strings.TrimPrefix(relative(r.Name, zone), "@")
	return dnsimpleCreate{Name: name, Type: r.Type, Content: content, TTL: r.TTL, Priority: priority}, err
}

// AddRecord adds one; see [Editor].
func (d *dnsimple) AddRecord(ctx context.Context, zone string, r Record) error {
	body, err := newDNSimpleCreate(zone, r)
	if err != nil {
		return err
	}
	return d.write(ctx, zone, http.MethodPost, "/records", body)
}

// UpdateRecord gives one another TTL; see [Editor].
func (d *dnsimple) UpdateRecord(ctx context.Context, zone string, r Record) error {
	err := d.write(ctx, zone, http.MethodPatch, "/records/"+r.ID, dnsimpleUpdate{TTL: r.TTL})
	if gone(err) {
		return fmt.Errorf("%s %s: the record %.80q is no longer there", r.Name, r.Type, r.Data)
	}
	return err
}

// DeleteRecord deletes one; see [Editor]. One that is gone is deleted.
func (d *dnsimple) DeleteRecord(ctx context.Context, zone string, r Record) error {
	err := d.write(ctx, zone, http.MethodDelete, "/records/"+r.ID, nil)
	if gone(err) {
		return nil
	}
	return err
}

func (d *dnsimple) write(ctx context.Context, zone, method, path string, body any) error {
	at, err := d.zonePath(ctx, zone)
	if err != nil {
		return err
	}
	return d.do(ctx, call{method: method, path: at + path, body: body, zone: zone})
}

// gone tells whether it was the record that was not found, and not the zone.
func gone(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.Status == http.StatusNotFound && strings.HasPrefix(e.words, "Record ")
}

// A dnsimpleBatch changes an RRset in one request, where the plan has that
// (https://developer.dnsimple.com/v2/zones/batch-change-zone-records/).
type dnsimpleBatch struct{ *dnsimple }

// dnsimpleChanges are carried out in the order deletes, updates, creates, all or
// none.
type dnsimpleChanges struct {
	Creates []dnsimpleCreate `json:"creates,omitempty"`
	Updates []dnsimpleUpdate `json:"updates,omitempty"`
	Deletes []dnsimpleDelete `json:"deletes,omitempty"`
}

// maxBatch bounds the changes of one request.
const maxBatch = 100

// SetRRset replaces one RRset; see [Setter]. It looks once more right before. A
// record that somebody deleted since, or made anew, is drift; nothing is written
// then.
func (d *dnsimpleBatch) SetRRset(ctx context.Context, c rrset.Change) error {
	there, err := d.expected(ctx, c)
	if err != nil {
		return err
	}
	body, err := newDNSimpleChanges(c, there)
	if err != nil {
		return err
	}
	err = d.write(ctx, c.Zone, http.MethodPost, "/batch", body)
	var e *apiError
	switch {
	case !errors.As(err, &e):
		return err
	case e.Status == http.StatusPreconditionFailed:
		return fmt.Errorf("batch: set it to false, this account's plan has no batch changes: %w", err)
	case e.Status == http.StatusBadRequest && strings.Contains(e.words, "Record not found"):
		if _, derr := d.expected(ctx, c); errors.Is(derr, ErrDrifted) {
			return derr
		}
	}
	return err
}

// expected are the records of an RRset that is as Before.
func (d *dnsimpleBatch) expected(ctx context.Context, c rrset.Change) ([]Record, error) {
	there, err := d.Records(ctx, c.Zone, c.After.Name, c.After.Type)
	if err != nil {
		return nil, err
	}
	found, mixed, err := setOfRecords(c.After.Name, c.After.Type, there)
	switch {
	case err != nil:
		return nil, err
	case mixed:
		return nil, mixedError(found)
	case !found.Equal(c.Before):
		return nil, &DriftError{Expected: c.Before, Found: found}
	}
	return there, nil
}

// newDNSimpleChanges names each record that is there by its ID: those that stay
// get After's TTL, the others become one of After's, as far as there are any. So
// there would be a member at each moment even if the request were not atomic.
func newDNSimpleChanges(c rrset.Change, there []Record) (dnsimpleChanges, error) {
	var out dnsimpleChanges
	var fresh []dnsimpleCreate
	for _, data := range c.After.Data {
		if slices.ContainsFunc(there, func(r Record) bool { return r.Data == data }) {
			continue
		}
		f, err := newDNSimpleCreate(c.Zone, Record{Name: c.After.Name, Type: c.After.Type, TTL: c.After.TTL, Data: data})
		if err != nil {
			return out, err
		}
		fresh = append(fresh, f)
	}
	for _, r := range there {
		id, err := strconv.ParseInt(r.ID, 10, 64)
		switch {
		case err != nil:
			return out, err
		case slices.Contains(c.After.Data, r.Data):
			out.Updates = append(out.Updates, dnsimpleUpdate{ID: id, TTL: c.After.TTL})
		case len(fresh) > 0:
			out.Updates = append(out.Updates, dnsimpleUpdate{ID: id, Content: fresh[0].Content, TTL: c.After.TTL, Priority: fresh[0].Priority})
			fresh = fresh[1:]
		default:
			out.Deletes = append(out.Deletes, dnsimpleDelete{ID: id})
		}
	}
	out.Creates = fresh
	if n := len(out.Creates) + len(out.Updates) + len(out.Deletes); n > maxBatch {
		return out, fmt.Errorf("%s %s: %d changes in one request, above %d", c.After.Name, c.After.Type, n, maxBatch)
	}
	return out, nil
}
