package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mxcutover/rrset"
)

func named(t *testing.T, name string, source Source, data ...string) Named {
	n := Named{Name: name, Source: source, MX: rrset.Set{Name: name, Type: "MX"}}
	if len(data) > 0 {
		n.MX = mustSet(t, name, "MX", 60, data...)
	}
	return n
}

// foreign is an inventory of the awkward zone and of names that were asked for.
func foreign(t *testing.T) (Inventory, []Zone) {
	s := site
	s.Traffic = map[string]Traffic{"customer.example.": {Messages: 7}}
	implicit := named(t, "implicit.test.", FromMail)
	implicit.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	down := named(t, "down.test.", FromList)
	down.Failed = "SERVFAIL"
	alias := named(t, "alias.test.", FromList, "10 mail.old.test.")
	alias.Alias = "customer.example."
	s.Named = []Named{
		named(t, "customer.example.", FromMail, "10 mail.old.test.", "20 third.example."), implicit, down, alias,
		named(t, "gone.test.", FromMail), named(t, "elsewhere.test.", FromList, "10 elsewhere.example."),
		named(t, "byname.a.example.", FromList, "10 elsewhere.example."), // it stands in a zone, which knows better
		named(t, "anything.wild.a.example.", FromMail, "10 mail.old.test."),
		named(t, "deep.sub.a.example.", FromMail, "10 mail.old.test."),
		named(t, "unread.listed.test.", FromList, "10 mail.old.test."),
	}
	s.Holder = func(name string) (string, string, bool) {
		for _, z := range []string{"a.example.", "listed.test."} {
			if rrset.Below(name, z) {
				return z, "campus", true
			}
		}
		return "", "", false
	}
	zones := []Zone{awkward(t)}
	return Survey(zones, addrs, s), zones
}

