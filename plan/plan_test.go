package plan

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/rrset"
)

func mustSet(t testing.TB, name, typ string, ttl uint32, data ...string) rrset.Set {
	t.Helper()
	s, err := rrset.New(name, typ, ttl, data...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var site = Site{
	OldHosts:     []string{"mail.old.test."},
	OldAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
	Planned:      []rrset.MX{{Preference: 10, Host: "gw1.gw.test."}},
}

var addrs = Addresses{
	"mail.old.test.":     {netip.MustParseAddr("192.0.2.10")},
	"vanity.example.":    {netip.MustParseAddr("::ffff:192.0.2.10")},
	"v6only.example.":    {netip.MustParseAddr("2001:db8::10")},
	"gw1.gw.test.":       {netip.MustParseAddr("192.0.2.20")},
	"newalias.example.":  {netip.MustParseAddr("192.0.2.20")},
	"elsewhere.example.": {netip.MustParseAddr("198.51.100.1")},
}

// awkward is one zone with a name for each case that inventory must tell apart.
func awkward(t testing.TB) Zone {
	mx := func(name string, data ...string) rrset.Set {
		return mustSet(t, name+".a.example.", "MX", 3600, data...)
	}
	return Zone{Name: "a.example.", Provider: "campus", Sets: []rrset.Set{
		mustSet(t, "a.example.", "NS", 3600, "ns1.a.example."),
		mx("byname", "10 mail.old.test."),
		mx("byaddress", "10 VANITY.example."),
		mx("byv6", "10 v6only.example."),
		mx("second", "10 elsewhere.example.", "90 vanity.example."),
		mx("both", "10 gw1.gw.test.", "20 mail.old.test."),
		mx("new", "10 newalias.example."),
		mx("other", "10 elsewhere.example."),
		mx("lost", "10 nowhere.example."),
		mx("null", "0 ."),
		mx("*.wild", "10 mail.old.test."),
		mustSet(t, "host.a.example.", "A", 60, "192.0.2.10"),
		mustSet(t, "web.a.example.", "A", 60, "198.51.100.7"),
		mustSet(t, "relay.a.example.", "A", 60, "192.0.2.10"),
		mx("target", "10 relay.a.example."),
		mustSet(t, "alias.a.example.", "CNAME", 60, "byname.a.example."),
		mustSet(t, "sub.a.example.", "NS", 3600, "ns.sub.a.example."),
		mustSet(t, "ns.sub.a.example.", "A", 3600, "192.0.2.10"),
	}}
}

func TestSurveyJudgesByAddress(t *testing.T) {
	t.Parallel()
	inv := Survey([]Zone{awkward(t)}, addrs, site)
	want := map[string]PointsTo{
		"byname": ToOld, "byaddress": ToOld, "byv6": ToOld, "second": ToOld, "both": ToBoth, "new": ToNew, "other": ToOther,
		"lost": ToOther, "null": ToNull, "*.wild": ToOld, "host": ToImplicit, "relay": ToImplicit, "target": ToOld, "alias": ToOld,
	}
	got := map[string]PointsTo{}
	for _, d := range inv.Domains {
		got[strings.TrimSuffix(d.Name, ".a.example.")] = d.PointsTo
	}
	for n, p := range want {
		if got[n] != p {
			t.Errorf("%s leads to %q, want %q", n, got[n], p)
		}
	}
	for n := range got {
		if _, ok := want[n]; !ok {
			t.Errorf("%s is in the inventory; it receives no mail at the old server", n)
		}
	}
}

func settings() Settings {
	return Settings{
		Migration: "m", Made: time.Unix(1e9, 0), Planned: site.Planned, First: 1, Growth: 2, Max: 100, LowTTL: 300,
		Gate: Gate{Approve: Manual, Soak: Duration(time.Minute), Failures: 1, Shared: 3}, Ports: []uint16{25},
	}
}

func TestMakeMovesOnlyWhatMayBeChanged(t *testing.T) {
	t.Parallel()
	p, err := Make(Survey([]Zone{awkward(t)}, addrs, site), settings())
	if err != nil {
		t.Fatal(err)
	}
	var moved []string
	for _, c := range p.Cutovers() {
		moved = append(moved, strings.TrimSuffix(c.Domain, ".a.example."))
	}
	slices.Sort(moved)
	if want := []string{"*.wild", "byaddress", "byname", "byv6", "host", "target"}; !slices.Equal(moved, want) {
		t.Errorf("moved %v, want %v", moved, want)
	}
	questions := map[string]bool{"second": true, "both": true, "lost": true, "relay": true, "alias": true}
	for _, l := range p.Left {
		n := strings.TrimSuffix(l.Domain, ".a.example.")
		if l.Question != questions[n] {
			t.Errorf("%s: question %v, want %v (%s)", n, l.Question, questions[n], l.Reason)
		}
	}
}

func TestKeptMemberAndSteps(t *testing.T) {
	t.Parallel()
	set := settings()
	set.Keep = []string{"elsewhere.example."}
	p, err := Make(Survey([]Zone{awkward(t)}, addrs, site), set)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Cutovers() {
		switch c.Domain {
		case "second.a.example.":
			if want := mustSet(t, c.Domain, "MX", 300, "10 elsewhere.example.", "10 gw1.gw.test."); !c.After().Equal(want) {
				t.Errorf("after = %v, want the kept member and the gateway", c.After())
			}
			if s, _ := c.Step(Settle); s.Change.After.TTL != 3600 {
				t.Errorf("settle restores TTL %d, want 3600", s.Change.After.TTL)
			}
			if c.Before().TTL != 3600 || len(c.Before().Data) != 2 {
				t.Errorf("before = %v", c.Before())
			}
		case "host.a.example.":
			if _, ok := c.Step(LowerTTL); ok || !c.Before().Absent() {
				t.Errorf("an implicit MX has no TTL to lower: %v", c.Steps)
			}
		}
	}
}

func TestInZoneTargetWithoutAddressIsLeft(t *testing.T) {
	t.Parallel()
	s := site
	s.Planned = []rrset.MX{{Preference: 10, Host: "gw.a.example."}}
	for _, d := range Survey([]Zone{awkward(t)}, addrs, s).Domains {
		if d.PointsTo == ToOld && d.Blocked == "" {
			t.Errorf("%s may be written, though gw.a.example. has no address in its zone", d.Name)
		}
	}
}

func domains(t *testing.T, n int) Inventory {
	var inv Inventory
	for i := range n {
		name := string(rune('a'+i)) + ".example."
		inv.Domains = append(inv.Domains, Domain{
			Name: name, Zone: name, MX: mustSet(t, name, "MX", 60, "10 mail.old.test."), PointsTo: ToOld, Traffic: Traffic{Messages: uint64(n - i)},
		})
	}
	return inv
}

func TestWaves(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		n      int
		adjust func(*Settings)
		want   string
	}{
		{"growth", 7, func(*Settings) {}, "pilot:g wave-2:fe wave-3:dcba"},
		{"max", 7, func(s *Settings) { s.Growth, s.Max = 10, 3 }, "pilot:g wave-2:fed wave-3:cba"},
		{"growth below one", 3, func(s *Settings) { s.Growth = 0 }, "pilot:c wave-2:b wave-3:a"},
		{"pins", 5, func(s *Settings) {
			s.Pin = map[string][]string{"pilot": {"a.example."}, "last": {"e.example."}, "wave-2": {"b.example."}}
		}, "pilot:a wave-2:db wave-3:c last:e"},
		{"all pinned last", 1, func(s *Settings) { s.Pin = map[string][]string{"last": {"a.example."}} }, "last:a"},
		{"none", 0, func(*Settings) {}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set := settings()
			c.adjust(&set)
			p, err := Make(domains(t, c.n), set)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range p.Waves {
				s := w.Name + ":"
				for _, c := range w.Cutovers {
					s += c.Domain[:1]
				}
				got = append(got, s)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("waves %q, want %q", s, c.want)
			}
		})
	}
}

