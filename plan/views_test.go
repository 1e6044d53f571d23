package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mxcutover/rrset"
)

// splitSets are records "name ttl type data" of a.example; data has no spaces but MX's.
func splitSets(t testing.TB, lines string) (sets []rrset.Set) {
	t.Helper()
	type key struct{ name, typ string }
	data, ttl, order := map[key][]string{}, map[key]uint32{}, []key{}
	for l := range strings.Lines(lines) {
		f := strings.Fields(l)
		if len(f) == 0 {
			continue
		}
		k := key{strings.TrimPrefix(f[0]+".a.example.", "@."), f[2]}
		if data[k] == nil {
			order = append(order, k)
		}
		var n uint32
		if _, err := fmt.Sscan(f[1], &n); err != nil {
			t.Fatal(err)
		}
		ttl[k], data[k] = n, append(data[k], strings.Join(f[3:], " "))
	}
	for _, k := range order {
		sets = append(sets, mustSet(t, k.name, k.typ, ttl[k], data[k]...))
	}
	return sets
}

// splitOutside and splitInside are one zone in two views, with a name for each way in
// which these can differ, and for some in which they do not.
const (
	splitOutside = `
@ 300 NS ns1.a.example.
@ 300 MX 10 mail.old.test.
same 300 MX 10 mail.old.test.
foreign 300 MX 10 elsewhere.example.
members 300 MX 10 mail.old.test.
moved 300 MX 10 gw1.gw.test.
ttl 300 MX 10 mail.old.test.
null 300 MX 10 mail.old.test.
implicit 300 MX 10 mail.old.test.
implicit 300 A 198.51.100.1
bare 300 A 192.0.2.10
bare2 300 A 192.0.2.10
barettl 300 A 192.0.2.10
web 300 A 198.51.100.1
alias 300 CNAME members.a.example.
alias2 300 CNAME same.a.example.
alias3 300 CNAME same.a.example.
outside 300 MX 10 mail.old.test.
leads 300 MX 10 host.a.example.
host 300 A 192.0.2.10
gone 300 MX 10 gone-host.a.example.
gone-host 300 A 192.0.2.10
minor 300 MX 10 minor-host.a.example.
minor-host 300 A 198.51.100.7
*.wild 300 MX 10 mail.old.test.
own.wild 300 MX 10 mail.old.test.
*.deep 300 MX 10 mail.old.test.
x.ent.deep 300 TXT "x"
ent.deep 300 MX 10 mail.old.test.
sub 300 MX 10 mail.old.test.
x.sub 300 MX 10 mail.old.test.`
	splitInside = `
@ 300 NS ns1.a.example.
@ 300 MX 10 mail.old.test.
same 300 MX 10 mail.old.test.
foreign 300 MX 10 elsewhere.example.
members 300 MX 10 elsewhere.example.
moved 300 MX 10 mail.old.test.
ttl 60 MX 10 mail.old.test.
null 300 MX 0 .
implicit 300 A 192.0.2.10
bare 300 A 192.0.2.77
bare2 300 AAAA 2001:db8::10
barettl 60 A 192.0.2.10
web 300 A 198.51.100.2
alias 300 CNAME members.a.example.
alias2 300 CNAME members.a.example.
alias3 300 MX 10 mail.old.test.
inside 300 MX 10 mail.old.test.
inside2 300 MX 10 elsewhere.example.
leads 300 MX 10 host.a.example.
host 300 A 192.0.2.99
gone 300 MX 10 gone-host.a.example.
minor 300 MX 10 minor-host.a.example.
minor-host 300 A 10.0.0.7
*.wild 300 MX 10 mail.old.test.
*.deep 300 MX 10 mail.old.test.
x.ent.deep 300 TXT "x"
sub 300 NS ns.sub.a.example.
ns.sub 300 A 192.0.2.10`
)

