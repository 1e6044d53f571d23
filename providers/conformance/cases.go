package conformance

import (
	"errors"
	"slices"
	"strings"

	"mxcutover/providers"
	"mxcutover/rrset"
)

// A Case is one thing that a provider must do right.
type Case struct {
	Name   string
	faults bool // the service must fail in it
	run    func(t *trial) error
}

// Cases lists the cases' names, in the order of the table.
func Cases() []string {
	out := make([]string, len(cases))
	for i, c := range cases {
		out[i] = c.Name
	}
	return out
}

// cases is never changed.
var cases = slices.Concat(changes, names, values, foreigners, failures)

const (
	oldMX  = "10 old.example.net."
	old2MX = "20 old2.example.net."
	gwMX   = "10 gw.example.net."
	gw2MX  = "20 gw2.example.net."
)

// simple is a change at the case's own name, with neighbours.
func simple(ttl uint32, before []string, newTTL uint32, after []string) func(*trial) error {
	return func(t *trial) error {
		return t.change(t.mx("@", ttl, before...), t.mx("@", newTTL, after...))
	}
}

// change seeds Before, changes it to After, and back again: each change is made in
// both directions, since each may have to be undone.
func (t *trial) change(before, after rrset.Set) error {
	if err := errors.Join(t.neighbours(before.Name, before.Type), t.seed(before)); err != nil {
		return err
	}
	if err := t.done(before, after); err != nil {
		return err
	}
	if err := t.done(after, before); err != nil {
		return err
	}
	return t.done(before, after)
}

// changes are what members and TTLs can do.
var changes = []Case{
	{Name: "one MX to two", run: simple(300, []string{oldMX}, 300, []string{gwMX, gw2MX})},
	{Name: "two MX to one", run: simple(300, []string{oldMX, old2MX}, 300, []string{gwMX})},
	{Name: "two MX to two others", run: simple(300, []string{oldMX, old2MX}, 300, []string{gwMX, gw2MX})},
	{Name: "three MX to two with one kept", run: simple(300, []string{oldMX, old2MX, "30 kept.example.net."}, 300, []string{gwMX, "30 kept.example.net."})},
	{Name: "three MX to two with one kept and another TTL", run: simple(3600, []string{oldMX, old2MX, "30 kept.example.net."}, 300, []string{gwMX, "30 kept.example.net."})},
	{Name: "same hosts with other preferences", run: simple(300, []string{oldMX, old2MX}, 300, []string{"20 old.example.net.", "10 old2.example.net."})},
	{Name: "preference 0 and 65535", run: simple(300, []string{"0 old.example.net.", "65535 old2.example.net."}, 300, []string{"0 gw.example.net.", "65535 gw.example.net."})},
	{Name: "null MX", run: simple(300, []string{"0 ."}, 300, []string{gwMX})},
	{Name: "TTL alone", run: simple(86400, []string{oldMX, old2MX}, 300, []string{oldMX, old2MX})},
	{Name: "TTL clamped by the host", run: clamped},
	{Name: "no MX to MX", run: simple(0, nil, 300, []string{gwMX, gw2MX})},
	{Name: "MX to no MX", run: simple(300, []string{oldMX, old2MX}, 0, nil)},
	{Name: "already there", run: func(t *trial) error {
		after := t.mx("@", 300, gwMX)
		if err := errors.Join(t.neighbours("@", "MX"), t.seed(after)); err != nil {
			return err
		}
		r, err := t.replace(t.mx("@", 300, oldMX), after)
		if err == nil && (r.Written || !r.Got.Equal(after)) {
			t.problem("result %+v", r)
		}
		t.truth(after)
		return err
	}},
	{Name: "already absent", run: func(t *trial) error {
		r, err := t.replace(t.mx("@", 300, oldMX), t.mx("@", 0))
		if err == nil && r.Written {
			t.problem("result %+v", r)
		}
		return err
	}},
}

// clamped asks for a TTL that the service raises. It must be told.
func clamped(t *trial) error {
	if t.bed.MinTTL == 0 {
		return unfit("the service takes all TTLs")
	}
	for _, data := range [][]string{{gwMX}, {gwMX, oldMX}, {oldMX}} {
		before, after := t.mx("@", 2*t.bed.MinTTL, oldMX), t.mx("@", t.bed.MinTTL, data...).WithTTL(1)
		if err := t.seed(before); err != nil {
			return err
		}
		want := after.WithTTL(t.bed.MinTTL)
		r, err := t.replace(before, after)
		switch {
		case err != nil:
			return err
		case !r.Clamped || !r.Got.Equal(want) || !r.Written:
			t.problem("result %+v", r)
		}
		t.truth(want)
		if err := t.done(want, before); err != nil { // the way back is exact
			return err
		}
	}
	return nil
}