func TestPinErrors(t *testing.T) {
	t.Parallel()
	for name, pin := range map[string]map[string][]string{
		"no such domain": {"pilot": {"nope.example."}},
		"bad wave":       {"wave-1": {"a.example."}},
		"no such wave":   {"wave-9": {"a.example."}},
		"two waves":      {"pilot": {"a.example."}, "last": {"a.example."}},
	} {
		set := settings()
		set.Pin = pin
		if _, err := Make(domains(t, 1), set); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFileRoundTripAndEdits(t *testing.T) {
	t.Parallel()
	p, err := Make(Survey([]Zone{awkward(t)}, addrs, site), settings())
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := got.Write(&again); err != nil || again.String() != file.String() {
		t.Errorf("a plan read and written differs: %v", err)
	}
	for name, edit := range map[string]func(string) string{
		"preference": func(s string) string { return strings.Replace(s, "10 gw1", "20 gw1", 1) },
		"a date":     func(s string) string { return strings.Replace(s, "2001-", "2002-", 1) },
		"a line less": func(s string) string {
			l := strings.SplitAfter(s, "\n")
			return strings.Join(slices.Delete(l, 2, 3), "")
		},
	} {
		if _, err := Read(strings.NewReader(edit(file.String()))); !errors.Is(err, ErrEdited) {
			t.Errorf("%s edited: %v, want ErrEdited", name, err)
		}
	}
}

func TestSameInputsSamePlan(t *testing.T) {
	t.Parallel()
	zone := awkward(t)
	var ids []string
	for range 20 {
		p, err := Make(Survey([]Zone{zone}, addrs, site), settings())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("twenty plans of the same inputs have IDs %v", ids)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	f := func(s ...Severity) (out []Finding) {
		for _, x := range s {
			out = append(out, Finding{Severity: x})
		}
		return out
	}
	cases := map[Severity][][]Finding{
		Unknown: {nil, f(Pass, Unknown), f("nonsense"), f(Warn, Unknown)},
		Fail:    {f(Unknown, Fail), f(Pass, Fail, Warn)},
		Warn:    {f(Pass, Warn)},
		Pass:    {f(Pass)},
	}
	for want, sets := range cases {
		for _, s := range sets {
			if got := Judge(s); got != want {
				t.Errorf("Judge(%v) = %s, want %s", s, got, want)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	p, err := Make(Survey([]Zone{awkward(f)}, addrs, site), settings())
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	_ = p.Write(&b)
	f.Add(b.Bytes())
	f.Add([]byte(`{"v":1,"id":"x"}` + "\n" + `{"left":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := Read(bytes.NewReader(data)); err == nil && got.ID != got.hash() {
			t.Error("a plan was read whose content does not match its ID")
		}
	})
}
