//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/lab"
	real "mxcutover/lab/site"
)

// bindSite is a world whose DNS is BIND, primary and secondary, behind Unbound;
// the mail is that of the lab.
type bindSite struct {
	world              *lab.World
	primary, secondary *real.BIND
	config, dir        string
	zones              map[string]string
}

// awkwardZones are a dozen zones, each with something that a real site has.
func awkwardZones(old, gw1, gw2 string) map[string]string {
	head := "$TTL 5\n@ IN SOA ns1.infra.test. hostmaster.infra.test. 1 2 2 86400 2\n@ IN NS ns1.infra.test.\n@ IN NS ns2.infra.test.\n"
	return map[string]string{
		"bakery.test":        head + "@ IN MX 10 mail.old.test.\n@ IN TXT \"v=spf1 mx -all\"\nwww IN CNAME bakery.test.\n",
		"mixed.test":         head + "@ IN MX 10 MAIL.Old.TEST.\n",
		"escaped.test":       head + "@ IN MX 10 mail.old.test.\n\\046dot.a\\.b IN MX 10 mx.elsewhere.test.\n",
		"xn--bcher-kva.test": head + "@ IN MX 10 mail.old.test.\n",
		"wild.test":          head + "@ IN MX 10 mail.old.test.\n*.people IN MX 10 mail.old.test.\n",
		"host.test":          head + "@ IN MX 10 mx.elsewhere.test.\nlists IN MX 10 mail.old.test.\nlists IN A 192.0.2.80\n",
		"null.test":          head + "@ IN MX 0 .\n",
		"implicit.test":      head + "@ IN A " + old + "\n",
		"parent.test":        head + "@ IN MX 10 mail.old.test.\nsub IN NS ns1.infra.test.\nsub IN NS ns2.infra.test.\n",
		"sub.parent.test":    head + "@ IN MX 10 mail.old.test.\n",
		"multi.test":         head + "@ 7 IN MX 10 mail.old.test.\n@ 7 IN MX 20 mx2.old.test.\n",
		"backup.test":        head + "@ IN MX 10 gw1.gw.test.\n@ IN MX 50 mail.old.test.\n",
		"third.test":         head + "@ IN MX 10 mail.old.test.\n@ IN MX 90 mx.elsewhere.test.\n",
		"infra.test":         "", // filled in below, with the servers' addresses
		"old.test":           head + "mail IN A " + old + "\nmx2 IN A " + old + "\n",
		"gw.test":            head + "gw1 IN A " + gw1 + "\ngw2 IN A " + gw2 + "\n",
		"elsewhere.test":     head + "mx IN A 192.0.2.99\n",
		"probe.test":         head + "@ IN MX 10 mail.old.test.\n@ IN TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n",
	}
}

// moving are the domains of the lab's mail servers.
func moving() []lab.Domain {
	return []lab.Domain{
		{Name: "bakery.test", Messages: 10},
		{Name: "mixed.test", Messages: 20},
		{Name: "escaped.test", Messages: 30},
		{Name: "xn--bcher-kva.test", Messages: 40},
		{Name: "wild.test", Messages: 50},
		{Name: "*.people.wild.test", Messages: 60, Kind: lab.Wildcard, Zone: "wild.test"},
		{Name: "lists.host.test", Messages: 70, Kind: lab.Below},
		{Name: "implicit.test", Messages: 80, Kind: lab.Implicit},
		{Name: "parent.test", Messages: 90},
		{Name: "sub.parent.test", Messages: 100, Zone: "sub.parent.test"},
		{Name: "multi.test", Messages: 110, Kind: lab.TwoMX},
	}
}

