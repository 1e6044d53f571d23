//go:build integration

package providers

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mxcutover/lab/site"
	"mxcutover/rrset"
)

// A TTL that somebody else changed between our reading and our update stops the
// update: RRset prerequisites alone would let it through, on every server.
func TestIntegrationServersForeignTTL(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b bed) {
		foreign := mx("ttl", 4711, oldMX)
		p := interposed{opened(b.open(t)).(*rfc2136), func() { b.edit(t, foreign) }}
		_, err := Replace(t.Context(), p, rrset.Change{Zone: siteZone, Before: mx("ttl", 86400, oldMX), After: mx("ttl", 300, gwMX)})
		if !errors.Is(err, errPrerequisite) {
			t.Errorf("Replace: %v", err)
		}
		if got := b.truth(t, foreign.Name, "MX"); !got.Equal(foreign) {
			t.Errorf("the zone has %v; the foreign TTL was overwritten", got)
		}
	})
}

// raw sends an update without prerequisites, and gives the response code.
func (b bed) raw(t *testing.T, s rrset.Set) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetUpdate(siteZone)
	m.Insert(must(recordsOf(s)))
	m.SetTsig(dns.Fqdn(b.keyName), dns.HmacSHA256, 300, time.Now().Unix())
	r, _, err := (&dns.Client{Net: "tcp", TsigSecret: b.keys()}).ExchangeContext(t.Context(), m, b.server)
	if err != nil {
		t.Fatal(err)
	}
	return dns.RcodeToString[r.Rcode]
}

// What servers answer to an update, and what they do: docs/rfc2136.md has this
// table. NOERROR is no success by itself.
func TestIntegrationServersAnswers(t *testing.T) {
	t.Parallel()
	type answer struct {
		code string
		done bool
	}
	ignored, done, refused := answer{"NOERROR", false}, answer{"NOERROR", true}, answer{"REFUSED", false}
	cases := map[string]struct {
		set                  rrset.Set
		bind, knot, powerdns answer
	}{
		"MX at an alias":           {mx("alias", 300, gwMX), ignored, ignored, refused},
		"host without address":     {mx("new", 300, "10 nowhere."+siteZone), refused, done, done},
		"below a zone cut":         {mx("host.sub", 300, gwMX), done, done, done},
		"below a DNAME":            {mx("x.dname", 300, gwMX), done, refused, done},
		"null MX beside an MX":     {mx("both", 300, "0 .", gwMX), done, done, done},
		"below a wildcard":         {mx("z.wild", 300, gwMX), done, done, done},
		"a TTL of 68 years":        {mx("long", rrset.MaxTTL, gwMX), done, done, done},
		"escapes in both names":    {mx(`a\.b\032c`, 300, `10 d\.e\032f.`), done, done, done},
		"bytes beyond ASCII":       {mx(`\195\164`, 300, gwMX), done, done, done},
		"one more, TTL of its own": {mx("two", 77, "5 third.example.net."), done, done, done},
	}
	for server, of := range map[string]int{"BIND": 0, "Knot": 1, "PowerDNS": 2} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			b := startPrimary(t, server)
			for name, c := range cases {
				want := []answer{c.bind, c.knot, c.powerdns}[of]
				code := b.raw(t, c.set)
				got := b.truth(t, c.set.Name, c.set.Type)
				if did := !got.Absent(); code != want.code || did != want.done {
					t.Errorf("%s: %s, done %v; want %+v", name, code, did, want)
				}
				if name == "one more, TTL of its own" && (len(got.Data) != 3 || got.TTL != 77) {
					t.Errorf("%s: %v; the TTL of all was to change", name, got)
				}
			}
		})
	}
}

// A wrong key and a wrong clock are told apart where the server tells them apart.
func TestIntegrationServersKeys(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b bed) {
		for name, c := range map[string]struct {
			bed  bed
			late time.Duration
			says string
		}{
			"name":   {bed{b.server, "nobody", b.secret}, 0, "BADKEY"},
			"secret": {bed{b.server, b.keyName, testSecret}, 0, "BADSIG"},
			"clock":  {b, -time.Hour, "seconds ahead of ours"},
		} {
			if strings.Contains(t.Name(), "PowerDNS") {
				c.says = "compare key_name, key_alg, the secret and the clocks"
			}
			p := c.bed.open(t)
			opened(p).(*rfc2136).now = func() time.Time { return time.Now().Add(c.late) }
			_, err := Replace(t.Context(), p, someChange)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.bed.secret) {
				t.Errorf("%s: Replace: %v", name, err)
			}
			if _, err := Zone(t.Context(), p, siteZone); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: Zone: %v", name, err)
			}
		}
	})
}

