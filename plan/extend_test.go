package plan

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcutover/rrset"
)

// begun is a plan of the first n domains, with the settings to extend it.
func begun(t testing.TB, inv Inventory, n int, set Settings) (Plan, Settings) {
	t.Helper()
	set.Config, set.Fixed, set.Kinds = "first", "fixed", map[string]string{"": "rfc2136"}
	p, err := Make(Inventory{Domains: slices.Clone(inv.Domains[:n])}, set)
	if err != nil {
		t.Fatal(err)
	}
	set.Config = "second"
	for _, d := range inv.Domains {
		set.Zones = append(set.Zones, Zone{Name: d.Zone, Provider: d.Provider})
	}
	return p, set
}

func TestExtendAddsWavesAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	inv := domains(t, 9)
	set := settings()
	set.Pin = map[string][]string{"pilot": {"b.example."}}
	base, set := begun(t, inv, 6, set)
	for i := range 6 { // they have moved, and their traffic is another
		inv.Domains[i].PointsTo, inv.Domains[i].Messages = ToNew, 1000
	}
	inv.Domains[8].PointsTo = ToNull
	p, err := Extend(base, inv, set)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Extends(base); err != nil {
		t.Error(err)
	}
	var names []string
	for _, w := range p.NewWaves(base) {
		for _, c := range w.Cutovers {
			names = append(names, w.Name+":"+c.Domain)
		}
	}
	if want := []string{"wave-4:h.example.", "wave-5:g.example."}; !slices.Equal(names, want) {
		t.Errorf("the new waves have %v, want %v", names, want)
	}
	if len(p.Left) != 1 || p.Left[0].Domain != "i.example." {
		t.Errorf("left: %v", p.Left)
	}
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := Read(&file)
	if err != nil || read.Extends(base) != nil || read.ID != p.ID {
		t.Errorf("read back it extends nothing: %v, %v", err, read.Extends(base))
	}
	if again, err := Extend(base, inv, set); err != nil || again.ID != p.ID {
		t.Errorf("the same inputs give %v, %v", again.ID, err)
	}
	if _, err := Extend(p, inv, set); !errors.Is(err, ErrNothingNew) {
		t.Errorf("extended twice by the same: %v, want nothing new", err)
	}
	set.Config = "third"
	if q, err := Extend(p, inv, set); err != nil || len(q.NewWaves(p)) != 0 || q.ID == p.ID {
		t.Errorf("other settings alone: %v", err)
	}
}

func TestExtendRefusesWhatWouldChange(t *testing.T) {
	t.Parallel()
	inv := domains(t, 5)
	inv.Domains[1].MX = mustSet(t, "b.example.", "MX", 60, "10 mail.old.test.", "20 third.example.")
	inv.Domains[1].Third = []string{"third.example."}
	first := settings()
	first.Keep = []string{"third.example."}
	base, good := begun(t, inv, 4, first)
	if _, err := Extend(base, inv, good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"other settings":    {func(s *Settings) { s.Fixed = "else" }, "settings that must stay"},
		"a provider less":   {func(s *Settings) { s.Kinds = nil }, "of kind rfc2136"},
		"another kind":      {func(s *Settings) { s.Kinds = map[string]string{"": "manual"} }, "of kind rfc2136"},
		"a zone less":       {func(s *Settings) { s.Zones = s.Zones[1:] }, "a.example is planned in it"},
		"excluded":          {func(s *Settings) { s.Selected = func(n string) bool { return n != "c.example." } }, "c.example is planned"},
		"other records":     {func(s *Settings) { s.Planned = []rrset.MX{{Preference: 10, Host: "gw9.gw.test."}} }, "without gw9.gw.test"},
		"a record less":     {func(s *Settings) { s.Planned = nil }, "planned with gw1.gw.test"},
		"a member not kept": {func(s *Settings) { s.Keep = nil }, "planned with third.example"},
		"a template": {func(s *Settings) {
			s.Templates = map[string][]rrset.MX{"d.example.": {{Preference: 5, Host: "gw1.gw.test."}}}
		}, "d.example"},
		"pinned elsewhere":     {func(s *Settings) { s.Pin = map[string][]string{"last": {"a.example."}} }, "a.example is in wave"},
		"new in an old wave":   {func(s *Settings) { s.Pin = map[string][]string{"pilot": {"e.example."}} }, "e.example to pilot"},
		"pinned far away":      {func(s *Settings) { s.Pin = map[string][]string{"wave-9": {"e.example."}} }, "no wave wave-9"},
		"pinned, and unknown":  {func(s *Settings) { s.Pin = map[string][]string{"last": {"z.example."}} }, "no such domain"},
		"no kinds were noted ": {func(s *Settings) { s.Fixed, s.Config = "", "second" }, "settings that must stay"},
	} {
		set := good
		c.change(&set)
		if _, err := Extend(base, inv, set); !errors.Is(err, ErrChanges) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want that it says %q", name, err, c.want)
		}
	}
	twice := inv
	twice.Domains = append(slices.Clone(inv.Domains), Domain{Name: "a.example.", Zone: "sub.a.example.", PointsTo: ToOld})
	if _, err := Extend(base, twice, good); !errors.Is(err, ErrChanges) {
		t.Errorf("a planned name in a second zone: %v", err)
	}
}

