package providers

import (
	"context"
	"fmt"
	"slices"

	"mxcutover/rrset"
)

// A State is what is there of a Change that may have been begun.
type State struct {
	Found rrset.Set
	// Half tells that an edit was begun and not finished. Found then has the
	// highest of the records' TTLs, and may equal Before or After in its members.
	Half bool
	// Back is the Change that leads from here to Before.
	Back rrset.Change
}

// ReadFor is Read for one who may have begun the Change, or its inverse.
func ReadFor(ctx context.Context, p Provider, c rrset.Change) (State, error) {
	e, ok := opened(p).(Editor)
	if mode := ModeOf(p); !ok || mode != Edit {
		found, err := Read(ctx, p, c.Zone, c.After.Name, c.After.Type)
		half := mode == Hand && err == nil && !found.Equal(c.Before) && !found.SameData(c.After) && onTheWay(c, found)
		return State{Found: found, Half: half, Back: rrset.Change{Zone: c.Zone, Before: found, After: c.Before}}, err
	}
	records, err := e.Records(ctx, c.Zone, c.After.Name, c.After.Type)
	if err != nil {
		return State{}, err
	}
	found, mixed, err := setOfRecords(c.After.Name, c.After.Type, records)
	s := State{Found: found, Back: rrset.Change{Zone: c.Zone, Before: found, After: c.Before}}
	switch {
	case err != nil:
	case !mixed && (found.Equal(c.Before) || found.Equal(c.After)):
	case between(e, c, records):
		s.Half = true
		s.Back.Before = c.After.WithTTL(reached(c, records))
	case mixed:
		err = mixedError(found)
	}
	return s, err
}

// given is the TTL that the provider gave to the members that only After has:
// After's, or what it was clamped to.
func given(c rrset.Change, records []Record) uint32 {
	for _, r := range records {
		if slices.Contains(c.After.Data, r.Data) && !slices.Contains(c.Before.Data, r.Data) {
			return r.TTL
		}
	}
	return c.After.TTL
}

// reached is the TTL that After's members have by now: while members are being
// deleted, those that stay have it, too.
func reached(c rrset.Change, records []Record) uint32 {
	there := func(d string) bool { return slices.ContainsFunc(records, func(r Record) bool { return r.Data == d }) }
	gone := slices.ContainsFunc(c.Before.Data, func(d string) bool { return !there(d) })
	for _, r := range records {
		if gone && slices.Contains(c.After.Data, r.Data) {
			return r.TTL
		}
	}
	return given(c, records)
}

func readRecords(ctx context.Context, e Editor, zone, name, typ string) (rrset.Set, error) {
	want, err := rrset.New(name, typ, 0)
	if err != nil {
		return rrset.Set{}, err
	}
	records, err := e.Records(ctx, zone, want.Name, want.Type)
	if err != nil {
		return rrset.Set{}, err
	}
	s, mixed, err := setOfRecords(want.Name, want.Type, records)
	if err == nil && mixed {
		err = mixedError(s)
	}
	return s, err
}

func mixedError(s rrset.Set) error { return fmt.Errorf("%s %s: %w", s.Name, s.Type, ErrMixed) }

// setOfRecords is the RRset with the highest of the records' TTLs, and whether
// there are several.
func setOfRecords(name, typ string, records []Record) (s rrset.Set, mixed bool, err error) {
	var ttl uint32
	var data []string
	for i, r := range records {
		mixed = mixed || i > 0 && r.TTL != ttl
		ttl = max(ttl, r.TTL)
		data = append(data, r.Data)
	}
	s, err = rrset.New(name, typ, ttl, data...)
	return s, mixed, err
}

// shared tells whether a host keeps one TTL for an RRset.
func shared(e Editor) bool {
	_, ok := e.(Sharer)
	return ok
}

// between tells whether the records are a state that an edit of c, or of its
// inverse, goes through, and not its beginning nor its end.
func between(e Editor, c rrset.Change, records []Record) bool {
	if shared(e) && slices.ContainsFunc(records, func(r Record) bool { return r.TTL != c.Before.TTL && r.TTL != c.After.TTL }) {
		return false
	}
	of := func(s rrset.Set, d string) bool { return slices.Contains(s.Data, d) }
	all := func(s rrset.Set) bool {
		return !slices.ContainsFunc(s.Data, func(d string) bool {
			return !slices.ContainsFunc(records, func(r Record) bool { return r.Data == d })
		})
	}
	before, after := all(c.Before), all(c.After)
	if !before && !after {
		return false
	}
	clamped := given(c, records)
	for _, r := range records {
		was, will := of(c.Before, r.Data), of(c.After, r.Data)
		switch {
		case !was && !will:
			return false
		case !was: // its TTL may be clamped
		case r.TTL == c.Before.TTL: // still, or clamped to it
		case (r.TTL == c.After.TTL || r.TTL == clamped) && after:
		default:
			return false
		}
	}
	return true
}

// pickRecords is one RRset of the records of a name, and its records. Several
// TTLs are [ErrMixed], an alias there is [ErrCNAME].
func pickRecords(all []Record, name, typ string) (rrset.Set, []Record, error) {
	var own []Record
	alias := false
	for _, r := range all {
		switch {
		case r.Name != name:
		case r.Type == typ:
			own = append(own, r)
		case r.Type == "CNAME":
			alias = true
		}
	}
	if alias && len(own) == 0 {
		return rrset.Set{}, nil, aliasError(name)
	}
	s, mixed, err := setOfRecords(name, typ, own)
	if err == nil && mixed {
		err = mixedError(s)
	}
	return s, own, err
}