// race sends updates at once, each with the SOA as it was read before all of
// them, and tells how many were carried out.
func race(t *testing.T, r *rfc2136, name string, sets []rrset.Change) int64 {
	t.Helper()
	s, err := r.session(t.Context(), siteZone)
	if err != nil {
		t.Fatal(err)
	}
	soa, err := s.soa(t.Context())
	s.end()
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Int64
	var group sync.WaitGroup
	for _, c := range sets {
		group.Go(func() {
			s := must(r.session(t.Context(), siteZone))
			defer s.end()
			w := must(newWanted(siteZone, c.After.Name, "MX"))
			err := s.update(t.Context(), updateOf(w, soa, must(recordsOf(c.Before)), must(recordsOf(c.After))))
			switch {
			case err == nil:
				done.Add(1)
			case !errors.Is(err, errPrerequisite):
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	group.Wait()
	return done.Load()
}

// Of updates with the same Before only one is carried out, on every server.
func TestIntegrationServersRace(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b bed) {
		r := opened(b.open(t)).(*rfc2136)
		for i := range 20 {
			name := fmt.Sprintf("crowd%d", i)
			var changes []rrset.Change
			for j := range 8 {
				changes = append(changes, rrset.Change{Before: mx(name, 60, oldMX), After: mx(name, 60, fmt.Sprintf("%d gw.example.net.", j))})
			}
			if n := race(t, r, name, changes); n != 1 {
				t.Errorf("%s: %d of 8 updates from the same Before were carried out", name, n)
			}
		}
	})
}

// Knot carries out updates that arrive together as one change of the zone, with
// one new serial: each of them still finds the old SOA. So there a foreign edit of
// the TTL alone goes unnoticed if it arrives in the same moment as ours; edits of
// the data do not, see [TestIntegrationServersRace]. docs/rfc2136.md says so: this
// test tells when that is no longer true.
func TestIntegrationKnotJoinsUpdates(t *testing.T) {
	t.Parallel()
	for server, joins := range map[string]bool{"BIND": false, "Knot": true, "PowerDNS": false} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			r := opened(startPrimary(t, server).open(t)).(*rfc2136)
			joined := false
			for i := 0; i < 25 || joins && !joined && i < 500; i++ {
				var changes []rrset.Change
				for j := range 8 {
					name := fmt.Sprintf("batch%d-%d", i, j)
					changes = append(changes, rrset.Change{Before: mx(name, 0), After: mx(name, 60, gwMX)})
				}
				joined = race(t, r, "batch", changes) > 1 || joined
			}
			if joined != joins {
				t.Errorf("updates with the same SOA were carried out together: %v, want %v", joined, joins)
			}
		})
	}
}

// PowerDNS can show another serial than it keeps (SOA-EDIT), and can leave the
// serial as it is (SOA-EDIT-DNSUPDATE). What it keeps is what prerequisites see.
func TestIntegrationPowerDNSSerials(t *testing.T) {
	t.Parallel()
	change := rrset.Change{Zone: siteZone, Before: mx("ttl", 86400, oldMX), After: mx("ttl", 300, gwMX)}
	for _, c := range []struct {
		kind, content string
		refused       bool
	}{
		{"SOA-EDIT-DNSUPDATE", "DEFAULT", false},
		{"SOA-EDIT-DNSUPDATE", "INCREASE", false},
		{"SOA-EDIT-DNSUPDATE", "EPOCH", false},
		{"SOA-EDIT-DNSUPDATE", "SOA-EDIT", false},
		{"SOA-EDIT-DNSUPDATE", "SOA-EDIT-INCREASE", false},
		{"SOA-EDIT", "INCEPTION-INCREMENT", true},
		{"SOA-EDIT", "INCREMENT-WEEKS", true},
		{"SOA-EDIT", "EPOCH", true},
	} {
		t.Run(c.kind+" "+c.content, func(t *testing.T) {
			t.Parallel()
			b, p := startPowerDNS(t, site.PowerDNSOptions{Zones: testZones(), Meta: map[string]string{c.kind: c.content}})
			was, err := p.Serial(t.Context(), siteZone)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Replace(t.Context(), b.open(t), change)
			got := b.truth(t, change.After.Name, "MX")
			is, _ := p.Serial(t.Context(), siteZone)
			switch {
			case c.refused && (err == nil || !strings.Contains(err.Error(), "SOA-EDIT") || !got.Equal(change.Before)):
				t.Errorf("Replace: %+v, %v; the zone has %v; want a refusal", r, err, got)
			case !c.refused && (err != nil || !got.Equal(change.After) || is <= was):
				t.Errorf("Replace: %+v, %v; the zone has %v; serials %d and %d", r, err, got, was, is)
			}
		})
	}
}