func TestOldPlansAreExtendedUnderTheSameSettingsOnly(t *testing.T) {
	t.Parallel()
	inv := domains(t, 5)
	base, set := begun(t, inv, 4, settings())
	base.Fixed, base.Kinds = "", nil // as an older release made it
	base = base.Sign()
	if _, err := Extend(base, inv, set); !errors.Is(err, ErrChanges) {
		t.Errorf("with another configuration: %v", err)
	}
	set.Config = base.Config
	p, err := Extend(base, inv, set)
	if err != nil || len(p.NewWaves(base)) != 1 || p.Extends(base) != nil {
		t.Errorf("with the same configuration: %v, %v", err, p.Extends(base))
	}
}

// TestExtendsNoticesEveryChange: whatever is changed in what was begun, Extends
// refuses it, though the plan is whole by itself.
func TestExtendsNoticesEveryChange(t *testing.T) {
	t.Parallel()
	inv := domains(t, 6)
	base, set := begun(t, inv, 4, settings())
	good, err := Extend(base, inv, set)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Plan){
		"migration": func(p *Plan) { p.Migration = "n" },
		"fixed":     func(p *Plan) { p.Fixed = "x" },
		"kinds":     func(p *Plan) { p.Kinds = map[string]string{"": "manual"} },
		"isolate":   func(p *Plan) { p.Isolate = nil },
		"a wave":    func(p *Plan) { p.Waves[0].Name = "first" },
		"a gate":    func(p *Plan) { p.Waves[0].Gate.Failures = 99 },
		"a domain":  func(p *Plan) { p.Waves[0].Cutovers[0].Domain = "other.example." },
		"a step": func(p *Plan) {
			s := slices.Clone(p.Waves[1].Cutovers[0].Steps)
			s[0].ID = "preflight:2"
			p.Waves[1].Cutovers[0].Steps = s
		},
		"one less":    func(p *Plan) { p.Waves[1].Cutovers = p.Waves[1].Cutovers[1:] },
		"one more":    func(p *Plan) { p.Waves[0].Cutovers = append(p.Waves[0].Cutovers, p.Waves[3].Cutovers...) },
		"other order": func(p *Plan) { p.Waves[0], p.Waves[1] = p.Waves[1], p.Waves[0] },
		"all gone":    func(p *Plan) { p.Waves = nil },
	} {
		p := good
		p.Waves = slices.Clone(good.Waves)
		for i := range p.Waves {
			p.Waves[i].Cutovers = slices.Clone(p.Waves[i].Cutovers)
		}
		change(&p)
		if p.Sign().Extends(base) == nil {
			t.Errorf("%s was changed, and that is not noticed", name)
		}
	}
	if good.Extends(base) != nil || base.Extends(base) == nil {
		t.Error("a plan extends itself, or a good one does not")
	}
}

// TestExtendInAnyOrder: however the domains come in, in whichever portions, each is
// in exactly one wave, and what was planned stays.
func TestExtendInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inv := randomInventory(t)
		set := settings()
		set.Fixed, set.Config, set.Max = "fixed", "0", 7
		set.Kinds = map[string]string{"p": "x", "q": "x", "r": "x"}
		for _, d := range inv.Domains {
			set.Zones = append(set.Zones, Zone{Name: d.Zone, Provider: d.Provider})
		}
		n := rapid.IntRange(0, len(inv.Domains)).Draw(t, "first")
		p, err := Make(Inventory{Domains: inv.Domains[:n]}, set)
		for round := range 3 {
			if err != nil {
				t.Fatal(err)
			}
			had := n
			n = rapid.IntRange(n, len(inv.Domains)).Draw(t, "more")
			q, xerr := Extend(p, Inventory{Domains: inv.Domains[:n]}, set)
			if n == had {
				if !errors.Is(xerr, ErrNothingNew) {
					t.Fatalf("round %d: nothing new, and %v", round, xerr)
				}
				continue
			}
			if err = xerr; err != nil {
				t.Fatal(err)
			}
			if why := q.Extends(p); why != nil {
				t.Fatal(why)
			}
			p = q
		}
		seen, waves := map[string]bool{}, map[string]bool{}
		for _, w := range p.Waves {
			if waves[w.Name] || len(w.Cutovers) > set.Max {
				t.Fatalf("wave %s stands twice or has %d domains", w.Name, len(w.Cutovers))
			}
			waves[w.Name] = true
			for _, c := range w.Cutovers {
				if seen[c.Domain] || c.Wave != w.Name {
					t.Fatalf("%s stands twice", c.Domain)
				}
				seen[c.Domain] = true
			}
		}
		if len(seen) != n {
			t.Fatalf("%d of %d domains", len(seen), n)
		}
	})
}