func TestNamesBeyondOurZones(t *testing.T) {
	t.Parallel()
	inv, _ := foreign(t)
	got := map[string]Domain{}
	for _, d := range inv.Domains {
		if _, twice := got[d.Name]; twice {
			t.Errorf("%s stands twice", d.Name)
		}
		got[d.Name] = d
	}
	for name, want := range map[string]struct {
		to      PointsTo
		zone    string
		blocked string
	}{
		"customer.example.":   {ToOld, "", "not ours to change"},
		"implicit.test.":      {ToImplicit, "", "not ours to change"},
		"down.test.":          {ToUnknown, "", "could not be asked"},
		"alias.test.":         {ToOld, "", "CNAME for customer.example."},
		"elsewhere.test.":     {ToOther, "", ""},
		"byname.a.example.":   {ToOld, "a.example.", ""},
		"deep.sub.a.example.": {ToOld, "", "not ours to change"},
		"unread.listed.test.": {ToOld, "listed.test.", ""},
		"*.wild.a.example.":   {ToOld, "a.example.", ""},
	} {
		d, ok := got[name]
		if !ok || d.PointsTo != want.to || d.Zone != want.zone || !strings.Contains(d.Blocked, want.blocked) || want.blocked == "" && d.Blocked != "" {
			t.Errorf("%s: %+v, want %+v", name, d, want)
		}
	}
	if _, ok := got["anything.wild.a.example."]; ok {
		t.Error("a wildcard's answer is a domain of its own")
	}
	if _, ok := got["gone.test."]; ok {
		t.Error("a name that had mail, and leads elsewhere, is in the inventory")
	}
	if got["customer.example."].Messages != 7 || got["customer.example."].Source != FromMail {
		t.Errorf("%+v", got["customer.example."])
	}
	if len(inv.Delegated) != 1 || inv.Delegated[0] != (Delegated{Name: "sub.a.example.", Zone: "a.example."}) {
		t.Errorf("delegated: %v", inv.Delegated)
	}
	p, err := Make(inv, settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Cutovers() {
		if c.Zone == "" || c.Domain == "down.test." {
			t.Errorf("%s moves, though it is not ours", c.Domain)
		}
	}
	for _, n := range []string{"customer.example.", "down.test.", "deep.sub.a.example."} {
		if v := p.Verdicts()[n]; !v.Question {
			t.Errorf("%s is left without a question: %+v", n, v)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	inv, zones := foreign(t)
	p, err := Make(inv, settings())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"byname.a.example.":  "the plan moves it, in wave",
		"*.wild.a.example.":  "trait: wildcard",
		"both.a.example.":    "does not move it before you decide: it has the gateway and the old server both",
		"null.a.example.":    "the plan leaves it: null MX",
		"customer.example.":  "in no zone of ours; it was seen to receive mail",
		"web.a.example.":     "with A, but with no MX, and with no address of the old server",
		"ns.sub.a.example.":  "at or below sub.a.example, which zone a.example delegates",
		"some.thing.test.":   "no zone that is listed under providers has it",
		"x.wild.a.example.":  "its mail follows the wildcard *.wild.a.example",
		"missing.a.example.": "zone a.example at campus has no such name",
		"alias.a.example.":   "it is a CNAME for byname.a.example.",
	} {
		text := strings.Join(Explain(name, zones, inv, p.Draft()), "\n")
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", name, want, text)
		}
	}
	if text := strings.Join(Explain("web.a.example.", zones, inv, p.Draft()), "\n"); !strings.Contains(text, "so the plan does not have it") {
		t.Error(text)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before, set := domains(t, 7), settings()
	p, err := Make(Inventory{Domains: slices.Clone(before.Domains)}, set)
	if err != nil {
		t.Fatal(err)
	}
	after := Inventory{Domains: slices.Clone(before.Domains[1:])} // a is gone
	at := func(n string) *Domain {
		i := slices.IndexFunc(after.Domains, func(d Domain) bool { return d.Name == n+".example." })
		return &after.Domains[i]
	}
	moved := p.Cutovers()[0] // g
	at("g").MX, at("g").PointsTo = moved.After(), ToNew
	at("b").MX = at("b").MX.WithTTL(7)
	at("c").MX, at("c").PointsTo = mustSet(t, "c.example.", "MX", 60, "10 elsewhere.example."), ToOther
	at("d").Provider = "new"
	at("e").Messages = 1e6 // no change
	at("f").Blocked = "why"
	after.Domains = append(after.Domains, Domain{Name: "z.example.", PointsTo: ToOld})
	var got []string
	for _, d := range Diff(before, after, p) {
		got = append(got, d.Name()[:1]+" "+string(d.Kind)+" "+strings.Join(d.What, ","))
	}
	want := []string{"a removed ", "b changed ttl", "c changed mx,points_to", "d changed provider", "f changed blocked", "g planned mx,points_to", "z added "}
	if !slices.Equal(got, want) {
		t.Errorf("differences\n%q, want\n%q", got, want)
	}
	for _, d := range Diff(after, before, p) {
		if d.Name() == "g.example." && d.Kind != Changed {
			t.Errorf("g leads back to the old server, and that is told as %s", d.Kind)
		}
	}
	if d := Diff(before, after, Plan{}); !slices.ContainsFunc(d, func(d Difference) bool { return d.Kind == Changed && d.Name() == "g.example." }) {
		t.Error("without a plan, a moved domain is no change")
	}
	counted := Domain{Name: "n.example.", Source: FromList, PointsTo: ToOld, MX: mustSet(t, "n.example.", "MX", 60, "10 mail.old.test.")}
	later := counted
	later.MX = later.MX.WithTTL(59)
	if d := Diff(Inventory{Domains: []Domain{counted}}, Inventory{Domains: []Domain{later}}, p); len(d) != 0 {
		t.Errorf("a TTL that a resolver counts down is a change: %v", d)
	}
	if d := Diff(before, before, p); len(d) != 0 {
		t.Errorf("an inventory differs from itself: %v", d)
	}
}

// TestDiffOfOneNameInTwoZones: two views or a parent's copy are told apart.
func TestDiffOfOneNameInTwoZones(t *testing.T) {
	t.Parallel()
	d := domains(t, 1).Domains[0]
	inside, outside := d, d
	inside.Provider, outside.Provider = "inside", "outside"
	outside.MX = mustSet(t, d.Name, "MX", 60, "10 elsewhere.example.")
	two := Inventory{Domains: []Domain{inside, outside}}
	if got := Diff(two, Inventory{Domains: []Domain{outside, inside}}, Plan{}); len(got) != 0 {
		t.Errorf("in another order it differs: %v", got)
	}
	if got := Diff(two, Inventory{Domains: []Domain{outside}}, Plan{}); len(got) != 1 || got[0].Kind != Removed || got[0].Before.Provider != "inside" {
		t.Errorf("one view gone: %v", got)
	}
}