// PowerDNS answers from a cache, for 20 s, where somebody changed its database
// behind its back. What it keeps is told by the prerequisites and by a transfer,
// so that such a change is found. One of the TTL alone is overwritten in that
// time: nothing but the answer tells TTLs, and the serial was not raised.
func TestIntegrationPowerDNSBehindItsBack(t *testing.T) {
	t.Parallel()
	for _, caches := range []bool{false, true} {
		t.Run(fmt.Sprintf("caches %v", caches), func(t *testing.T) {
			t.Parallel()
			b, server := startPowerDNS(t, site.PowerDNSOptions{Zones: testZones(), Caches: caches})
			p := b.open(t)
			for _, name := range []string{"ttl", "gone", "newer"} { // as it was, into the cache
				if _, err := Read(t.Context(), p, siteZone, name+"."+siteZone, "MX"); err != nil {
					t.Fatal(err)
				}
			}
			err := server.SQL(t.Context(), `
UPDATE records SET ttl=4711 WHERE name='ttl.example.test' AND type='MX';
UPDATE records SET content='other.example.net' WHERE name='gone.example.test' AND type='MX';
INSERT INTO records(domain_id,name,type,content,ttl,prio) SELECT id,'newer.example.test','MX','other.example.net',300,10 FROM domains WHERE name='example.test';`)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				change  rrset.Change
				foreign rrset.Set
				found   bool
			}{
				{rrset.Change{Zone: siteZone, Before: mx("newer", 0), After: mx("newer", 300, gwMX)}, mx("newer", 300, "10 other.example.net."), true},
				{rrset.Change{Zone: siteZone, Before: mx("gone", 300, oldMX), After: mx("gone", 300, gwMX)}, mx("gone", 300, "10 other.example.net."), true},
				{rrset.Change{Zone: siteZone, Before: mx("ttl", 86400, oldMX), After: mx("ttl", 300, gwMX)}, mx("ttl", 4711, oldMX), !caches},
			} {
				r, err := Replace(t.Context(), p, c.change)
				got := b.truth(t, c.foreign.Name, "MX")
				switch {
				case c.found && (!errors.Is(err, ErrDrifted) || !got.Equal(c.foreign)):
					t.Errorf("%s: %+v, %v; the zone has %v; want drift", c.foreign.Name, r, err, got)
				case !c.found && (err != nil || !got.Equal(c.change.After)):
					t.Errorf("%s: %+v, %v; the zone has %v", c.foreign.Name, r, err, got)
				}
				checkDrift(t, err, c.change.Before, c.foreign)
			}
		})
	}
}

// Without signatures, by the address, as Windows DNS would be asked.
func TestIntegrationUnsigned(t *testing.T) {
	t.Parallel()
	k, err := site.StartKnot(t.Context(), site.KnotOptions{Dir: t.TempDir(), Addr: freeAddr(t), Zones: testZones(), Open: true})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, k)
	b := bed{k.Addr.String(), k.Key.Name, k.Key.Secret}
	p := b.open(t, unsigned)
	r, err := Replace(t.Context(), p, someChange)
	if got := b.truth(t, someChange.After.Name, "MX"); err != nil || !r.Written || !got.Equal(someChange.After) {
		t.Errorf("Replace: %+v, %v; the zone has %v", r, err, got)
	}
	if sets, err := Zone(t.Context(), p, siteZone); err != nil || len(sets) < 50 {
		t.Errorf("Zone: %d RRsets, %v", len(sets), err)
	}
	if _, err := Replace(t.Context(), startPrimary(t, "BIND").open(t, unsigned), someChange); err == nil || !strings.Contains(err.Error(), "REFUSED") {
		t.Errorf("at a server that wants a key: %v", err)
	}
}