func TestNewCompanionsDoNotTakeThoseOfOthers(t *testing.T) {
	t.Parallel()
	inv := domains(t, 3)
	_, set := begun(t, inv, 2, settings())
	shared := Companion{
		Change: rrset.Change{
			Zone: "a.example.", Before: mustSet(t, "spf.a.example.", "TXT", 60, `"v=spf1 mx -all"`),
			After: mustSet(t, "spf.a.example.", "TXT", 60, `"v=spf1 -all"`),
		},
		Provider: "campus", Why: "SPF",
	}
	set.Config, set.Companions = "first", map[string][]Companion{"a.example.": {shared}}
	base, err := Make(Inventory{Domains: inv.Domains[:2]}, set)
	if err != nil || len(base.Cutovers()) != 2 {
		t.Fatal(err, base.Left)
	}
	set.Config = "second"
	set.Zones = append(set.Zones, Zone{Name: "a.example.", Provider: "campus"})
	other := shared
	other.Change.After = mustSet(t, "spf.a.example.", "TXT", 60, `"v=spf1 ip4:192.0.2.1 -all"`)
	set.Companions = map[string][]Companion{"c.example.": {other}}
	p, err := Extend(base, inv, set)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.NewWaves(base)) != 0 || len(p.Left) != 1 || !p.Left[0].Question {
		t.Errorf("a RRset that a planned domain changes is changed otherwise by a new one: %v", p.NewWaves(base))
	}
	set.Companions = map[string][]Companion{"c.example.": {shared}}
	if p, err = Extend(base, inv, set); err != nil || len(p.NewWaves(base)) != 1 {
		t.Errorf("a new domain that needs the same companion does not share it: %v, %v", p.Left, err)
	}
}

// TestExtendSharesWhatIsThere extends a migration that has written TLSA records of the
// gateway's host: a new domain misses none, and has a part in them all the same, so that
// they are not taken from it when all others go back.
func TestExtendSharesWhatIsThere(t *testing.T) {
	t.Parallel()
	tlsa := func(data ...string) rrset.Set {
		s := rrset.Set{Name: "_25._tcp.gw1.gw.test.", Type: "TLSA"}
		if len(data) > 0 {
			s.TTL, s.Data = 60, data
		}
		return s
	}
	was, will := tlsa("3 1 1 "+strings.Repeat("aa", 32)), tlsa("3 1 1 "+strings.Repeat("aa", 32), "3 1 1 "+strings.Repeat("bb", 32))
	shared := Companion{Change: rrset.Change{Zone: "gw.test.", Before: was, After: will}, Provider: "campus", Wait: Duration(2 * time.Minute), Check: "dane.future", Why: "DANE"}
	zone := Zone{Name: "gw.test.", Provider: "campus", Sets: []rrset.Set{will}}
	inv := domains(t, 3)
	for name, c := range map[string]struct {
		change func(*Settings)
		want   bool
	}{
		"it is there":             {func(*Settings) {}, true},
		"the new one asks for it": {func(s *Settings) { s.Companions["c.example."] = []Companion{shared} }, true},
		"it went back":            {func(s *Settings) { s.Zones[len(s.Zones)-1].Sets = []rrset.Set{was} }, false},
		"somebody else changed it": {func(s *Settings) {
			s.Zones[len(s.Zones)-1].Sets = []rrset.Set{tlsa("3 1 1 " + strings.Repeat("cc", 32))}
		}, false},
		"no companions, as was asked": {func(s *Settings) { s.Companions = nil }, false},
		"it moves elsewhere": {func(s *Settings) {
			s.Templates = map[string][]rrset.MX{"c.example.": {{Preference: 10, Host: "gw9.gw.test."}}}
		}, false},
	} {
		first := settings()
		first.Companions = map[string][]Companion{"a.example.": {shared}}
		first.Zones = []Zone{{Name: "gw.test.", Provider: "campus", Sets: []rrset.Set{was}}}
		base, set := begun(t, inv, 2, first)
		set.Zones = append(set.Zones[1:], zone)
		set.Companions = map[string][]Companion{}
		c.change(&set)
		p, err := Extend(base, inv, set)
		if err != nil || len(p.NewWaves(base)) != 1 {
			t.Fatalf("%s: %v, left: %v", name, err, p.Left)
		}
		var got []Companion
		for _, x := range p.NewWaves(base)[0].Cutovers[0].Companions() {
			got = append(got, Companion{Change: *x.Change, Provider: x.Provider, Check: x.Check, Why: x.Why})
		}
		has := len(got) == 1 && got[0].Change.Before.Equal(was) && got[0].Change.After.Equal(will) && got[0].Provider == "campus" && got[0].Check == "dane.future"
		if has != c.want || !c.want && len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if again, err := Extend(base, inv, set); err != nil || again.ID != p.ID {
			t.Errorf("%s: the same inputs give another plan: %v", name, err)
		}
		var file bytes.Buffer
		if err := p.Write(&file); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
