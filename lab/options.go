package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Kind says how a domain of the world leads to its mail server.
type Kind string

// The kinds. All but Other and Null have valid recipients at the old server and
// are relayed for by the gateway.
const (
	Plain      Kind = "plain"           // an MX at the old server
	Below      Kind = "host-below-apex" // the same, for a host within a zone
	Wildcard   Kind = "wildcard"        // the same, for all names below one; its name begins with "*."
	Implicit   Kind = "implicit"        // no MX, the old server's address (RFC 5321 section 5.1)
	TwoMX      Kind = "two-mx"          // two MX hosts, both of them the old server
	Greylisted Kind = "greylisted"      // plain, and the gateway defers what it has not seen before
	Other      Kind = "other"           // an MX elsewhere
	Null       Kind = "null"            // accepts no mail (RFC 7505)
	Both       Kind = "both"            // the gateway and the old server both
)

// A Domain is a name of the world that receives mail, or says that it does not.
type Domain struct {
	Name     string // below test, without the final dot
	Messages uint64 // of traffic, for the traffic table
	Kind     Kind   // "" = Plain
	Zone     string // "" = the last two labels of Name
	Signed   bool   // its zone has DNSSEC; the zones above always have it
}

// Options shape a world. The zero value gives the dozen domains of [Dozen] with
// the defaults named below.
type Options struct {
	Dir        string           // for the firewall's socket; "" = a temporary one. Close removes it if Start made it
	Domains    []Domain         // none = Dozen()
	TTL        time.Duration    // of all records, and of negative answers; whole seconds; default 5s
	Lag        time.Duration    // how long the secondary is behind; default 2s, negative = none
	SenderRate float64          // messages a second of the honest sender; default 5, negative = none
	SpamRate   float64          // connections a second of the stubborn spammer; default 5, negative = none
	Gateway    Habits           // of its two hosts
	OldServer  Habits           // of the old server
	Greylist   time.Duration    // how long the gateway defers an unknown triple; default 500ms
	Now        func() time.Time // the clock of caches, greylist and firewall; default time.Now
	Seed       uint64           // of addresses and of what spammers try; 0 = by chance
}

// maxRate bounds the senders, in messages a second.
const maxRate = 500

// Dozen is a pleasant set of domains: twelve to move, over nine zones, and two
// that lead elsewhere or nowhere.
func Dozen() []Domain {
	return []Domain{
		{Name: "choir.test", Messages: 3},
		{Name: "lists.choir.test", Messages: 41, Kind: Below},
		{Name: "bakery.test", Messages: 17},
		{Name: "garden.test", Messages: 64, Kind: Implicit},
		{Name: "dental.test", Messages: 120, Kind: Greylisted},
		{Name: "lab.dental.test", Messages: 260, Kind: Below},
		{Name: "estates.test", Messages: 900},
		{Name: "*.tenants.estates.test", Messages: 1500, Kind: Wildcard},
		{Name: "harbour.test", Messages: 2400, Kind: TwoMX},
		{Name: "pilots.harbour.test", Messages: 700, Zone: "pilots.harbour.test"},
		{Name: "museum.test", Messages: 9000},
		{Name: "university.test", Messages: 50000},
		{Name: "newsletter.test", Messages: 5200, Kind: Other},
		{Name: "parked.test", Messages: 0, Kind: Null},
	}
}

// withDefaults fills in and checks.
func (o Options) withDefaults() (Options, error) {
	if len(o.Domains) == 0 {
		o.Domains = Dozen()
	}
	o.Domains = slices.Clone(o.Domains)
	o.TTL = orDefault(o.TTL, 5*time.Second)
	o.Lag = max(0, orDefault(o.Lag, 2*time.Second))
	o.SenderRate = max(0, min(maxRate, orDefault(o.SenderRate, 5)))
	o.SpamRate = max(0, min(maxRate, orDefault(o.SpamRate, 5)))
	o.Greylist = orDefault(o.Greylist, 500*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TTL < time.Second {
		return o, fmt.Errorf("lab: TTL %s: at least 1s was expected", o.TTL)
	}
	seen := map[string]bool{}
	for i := range o.Domains {
		d := &o.Domains[i]
		if err := d.complete(); err != nil {
			return o, err
		}
		if seen[d.Name] {
			return o, fmt.Errorf("lab: domain %q is there twice", d.Name)
		}
		seen[d.Name] = true
	}
	return o, nil
}

func orDefault[T comparable](v, otherwise T) T {
	if zero := *new(T); v == zero {
		return otherwise
	}
	return v
}

// complete fills in kind and zone, and refuses what no zone file could hold.
func (d *Domain) complete() error {
	d.Name = strings.TrimSuffix(strings.ToLower(d.Name), ".")
	d.Kind = orDefault(d.Kind, Plain)
	name := strings.TrimPrefix(d.Name, "*.")
	labels := dns.SplitDomainName(name)
	_, valid := dns.IsDomainName(name)
	letters := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
	if !valid || !letters || strings.Contains(name, "..") || len(labels) < 2 || labels[len(labels)-1] != "test" {
		return fmt.Errorf("lab: domain %q: a name below test was expected", d.Name)
	}
	if d.Zone == "" {
		d.Zone = strings.Join(labels[len(labels)-2:], ".")
	}
	d.Zone = strings.TrimSuffix(strings.ToLower(d.Zone), ".")
	if !dns.IsSubDomain(d.Zone+".", name+".") || dns.CountLabel(d.Zone) < 2 {
		return fmt.Errorf("lab: domain %q is not within a zone %q", d.Name, d.Zone)
	}
	if slices.Contains(reserved, strings.Join(labels[len(labels)-2:], ".")) {
		return fmt.Errorf("lab: domain %q: %v belong to the world itself", d.Name, reserved)
	}
	switch d.Kind {
	case Plain, Below, Implicit, TwoMX, Greylisted, Other, Null, Both:
		if name != d.Name {
			return fmt.Errorf("lab: domain %q: the kind wildcard alone begins with a star", d.Name)
		}
	case Wildcard:
		if name == d.Name {
			return fmt.Errorf("lab: domain %q of kind wildcard does not begin with a star", d.Name)
		}
	default:
		return fmt.Errorf("lab: domain %q: kind %q is none of the known ones", d.Name, d.Kind)
	}
	return nil
}

// reserved are the zones of the world's own hosts.
var reserved = []string{"nic.test", "gw.test", "old.test", "probe.test", "elsewhere.test"}

// moves tells whether the old server has recipients for a domain.
func (d Domain) moves() bool { return d.Kind != Other && d.Kind != Null }
