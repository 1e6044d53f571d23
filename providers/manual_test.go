package providers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mxcutover/providers"
	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// obliging is a provider that asks, with a person who does at once what is asked.
type obliging struct {
	reading
	asker providers.Asker
	edit  func(context.Context, rrset.Set) error
}

type reading interface {
	providers.Provider
	providers.Reader
	providers.Zoner
	io.Closer
}

func (o obliging) Swap(ctx context.Context, c rrset.Change) error {
	if err := o.asker.Ask(ctx, c); !errors.Is(err, providers.ErrAsked) {
		return err
	}
	return o.edit(ctx, c.After)
}

func TestConformanceManual(t *testing.T) {
	t.Parallel()
	const nobody = "nobody but the person writes, and their mistakes are seen as what they are"
	conformance.Suite{
		Name: "manual", Against: "name servers and a person in memory",
		Bed: func(t testing.TB) *conformance.Bed {
			n := providers.StartNameServer(t)
			zone, _ := providers.ZonesForTests()
			settings := fmt.Sprintf("servers: [%q]\ntimeout: 2s\n", n.Addr())
			return &conformance.Bed{
				Kind: "manual", Settings: settings, Zone: zone, Truth: n.Truth, Edit: n.EditOne, Seen: n.Seen,
				Open: func() (providers.Provider, error) {
					p, err := conformance.Open("manual", settings)
					if err != nil {
						return nil, err
					}
					inner := providers.Opened(p)
					return obliging{inner.(reading), inner.(providers.Asker), n.EditOne}, nil
				},
			}
		},
		Shortfalls: map[string]string{"500 records": "a zone is not listed: the names in it that matter stand in the settings"},
		Lacking: map[string]string{
			"TTL clamped by the host":                     "a person sets the TTL that they set; see TestManual",
			"two zones of one name":                       "the servers that are asked have one",
			"foreign change between read and write":       nobody,
			"foreign TTL between read and write":          nobody,
			"write that errors half way":                  nobody,
			"write that is refused half way":              nobody,
			"write applied though it timed out":           nobody,
			"write applied though its answer was cut off": nobody,
			"rate limiting":                               "name servers are asked once a minute",
			"expired token":                               "no credential is needed",
			"cancellation while the write is under way":   nobody,
		},
		Golden: "testdata/conformance/manual.json",
	}.Run(t)
}

// manualBed is a provider with two name servers, which do not know of each other.
func manualBed(t *testing.T, more string) (p providers.Provider, servers [2]*providers.NameServer) {
	t.Helper()
	servers = [2]*providers.NameServer{providers.StartNameServer(t), providers.StartNameServer(t)}
	p, err := conformance.Open("manual", fmt.Sprintf("servers: [%q, %q]\ntimeout: 2s\n%s", servers[0].Addr(), servers[1].Addr(), more))
	if err != nil {
		t.Fatal(err)
	}
	return p, servers
}