// split is the inventory of the two views.
func split(t testing.TB) (Inventory, []View) {
	within := maps.Clone(addrs) // others' addresses change from one question to the next
	within["elsewhere.example."] = []netip.Addr{netip.MustParseAddr("198.51.100.2")}
	views := []View{
		{Name: "outside", Addresses: addrs, Zones: []Zone{{Name: "a.example.", Provider: "out", Sets: splitSets(t, splitOutside)}}},
		{Name: "inside", Addresses: within, Zones: []Zone{
			{Name: "a.example.", Provider: "in", Sets: splitSets(t, splitInside)},
			{Name: "lan.example.", Provider: "in", Sets: []rrset.Set{mustSet(t, "lan.example.", "MX", 60, "10 mail.old.test.")}},
		}},
	}
	s := site
	s.Traffic = map[string]Traffic{"same.a.example.": {Messages: 7}, "inside.a.example.": {Messages: 3}}
	return Beside(Survey(views[0].Zones, addrs, s), views[0], views[1:], s), views
}

func TestViewsAreComparedRecordByRecord(t *testing.T) {
	t.Parallel()
	inv, _ := split(t)
	var got []string
	for _, x := range inv.Disparities {
		if x.View != "inside" || x.Why == "" {
			t.Errorf("%+v", x)
		}
		minor := ""
		if x.Minor {
			minor = " minor"
		}
		if i := len(got); i > 0 && inv.Disparities[i-1].Name == x.Name {
			t.Errorf("%s is told twice", x.Name)
		}
		got = append(got, fmt.Sprintf("%s %s%s: %s | %s", strings.TrimSuffix(x.Name, ".a.example."), x.Kind, minor, Side(x.Here), Side(x.There)))
	}
	want := []string{
		"alias leads: CNAME members.a.example. | CNAME members.a.example.",
		"alias2 cname: CNAME same.a.example. | CNAME members.a.example.",
		"alias3 cname: CNAME same.a.example. | 10 mail.old.test.",
		"bare address: A 192.0.2.10 | A 192.0.2.77",
		"bare2 address minor: A 192.0.2.10 | AAAA 2001:db8::10",
		"barettl ttl minor: TTL 300 | TTL 60",
		"ent.deep only: 10 mail.old.test. | nothing",
		"gone leads: 10 gone-host.a.example. | 10 gone-host.a.example.",
		"gone-host only: A 192.0.2.10 | nothing",
		"host address: A 192.0.2.10 | A 192.0.2.99",
		"implicit implicit: 10 mail.old.test. | A 192.0.2.10",
		"inside only: nothing | 10 mail.old.test.",
		"inside2 only: nothing | 10 elsewhere.example.",
		"lan.example. only: nothing | 10 mail.old.test.",
		"leads leads: 10 host.a.example. | 10 host.a.example.",
		"members mx: 10 mail.old.test. | 10 elsewhere.example.",
		"minor-host address minor: A 198.51.100.7 | A 10.0.0.7",
		"moved mx: 10 gw1.gw.test. | 10 mail.old.test.",
		"null null: 10 mail.old.test. | 0 .",
		"outside only: 10 mail.old.test. | nothing",
		"sub unread: 10 mail.old.test. | nothing",
		"ttl ttl minor: TTL 300 | TTL 60",
		"x.sub unread: 10 mail.old.test. | nothing",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not told: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("told: %s", g)
		}
	}
}

