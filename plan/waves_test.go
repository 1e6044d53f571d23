package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mxcutover/rrset"
)

// randomInventory has domains of several providers with oddities, all of them to
// be moved.
func randomInventory(t *rapid.T) Inventory {
	var inv Inventory
	for i := range rapid.IntRange(0, 80).Draw(t, "domains") {
		zone := fmt.Sprintf("z%02d.example.", i)
		d := Domain{
			Name: zone, Zone: zone, Provider: rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "provider"), PointsTo: ToOld,
			Traffic: Traffic{Messages: rapid.Uint64Range(0, 6).Draw(t, "messages")},
			Signed:  rapid.Bool().Draw(t, "signed"), SubZone: rapid.Bool().Draw(t, "sub"),
		}
		switch rapid.IntRange(0, 3).Draw(t, "name") {
		case 0:
			d.Name = "*." + zone
		case 1:
			d.Name = "host." + zone
		}
		set, err := rrset.New(d.Name, "MX", 60, "10 mail.old.test.")
		if err != nil {
			t.Fatal(err)
		}
		if d.MX = set; rapid.IntRange(0, 5).Draw(t, "implicit") == 0 {
			d.MX, d.PointsTo = rrset.Set{Name: d.Name, Type: "MX"}, ToImplicit
		}
		inv.Domains = append(inv.Domains, d)
	}
	return inv
}

// TestWavesOfAnyInventory: each domain is in exactly one wave; sizes grow as they
// may and never beyond what is allowed; pins hold; every trait of the less used
// half is met as early as there is room; within what is left, less used is earlier;
// the same inputs in another order give the same plan.
func TestWavesOfAnyInventory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inv, set := randomInventory(t), settings()
		set.First = rapid.IntRange(1, 5).Draw(t, "first")
		set.Growth = rapid.Float64Range(1, 5).Draw(t, "growth")
		set.Max = rapid.IntRange(set.First, 30).Draw(t, "max")
		set.Pin = map[string][]string{}
		pinned := map[string]string{}
		for _, d := range inv.Domains {
			if rapid.IntRange(0, 19).Draw(t, "pin") == 0 {
				w := rapid.SampledFrom([]string{FirstWave, LastWave}).Draw(t, "wave")
				set.Pin[w] = append(set.Pin[w], d.Name)
				pinned[d.Name] = w
			}
		}
		p, err := Make(inv, set)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		size := float64(set.First)
		for i, w := range p.Waves {
			pins := 0
			for _, c := range w.Cutovers {
				if o, twice := seen[c.Domain]; twice || c.Wave != w.Name {
					t.Fatalf("%s is in %s and in %s (%s)", c.Domain, w.Name, o, c.Wave)
				}
				seen[c.Domain] = w.Name
				if at, ok := pinned[c.Domain]; ok {
					pins++
					if at != w.Name {
						t.Fatalf("%s is pinned to %s and in %s", c.Domain, at, w.Name)
					}
				}
			}
			most := int(math.Ceil(min(size, float64(set.Max))))
			if free := len(w.Cutovers) - pins; w.Name != LastWave && free > max(most-pins, 0) {
				t.Fatalf("wave %s (%d) has %d domains besides %d pinned ones, and %d are allowed", w.Name, i, free, pins, most)
			}
			if w.Name != FirstWave || len(w.Cutovers) > 0 {
				size *= set.Growth
			}
		}
		if len(seen) != len(inv.Domains) {
			t.Fatalf("%d of %d domains are in waves", len(seen), len(inv.Domains))
		}
		checkCanaries(t, p, pinned)
		slices.Reverse(inv.Domains)
		if again, err := Make(inv, set); err != nil || again.ID != p.ID {
			t.Fatalf("the same inventory in another order is plan %s, not %s: %v", again.ID, p.ID, err)
		}
	})
}