func TestManual(t *testing.T) {
	t.Parallel()
	p, servers := manualBed(t, "contact: the customer\nwithin: 1d\n")
	set := func(ttl uint32, data ...string) rrset.Set {
		return must(rrset.New("two.example.test", "MX", ttl, data...))
	}
	before, after := set(300, "10 old.example.net.", "20 old2.example.net."), set(60, "10 gw.example.net.")
	c := rrset.Change{Zone: "example.test.", Before: before, After: after}
	edit := func(s rrset.Set, at ...int) {
		t.Helper()
		for _, i := range at {
			if err := servers[i].EditOne(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		name    string
		there   rrset.Set
		at      []int
		err     error
		says    string
		clamped bool
	}{
		{"asked", before, []int{0, 1}, providers.ErrAsked, "waiting for the customer to change two.example.test MX in zone example.test from 10 old.example.net., 20 old2.example.net. (TTL 300) to 10 gw.example.net. (TTL 60)", false},
		{"one member is there", set(300, "10 old.example.net.", "20 old2.example.net.", "10 gw.example.net."), []int{0, 1}, providers.ErrAsked, "; there is 10 gw", false},
		{"one server has it", after, []int{0}, providers.ErrTransient, "the servers do not agree: at two.example.test", false},
		{"another TTL", set(900, "10 gw.example.net."), []int{0, 1}, nil, "", true},
		{"somebody else's", set(60, "10 other.example.net."), []int{0, 1}, providers.ErrDrifted, "somebody else", false},
		{"nothing at all", set(0), []int{0, 1}, providers.ErrDrifted, "no MX", false},
		{"as asked", after, []int{0, 1}, nil, "", false},
	} {
		edit(step.there, step.at...)
		r, err := providers.Replace(t.Context(), p, c)
		if !errors.Is(err, step.err) || (err == nil) != (step.err == nil) || err != nil && !strings.Contains(err.Error(), step.says) {
			t.Errorf("%s: %v, want %v: %q", step.name, err, step.err, step.says)
		}
		if err == nil && (!r.Got.Equal(step.there) || r.Clamped != step.clamped || r.Mode != providers.Hand) {
			t.Errorf("%s: %+v", step.name, r)
		}
	}
	edit(before.WithTTL(900), 0, 1)
	if _, err := providers.Restore(t.Context(), p, c.Inverse()); !errors.Is(err, providers.ErrAsked) {
		t.Errorf("taken back with another TTL: %v", err)
	}
	var asked *providers.AskedError
	if _, err := providers.Replace(t.Context(), p, rrset.Change{Zone: c.Zone, Before: before.WithTTL(900), After: after}); !errors.As(err, &asked) {
		t.Fatal(err)
	}
	const letter = `Please change the MX records of two.example.test in the zone example.test, by Monday, 2 March 2026, 10:00 UTC.

There is now:
    two.example.test. 900 IN MX 10 old.example.net.
    two.example.test. 900 IN MX 20 old2.example.net.

There shall be, and no other MX at this name:
    two.example.test. 60 IN MX 10 gw.example.net.

Leave all other records as they are. This is seen as soon as every name server of the zone has it.
`
	if got := asked.Letter(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)); got != letter || asked.Within != 24*time.Hour {
		t.Errorf("the letter is\n%s\nwant\n%s", got, letter)
	}
}

// What cannot be listed is looked at by name; a server that is silent is told.
func TestManualZone(t *testing.T) {
	t.Parallel()
	p, servers := manualBed(t, "names: [prefs.example.test, alias.example.test, x.wild.example.test, other.example.org]\n")
	sets, err := providers.Zone(t.Context(), p, "example.test.")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]int{}
	for _, s := range sets {
		has[strings.TrimSuffix(s.Name, "example.test.")+s.Type] = len(s.Data)
	}
	if len(has) != 5 || has["SOA"] != 1 || has["NS"] != 1 || has["MX"] != 1 || has["prefs.MX"] != 2 || has["alias.CNAME"] != 1 {
		t.Errorf("the zone has %v", has)
	}
	if _, err := providers.Zone(t.Context(), p, "none.test."); err == nil || !strings.Contains(err.Error(), "none.test") {
		t.Errorf("a zone that is not there: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent, err := conformance.Open("manual", fmt.Sprintf("servers: [%q, %q]\ntimeout: 200ms\n", servers[0].Addr(), l.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := providers.Read(t.Context(), silent, "example.test.", "example.test.", "MX"); !errors.Is(err, providers.ErrTransient) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("a silent server: %v", err)
	}
	for settings, says := range map[string]string{
		"servers: []\n": "empty list", "servers: [192.0.2.1]\n": "an address and a port", `servers: ["192.0.2.1:53"]` + "\ntimeout: 0s\n": "timeout", "contact: x\n": "servers",
	} {
		if _, err := conformance.Open("manual", settings); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", settings, err, says)
		}
	}
}
