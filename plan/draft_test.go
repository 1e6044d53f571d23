package plan

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mxcutover/rrset"
)

// TestDraftIsThePlan: a draft is written as the plan is that is made of it, has its
// ID, and says the same of each name; also one that extends another, and one with
// companions. What is read back, sharing what it can, is the same, too.
func TestDraftIsThePlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inv, set := randomInventory(t), settings()
		set.Companions = map[string][]Companion{}
		for i, d := range inv.Domains {
			switch rapid.IntRange(0, 9).Draw(t, "odd") {
			case 0:
				inv.Domains[i].PointsTo, inv.Domains[i].Why = ToNew, "the gateway"
			case 1:
				inv.Domains[i].Blocked = "why"
			case 2:
				inv.Domains[i].Third, inv.Domains[i].MX.Data = []string{"kept.test."}, []string{"10 mail.old.test.", "20 kept.test."}
				if rapid.Bool().Draw(t, "more") {
					inv.Domains[i].Third = append(inv.Domains[i].Third, "mail.old.test.")
				}
			case 3:
				inv.Domains = append(inv.Domains, d)
				inv.Domains[len(inv.Domains)-1].Zone = "example."
			case 4:
				after, err := rrset.New("_x."+d.Name, "TXT", 60, "x")
				if err != nil {
					t.Fatal(err)
				}
				set.Zones = append(set.Zones, Zone{Name: d.Zone, Provider: d.Provider})
				set.Companions[d.Name] = []Companion{{Change: rrset.Change{Zone: d.Zone, Before: rrset.Set{Name: after.Name, Type: "TXT"}, After: after}, Provider: d.Provider}}
			}
		}
		set.Keep = []string{"kept.test."}
		p, err := Make(inv, set)
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDraft(inv, set)
		if err != nil {
			t.Fatal(err)
		}
		same(t, d, p)
		eachByItself(t, p, inv, set)
		more := randomInventory(t)
		for i := range more.Domains {
			x := &more.Domains[i]
			x.Name = strings.TrimSuffix(x.Name, x.Zone) + "x" + x.Zone
			x.Zone, x.MX.Name = "x"+x.Zone, x.Name
		}
		inv.Domains = slices.Concat(inv.Domains, more.Domains)
		for _, x := range p.Cutovers() {
			set.Zones = append(set.Zones, Zone{Name: x.Zone, Provider: x.Provider})
		}
		set.Config = "another"
		set.Fixed, p.Fixed = "f", "f"
		p = p.Sign()
		longer, err := Extend(p, inv, set)
		if err != nil {
			t.Fatal(err)
		}
		if d, err = ExtendedDraft(p, inv, set); err != nil {
			t.Fatal(err)
		}
		same(t, d, longer)
		if n := d.Size(); n.NewDomains != len(longer.Cutovers())-len(p.Cutovers()) || n.NewWaves != len(longer.Waves)-len(p.Waves) {
			t.Fatalf("new: %+v", n)
		}
	})
}

// eachByItself holds what domains share to what is right for each of them.
func eachByItself(t *rapid.T, p Plan, inv Inventory, set Settings) {
	t.Helper()
	for _, c := range p.Cutovers() {
		d := inv.Domains[slices.IndexFunc(inv.Domains, func(d Domain) bool { return d.Name == c.Domain })]
		after, odd := members(d, set)
		if odd != "" {
			t.Fatalf("%s moves, and has %s", d.Name, odd)
		}
		want, err := rrset.MXSet(d.Name, c.After().TTL, after...)
		if err != nil || !c.After().Equal(want) || !c.Before().Equal(d.MX) {
			t.Fatalf("%s: %v becomes %v, not %v: %v", d.Name, c.Before(), c.After(), want, err)
		}
		traits := traitsOf(d, want.MX())
		if len(c.Companions()) > 0 {
			traits = append(traits, Accompanied)
		}
		if !slices.Equal(traits, c.Traits) {
			t.Fatalf("%s has the traits %v, not %v", d.Name, c.Traits, traits)
		}
	}
}

func same(t *rapid.T, d *Draft, p Plan) {
	t.Helper()
	var a, b, c bytes.Buffer
	if err := d.Write(&a); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	if d.ID() != p.ID || p.ID != p.Sign().ID || a.String() != b.String() {
		t.Fatalf("the draft of %s is\n%s\nand the plan is %s\n%s", d.ID(), a.String(), p.ID, b.String())
	}
	if !maps.Equal(d.Verdicts(), p.Verdicts()) {
		t.Fatalf("verdicts %v and %v", d.Verdicts(), p.Verdicts())
	}
	n, questions, companions := d.Size(), 0, 0
	for _, l := range p.Left {
		if l.Question {
			questions++
		}
	}
	for _, x := range p.Cutovers() {
		companions += len(x.Companions())
		if y, ok := d.cutover(x.Domain); !ok || !sameJSON(x, y) {
			t.Fatalf("%s: %v and %v", x.Domain, x, y)
		}
	}
	if n.Domains != len(p.Cutovers()) || n.Waves != len(p.Waves) || n.Left != len(p.Left) || n.Questions != questions || n.Companions != companions {
		t.Fatalf("it has %+v", n)
	}
	if !sameJSON(coverage(d.waves()), p.Coverage()) {
		t.Fatalf("coverage %v and %v", coverage(d.waves()), p.Coverage())
	}
	back, err := Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Write(&c); err != nil || c.String() != b.String() {
		t.Fatalf("read back it is %v\n%s", err, c.String())
	}
}

// TestMemoryOfManyNames holds what a name takes to what docs/operations.md says. It
// is not parallel, so that nothing else is in memory.
func TestMemoryOfManyNames(t *testing.T) { //nolint:paralleltest // see above
	const n = 20_000
	z := Zone{Name: "example.", Provider: "p"}
	data := []string{"10 mail.old.test."} // shared, as package providers does
	for i := range n {
		z.Sets = append(z.Sets, rrset.Set{Name: fmt.Sprintf("n%d.example.", i), Type: "MX", TTL: 3600, Data: data})
	}
	var inv Inventory
	var d *Draft
	var p, back Plan
	var verdicts map[string]Verdict
	var text bytes.Buffer
	for _, x := range []struct {
		what string
		most uint64
		do   func()
	}{
		{"inventory", 320, func() {
			inv = Survey([]Zone{z}, Addresses{"mail.old.test.": {netip.MustParseAddr("192.0.2.10")}}, site)
		}},
		{"draft", 80, func() { d, _ = NewDraft(inv, settings()) }},
		{"verdicts", 160, func() { verdicts = d.Verdicts() }},
		{"plan", 1900, func() { p = d.Plan() }},
		{"file of it", 2600, func() { _ = p.Write(&text) }},
		{"plan that is read", 2200, func() { back, _ = Read(bytes.NewReader(text.Bytes())) }},
	} {
		before := inUse()
		x.do()
		if took := (inUse() - before) / n; took > x.most {
			t.Errorf("%s: %d bytes a name, at most %d were expected", x.what, took, x.most)
		} else {
			t.Logf("%s: %d bytes a name", x.what, took)
		}
	}
	if len(verdicts) != n || len(back.Cutovers()) != n || len(inv.Domains) != n {
		t.Errorf("%d verdicts, %d cutovers, %d names", len(verdicts), len(back.Cutovers()), len(inv.Domains))
	}
	runtime.KeepAlive(z)
	runtime.KeepAlive(p)
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
