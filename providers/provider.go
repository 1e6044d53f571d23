// Package providers reads and writes DNS where it is kept. The inventory reads
// whole zones with [Zone]; the steps lower-ttl, publish and settle, and their
// undoing, change one RRset with [Replace], which is the only writer of DNS.
//
// A provider is opened from its section of the configuration by [Open]. It is a
// [libdns.RecordGetter] that may do more: [Reader], [Zoner], and one of [Swapper],
// [Setter], [Editor] and [Asker].
//
// A write goes so:
//
//  1. Read. After there: done. Anything but Before there: [DriftError].
//  2. Write, in the safest [Mode] that the provider can.
//  3. Read back. The provider's word alone is no success: [LieError].
//  4. Without an answer: look. Still not there: [InDoubtError], which says for
//     how long the write may yet be carried out.
//
// A provider that keeps single records can stop half way. What it leaves then
// is known by its members, see [ReadFor], and the same Change again, or its
// inverse, goes on from there.
package providers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// A Provider holds zones. All its methods may be called at the same time.
type Provider interface {
	libdns.RecordGetter
}

// A Reader reads one RRset, with its TTL. An RRset that does not exist at
// exactly that name is absent, whatever a wildcard would make of it; a name that
// is an alias gives [ErrCNAME].
type Reader interface {
	Read(ctx context.Context, zone, name, typ string) (rrset.Set, error)
}

// A Zoner reads every RRset of a zone, as the zone holds them: wildcards and
// what lies below zone cuts included, signatures left out.
type Zoner interface {
	Zone(ctx context.Context, zone string) ([]rrset.Set, error)
}

// A Swapper changes an RRset from Before to After, TTL included, at once or not
// at all. It returns an error that is [ErrDrifted] if something else is there,
// and one that is [ErrTransient] if nothing was written and a repeat may help.
type Swapper interface {
	Swap(ctx context.Context, c rrset.Change) error
}

// A Setter replaces a whole RRset by After, at once or not at all; an absent
// After deletes it. What is there is not compared at the provider, so a change
// by somebody else in the moment since it was read is lost. Before is as it was
// just read: for those who must know what they replace. Errors are a Swapper's.
type Setter interface {
	SetRRset(ctx context.Context, c rrset.Change) error
}

// A Record is one record at a provider that keeps them one by one.
type Record struct {
	ID   string // the provider's; empty for one that is not there yet
	Name string // canonical
	Type string
	TTL  uint32 // seconds
	Data string // canonical
}

// An Editor keeps single records. Each write changes one. Errors are a
// Swapper's: after one that is not from [Unanswered] that write did nothing.
type Editor interface {
	// Records lists the records of one RRset, or gives [ErrCNAME] at an alias.
	Records(ctx context.Context, zone, name, typ string) ([]Record, error)
	// AddRecord adds one beside those that are there.
	AddRecord(ctx context.Context, zone string, r Record) error
	// UpdateRecord gives the record of this ID this TTL. There is no moment
	// without it.
	UpdateRecord(ctx context.Context, zone string, r Record) error
	// DeleteRecord deletes the record of this ID.
	DeleteRecord(ctx context.Context, zone string, r Record) error
}

// A Sharer is an Editor whose host keeps one TTL for all records of an RRset, and
// refuses one that it does not take. There UpdateRecord gives it to all of them,
// and AddRecord leaves that of the records that are there as it is.
type Sharer interface {
	Editor
	SharesTTL()
}

// A Publisher keeps what was written apart from what its servers answer with,
// until it is published. A Replace does not succeed before that: also one that
// finds After there publishes, since whoever wrote it may have died before.
type Publisher interface {
	// Publish lets the servers answer with the zone as it is kept. It may be
	// repeated at any time.
	Publish(ctx context.Context, zone string) error
}

// A Mode says how a provider changes an RRset.
type Mode string

// The modes, safest first.
const (
	Swap Mode = "swap" // an atomic compare-and-swap
	Set  Mode = "set"  // an atomic replacement of the RRset, after a compare
	Edit Mode = "edit" // additions, then deletions: never a moment without MX
	Hand Mode = "hand" // a person is asked, and waited for
)