// names are where an RRset can be.
var names = []Case{
	{Name: "at the apex", run: func(t *trial) error {
		if t.bed.Base != t.bed.Zone {
			return unfit("the apex is not ours")
		}
		return t.change(t.mx(t.bed.Zone, 300, oldMX), t.mx(t.bed.Zone, 300, gwMX))
	}},
	{Name: "host far below the apex", run: func(t *trial) error {
		return t.change(t.mx("a.b.c", 300, oldMX), t.mx("a.b.c", 300, gwMX))
	}},
	{Name: "name with an underscore", run: func(t *trial) error {
		return t.change(t.mx("_x", 300, oldMX), t.mx("_x", 300, gwMX))
	}},
	{Name: "name that ends like the zone", run: func(t *trial) error {
		// "not" + zone below the zone: a suffix is no label.
		n := "not" + strings.TrimSuffix(t.bed.Zone, ".")
		return t.change(t.mx(n, 300, oldMX), t.mx(n, 300, gwMX))
	}},
	{Name: "the wildcard itself", run: func(t *trial) error {
		return t.change(t.mx("*", 300, oldMX), t.mx("*", 300, gwMX))
	}},
	{Name: "below a wildcard", run: func(t *trial) error {
		star := t.mx("*", 300, oldMX)
		if err := t.seed(star); err != nil {
			return err
		}
		got, err := providers.Read(t.ctx, t.p, t.bed.Zone, t.name("x"), "MX")
		if t.saw(err); err == nil && !got.Absent() {
			t.problem("%q was read at a name that does not exist", got.Data)
		}
		err = t.done(t.mx("x", 0), t.mx("x", 300, gwMX))
		t.truth(star)
		return err
	}},
	{Name: "IDN", run: func(t *trial) error {
		return t.change(t.mx("xn--bcher-kva", 300, "10 mail.xn--mnchen-3ya.example."), t.mx("xn--bcher-kva", 300, "10 xn--gteway-9ta.xn--mnchen-3ya.example."))
	}},
	{Name: "owner of a CNAME", run: func(t *trial) error {
		alias := t.set("@", "CNAME", 300, "www.example.net.")
		if err := t.seed(alias); err != nil {
			return err
		}
		if _, err := t.replace(t.mx("@", 0), t.mx("@", 300, gwMX)); !errors.Is(err, providers.ErrCNAME) {
			t.problem("error %v; ErrCNAME was expected", err)
		}
		t.truth(alias)
		t.truth(t.mx("@", 0))
		return nil
	}},
	{Name: "mixed case", run: func(t *trial) error {
		before := t.mx("@", 300, oldMX)
		loud := before
		loud.Name, loud.Data = strings.ToUpper(t.label)+"."+t.bed.Base, []string{"10 Old.EXAMPLE.Net."}
		if err := errors.Join(t.neighbours("@", "MX"), t.seed(loud)); err != nil {
			return err
		}
		return t.done(before, t.mx("@", 300, "10 GW.Example.net."))
	}},
	{Name: "target without a trailing dot", run: func(t *trial) error {
		before := t.mx("@", 300, oldMX)
		bare := before
		bare.Data = []string{"10 old.example.net"}
		if err := errors.Join(t.neighbours("@", "MX"), t.seed(bare)); err != nil {
			return err
		}
		return t.done(before, t.mx("@", 300, gwMX))
	}},
	{Name: "target in the zone", run: func(t *trial) error {
		if err := t.seed(t.set("mail", "A", 300, "192.0.2.8"), t.set("gw", "A", 300, "192.0.2.9")); err != nil {
			return err
		}
		return t.change(t.mx("@", 300, "10 "+t.name("mail")), t.mx("@", 300, "10 "+t.name("gw")))
	}},
	{Name: "target outside the zone that ends like it", run: func(t *trial) error {
		return t.change(t.mx("@", 300, "10 mail.not"+t.bed.Zone), t.mx("@", 300, "10 gw.not"+t.bed.Zone))
	}},
	{Name: "two zones of one name", run: twins},
	{Name: "unknown zone", run: func(t *trial) error {
		zone := "no-such-zone.invalid."
		before, err := rrset.New(zone, "MX", 300, oldMX)
		if err != nil {
			return err
		}
		after, err := rrset.New(zone, "MX", 300, gwMX)
		if err != nil {
			return err
		}
		_, err = providers.Replace(t.ctx, t.p, rrset.Change{Zone: zone, Before: before, After: after})
		t.saw(err)
		if err == nil || errors.Is(err, providers.ErrInDoubt) || errors.Is(err, providers.ErrLied) || errors.Is(err, providers.ErrDrifted) {
			t.problem("error %v; a refusal was expected", err)
		} else if !strings.Contains(err.Error(), "no-such-zone.invalid") {
			t.problem("the error does not name the zone: %v", err)
		}
		return nil
	}},
	{Name: "500 records", run: crowd},
}

// values are other types of records.
var values = []Case{
	{Name: "TXT of 300 characters", run: func(t *trial) error {
		long := `"` + strings.Repeat("0123456789", 25) + `01234" "` + strings.Repeat("x", 45) + `"`
		return t.change(t.set("t", "TXT", 300, `"short"`), t.set("t", "TXT", 300, long))
	}},
	{Name: "TXT with quotes", run: func(t *trial) error {
		return t.change(t.set("t", "TXT", 300, `"v=spf1 -all"`), t.set("t", "TXT", 300, `"a \"quoted\" word; k=v\\, and more"`, `"v=spf1 ~all"`))
	}},
	{Name: "TLSA", run: func(t *trial) error {
		digest := strings.Repeat("0123456789abcdef", 4)
		return t.change(t.set("_25._tcp", "TLSA", 300, "3 1 1 "+digest), t.set("_25._tcp", "TLSA", 300, "3 1 1 "+digest, "2 1 1 "+digest))
	}},
}
