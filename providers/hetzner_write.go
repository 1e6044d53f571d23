package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// Zone reads a zone; see [Zoner].
func (p *hetzner) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	all, err := p.list(ctx, zone, "")
	if err != nil {
		return nil, err
	}
	return listedSets(all)
}

// GetRecords reads a zone, for libdns.
func (p *hetzner) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, p, zone)
}

// SharesTTL tells that an RRset has one TTL; see [Sharer].
func (p *hetzner) SharesTTL() {}

// Check refuses what the API would not take.
func (p *hetzner) Check(c rrset.Change) error {
	known := []string{"A", "AAAA", "CAA", "CNAME", "DS", "HINFO", "HTTPS", "MX", "NS", "PTR", "RP", "SRV", "SVCB", "TLSA", "TXT"}
	switch {
	case !slices.Contains(known, c.After.Type):
		return fmt.Errorf("records of type %s are not written at Hetzner", c.After.Type)
	case !c.After.Absent() && c.After.TTL < 60:
		return fmt.Errorf("a TTL of %d seconds: Hetzner takes 60 or more", c.After.TTL)
	}
	return nil
}

// Records lists the records of one RRset; see [Editor].
func (p *hetzner) Records(ctx context.Context, zone, name, typ string) ([]Record, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return nil, err
	}
	all, err := p.list(ctx, w.zone, w.name)
	if err != nil {
		return nil, err
	}
	return listedSet(all, w.name, typ)
}

// AddRecord adds a record; see [Editor]. To an RRset that is there it adds without
// a TTL, which leaves that one; one that is not is created, which fails if it was
// by somebody else meanwhile.
func (p *hetzner) AddRecord(ctx context.Context, zone string, r Record) error {
	var answer struct {
		RRset hetznerRRset `json:"rrset"`
	}
	path := hetznerSet(zone, r.Name, r.Type)
	err := p.do(ctx, call{method: http.MethodGet, path: path, into: &answer, zone: zone})
	records := []hetznerRecord{{r.Data}}
	switch {
	case missing(err):
		ttl := int64(r.TTL)
		body := hetznerRRset{Name: relative(r.Name, zone), Type: r.Type, TTL: &ttl, Records: records}
		return p.act(ctx, zone, hetznerPath(zone)+"/rrsets", body)
	case err != nil:
		return err
	case answer.RRset.Protection != nil && answer.RRset.Protection.Change:
		return fmt.Errorf("%s %s is protected against changes at Hetzner: take the protection off", r.Name, r.Type)
	}
	return p.act(ctx, zone, path+"/actions/add_records", hetznerRRset{Records: records})
}

// UpdateRecord changes the RRset's TTL; see [Sharer].
func (p *hetzner) UpdateRecord(ctx context.Context, zone string, r Record) error {
	path := hetznerSet(zone, r.Name, r.Type) + "/actions/change_ttl"
	return goneRecord(r, p.act(ctx, zone, path, map[string]uint32{"ttl": r.TTL}))
}

// DeleteRecord removes a record, and the RRset with its last; see [Editor].
func (p *hetzner) DeleteRecord(ctx context.Context, zone string, r Record) error {
	path := hetznerSet(zone, r.Name, r.Type) + "/actions/remove_records"
	err := p.act(ctx, zone, path, hetznerRRset{Records: []hetznerRecord{{r.ID}}})
	if missing(err) {
		return nil // it is gone
	}
	return err
}

// Pauses between two looks at an action.
const (
	hetznerFirstLook = 100 * time.Millisecond // doubled each time
	hetznerLastLook  = 2 * time.Second
)

// act sends a write and waits for its action to end. One that fails, or is not
// seen to end, may have been carried out.
func (p *hetzner) act(ctx context.Context, zone, path string, body any) error {
	var answer struct {
		Action hetznerAction `json:"action"`
	}
	if err := p.do(ctx, call{method: http.MethodPost, path: path, body: body, into: &answer, zone: zone}); err != nil {
		var e *apiError
		if errors.As(err, &e) && e.Status < 500 && e.Code == "conflict" {
			return Transient(err) // it changed meanwhile: to be read anew, then tried again
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	id := answer.Action.ID
	for wait := hetznerFirstLook; ; wait = min(2*wait, hetznerLastLook) {
		a := answer.Action
		switch {
		case a.ID == id && a.Status == "success":
			return nil
		case a.ID == id && a.Status == "error" && a.Error != nil:
			return Unanswered(p.fence, fmt.Errorf("action %d failed, code %.60q: %.300q", id, p.clean(a.Error.Code), p.clean(a.Error.Message)))
		case a.ID != id || id == 0 || a.Status != "running":
			return Unanswered(p.fence, fmt.Errorf("action %d is told as %d with status %.20q", id, a.ID, p.clean(a.Status)))
		}
		err := p.pause(ctx, wait)
		answer.Action = hetznerAction{}
		if err == nil {
			err = p.do(ctx, call{method: http.MethodGet, path: fmt.Sprintf("/actions/%d", id), into: &answer, zone: zone})
		}
		if err != nil {
			return Unanswered(p.fence, fmt.Errorf("action %d was not seen to end: %w", id, err))
		}
	}
}
