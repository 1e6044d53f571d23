package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mxcutover/providers"
	"mxcutover/rrset"
)

// A trial is one run of a case.
type trial struct {
	ctx   context.Context
	bed   *Bed
	p     providers.Provider
	label string // the case's own, below Base

	problems []string
	errs     []error // all that were seen
	watched  []watched
	beside   []rrset.Set // other RRsets of the names, as they must stay
	last     attempt
}

// watched is an RRset that was changed, from a state in its history on.
type watched struct {
	change rrset.Change
	from   int
}

// attempt is the last Replace, for judging a shortfall.
type attempt struct {
	change rrset.Change
	was    rrset.Set
	result providers.Result
	err    error
}

func newTrial(ctx context.Context, b *Bed, name string) (*trial, error) {
	if b.Base == "" {
		b.Base = b.Zone
	}
	p, err := b.open()
	if err != nil {
		return nil, err
	}
	var label strings.Builder
	if name[0] >= '0' && name[0] <= '9' {
		label.WriteByte('n') // some hosts take no label that begins with a digit
	}
	for _, c := range strings.ToLower(name) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			label.WriteRune(c)
		case c == ' ' && label.Len() > 0:
			label.WriteByte('-')
		}
	}
	return &trial{ctx: ctx, bed: b, p: p, label: label.String()}, nil
}

func (t *trial) close() {
	if c, ok := t.p.(io.Closer); ok {
		c.Close()
	}
}

