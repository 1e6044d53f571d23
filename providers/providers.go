// Package providers reads and writes zones at DNS providers.
//
// The way of it: [Open] makes a provider from its section of the configuration;
// [Zone] and [Read] read from it; [Replace] is the only writer of DNS in
// mxcutover. It changes one RRset, by the strongest means the provider has: it
// compares before it writes, reads back after it, and says plainly when it
// cannot tell what happened.
package providers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// A Provider reads the records of a zone. What more it can do are the optional
// interfaces of this package.
type Provider interface{ libdns.RecordGetter }

// A Reader reads one RRset from the source of truth, with its TTL.
type Reader interface {
	Read(ctx context.Context, zone, name, typ string) (rrset.Set, error)
}

// A Zoner reads every RRset of a zone.
type Zoner interface {
	Zone(ctx context.Context, zone string) ([]rrset.Set, error)
}

// A Swapper changes one RRset as an atomic compare-and-swap: Before must be
// there, TTL included, or nothing happens and the error is [ErrDrifted].
type Swapper interface {
	Swap(context.Context, rrset.Change) error
}

// A Mode is how a provider changes one RRset.
type Mode string

// The modes, the safest first.
const (
	ModeSwap Mode = "swap" // an atomic compare-and-swap
	ModeSet  Mode = "set"  // an atomic replacement, after a compare
	ModeEdit Mode = "edit" // append, then delete: never a moment without MX
)

// What can go wrong with a write, by what the caller can do about it.
var (
	ErrDrifted   = errors.New("somebody else changed the record")
	ErrInDoubt   = errors.New("a write got no answer, and may still be applied")
	ErrLied      = errors.New("the provider reported success and did not do it")
	ErrTransient = errors.New("the provider could not be asked")
	ErrRefused   = errors.New("the provider refused")
)

// A DriftError is an [ErrDrifted] that tells what was found.
type DriftError struct{ Expected, Found rrset.Set }

func (d *DriftError) Error() string {
	return fmt.Sprintf("somebody else changed the record: expected %q, found %q", d.Expected.String(), d.Found.String())
}

// Is makes it an ErrDrifted.
func (d *DriftError) Is(target error) bool { return target == ErrDrifted }

// A doubtError is an ErrInDoubt that tells how long the write may come late.
type doubtError struct {
	fence time.Duration
	err   error
}

func (d *doubtError) Error() string        { return ErrInDoubt.Error() + ": " + d.err.Error() }
func (d *doubtError) Is(target error) bool { return target == ErrInDoubt }
func (d *doubtError) Unwrap() error        { return d.err }

// Fence is how long an in-doubt write may still be applied.
func Fence(err error) time.Duration {
	if d, ok := errors.AsType[*doubtError](err); ok {
		return d.fence
	}
	return defaultFence
}

const defaultFence = 5 * time.Minute

// Read reads one RRset.
func Read(ctx context.Context, p Provider, zone, name, typ string) (rrset.Set, error) {
	r, ok := unwrap(p).(Reader)
	if !ok {
		return rrset.Set{}, fmt.Errorf("%w: it cannot read single records", ErrRefused)
	}
	return r.Read(ctx, zone, name, typ)
}

// Zone reads every RRset of a zone.
func Zone(ctx context.Context, p Provider, zone string) ([]rrset.Set, error) {
	z, ok := unwrap(p).(Zoner)
	if !ok {
		return nil, fmt.Errorf("%w: it cannot list zones", ErrRefused)
	}
	return z.Zone(ctx, zone)
}

// guarded is an opened provider that is no longer written to once it lied.
type guarded struct {
	Provider
	mode Mode
	mu   sync.Mutex
	lied error
}

func (g *guarded) quarantine(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lied = errors.Join(g.lied, why)
}

func (g *guarded) quarantined() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lied
}

func unwrap(p Provider) Provider {
	if g, ok := p.(*guarded); ok {
		return g.Provider
	}
	return p
}