// checkCanaries finds by itself what the first domains must show.
func checkCanaries(t *rapid.T, p Plan, pinned map[string]string) {
	var free []Cutover
	met, known := map[Trait]bool{}, false
	for _, c := range p.Cutovers() {
		known = known || c.Messages > 0
		if _, ok := pinned[c.Domain]; !ok {
			free = append(free, c)
		} else if c.Wave == FirstWave {
			for _, x := range c.AllTraits() {
				met[x] = true
			}
		}
	}
	slices.SortStableFunc(free, func(a, b Cutover) int { return a.use().compare(b.use(), known) })
	half := len(free)
	if known {
		half = (half + 1) / 2
	}
	wanted := map[Trait]bool{}
	for _, c := range free[:half] {
		for _, x := range c.AllTraits() {
			if !met[x] {
				wanted[x] = true
			}
		}
	}
	// As many free domains as there are wanted traits, from the front, show all.
	left := len(wanted)
	for _, w := range p.Waves {
		if left <= 0 || w.Name == LastWave {
			break
		}
		for _, c := range w.Cutovers {
			if _, ok := pinned[c.Domain]; ok {
				continue
			}
			left--
			for _, x := range c.AllTraits() {
				delete(wanted, x)
			}
		}
	}
	if len(wanted) > 0 {
		t.Fatalf("the first domains do not show %v", wanted)
	}
}

func TestNoMainDomainIsACanary(t *testing.T) {
	t.Parallel()
	inv := domains(t, 8) // a has most mail, h least
	inv.Domains[0].Provider, inv.Domains[0].Signed = "other", true
	p, err := Make(inv, settings())
	if err != nil {
		t.Fatal(err)
	}
	if w := p.Waves[len(p.Waves)-1]; w.Cutovers[len(w.Cutovers)-1].Domain != "a.example." {
		t.Errorf("the domain with most mail is not in the last wave %v", w.Cutovers)
	}
	inv.Domains[4].Provider, inv.Domains[4].Signed = "other", true
	if p, err = Make(inv, settings()); err != nil {
		t.Fatal(err)
	}
	if c := p.Waves[0].Cutovers[0]; c.Domain != "e.example." {
		t.Errorf("the first canary is %s, want the little used e.example. with three traits that are its own", c.Domain)
	}
}

func TestLoadsAndTheirWarnings(t *testing.T) {
	t.Parallel()
	inv, set := domains(t, 7), settings()
	set.Share = 0.5
	inv.Domains[0].Messages = 93 // 93 of 114
	p, err := Make(inv, set)
	if err != nil {
		t.Fatal(err)
	}
	loads, counted := p.Loads()
	if !counted || len(loads) != 3 || loads[2].Messages != 93+4+5+6 || loads[0].Share <= 0 {
		t.Errorf("loads %+v, counted %v", loads, counted)
	}
	sum := 0.0
	for _, l := range loads {
		sum += l.Share
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("the shares add up to %v", sum)
	}
	if f := check(p, "plan.share"); len(f) != 1 || f[0].Target != "wave-3" || !strings.Contains(f[0].Detail, "a.example, b.example, c.example") {
		t.Errorf("findings %v, want one of wave-3 that names its greatest", f)
	}
	for i := range inv.Domains {
		inv.Domains[i].Messages = 0
	}
	if p, err = Make(inv, set); err != nil {
		t.Fatal(err)
	}
	if len(check(p, "plan.traffic")) != 1 || len(check(p, "plan.share")) != 0 {
		t.Errorf("without counted mail: %v", p.Findings)
	}
	if got := p.Cutovers()[0].Domain; got != "a.example." {
		t.Errorf("without counted mail %s comes first, want the first name", got)
	}
	if p, err = Make(Inventory{}, set); err != nil || len(p.Findings) != 0 {
		t.Errorf("a plan of nothing finds %v, %v", p.Findings, err)
	}
}

func TestTiesAreBrokenByWhatIsLessToLose(t *testing.T) {
	t.Parallel()
	inv, set := domains(t, 4), settings()
	set.First = 10
	for i := range inv.Domains {
		inv.Domains[i].Messages = 5
	}
	inv.Domains[2].Zone = "example." // c is a host of its zone
	p, err := Make(inv, set)
	if err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, c := range p.Cutovers() {
		order += c.Domain[:1]
	}
	if order != "cabd" {
		t.Errorf("order %s, want the host first, then names", order)
	}
}

func TestLateTraitsAreTold(t *testing.T) {
	t.Parallel()
	inv := domains(t, 9)
	for i := range 3 {
		inv.Domains[i].Signed = true // those with most mail
	}
	p, err := Make(inv, settings())
	if err != nil {
		t.Fatal(err)
	}
	if f := check(p, "plan.canaries"); len(f) != 1 || !strings.Contains(f[0].Detail, `"signed zone"`) {
		t.Errorf("findings %v, want that signed zones come late", p.Findings)
	}
}

func check(p Plan, id string) (found []Finding) {
	for _, f := range p.Findings {
		if f.Check == id {
			found = append(found, f)
		}
	}
	return found
}
