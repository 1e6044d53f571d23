package providers

import (
	"errors"
	"fmt"
	"net/http"

	"mxcutover/rrset"
	"mxcutover/secret"
)

// What Editors share whose vendors list a zone record by record. Their listings
// are read whole, also for one name: a filter that minds case, or that a vendor
// spells otherwise, would hide records that are there.

// newRecord is one record of a zone as a vendor sent it: with its name absolute,
// and its data in the one spelling.
func newRecord(zone, id, name, typ string, ttl int64, data string) (Record, error) {
	n, err := nameIn(name, zone)
	if err != nil {
		return Record{}, err
	}
	if ttl < 0 || ttl > rrset.MaxTTL {
		return Record{}, fmt.Errorf("%s %.20s: a TTL of %d seconds", n, typ, ttl)
	}
	return Record{ID: id, Name: n, Type: typ, TTL: uint32(ttl), Data: data}, nil
}

// listedSet are the records of one RRset among all of a zone, each with its own
// TTL, or [ErrCNAME] at an alias.
func listedSet(all []Record, name, typ string) ([]Record, error) {
	_, own, err := pickRecords(all, name, typ)
	if errors.Is(err, ErrMixed) {
		err = nil
	}
	return own, err
}

// listedSets are the RRsets of all records of a zone.
func listedSets(all []Record) ([]rrset.Set, error) {
	g := newGrouping(len(all))
	for _, r := range all {
		g.add(r.Name, r.Type, r.TTL, r.Data)
	}
	return g.sets()
}

// missing tells whether an error is the vendor's "there is no such thing".
func missing(err error) bool {
	var e *apiError
	var lost *unanswered
	return errors.As(err, &e) && e.Status == http.StatusNotFound && !errors.As(err, &lost)
}

// goneRecord is the error of a write to a record that is no longer there: it is
// the record that is missing, not the zone.
func goneRecord(r Record, err error) error {
	var e *apiError
	if missing(err) && errors.As(err, &e) {
		return fmt.Errorf("%s %s %q: the record is no longer there: %w", r.Name, r.Type, r.Data, e)
	}
	return err
}

// bearerSettings is the section of the configuration where a token is all there is.
type bearerSettings struct {
	Token secret.Ref  `yaml:"token,required" json:"token"`
	API   apiSettings `yaml:",inline" json:"api"`
}

// openBearer reads a section with a token, which each request bears in the header
// Authorization (RFC 6750 section 2.1).
func openBearer(decode func(into any) error, k apiKind) (*api, error) {
	var s bearerSettings
	if err := decode(&s); err != nil {
		return nil, err
	}
	token, err := s.Token.Read()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	k.secrets, k.credential = []string{token}, "token"
	k.sign = func(r *http.Request, _ []byte) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	return newAPI(k, s.API)
}

// target is the absolute name that a vendor sends of a host, without its final
// dot; "@" is the zone.
func target(host, zone string) (string, error) {
	if host == "@" {
		return zone, nil
	}
	return fullName(host)
}