func newBindSite(t *testing.T) *bindSite {
	t.Helper()
	w := startLab(t, lab.Options{Domains: moving(), SenderRate: -1, SpamRate: -1})
	f := w.Facts()
	p, port, err := real.FreeBlock(53, 54, 55)
	if err != nil {
		t.Fatal(err)
	}
	at := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{p[0], p[1], p[2], last}), port)
	}
	s := &bindSite{world: w, dir: t.TempDir(), zones: awkwardZones(f.Old.Addr.String(), f.Gateways[0].Addr.String(), f.Gateways[1].Addr.String())}
	s.zones["infra.test"] = strings.SplitAfterN(s.zones["old.test"], "mail IN", 2)[0]
	s.zones["infra.test"] = strings.TrimSuffix(s.zones["infra.test"], "mail IN") + fmt.Sprintf("ns1 IN A %s\nns2 IN A %s\n", at(53).Addr(), at(54).Addr())
	key := real.NewKey("mxcutover")
	s.primary = startNamed(t, real.BINDOptions{Addr: at(53), Zones: s.zones, Key: key, Silent: true, Extra: "check-names ignore;"})
	s.secondary = startNamed(t, real.BINDOptions{Addr: at(54), Zones: s.zones, Key: key, Primary: at(53), Extra: "check-names ignore; min-refresh-time 1; min-retry-time 1;"})
	stubs := map[string][]netip.AddrPort{}
	for zone := range s.zones {
		stubs[zone] = []netip.AddrPort{at(53), at(54)}
	}
	u, err := real.StartUnbound(t.Context(), real.UnboundOptions{Dir: t.TempDir(), Addr: at(55), Stubs: stubs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.writeConfig(t, at(53), at(55), key)
	return s
}

func startNamed(t *testing.T, o real.BINDOptions) *real.BIND {
	t.Helper()
	o.Dir = t.TempDir()
	b, err := real.StartBIND(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// writeConfig takes the lab's configuration and puts BIND and Unbound into it.
func (s *bindSite) writeConfig(t *testing.T, primary, resolver netip.AddrPort, key real.Key) {
	t.Helper()
	path, err := s.world.WriteConfig(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var zones []string
	for z := range s.zones {
		if z != "infra.test" && z != "probe.test" {
			zones = append(zones, z)
		}
	}
	out := string(text)
	for _, r := range [][2]string{
		{`server: "[^"]*"`, fmt.Sprintf("server: %q", primary)},
		{`zones: \[[^\]]*\]`, "zones: [" + strings.Join(zones, ", ") + "]"},
		{`resolvers: .*`, fmt.Sprintf("resolvers: {public: [%q]}", resolver)},
		{`ports: \{dns: \d+`, fmt.Sprintf("ports: {dns: %d", primary.Port())},
		{`(?s)isolate:\n.*?state:`, "state:"},
		{`approve: manual`, "approve: auto"},
	} {
		re := regexp.MustCompile(r[0])
		if !re.MatchString(out) {
			t.Fatalf("the lab's configuration has no %s:\n%s", r[0], out)
		}
		out = re.ReplaceAllLiteralString(out, r[1])
	}
	s.config = path
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "tsig.key"), []byte(key.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mxcutover runs a command in this process's code, as a user types it.
func (s *bindSite) mxcutover(t *testing.T, want int, args ...string) string {
	t.Helper()
	t.Chdir(s.dir)
	var out, words bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // a domain that is held would be waited for
	defer cancel()
	code := run(ctx, append([]string{"--config", s.config}, args...), strings.NewReader(""), &out, &words)
	if code != want {
		t.Fatalf("mxcutover %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), words.String())
	}
	return out.String() + words.String()
}

// dig is every zone's content by dig, which shares no code with us: one sorted
// line a record, without the SOA, whose serial must move. Names are compared
// without case (RFC 4343).
func (s *bindSite) dig(t *testing.T, server *real.BIND) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for zone := range s.zones {
		c := exec.CommandContext(t.Context(), "dig", "@"+server.Addr.Addr().String(), "-p", fmt.Sprint(server.Addr.Port()),
			"-y", "hmac-sha256:"+server.Key.Name+":"+server.Key.Secret, zone, "AXFR", "+noall", "+answer", "+onesoa")
		text, err := c.Output()
		if err != nil {
			t.Fatalf("dig %s: %v", zone, err)
		}
		for l := range strings.Lines(string(text)) {
			if f := strings.Fields(l); len(f) > 3 && f[3] != "SOA" {
				out[zone] = append(out[zone], lowerNames(f))
			}
		}
		slices.Sort(out[zone])
	}
	return out
}

// TestIntegrationBINDWholeWay migrates a dozen awkward zones on BIND, then rolls
// all of it back, and compares every record with what it was.
func TestIntegrationBINDWholeWay(t *testing.T) {
	s := newBindSite(t)
	before := s.dig(t, s.primary)
	inventory := s.mxcutover(t, 0, "inventory")
	for _, want := range []string{
		`bakery\.test +old`, `mixed\.test +old`, `\\\.dot\.a\\\.b\.escaped\.test +other`, `xn--bcher-kva\.test +old`, `\*\.people\.wild\.test +old`,
		`lists\.host\.test +old`, `null\.test +null`, `implicit\.test +implicit`, `sub\.parent\.test +old`, `multi\.test +old`,
		`backup\.test +both`, `third\.test +old`, `www\.bakery\.test +old`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(inventory) {
			t.Errorf("the inventory does not say %s:\n%s", want, inventory)
		}
	}
	s.mxcutover(t, 0, "plan")
	show := s.mxcutover(t, 0, "plan", "show")
	for _, want := range []string{`\? backup\.test`, `\? third\.test .*mx\.keep`, `\? www\.bakery\.test .*CNAME`} {
		if !regexp.MustCompile(want).MatchString(show) {
			t.Errorf("the plan does not say %s:\n%s", want, show)
		}
	}
	t.Log(s.mxcutover(t, 0, "run"))
	after := s.dig(t, s.primary)
	for _, d := range moving() {
		found := 0
		for _, lines := range after {
			for _, l := range lines {
				if strings.HasPrefix(l, d.Name+". ") && strings.Contains(l, " in mx ") {
					found++
					if !strings.Contains(l, "gw1.gw.test.") && !strings.Contains(l, "gw2.gw.test.") {
						t.Errorf("%s still leads to the old server: %s", d.Name, l)
					}
				}
			}
		}
		if found != 2 {
			t.Errorf("%s has %d MX records after the migration", d.Name, found)
		}
	}
	s.mxcutover(t, 0, "verify")
	t.Log(s.mxcutover(t, 0, "rollback", "--all", "--confirm", "all"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, server := range []*real.BIND{s.primary, s.secondary} {
		for !equalZones(s.dig(t, server), before) {
			if ctx.Err() != nil {
				t.Fatalf("%s is not as before:\n%v\nwas\n%v", server.Addr, s.dig(t, server), before)
			}
		}
	}
}

func equalZones(a, b map[string][]string) bool {
	for zone := range b {
		if !slices.Equal(a[zone], b[zone]) {
			return false
		}
	}
	return len(a) == len(b)
}

// lowerNames is a record in one line; data that is not made of names keeps its
// case.
func lowerNames(f []string) string {
	if f[3] == "TXT" {
		return strings.ToLower(f[0]) + " " + strings.Join(f[1:], " ")
	}
	return strings.ToLower(strings.Join(f, " "))
}