// TestNoDomainIsMovedByHalfInSilence: what leads to the old server in another view is
// with each domain, in the plan's findings, and among its questions.
func TestNoDomainIsMovedByHalfInSilence(t *testing.T) {
	t.Parallel()
	inv, _ := split(t)
	by := map[string]Domain{}
	for _, d := range inv.Domains {
		n := strings.TrimSuffix(d.Name, ".a.example.")
		if _, twice := by[n]; twice {
			t.Errorf("%s stands twice", n)
		}
		by[n] = d
	}
	for n, want := range map[string]PointsTo{
		"a.example.": ToOld, "same": ToOld, "members": ToOther, "moved": ToOld, "null": ToNull, "implicit": ToImplicit, "bare": ToOther, "alias3": ToOld,
		"outside": ToOther, "leads": ToOther, "gone": ToOther, "*.wild": ToOld, "own.wild": ToOld, "sub": ToUnknown, "x.sub": ToUnknown, "ent.deep": ToOther, "bare2": ToImplicit,
	} {
		d := by[strings.TrimSuffix(n, "a.example.")+map[bool]string{true: "a.example."}[n == "a.example."]]
		if len(d.Elsewhere) != 1 || d.Elsewhere[0].PointsTo != want || d.Elsewhere[0].View != "inside" || d.View != "" {
			t.Errorf("%s: %+v, want %s inside", n, d.Elsewhere, want)
		}
	}
	for n, old := range map[string]bool{"inside": true, "inside2": false, "lan.example.": true} {
		if d := by[n]; d.View != "inside" || d.Provider != "in" || len(d.Elsewhere) != 0 || old != strings.Contains(d.Blocked, "change it there") {
			t.Errorf("%s: %+v", n, d)
		}
	}
	if by["inside"].Messages != 3 || by["same"].Messages != 7 {
		t.Error("counted mail is lost")
	}
	p, err := Make(inv, settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Cutovers() {
		if c.Provider != "out" || c.Zone != "a.example." {
			t.Errorf("%s would be written at %s", c.Domain, c.Provider)
		}
	}
	v := p.Verdicts()
	for _, n := range []string{"inside.a.example.", "moved.a.example.", "lan.example."} {
		if !v[n].Question || !strings.Contains(v[n].Reason, "view inside") {
			t.Errorf("%s is left without a question: %+v", n, v[n])
		}
	}
	if v["inside2.a.example."].Question || v["same.a.example."].Wave == "" {
		t.Errorf("%+v, %+v", v["inside2.a.example."], v["same.a.example."])
	}
	for _, l := range p.Left {
		if want := l.Domain == "lan.example." || strings.HasPrefix(l.Domain, "inside"); (l.View == "inside") != want {
			t.Errorf("%s is left in view %q", l.Domain, l.View)
		}
	}
	i := slices.IndexFunc(p.Findings, func(f Finding) bool { return f.Check == "mx.views" })
	if i < 0 || p.Findings[i].Severity != Warn || !strings.HasPrefix(p.Findings[i].Detail, "9 domains") || !strings.Contains(p.Findings[i].Detail, ", ...") {
		t.Errorf("findings: %+v", p.Findings)
	}
}

func TestExplainTellsOfViews(t *testing.T) {
	t.Parallel()
	inv, views := split(t)
	p, err := Make(inv, settings())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"members.a.example.": "views outside and inside differ in mx: 10 mail.old.test. and 10 elsewhere.example.: its MX records differ; in outside it leads to old (mail.old.test.); in inside it leads to other",
		"same.a.example.":    "in view inside it has MX 10 mail.old.test. (TTL 300), and leads to old",
		"inside.a.example.":  "in zone a.example at in, in view inside alone",
		"host.a.example.":    "views outside and inside differ in address: A 192.0.2.10 and A 192.0.2.99: it has no MX, and its addresses, which mail follows, differ",
		"ttl.a.example.":     "differ in ttl, which is minor: TTL 300 and TTL 60",
		"moved.a.example.":   "does not move it before you decide: in view inside, which this migration does not move, it leads to the old server",
	} {
		if text := strings.Join(Explain(name, views[0].Zones, inv, p.Draft()), "\n"); !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", name, want, text)
		}
	}
}

