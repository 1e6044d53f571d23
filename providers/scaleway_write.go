package providers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// The body of a change of records: one request makes one version of the zone
// (https://www.scaleway.com/en/developers/api/domains-and-dns/#path-records-update-records-within-a-dns-zone).
type (
	scalewayUpdate struct {
		Changes []scalewayChange `json:"changes"`
		All     bool             `json:"return_all_records"`
		NoZone  bool             `json:"disallow_new_zone_creation"`
	}
	scalewayChange struct {
		Add    *scalewayTarget `json:"add,omitempty"`
		Set    *scalewayTarget `json:"set,omitempty"`
		Delete *scalewayTarget `json:"delete,omitempty"`
	}
	scalewayTarget struct {
		Fields  *scalewayFields  `json:"id_fields,omitempty"`
		Records []scalewayRecord `json:"records,omitempty"`
	}
	// scalewayFields choose all records of an RRset. With data and ttl, which are
	// not sent, they would choose fewer.
	scalewayFields struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
)

// SetRRset replaces one RRset; see [Setter]. It looks once more right before. What
// is not there yet is added: what somebody else added meanwhile then stays.
func (s *scaleway) SetRRset(ctx context.Context, c rrset.Change) error {
	found, members, err := s.find(ctx, c.Zone, c.After.Name, c.After.Type)
	switch {
	case err != nil:
		return err
	case !found.Equal(c.Before):
		return &DriftError{Expected: c.Before, Found: found}
	}
	records, err := scalewayRecords(c, members)
	if err != nil {
		return err
	}
	var change scalewayChange
	switch {
	case len(members) == 0 && len(records) == 0:
		return nil
	case len(members) == 0:
		change.Add = &scalewayTarget{Records: records}
	case len(records) == 0:
		change.Delete = &scalewayTarget{Fields: &scalewayFields{members[0].Name, c.After.Type}}
	default:
		change.Set = &scalewayTarget{Fields: &scalewayFields{members[0].Name, c.After.Type}, Records: records}
	}
	body := scalewayUpdate{Changes: []scalewayChange{change}, NoZone: true}
	return s.noZone(s.do(ctx, call{method: http.MethodPatch, path: s.path(c.Zone), body: body, zone: c.Zone}), c.Zone)
}

// scalewayRecords are After's records. A name is spelled as the service spells
// it, hosts have their final dot, since one without it is relative to the zone.
func scalewayRecords(c rrset.Change, members []scalewayRecord) ([]scalewayRecord, error) {
	var out []scalewayRecord
	name := strings.TrimPrefix(relative(c.After.Name, c.Zone), "@")
	if len(members) > 0 {
		name = members[0].Name
	}
	for _, d := range c.After.Data {
		r := scalewayRecord{Name: name, Type: c.After.Type, TTL: int64(c.After.TTL), Data: d}
		if r.Type == "MX" {
			mx, err := rrset.ParseMX(d)
			if err != nil {
				return nil, err
			}
			r.Priority, r.Data = int64(mx.Preference), mx.Host
		}
		if i := slices.IndexFunc(members, func(m scalewayRecord) bool { return m.data == d }); i >= 0 {
			r.Comment = members[i].Comment
		}
		out = append(out, r)
	}
	for _, m := range members {
		if m.Comment != nil && *m.Comment != "" && !slices.Contains(c.After.Data, m.data) {
			return nil, fmt.Errorf("%s %s: the record %.80q has a comment, which would be lost and could not be restored: take it away first", m.name, c.After.Type, m.data)
		}
	}
	return out, nil
}