func (t *trial) problem(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// name is a name of the case: "@" is its own, "a" is a name below.
func (t *trial) name(n string) string {
	switch {
	case n == "@":
		return t.label + "." + t.bed.Base
	case strings.HasSuffix(n, "."):
		return n
	}
	return n + "." + t.label + "." + t.bed.Base
}

// set is an RRset of the case. TTLs that the service would raise are raised here,
// each to another one, so that only the case about that is about it.
func (t *trial) set(name, typ string, ttl uint32, data ...string) rrset.Set {
	if ttl > 0 && ttl < t.bed.MinTTL {
		ttl += t.bed.MinTTL
	}
	if i, kept := slices.BinarySearch(t.bed.TTLs, ttl); ttl > 0 && !kept && i < len(t.bed.TTLs) {
		ttl = t.bed.TTLs[i]
	}
	s, err := rrset.New(t.name(name), typ, ttl, data...)
	if err != nil {
		panic(err) // a case is written wrongly
	}
	return s
}

func (t *trial) mx(name string, ttl uint32, data ...string) rrset.Set {
	return t.set(name, "MX", ttl, data...)
}

// seed makes what a case begins with.
func (t *trial) seed(sets ...rrset.Set) error {
	if t.bed.EditAll != nil {
		return t.bed.EditAll(t.ctx, sets...)
	}
	for _, s := range sets {
		if err := t.bed.Edit(t.ctx, s); err != nil {
			return fmt.Errorf("seed %s %s: %w", s.Name, s.Type, err)
		}
	}
	return nil
}

// neighbours puts other RRsets at a name, where a change is of an RRset of typ.
func (t *trial) neighbours(name, typ string) error {
	for _, s := range []rrset.Set{
		t.set(name, "A", 3600, "192.0.2.7"),
		t.set(name, "TXT", 3600, `"v=spf1 mx -all"`),
		t.set(name, "MX", 3600, "10 beside.example.net."),
	} {
		if s.Type == typ || s.Type == "MX" && typ != "TXT" {
			continue
		}
		if err := t.bed.Edit(t.ctx, s); err != nil {
			return fmt.Errorf("seed %s %s: %w", s.Name, s.Type, err)
		}
		t.beside = append(t.beside, s)
	}
	return nil
}

// replace changes an RRset by the way that the rollout takes.
func (t *trial) replace(before, after rrset.Set) (providers.Result, error) {
	return t.replaceIn(t.ctx, before, after)
}

func (t *trial) replaceIn(ctx context.Context, before, after rrset.Set) (providers.Result, error) {
	c := rrset.Change{Zone: t.bed.Zone, Before: before, After: after}
	from := 0
	if t.bed.Seen != nil {
		from = max(0, len(t.bed.Seen(after.Name, after.Type))-1)
	}
	t.watched = append(t.watched, watched{c, from})
	was, err := t.bed.Truth(t.ctx, after.Name, after.Type)
	if err != nil {
		return providers.Result{}, err
	}
	r, err := providers.Restore(ctx, t.p, c)
	t.last = attempt{c, was, r, err}
	t.saw(err)
	return r, err
}

func (t *trial) saw(err error) {
	if err != nil {
		t.errs = append(t.errs, err)
	}
}

// truth compares what the zone holds.
func (t *trial) truth(want rrset.Set) {
	got, err := t.bed.Truth(t.ctx, want.Name, want.Type)
	switch {
	case err != nil:
		t.problem("the zone cannot be looked at: %v", err)
	case !got.Equal(want):
		t.problem("the zone has %q TTL %d at %s %s; %q TTL %d was expected", got.Data, got.TTL, want.Name, want.Type, want.Data, want.TTL)
	}
}

// done changes an RRset, which must succeed and be as it was asked for.
func (t *trial) done(before, after rrset.Set) error {
	r, err := t.replace(before, after)
	switch {
	case err != nil:
		return err
	case !r.Got.Equal(after):
		t.problem("told to have written %q TTL %d", r.Got.Data, r.Got.TTL)
	case !r.Written && !before.Equal(after):
		t.problem("told to have written nothing")
	case r.Mode != providers.ModeOf(t.p):
		t.problem("mode %q; the provider can %q", r.Mode, providers.ModeOf(t.p))
	}
	t.truth(after)
	return nil
}

// drift is a Replace that must find another's RRset and leave it.
func (t *trial) drift(before, after, there rrset.Set) {
	_, err := t.replace(before, after)
	var d *providers.DriftError
	switch {
	case !errors.As(err, &d):
		t.problem("error %v; drift was expected", err)
	case !d.Found.Equal(there):
		t.problem("drift to %q TTL %d is told; %q TTL %d is there", d.Found.Data, d.Found.TTL, there.Data, there.TTL)
	}
	t.truth(there)
}

// afterwards looks at what must hold after every case.
func (t *trial) afterwards() {
	for _, s := range t.beside {
		t.truth(s)
	}
	for _, err := range t.errs {
		for _, secret := range t.bed.Secrets {
			if strings.Contains(err.Error(), secret) {
				t.problem("an error shows the secret")
			}
		}
	}
	t.problems = append(t.problems, t.bare()...)
}

// bare are the moments without a member where there should have been one.
func (t *trial) bare() (out []string) {
	for _, w := range t.watched {
		if t.bed.Seen == nil || w.change.Before.Absent() || w.change.After.Absent() {
			continue
		}
		for _, s := range t.bed.Seen(w.change.After.Name, w.change.After.Type)[w.from:] {
			if s.Absent() && !t.emptied(s) {
				out = append(out, fmt.Sprintf("there was a moment without any %s at %s", s.Type, s.Name))
				break
			}
		}
	}
	return out
}

// emptied tells whether it was somebody else who left nothing there: then nothing
// is there at the end.
func (t *trial) emptied(s rrset.Set) bool {
	now, err := t.bed.Truth(t.ctx, s.Name, s.Type)
	return err == nil && now.Absent()
}

// unsafe says why a case that did not pass is no safe shortfall: it wrote
// something else than it told, or said nothing of an error.
func (t *trial) unsafe() []string {
	out := t.bare()
	for _, s := range t.beside {
		if got, err := t.bed.Truth(t.ctx, s.Name, s.Type); err != nil || !got.Equal(s) {
			out = append(out, fmt.Sprintf("%s %s was changed, too", s.Name, s.Type))
		}
	}
	a := t.last
	if a.change.Zone == "" {
		return append(out, "nothing was tried")
	}
	got, err := t.bed.Truth(t.ctx, a.change.After.Name, a.change.After.Type)
	switch {
	case err != nil:
		return append(out, err.Error())
	case a.err == nil && !got.Equal(a.result.Got):
		return append(out, fmt.Sprintf("it says that it wrote %q TTL %d; the zone has %q TTL %d", a.result.Got.Data, a.result.Got.TTL, got.Data, got.TTL))
	case a.err != nil && !got.Equal(a.was) && !errors.Is(a.err, providers.ErrInDoubt) && !errors.Is(a.err, providers.ErrHalf) && !errors.Is(a.err, providers.ErrLied) && !errors.Is(a.err, providers.ErrDrifted):
		return append(out, fmt.Sprintf("it failed and changed the zone to %q TTL %d: %v", got.Data, got.TTL, a.err))
	}
	return out
}
