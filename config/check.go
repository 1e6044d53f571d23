package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// A checker tells what is wrong between settings that are each right in form.
// It looks only at keys without a fault, so that nothing is told twice.
type checker struct {
	*decoder
	c    *Config
	told func(key string, b bound) // learns what keys are held to; nil = nobody does
}

// A bound is what a key is held to, for those who describe the file: one of them.
type bound struct {
	words []string // it is one of these
	least int      // it is no less, where it is neither of the others
	once  bool     // no member stands twice
}

func (k *checker) tell(key string, b bound) {
	if k.told != nil {
		k.told(key, b)
	}
}

func (k *checker) all() {
	k.migration()
	k.old()
	zones := k.providers()
	k.views()
	k.mx(zones)
	k.domains(zones)
	k.logs()
	k.waves(zones)
	k.gate()
	k.ttl()
	k.outside()
	k.dns()
	k.probe()
	k.recipients()
	k.imap()
	k.isolate()
	k.notify()
}

var migrationName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (k *checker) migration() {
	if m := k.c.Migration; k.good("migration") && !migrationName.MatchString(m) {
		k.fault("migration", fmt.Sprintf("%.80q is no name of a migration", m), "write up to 64 letters, digits, dots and dashes")
	}
}

func (k *checker) old() {
	unique(k, "old.hosts", k.c.Old.Hosts, rrset.Bare)
	unique(k, "old.addresses", k.c.Old.Addresses, netip.Addr.String)
	unique(k, "outbound", k.c.Outbound, netip.Addr.String)
	unique(k, "dkim.selectors", k.c.DKIM.Selectors, strings.Clone)
}

// unique tells what stands twice in a list.
func unique[T comparable](k *checker, key string, list []T, name func(T) string) {
	k.tell(key, bound{once: true})
	var zero T
	seen := map[T]int{}
	for i, x := range list {
		if x == zero || k.bad[item(key, i)] {
			continue
		}
		if first, twice := seen[x]; twice {
			k.fault(item(key, i), fmt.Sprintf("%.80q stands twice; first in line %d", name(x), k.at[item(key, first)].value.line), "delete one of the two")
			continue
		}
		seen[x] = i
	}
}

// inZone tells a domain that lies in none of the providers' zones. Where there
// are no zones at all, that is told already.
func (k *checker) inZone(zones map[string]bool, name, key string) {
	if len(zones) == 0 || k.bad["providers"] {
		return
	}
	for n := name; ; n = rrset.Parent(n) {
		if zones[n] {
			return
		}
		if n == "." {
			break
		}
	}
	k.fault(key, fmt.Sprintf("%.80q lies in none of the providers' zones", rrset.Bare(name)), "add its zone to a provider, or delete it here")
}

func (k *checker) mx(zones map[string]bool) {
	k.records(k.c.MX.Records, "mx.records")
	for _, d := range slices.Sorted(maps.Keys(k.c.MX.Templates)) {
		key := inner("mx.templates", rrset.Bare(d))
		if len(k.c.MX.Templates[d]) == 0 && k.good(key) {
			k.fault(key, "is an empty list", "write the domain's records, or exclude it in domains.exclude")
		}
		k.records(k.c.MX.Templates[d], key)
		if k.good(key) {
			k.inZone(zones, d, key)
		}
	}
	unique(k, "mx.keep", k.c.MX.Keep, rrset.Bare)
	for i, h := range k.c.MX.Keep {
		key := item("mx.keep", i)
		switch planned := func(m rrset.MX) bool { return m.Host == h }; {
		case !k.good(key):
		case slices.Contains(k.c.Old.Hosts, h):
			k.fault(key, fmt.Sprintf("%.80q is a host of the old server (old.hosts), which mail is to leave", rrset.Bare(h)), "delete it here")
		case slices.ContainsFunc(k.c.MX.Records, planned):
			k.fault(key, fmt.Sprintf("%.80q is a host of the gateway (mx.records) already", rrset.Bare(h)), "delete it here")
		}
	}
}

// records checks the MX records that domains are to get.
func (k *checker) records(list []rrset.MX, key string) {
	seen := map[string]bool{}
	for i, m := range list {
		switch host := item(key, i) + ".host"; {
		case !k.good(host):
		case slices.Contains(k.c.Old.Hosts, m.Host):
			k.fault(host, fmt.Sprintf("%.80q is a host of the old server (old.hosts): mail would still be led there", rrset.Bare(m.Host)), "write a host of the gateway")
		case seen[m.Host]:
			k.fault(host, fmt.Sprintf("%.80q stands twice", rrset.Bare(m.Host)), "delete one of the two records")
		default:
			seen[m.Host] = true
		}
	}
}

func (k *checker) domains(zones map[string]bool) {
	unique(k, "domains.own_name", k.c.Domains.OwnName, rrset.Bare)
	for i, n := range k.c.Domains.OwnName {
		if key := item("domains.own_name", i); k.good(key) {
			k.inZone(zones, n, key)
		}
	}
}

