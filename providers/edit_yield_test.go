package providers_test

import (
	"context"
	"errors"
	"testing"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// An edit that gives way to somebody else's takes back what it did, TTLs too, and
// never the last member.
func TestEditGivesWay(t *testing.T) {
	t.Parallel()
	const a, b, c, d, x = "10 a.example.net.", "10 b.example.net.", "20 c.example.net.", "20 d.example.net.", "30 x.example.net."
	set := func(ttl uint32, data ...string) rrset.Set {
		return must(rrset.New("x.example.test", "MX", ttl, data...))
	}
	for name, v := range map[string]struct {
		before, after rrset.Set
		look          int // of the edit: right before it, theirs is made
		theirs        func([]conformance.Rec) []conformance.Rec
		want          rrset.Set
	}{
		"a member more": {
			set(300, a), set(300, c), 2,
			func(recs []conformance.Rec) []conformance.Rec { return append(recs, rec("x", 300, x)) }, set(300, a, x),
		},
		"a member more after TTLs": {
			set(300, a, b), set(60, a, c), 3,
			func(recs []conformance.Rec) []conformance.Rec { return append(recs, rec("x", 300, x)) }, set(300, a, b, x),
		},
		"all but one that is new": {
			set(300, a), set(300, c, d), 2,
			func(recs []conformance.Rec) []conformance.Rec { return only(recs, c) }, set(300, c),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, bed := keeperBed(0, false)
			if err := bed.Edit(t.Context(), v.before); err != nil {
				t.Fatal(err)
			}
			p := &interrupted{keeper: k, looks: v.look + 1, do: func() { // one look is before the edit
				_ = k.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) { return v.theirs(recs), nil })
			}}
			_, err := providers.Replace(t.Context(), p, rrset.Change{Zone: bed.Zone, Before: v.before, After: v.after})
			if got := must(bed.Truth(t.Context(), v.before.Name, "MX")); !errors.Is(err, providers.ErrDrifted) || !got.Equal(v.want) {
				t.Errorf("%v; the zone has %v, want %v", err, got, v.want)
			}
			for _, r := range k.zone.Records() {
				if r.Of(v.want.Name, "MX") && r.TTL != v.want.TTL {
					t.Errorf("%v has another TTL", r)
				}
			}
		})
	}
}

// An interrupted keeper does something right before one of the looks.
type interrupted struct {
	*keeper
	looks int
	do    func()
}

func (p *interrupted) Records(ctx context.Context, zone, name, typ string) ([]providers.Record, error) {
	if p.looks--; p.looks == 0 {
		p.do()
	}
	return p.keeper.Records(ctx, zone, name, typ)
}

func rec(id string, ttl uint32, data string) conformance.Rec {
	return conformance.Rec{ID: id, Name: "x.example.test.", Type: "MX", TTL: ttl, Data: data}
}

// only leaves one MX member.
func only(recs []conformance.Rec, data string) (out []conformance.Rec) {
	for _, r := range recs {
		if r.Type != "MX" || r.Data == data {
			out = append(out, r)
		}
	}
	return out
}

// What was there stays until all that is to come is seen: somebody may have taken
// the new one away, or the listing is late. Tried again, it goes on.
func TestEditDeletesNothingBeforeAfterIsSeen(t *testing.T) {
	t.Parallel()
	before := must(rrset.New("x.example.test", "MX", 300, "10 a.example.net."))
	after := must(rrset.New("x.example.test", "MX", 300, "10 b.example.net."))
	for look := 2; look <= 3; look++ {
		k, bed := keeperBed(0, false)
		if err := bed.Edit(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		p := &interrupted{keeper: k, looks: look + 1, do: func() { _ = bed.Edit(context.Background(), before) }}
		c := rrset.Change{Zone: bed.Zone, Before: before, After: after}
		if _, err := providers.Replace(t.Context(), p, c); !errors.Is(err, providers.ErrHalf) || !errors.Is(err, providers.ErrTransient) {
			t.Errorf("look %d: %v", look, err)
		}
		if got := must(bed.Truth(t.Context(), before.Name, "MX")); !got.Equal(before) {
			t.Errorf("look %d: the zone has %v", look, got)
		}
		if r, err := providers.Replace(t.Context(), p, c); err != nil || !r.Got.Equal(after) {
			t.Errorf("look %d, again: %+v, %v", look, r, err)
		}
	}
}