// ModeOf is how a provider changes RRsets; empty if it cannot.
func ModeOf(p Provider) Mode {
	switch opened(p).(type) {
	case Swapper:
		return Swap
	case Setter:
		return Set
	case Editor:
		return Edit
	case Asker:
		return Hand
	}
	return ""
}

// Read reads one RRset from the provider.
func Read(ctx context.Context, p Provider, zone, name, typ string) (rrset.Set, error) {
	switch v := opened(p).(type) {
	case Reader:
		return v.Read(ctx, zone, name, typ)
	case Editor:
		return readRecords(ctx, v, zone, name, typ)
	}
	sets, err := Zone(ctx, p, zone)
	if err != nil {
		return rrset.Set{}, err
	}
	return pick(sets, name, typ)
}

// Zone reads every RRset of a zone from the provider, by name and type.
func Zone(ctx context.Context, p Provider, zone string) ([]rrset.Set, error) {
	p = opened(p)
	if z, ok := p.(Zoner); ok {
		return z.Zone(ctx, zone)
	}
	zone, err := rrset.CanonicalName(zone)
	if err != nil {
		return nil, err
	}
	records, err := p.GetRecords(ctx, zone)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", zone, err)
	}
	g := newGrouping(len(records))
	for _, r := range records {
		if err := g.addLibdns(r.RR(), zone); err != nil {
			return nil, fmt.Errorf("zone %s: %w", zone, err)
		}
	}
	return g.sets()
}

// guarded is a provider from [Open]. It remembers for the run that its provider
// lied.
type guarded struct {
	Provider
	mu  sync.Mutex
	lie *LieError
}

// Close closes the provider's connections. It can still be used: it then opens
// new ones.
func (g *guarded) Close() error {
	if c, ok := g.Provider.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func opened(p Provider) Provider {
	if g, ok := p.(*guarded); ok {
		return g.Provider
	}
	return p
}

// A Checker refuses a Change that its host cannot hold, or could not take back,
// before anything is asked or written.
type Checker interface {
	Check(c rrset.Change) error
}

// A Fencer knows for how long from now a write that got no answer may yet be
// carried out.
type Fencer interface {
	Fence() time.Duration
}

// quiet is that time where nobody knows.
const quiet = 5 * time.Minute

// Quiet is for how long from now a write through the provider may be carried out
// that was sent just now, and whose outcome is not known.
func Quiet(p Provider) time.Duration {
	if f, ok := opened(p).(Fencer); ok {
		return f.Fence()
	}
	return quiet
}

// Quarantine lets every further Replace through the provider fail with the lie,
// if it is one. The first counts.
func Quarantine(p Provider, err error) {
	var lie *LieError
	if g, ok := p.(*guarded); ok && errors.As(err, &lie) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.lie == nil {
			g.lie = lie
		}
	}
}

// Acquit ends a quarantine whose reason was this change: it was late, and is
// served now.
func Acquit(p Provider, c rrset.Change) {
	if g, ok := p.(*guarded); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.lie != nil && g.lie.Change.Before.Equal(c.Before) && g.lie.Change.After.Equal(c.After) {
			g.lie = nil
		}
	}
}

// Guard gives a provider that was not opened by [Open] what Open gives: it
// remembers for the run that it lied.
func Guard(p Provider) Provider { return &guarded{Provider: p} }

func quarantined(p Provider) error {
	if g, ok := p.(*guarded); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.lie != nil {
			return fmt.Errorf("nothing more is written through this provider in this run: %w", g.lie)
		}
	}
	return nil
}

// bySetName orders RRsets by name, then by type.
func bySetName(a, b rrset.Set) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Type, b.Type)
}

// canonical says whether an RRset is spelled as reading would spell it. One that
// is not would look like a lie when it is read back.
func canonical(s rrset.Set) error {
	c, err := rrset.New(s.Name, s.Type, s.TTL, s.Data...)
	if err != nil {
		return err
	}
	if !slices.Equal(c.Data, s.Data) || c.Name != s.Name || c.Type != s.Type || c.TTL != s.TTL {
		return fmt.Errorf("%s %s is not canonical", s.Name, s.Type)
	}
	return nil
}