// TestViewsByDNSAlone: names that were asked for in each view are compared as far as
// resolvers tell.
func TestViewsByDNSAlone(t *testing.T) {
	t.Parallel()
	ask := func(mx map[string]string) (out []Named) {
		for _, n := range []string{"down.test.", "leads.test.", "members.test.", "same.test.", "web.test."} {
			x := named(t, n, FromList)
			if mx[n] != "" {
				x = named(t, n, FromList, mx[n])
				x.MX.TTL = uint32(len(mx[n])) // it is counted down
			}
			out = append(out, x)
		}
		return out
	}
	outside := View{Name: "outside", Addresses: addrs, Named: ask(map[string]string{"members.test.": "10 mail.old.test.", "same.test.": "10 mail.old.test.", "leads.test.": "10 vanity.example.", "down.test.": "10 mail.old.test."})}
	inside := View{Name: "inside", Addresses: Addresses{"vanity.example.": {netip.MustParseAddr("198.51.100.9")}, "mail.old.test.": addrs["mail.old.test."]}}
	inside.Named = ask(map[string]string{"members.test.": "20 mail.old.test.", "same.test.": "10 mail.old.test.", "leads.test.": "10 vanity.example."})
	inside.Named[0].Failed = "SERVFAIL"
	outside.Named[4].Addresses = []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	inside.Named[3].MX.TTL = 1
	s := site
	s.Named = outside.Named
	inv := Beside(Survey(nil, outside.Addresses, s), outside, []View{inside}, s)
	var got []string
	for _, x := range inv.Disparities {
		got = append(got, x.Name+" "+string(x.Kind))
	}
	if want := []string{"down.test. unread", "leads.test. leads", "members.test. mx", "vanity.example. address"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if len(inv.Domains) != 5 {
		t.Errorf("%d domains of 5 names", len(inv.Domains))
	}
	for _, d := range inv.Domains {
		if d.Name == "down.test." && d.Elsewhere[0].PointsTo != ToUnknown {
			t.Errorf("%+v", d.Elsewhere)
		}
	}
}

func TestOneViewIsHeldBesideNothing(t *testing.T) {
	t.Parallel()
	z := []Zone{awkward(t)}
	inv := Beside(Survey(z, addrs, site), View{Name: "public", Zones: z, Addresses: addrs}, nil, site)
	if inv.Views != nil || inv.Disparities != nil || slices.ContainsFunc(inv.Domains, func(d Domain) bool { return d.Elsewhere != nil }) {
		t.Errorf("%+v", inv)
	}
	other := View{Name: "inside", Zones: []Zone{awkward(t)}, Addresses: addrs}
	inv = Beside(Survey(z, addrs, site), View{Name: "public", Zones: z, Addresses: addrs}, []View{other}, site)
	if len(inv.Disparities) != 0 {
		t.Errorf("a zone differs from itself: %+v", inv.Disparities)
	}
}

// TestDiffOfViews: what changes in another view alone is a change.
func TestDiffOfViews(t *testing.T) {
	t.Parallel()
	before, _ := split(t)
	after, _ := split(t)
	for i := range after.Domains {
		if after.Domains[i].Name == "same.a.example." {
			after.Domains[i].Elsewhere = slices.Clone(after.Domains[i].Elsewhere)
			after.Domains[i].Elsewhere[0].PointsTo = ToNew
		}
	}
	got := Diff(before, after, Plan{})
	if len(got) != 1 || got[0].Name() != "same.a.example." || !slices.Equal(got[0].What, []string{"views"}) {
		t.Errorf("%+v", got)
	}
}

// TestExtendKnowsTheOtherView: a planned name that another view has, too, is not one
// that stands in two zones.
func TestExtendKnowsTheOtherView(t *testing.T) {
	t.Parallel()
	inv, views := split(t)
	set := settings()
	set.Zones = views[0].Zones
	base, err := Make(inv, set)
	if err != nil {
		t.Fatal(err)
	}
	var gone Inventory // a planned name is left in the other view alone
	for _, d := range inv.Domains {
		if d.Name == "same.a.example." {
			d.View, d.Provider, d.Elsewhere = "inside", "in", nil
		}
		gone.Domains = append(gone.Domains, d)
	}
	set.Config = "another"
	set.Fixed, base.Fixed = "f", "f"
	p, err := Extend(base, gone, set)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(p.NewWaves(base), func(w Wave) bool { return len(w.Cutovers) > 0 }) {
		t.Error("the other view's names are planned")
	}
}

func BenchmarkViews(b *testing.B) {
	const names = 100_000
	zone := func(host string) []Zone {
		z := Zone{Name: "a.example.", Provider: host}
		for i := range names {
			z.Sets = append(z.Sets, mustSet(b, fmt.Sprintf("n%06d.a.example.", i), "MX", 300, "10 "+host))
		}
		return []Zone{z}
	}
	views := []View{{Name: "outside", Zones: zone("mail.old.test."), Addresses: addrs}, {Name: "inside", Zones: zone("vanity.example."), Addresses: addrs}}
	inv := Survey(views[0].Zones, addrs, site)
	b.ReportAllocs()
	for b.Loop() {
		if got := Beside(Inventory{Domains: slices.Clone(inv.Domains)}, views[0], views[1:], site); len(got.Disparities) != names {
			b.Fatal(len(got.Disparities))
		}
	}
}