func (k *checker) waves(zones map[string]bool) {
	w := k.c.Waves
	k.atLeast("waves.first", w.First, 1)
	k.atLeast("waves.max", w.Max, 1)
	if k.good("waves.growth") && (w.Growth < 1 || w.Growth > 100) {
		k.fault("waves.growth", fmt.Sprintf("is %g; a factor from 1 to 100 was expected", w.Growth), "")
	}
	if k.good("waves.share") && (w.Share <= 0 || w.Share > 1) {
		k.fault("waves.share", fmt.Sprintf("is %g; a share above 0, up to 1, was expected", w.Share), "write 0.25")
	}
	if !k.bad["waves.first"] && !k.bad["waves.max"] && w.First > w.Max {
		k.fault("waves.first", fmt.Sprintf("is %d, above waves.max, %d", w.First, w.Max), "")
	}
	pinned := map[string]string{}
	for _, wave := range slices.Sorted(maps.Keys(w.Pin)) {
		key := inner("waves.pin", wave)
		if !waveName(wave) {
			k.faultOfName(key, fmt.Sprintf("there can be no wave %.40q", wave), fmt.Sprintf("write %s, %s or wave-N with N from 2", plan.FirstWave, plan.LastWave))
		}
		if len(w.Pin[wave]) == 0 && k.good(key) {
			k.fault(key, "is an empty list", "")
		}
		for i, d := range w.Pin[wave] {
			ki := item(key, i)
			switch had, twice := pinned[d]; {
			case !k.good(ki):
			case twice:
				k.fault(ki, fmt.Sprintf("%.80q is pinned to %s already", rrset.Bare(d), had), "delete one of the two")
			case !k.selected(d):
				k.fault(ki, fmt.Sprintf("%.80q is pinned, and not chosen by domains.include and domains.exclude", rrset.Bare(d)), "choose it there, or delete it here")
			default:
				pinned[d] = wave
				k.inZone(zones, d, ki)
			}
		}
	}
}

func waveName(s string) bool {
	n, ok := strings.CutPrefix(s, "wave-")
	i, err := strconv.Atoi(n)
	return s == plan.FirstWave || s == plan.LastWave || ok && err == nil && i >= 2 && i <= 10000 && decimal.MatchString(n)
}

// selected tells whether include and exclude choose a domain.
func (k *checker) selected(name string) bool {
	fits := func(glob string) bool {
		ok, err := path.Match(glob, rrset.Bare(name))
		return ok && err == nil
	}
	return slices.ContainsFunc(k.c.Domains.Include, fits) && !slices.ContainsFunc(k.c.Domains.Exclude, fits)
}

func (k *checker) gate() {
	oneOf(k, "gate.approve", k.c.Gate.Approve, plan.Manual, plan.Auto)
	k.atLeast("gate.failures", k.c.Gate.Failures, 1)
	k.atLeast("gate.shared", k.c.Gate.Shared, 2)
	k.atLeast("gate.consecutive", k.c.Gate.Consecutive, 0)
	k.atLeast("gate.concurrency", k.c.Gate.Concurrency, 1)
	if p := k.c.Gate.Persons; k.good("gate.persons") && p != 1 && p != 2 {
		k.fault("gate.persons", fmt.Sprintf("is %d; 1 or 2 was expected", p), "write 2 where a second person must approve each wave")
	}
	if z := k.c.Gate.Zone; k.good("gate.zone") {
		if _, err := time.LoadLocation(z); err != nil || z == "Local" {
			k.fault("gate.zone", fmt.Sprintf("%.80q is no time zone that this machine knows", z), "write one as in: Europe/Berlin")
		}
	}
}

const day = 24 * time.Hour

func (k *checker) ttl() {
	if low := k.c.TTL.Low; k.good("ttl.low") && (low == 0 || low > uint32(day/time.Second)) {
		k.fault("ttl.low", fmt.Sprintf("is %d seconds; 1s to 24h was expected", low), "write 300s")
	}
	oneOf(k, "ttl.prepare", k.c.TTL.Prepare, "all", "wave")
	k.positive("preflight.lifetime", k.c.Preflight.Lifetime)
	k.atLeast("preflight.each", k.c.Preflight.Each, 1)
}

// outside checks what lies between us and the world.
func (k *checker) outside() {
	k.atLeast("ports.dns", int(k.c.Ports.DNS), 1)
	k.atLeast("ports.smtp", int(k.c.Ports.SMTP), 1)
	k.atLeast("ports.https", int(k.c.Ports.HTTPS), 1)
	k.vantages()
}

func (k *checker) notify() {
	if c := k.c.Notify.Command; len(c) > 0 && strings.Contains(c[0], "/") {
		c[0] = resolve(k.doc.dir, c[0]) // a bare word is looked up in PATH
	}
}

func (k *checker) atLeast(key string, n, least int) {
	k.tell(key, bound{least: least})
	if k.good(key) && n < least {
		k.fault(key, fmt.Sprintf("is %d; at least %d was expected", n, least), "")
	}
}

func (k *checker) positive(key string, d time.Duration) {
	if k.good(key) && d <= 0 {
		k.fault(key, "is no time at all", "write a duration above zero")
	}
}

// oneOf checks a word against those that are known.
func oneOf[T ~string](k *checker, key string, word T, known ...T) {
	all := make([]string, len(known))
	for i, w := range known {
		all[i] = string(w)
	}
	k.tell(key, bound{words: all})
	if !k.good(key) || slices.Contains(known, word) {
		return
	}
	k.fault(key, fmt.Sprintf("%.40q is not known here", string(word)), suggest(string(word), all))
}

// loopback tells whether "host:port" stays within this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	a, bad := netip.ParseAddr(host)
	return err == nil && (bad == nil && a.IsLoopback() || host == "localhost")
}
