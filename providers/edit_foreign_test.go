package providers_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// Whenever somebody else adds a member, it stays; and whatever they delete, it is
// not an edit that takes the last one away.
func TestEditLosesNothingOfOthers(t *testing.T) {
	t.Parallel()
	members := []string{"10 a.example.net.", "10 b.example.net.", "20 c.example.net.", "20 d.example.net."}
	const theirs = "30 theirs.example.net."
	rapid.Check(t, func(r *rapid.T) {
		some := rapid.SliceOfNDistinct(rapid.SampledFrom(members), 1, 4, rapid.ID[string])
		set := func(label string) rrset.Set {
			return must(rrset.New("x.example.test", "MX", rapid.SampledFrom([]uint32{60, 300}).Draw(r, label+" TTL"), some.Draw(r, label)...))
		}
		k, b := keeperBed(0, false)
		c := rrset.Change{Zone: b.Zone, Before: set("before"), After: set("after")}
		if err := b.Edit(t.Context(), c.Before); err != nil {
			r.Fatal(err)
		}
		gone := rapid.SliceOfDistinct(rapid.SampledFrom(members), rapid.ID[string]).Draw(r, "they delete")
		added, emptied := rapid.Bool().Draw(r, "they add"), false
		foreign := func() {
			_ = k.zone.Update(func(recs []conformance.Rec) ([]conformance.Rec, error) {
				recs = slices.DeleteFunc(recs, func(x conformance.Rec) bool { return x.Type == "MX" && slices.Contains(gone, x.Data) })
				if added {
					recs = append(recs, rec("theirs", 300, theirs))
				}
				return recs, nil
			})
			emptied = must(k.zone.Truth(t.Context(), c.After.Name, "MX")).Absent()
		}
		p := &interrupted{keeper: k, looks: rapid.IntRange(1, 5).Draw(r, "look"), do: foreign}
		if n := rapid.IntRange(0, 5).Draw(r, "nth"); n > 0 {
			kinds := []conformance.FaultKind{conformance.Broken, conformance.Lost, conformance.Refused}
			k.Inject(conformance.Fault{Kind: rapid.SampledFrom(kinds).Draw(r, "kind"), Nth: n})
		}
		_, err := providers.Restore(t.Context(), p, c)
		_, again := providers.Restore(t.Context(), p, c)
		_, back := providers.Restore(t.Context(), p, c.Inverse())
		now := must(k.zone.Truth(t.Context(), c.After.Name, "MX"))
		if added && p.looks <= 0 && !slices.Contains(now.Data, theirs) {
			r.Fatalf("theirs is gone: %v; %v, %v, %v", now, err, again, back)
		}
		if !emptied && slices.ContainsFunc(k.zone.Seen(c.After.Name, "MX"), rrset.Set.Absent) {
			r.Fatalf("nothing was there: %v; %v, %v, %v", k.zone.Seen(c.After.Name, "MX"), err, again, back)
		}
	})
}
