package providers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mxcutover/rrset"
)

// A scratch record is a TXT record right below a zone's apex, at a name that
// nobody has, which is written to see what comes of it and then taken away. Its
// label and its text tell whoever finds it what it is.
const (
	scratchLabel = "_mxcutover-"
	scratchText  = "mxcutover scratch record of "
	scratchTTL   = 60
	// scratchAge is how old one must be to be somebody's who forgot it.
	scratchAge = 15 * time.Minute
)

// ErrScratch means that no scratch record can be written to a zone without hiding
// something of it.
var ErrScratch = errors.New("no scratch record is written to this zone")

// Scratch is the Change that adds a scratch record to a zone that holds these
// RRsets; its inverse takes it away. by names who writes it.
//
// A name that exists takes itself out of the wildcard above it (RFC 4592 section
// 3.3.1), and one more label deep would take its parent out, too. Nobody asks for
// a random name; still, where a wildcard stands below the apex, even an empty
// one, nothing is written.
func Scratch(zone string, sets []rrset.Set, by string, now time.Time) (rrset.Change, error) {
	star := "*." + zone
	if zone == "." {
		star = "*."
	}
	for _, s := range sets {
		switch {
		case rrset.Below(s.Name, star):
			return rrset.Change{}, fmt.Errorf("%w: the wildcard %s would not answer at its name (RFC 4592)", ErrScratch, star)
		case s.Type == "DNAME" && s.Name == zone:
			return rrset.Change{}, fmt.Errorf("%w: the DNAME at its apex redirects all names below (RFC 6672)", ErrScratch)
		}
	}
	name := scratchLabel + strings.ToLower(rand.Text()[:12]) + strings.TrimPrefix(star, "*")
	text := scratchText + by + " since " + strconv.FormatInt(now.Unix(), 10) + "; it may be deleted"
	after, err := rrset.New(name, "TXT", scratchTTL, quoted(text))
	if err != nil {
		return rrset.Change{}, err
	}
	before, err := rrset.New(name, "TXT", 0)
	return rrset.Change{Zone: zone, Before: before, After: after}, err
}

// Leftovers are the Changes that take away what was left of scratch records, by
// whoever died or forgot: those of by, and all that are old.
func Leftovers(zone string, sets []rrset.Set, by string, now time.Time) (out []rrset.Change) {
	for _, s := range sets {
		if s.Type != "TXT" || !strings.HasPrefix(s.Name, scratchLabel) || rrset.Parent(s.Name) != zone || len(s.Data) != 1 {
			continue
		}
		text, err := textOf(s.Data[0])
		if err != nil {
			continue
		}
		rest, ok := strings.CutPrefix(text, scratchText)
		i := strings.LastIndex(rest, " since ")
		if !ok || i < 0 {
			continue
		}
		digits, _, _ := strings.Cut(rest[i+len(" since "):], ";")
		since, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && (rest[:i] == by || now.Sub(time.Unix(since, 0)) > scratchAge) {
			out = append(out, rrset.Change{Zone: zone, Before: s, After: rrset.Set{Name: s.Name, Type: s.Type}})
		}
	}
	return out
}

// WriteScratch sweeps a zone's scratch records and writes a new one. The function
// that it gives takes that away again, also when the context is over.
func WriteScratch(ctx context.Context, p Provider, zone, by string, now time.Time) (rrset.Set, func() error, error) {
	sets, err := Zone(ctx, p, zone)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	for _, c := range Leftovers(zone, sets, by, now) {
		if _, err := Restore(ctx, p, c); err != nil {
			return rrset.Set{}, nil, fmt.Errorf("take away the scratch record %s: %w", rrset.Bare(c.Before.Name), err)
		}
	}
	c, err := Scratch(zone, sets, by, now)
	if err != nil {
		return rrset.Set{}, nil, err
	}
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*lookTime)
		defer cancel()
		now, err := Read(ctx, p, zone, c.After.Name, c.After.Type)
		if err == nil && !now.Absent() {
			_, err = Restore(ctx, p, rrset.Change{Zone: zone, Before: now, After: c.Before})
		}
		if err != nil {
			return fmt.Errorf("take away the scratch record %s: %w", rrset.Bare(c.After.Name), err)
		}
		return nil
	}
	r, err := Replace(ctx, p, c)
	if err != nil {
		return rrset.Set{}, nil, errors.Join(err, remove())
	}
	return r.Got, remove, nil
}

// An Inspector proves that a zone may be written, without changing anything.
type Inspector interface {
	Inspect(ctx context.Context, zone string) error
}

// Inspect proves that a zone may be written, and tells false where the provider
// cannot tell that without a write.
func Inspect(ctx context.Context, p Provider, zone string) (bool, error) {
	i, ok := opened(p).(Inspector)
	if !ok {
		return false, nil
	}
	return true, i.Inspect(ctx, zone)
}
