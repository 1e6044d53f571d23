package plan

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/rrset"
)

func txt(name, data string) rrset.Set {
	s := rrset.Set{Name: name, Type: "TXT"}
	if data != "" {
		s.TTL, s.Data = 300, []string{data}
	}
	return s
}

func companion(before, after rrset.Set) Companion {
	return Companion{
		Change: rrset.Change{Zone: "a.test.", Before: before, After: after}, Provider: "p", Wait: Duration(24 * time.Hour), Why: "RFC 8461 section 3.1",
	}
}

// withCompanions plans a.test. and b.test. with what they need.
func withCompanions(t *testing.T, list map[string][]Companion, more ...rrset.Set) Plan {
	t.Helper()
	inv := Inventory{}
	for _, n := range []string{"a.test.", "b.test."} {
		mx, err := rrset.New(n, "MX", 3600, "10 mail.old.test.")
		if err != nil {
			t.Fatal(err)
		}
		inv.Domains = append(inv.Domains, Domain{Name: n, Zone: n, Provider: "p", MX: mx, PointsTo: ToOld})
	}
	p, err := Make(inv, Settings{
		Planned: []rrset.MX{{Preference: 10, Host: "gw.test."}}, First: 9, Growth: 1, Max: 9, LowTTL: 60, Companions: list,
		Zones: []Zone{{Name: "a.test.", Provider: "p", Sets: append(more, txt("www.sub.a.test.", "x"))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOrderOfCompanions: early ones with their waits after the preflight, late
// ones last, all of it as data that a file keeps.
func TestOrderOfCompanions(t *testing.T) {
	t.Parallel()
	late := companion(txt("a.test.", "1"), txt("a.test.", "2"))
	late.Late = true
	p := withCompanions(t, map[string][]Companion{"a.test.": {late, companion(txt("_mta-sts.a.test.", ""), txt("_mta-sts.a.test.", "id=2"))}})
	var ids []string
	c := p.Cutovers()[0]
	for _, s := range c.Steps {
		ids = append(ids, s.ID)
	}
	want := "preflight companion:1 await-companion:1 lower-ttl await-ttl publish propagate probe soak settle companion:2 await-companion:2"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("steps: %s\nwant:  %s", got, want)
	}
	if s := c.Companions(); len(s) != 2 || s[0].Change.After.Name != "_mta-sts.a.test." || s[0].Why == "" || s[0].Provider != "p" || !s[1].Late {
		t.Errorf("companions: %+v", s)
	}
	if len(p.Cutovers()[1].Companions()) != 0 {
		t.Error("the other domain has companions")
	}
	p.Findings = []Finding{{Check: "spf.mx", Target: "a.test.", Severity: Warn, At: p.Made}}
	p = p.Sign()
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	again, err := Read(&file)
	if err != nil || again.ID != p.ID || len(again.Findings) != 1 || again.Cutovers()[0].Steps[2].Wait != Duration(24*time.Hour) {
		t.Errorf("read back: %+v, %v", again, err)
	}
}

// TestCompanionsThatCannotBe: the domain is left with a question, and no other is.
func TestCompanionsThatCannotBe(t *testing.T) {
	t.Parallel()
	sts := companion(txt("_mta-sts.a.test.", ""), txt("_mta-sts.a.test.", "id=2"))
	with := func(f func(*Companion)) []Companion { x := sts; f(&x); return []Companion{x} }
	deep := companion(txt("x.y.sub.a.test.", ""), txt("x.y.sub.a.test.", "1"))
	for name, c := range map[string]struct {
		list map[string][]Companion
		more []rrset.Set
		want string // in the question; "" = it moves
	}{
		"good":                            {map[string][]Companion{"a.test.": {sts}}, nil, ""},
		"a wildcard would be hidden":      {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{txt("*.a.test.", "w")}, "hide *.a.test"},
		"and for the names between":       {map[string][]Companion{"a.test.": {deep}}, []rrset.Set{txt("*.sub.a.test.", "w")}, "hide *.sub.a.test"},
		"a wildcard above does not reach": {map[string][]Companion{"a.test.": {deep}}, []rrset.Set{txt("*.a.test.", "w")}, ""},
		"the name is there: no wildcard":  {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{txt("*.a.test.", "w"), {Name: "_mta-sts.a.test.", Type: "A", TTL: 1, Data: []string{"192.0.2.1"}}}, ""},
		"so is one below it":              {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{txt("*.a.test.", "w"), txt("x._mta-sts.a.test.", "1")}, ""},
		"below a zone cut":                {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{{Name: "_mta-sts.a.test.", Type: "NS", TTL: 1, Data: []string{"ns.x."}}}, "delegated"},
		"beside a CNAME":                  {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{{Name: "_mta-sts.a.test.", Type: "CNAME", TTL: 1, Data: []string{"x."}}}, "CNAME"},
		"below a DNAME":                   {map[string][]Companion{"a.test.": {deep}}, []rrset.Set{{Name: "sub.a.test.", Type: "DNAME", TTL: 1, Data: []string{"x."}}}, "sub.a.test has a DNAME"},
		"below a DNAME at the apex":       {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{{Name: "a.test.", Type: "DNAME", TTL: 1, Data: []string{"x."}}}, "a.test has a DNAME"},
		"at a DNAME, not below":           {map[string][]Companion{"a.test.": {sts}}, []rrset.Set{{Name: "_mta-sts.a.test.", Type: "DNAME", TTL: 1, Data: []string{"x."}}}, ""},
		"a zone that was not read":        {map[string][]Companion{"a.test.": with(func(x *Companion) { x.Provider = "q" })}, nil, "was not read"},
		"nobody's zone":                   {map[string][]Companion{"a.test.": with(func(x *Companion) { x.Provider = "" })}, nil, "no provider"},
		"an MX": {map[string][]Companion{"a.test.": with(func(x *Companion) {
			x.Change.Before.Type, x.Change.After.Type = "MX", "MX"
			x.Change.After.Data = []string{"10 x."}
		})}, nil, "no companion"},
		"a name outside the zone":          {map[string][]Companion{"a.test.": with(func(x *Companion) { x.Change.Zone = "b.test." })}, nil, "not in zone"},
		"nothing changes":                  {map[string][]Companion{"a.test.": with(func(x *Companion) { x.Change.Before = x.Change.After })}, nil, "stays as it is"},
		"two of one RRset that do not fit": {map[string][]Companion{"a.test.": {sts, sts}}, nil, "do not follow"},
		"two domains want the same":        {map[string][]Companion{"a.test.": {sts}, "b.test.": {sts}}, nil, ""},
		"two domains want different ones":  {map[string][]Companion{"a.test.": {sts}, "b.test.": with(func(x *Companion) { x.Change.After.Data = []string{`"id=3"`} })}, nil, "other domains need another change"},
		"two domains want it late":         {map[string][]Companion{"a.test.": with(func(x *Companion) { x.Late = true }), "b.test.": {sts}}, nil, "other domains need another change"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := withCompanions(t, c.list, c.more...)
			i := slices.IndexFunc(p.Left, func(l Left) bool { return l.Domain == "a.test." })
			switch {
			case c.want == "" && i >= 0:
				t.Errorf("left: %s", p.Left[i].Reason)
			case c.want != "" && (i < 0 || !p.Left[i].Question || !strings.Contains(p.Left[i].Reason, c.want)):
				t.Errorf("want a question with %q, left: %+v", c.want, p.Left)
			}
			if moves := len(p.Cutovers()); len(c.list) == 1 && moves+len(p.Left) != 2 {
				t.Errorf("%d move, %d are left", moves, len(p.Left))
			}
		})
	}
}

// TestForgedCompanions: a plan file cannot lead mail elsewhere by a companion.
func TestForgedCompanions(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(*Plan){
		"an MX": func(p *Plan) {
			p.Waves[0].Cutovers[0].Steps[1].Change.Before.Type, p.Waves[0].Cutovers[0].Steps[1].Change.After.Type = "MX", "MX"
		},
		"no provider":     func(p *Plan) { p.Waves[0].Cutovers[0].Steps[1].Provider = "" },
		"no change":       func(p *Plan) { p.Waves[0].Cutovers[0].Steps[1].Change = nil },
		"another kind":    func(p *Plan) { p.Waves[0].Cutovers[0].Steps[1].Kind = Publish },
		"an id twice":     func(p *Plan) { p.Waves[0].Cutovers[0].Steps[2] = p.Waves[0].Cutovers[0].Steps[1] },
		"a negative wait": func(p *Plan) { p.Waves[0].Cutovers[0].Steps[2].Wait = -1 },
		"a foreign publish": func(p *Plan) {
			p.Waves[0].Cutovers[1].Steps[3].Change.After.Name, p.Waves[0].Cutovers[1].Steps[3].Change.Before.Name = "x.b.test.", "x.b.test."
		},
		"another's companion": func(p *Plan) {
			other := p.Waves[0].Cutovers[0].Steps[1]
			change := *other.Change
			change.After.Data = []string{`"id=3"`}
			other.Change = &change
			p.Waves[0].Cutovers[1].Steps = append(p.Waves[0].Cutovers[1].Steps, other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := withCompanions(t, map[string][]Companion{"a.test.": {companion(txt("_mta-sts.a.test.", ""), txt("_mta-sts.a.test.", "id=2"))}})
			forge(&p)
			p = p.Sign()
			var file bytes.Buffer
			if err := p.Write(&file); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(&file); !errors.Is(err, ErrFormat) {
				t.Errorf("read: %v", err)
			}
		})
	}
}
