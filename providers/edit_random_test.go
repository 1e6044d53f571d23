package providers_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// Whatever happens to the writes of an edit, and however often it is begun anew,
// forward or back: it ends at After or at Before exactly, and is never empty.
func TestEditEndsWhereItShould(t *testing.T) {
	t.Parallel()
	members := []string{"10 a.example.net.", "10 b.example.net.", "20 c.example.net.", "20 d.example.net."}
	rapid.Check(t, func(r *rapid.T) {
		some := rapid.SliceOfDistinct(rapid.SampledFrom(members), rapid.ID[string])
		set := func(label string) rrset.Set {
			return must(rrset.New("x.example.test", "MX", rapid.SampledFrom([]uint32{30, 90, 300}).Draw(r, label+" TTL"), some.Draw(r, label)...))
		}
		one := rapid.Bool().Draw(r, "one TTL")
		least := rapid.SampledFrom([]uint32{0, 60}).Draw(r, "clamped to")
		if one {
			least = 0
		}
		k, b := keeperBed(least, one)
		c := rrset.Change{Zone: b.Zone, Before: set("before"), After: set("after")}
		c.Before = c.Before.WithTTL(max(k.min, c.Before.TTL))
		if err := b.Edit(t.Context(), c.Before); err != nil {
			r.Fatal(err)
		}
		p := must(b.Open())
		kinds := []conformance.FaultKind{conformance.Broken, conformance.Lost, conformance.Refused}
		for range rapid.IntRange(0, 6).Draw(r, "faults") {
			k.Inject(conformance.Fault{Kind: rapid.SampledFrom(kinds).Draw(r, "kind"), Nth: rapid.IntRange(1, 4).Draw(r, "nth")})
			at, err := providers.ReadFor(t.Context(), p, c)
			if err != nil {
				checkClamped(r, k, c, err)
				return
			}
			next := rrset.Change{Zone: c.Zone, Before: c.Before, After: c.After}
			if rapid.Bool().Draw(r, "back") {
				next = at.Back
			}
			if _, err := providers.Restore(t.Context(), p, next); errors.Is(err, providers.ErrDrifted) && !at.Found.SameData(c.After) {
				checkClamped(r, k, c, err)
				return
			}
		}
		k.Heal()
		finish(t, r, k, p, c)
	})
}

// finish brings a change to its end, forward or back.
func finish(t *testing.T, r *rapid.T, k *keeper, p providers.Provider, c rrset.Change) {
	at, err := providers.ReadFor(t.Context(), p, c)
	if err != nil {
		checkClamped(r, k, c, err)
		return
	}
	want := c.After.WithTTL(max(k.min, c.After.TTL))
	next := c
	switch {
	case rapid.Bool().Draw(r, "back at the end"):
		want, next = c.Before, at.Back
	case at.Found.Equal(want) && !at.Half:
		next.Before = want // it is there, clamped
	}
	if _, err := providers.Restore(t.Context(), p, next); err != nil {
		r.Fatalf("from %+v: %v", at, err)
	}
	if got := must(k.zone.Truth(t.Context(), want.Name, want.Type)); !got.Equal(want) {
		r.Fatalf("the zone has %v, want %v", got, want)
	}
	bare := slices.ContainsFunc(k.zone.Seen(want.Name, want.Type), rrset.Set.Absent)
	if bare && !c.Before.Absent() && !c.After.Absent() {
		r.Fatalf("there was a moment without members: %v", k.zone.Seen(want.Name, want.Type))
	}
}

// checkClamped allows what cannot be told apart: an edit that stopped half way
// where the provider clamped the TTL of members that were there before, and no new
// member shows to what.
func checkClamped(r *rapid.T, k *keeper, c rrset.Change, err error) {
	fresh := slices.ContainsFunc(c.After.Data, func(d string) bool { return !slices.Contains(c.Before.Data, d) })
	if c.After.TTL >= k.min || fresh || !errors.Is(err, providers.ErrMixed) && !errors.Is(err, providers.ErrDrifted) {
		r.Fatalf("%v", err)
	}
}
