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

	"mxcutover/rrset"
)

// A dnsimpleRecord is one record as it is sent and received.
type dnsimpleRecord struct {
	ID       int64    `json:"id"`
	Name     string   `json:"name"` // relative; empty at the zone's apex
	Type     string   `json:"type"`
	Content  string   `json:"content"` // without an MX's preference
	TTL      int64    `json:"ttl"`
	Priority *int64   `json:"priority"`
	Regions  []string `json:"regions"`
}

// regional tells whether only some regions answer with it.
func (r dnsimpleRecord) regional() bool {
	return len(r.Regions) > 0 && !slices.Contains(r.Regions, "global")
}

// data is the one spelling of the content.
func (r dnsimpleRecord) data() (string, error) {
	var priority int64
	if r.Priority != nil {
		priority = *r.Priority
	}
	switch r.Type {
	case "MX":
		return mxData(priority, r.Content)
	case "SRV":
		return parseData(r.Type, fmt.Sprintf("%d %s", priority, r.Content))
	case "TXT", "SPF":
		if !strings.HasPrefix(r.Content, `"`) {
			return quoted(r.Content), nil
		}
	}
	return parseData(r.Type, r.Content)
}

// dnsimpleContent is a record's content and priority as they are sent: hosts
// without their final dot, texts only where they are kept as they are.
func dnsimpleContent(typ, data string) (content string, priority *int64, err error) {
	switch typ {
	case "MX":
		mx, err := rrset.ParseMX(data)
		p := int64(mx.Preference)
		return rrset.Bare(mx.Host), &p, err
	case "SRV":
		first, rest, _ := strings.Cut(data, " ")
		p, err := strconv.ParseInt(first, 10, 32)
		return rrset.Bare(rest), &p, err
	case "NS", "CNAME", "PTR":
		return rrset.Bare(data), nil, nil
	case "TXT", "SPF":
		text, err := textOf(data)
		if err == nil && (data != quoted(text) || strings.Contains(data, `\`)) {
			err = fmt.Errorf("text %.80q: quotes, backslashes, other than printable ASCII, and parts of other than 255 characters are not kept as they are", data)
		}
		return data, nil, err
	}
	return data, nil, nil
}

// list reads the records of a zone, or those that the query chooses.
func (d *dnsimple) list(ctx context.Context, zone string, query url.Values) ([]dnsimpleRecord, error) {
	path, err := d.zonePath(ctx, zone)
	if err != nil {
		return nil, err
	}
	return settled(func() ([]dnsimpleRecord, error) {
		var all []dnsimpleRecord
		var count counted
		err := pages("1", func(at string) (page, error) {
			query.Set("per_page", "100")
			query.Set("page", at)
			var got struct {
				Data  []dnsimpleRecord `json:"data"`
				Pages *struct {
					Entries int `json:"total_entries"`
				} `json:"pagination"`
			}
			if err := d.do(ctx, call{method: http.MethodGet, path: path + "/records", query: query, into: &got, zone: zone}); err != nil {
				return page{}, err
			}
			if got.Pages == nil {
				return page{}, errors.New("the answer is no page of a listing")
			}
			ids := make([]string, len(got.Data))
			for i, r := range got.Data {
				if r.ID > 0 {
					ids[i] = strconv.FormatInt(r.ID, 10)
				}
			}
			all = append(all, got.Data...)
			last, err := count.page(got.Pages.Entries, ids)
			if err != nil || last {
				return page{}, err
			}
			n, err := strconv.Atoi(at)
			return page{next: strconv.Itoa(n + 1)}, err
		})
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", rrset.Bare(zone), err)
		}
		return all, nil
	})
}

// Records lists the records of one RRset; see [Editor].
func (d *dnsimple) Records(ctx context.Context, zone, name, typ string) ([]Record, error) {
	w, err := newWanted(zone, name, typ)
	if err != nil {
		return nil, err
	}
	typ = strings.ToUpper(typ)
	// All types of the name, since an alias must be seen; at the apex there is none.
	query := url.Values{"name": {relative(w.name, w.zone)}}
	if w.name == w.zone {
		query = url.Values{"type": {typ}}
	}
	all, err := d.list(ctx, w.zone, query)
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, r := range all {
		n, err := nameBelow(r.Name, w.zone)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", rrset.Bare(w.zone), err)
		}
		switch {
		case n != w.name:
		case r.Type == "CNAME" && typ != "CNAME":
			return nil, aliasError(n)
		case r.Type != typ:
		case r.regional():
			return nil, fmt.Errorf("%s %s: the record %.80q is of some regions alone (%.80q): it cannot be changed here", n, typ, r.Content, r.Regions)
		default:
			data, err := r.data()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
			if r.TTL < 0 || r.TTL > rrset.MaxTTL {
				return nil, fmt.Errorf("%s %s: a TTL of %d seconds", n, typ, r.TTL)
			}
			out = append(out, Record{ID: strconv.FormatInt(r.ID, 10), Name: n, Type: typ, TTL: uint32(r.TTL), Data: data})
		}
	}
	return out, nil
}

// Zone reads a zone; see [Zoner].
func (d *dnsimple) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	all, err := d.list(ctx, zone, url.Values{})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 { // not even its NS records
		return nil, fmt.Errorf("zone %s: the service told of no records at all", rrset.Bare(zone))
	}
	z := newZoneData(zone)
	for _, r := range all {
		n, err := nameBelow(r.Name, zone)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", rrset.Bare(zone), err)
		}
		data, err := r.data()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		if err := z.add(n, r.Type, r.TTL, data); err != nil {
			return nil, err
		}
	}
	return z.sets()
}

// GetRecords reads a zone, for libdns.
func (d *dnsimple) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return libdnsOf(ctx, d, zone)
}
