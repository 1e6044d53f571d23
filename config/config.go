// Package config reads the one YAML file that describes a migration: what is
// old, what is new, who holds the zones, in which waves and behind which gates
// domains move, how it is proven, and how the old server is closed.
//
// It is used at the start of every command: [Load] reads and checks the whole
// file and gives a [Config] with all defaults filled in, or [Faults]: every
// fault with its line, column and an excerpt, all at once. What only a provider
// understands stays closed ([Section]) until that provider decodes it, as
// strictly. Secrets are never in the file, only references to them (package
// secret), and no fault shows one that was written there by mistake.
package config

import (
	"net/netip"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// The struct tags of this package:
//
//	yaml:"key,required,nonempty"  the key; it must stand there; a list or map must have members
//	is:"host"                     what a text is, and how it is made canonical (see conversions)
//	keys:"name"                   the same for the keys of a map

// A Config is a checked configuration file. Domain names in it are canonical
// (lower case, final dot, IDN in its ASCII form) unless a field says otherwise;
// relative paths were taken from the file's folder.
type Config struct {
	Path      string              `yaml:"-"`                           // of the file, as it was given
	Migration string              `yaml:"migration,required"`          // the migration's name: letters, digits, dots, dashes
	Old       Old                 `yaml:"old,required"`                // the server that mail leaves
	MX        MX                  `yaml:"mx,required"`                 // the gateway's records
	Providers map[string]Provider `yaml:"providers,required,nonempty"` // who holds which zones, by a name of one's own
	Domains   Domains             `yaml:"domains"`                     // which of the names move
	Traffic   Traffic             `yaml:"traffic"`                     // how much mail each domain has
	Waves     Waves               `yaml:"waves"`                       // how many domains move together
	Gate      Gate                `yaml:"gate"`                        // what lets the next wave start
	TTL       TTL                 `yaml:"ttl"`                         // caches and how long they are waited for
	Preflight Preflight           `yaml:"preflight"`                   // what must hold just before a domain moves
	Resolvers []Resolver          `yaml:"resolvers,required,nonempty"` // by view, then in the file's order; in YAML a map view -> addresses
	DNS       DNS                 `yaml:"dns"`                         // how fast name servers are asked, and what signatures are held to
	Vantages  []Vantage           `yaml:"vantages"`                    // other places to probe from; none = only here
	Outbound  []netip.Addr        `yaml:"outbound,nonempty"`           // addresses from which the old server sends
	DKIM      DKIM                `yaml:"dkim"`                        // keys with which the domains' mail is signed
	HTTPS     HTTPS               `yaml:"https"`                       // how the domains' MTA-STS policies are fetched
	Probe     Probe               `yaml:"probe,required"`              // the messages that prove the way
	Isolate   *Isolate            `yaml:"isolate"`                     // closing the old server; nil = never
	Notify    Notify              `yaml:"notify"`                      // who is told
	State     State               `yaml:"state"`                       // where the journal is
	Ports     Ports               `yaml:"ports"`                       // where DNS and SMTP are spoken
}

// Old is the server that mail leaves.
type Old struct {
	Hosts     []string     `yaml:"hosts,required,nonempty" is:"host"` // its names, vanity MX names too
	Addresses []netip.Addr `yaml:"addresses,required,nonempty"`       // all of its addresses, both families
}

// MX is what the domains' MX RRsets become.
type MX struct {
	Records   []rrset.MX            `yaml:"records,required,nonempty"` // the gateway's, in place of the old server's
	Keep      []string              `yaml:"keep" is:"host"`            // third-party targets that stay
	Templates map[string][]rrset.MX `yaml:"templates" keys:"name"`     // other records, by domain
}

// A Provider holds zones.
type Provider struct {
	Kind     string   `yaml:"kind,required"`                     // as package providers names it
	Zones    []string `yaml:"zones,required,nonempty" is:"host"` // each zone has one provider in each view
	View     string   `yaml:"view"`                              // of the DNS, in which its zones are seen: one of resolvers; "" = the one in which domains move
	Compared bool     `yaml:"compare_only"`                      // its zones are read and held beside the other view's, and never written
	Writes   int      `yaml:"writes"`                            // RRsets written at once; default 8
	Trusted  bool     `yaml:"one_owner"`                         // its zones have no other owner; default: that is proven by a scratch record
	Settings Section  `yaml:"settings"`                          // for the provider alone
}

// Domains chooses among the names that receive mail at the old server.
type Domains struct {
	Include []string `yaml:"include,nonempty" is:"glob"` // globs over whole names without the final dot; default "*", which is all
	Exclude []string `yaml:"exclude" is:"glob"`          // the same; wins over Include
	Names   string   `yaml:"names" is:"path"`            // names, one a line, that may stand in no zone of ours; "" = none
	OwnName []string `yaml:"own_name" is:"name"`         // names that get an MX though others relay to them by name
}

// Traffic says where the domains' messages are counted.
type Traffic struct {
	Table       string   `yaml:"table" is:"path"`        // lines "domain messages", see [ReadTraffic]; "" = unknown
	Logs        []string `yaml:"logs" is:"path"`         // of the old server: globs; none = not known how it was before
	GatewayLogs []string `yaml:"gateway_logs" is:"path"` // of the gateway: globs; none = real mail is not looked at
	Format      string   `yaml:"format"`                 // of both: auto, or a format of package traffic; default auto
	Zone        string   `yaml:"zone"`                   // time zone of their times without one; "" = this machine's
	Real        Real     `yaml:"real"`                   // what real mail must be like
}

// Real says what a moved domain's real mail must be like.
type Real struct {
	Messages int           `yaml:"messages"` // fewer tell too little to fail a domain; default 20
	Excess   float64       `yaml:"excess"`   // share that may be refused, or bounce, above what it was before; default 0.2
	Quiet    time.Duration `yaml:"quiet"`    // after so long, no mail is little traffic; default 24h
}

// Waves says how many domains move together, the least used first.
type Waves struct {
	First  int                 `yaml:"first"`         // domains in the first wave; default 3
	Growth float64             `yaml:"growth"`        // each wave is this many times the one before, from 1 to 100; default 4
	Max    int                 `yaml:"max"`           // domains in one wave at most; default 500
	Share  float64             `yaml:"share"`         // of all mail; a wave that carries more is warned of; default 0.25
	Pin    map[string][]string `yaml:"pin" is:"name"` // wave ("pilot", "wave-N" from 2, "last") -> domains
}

// A Gate says what lets the next wave start.
type Gate struct {
	Approve     plan.Approval `yaml:"approve"`     // manual or auto; default manual
	Persons     int           `yaml:"persons"`     // how many must approve, 1 or 2; default 1
	Soak        time.Duration `yaml:"soak"`        // how long each domain is watched before it is live; default 30m
	Failures    int           `yaml:"failures"`    // so many failed domains stop all later waves; default 1
	Consecutive int           `yaml:"consecutive"` // so many that fail one after the other stop the wave itself; default 0 = never
	Shared      int           `yaml:"shared"`      // so many domains that fail alike mean a fault of the gateway, from 2; default 3
	Concurrency int           `yaml:"concurrency"` // domains of a wave that are worked on at once, waits apart; default 50
	Windows     []plan.Window `yaml:"windows"`     // when domains may be published; default always
	Zone        string        `yaml:"zone"`        // time zone of windows and peak hours; default UTC
	AvoidPeak   bool          `yaml:"avoid_peak"`  // publish no domain in its own peak hour; default false
}

// Plan is the gate as a plan has it.
func (g Gate) Plan() plan.Gate {
	p := plan.Gate{
		Approve: g.Approve, Soak: plan.Duration(g.Soak), Failures: g.Failures, Consecutive: g.Consecutive,
		Shared: g.Shared, Windows: g.Windows, Zone: g.Zone, AvoidPeak: g.AvoidPeak,
	}
	if g.Persons > 1 {
		p.Persons = g.Persons
	}
	return p
}

// TTL is about caches.
type TTL struct {
	Low         uint32        `yaml:"low" is:"seconds"` // while domains move, in seconds, at most a day; written 300s; default 300s
	Prepare     string        `yaml:"prepare"`          // all: lower every wave's TTL up front; wave: each wave's own; default all
	Assume      time.Duration `yaml:"assume"`           // caches hold the old TTL at least so long; default 24h
	SettleAfter time.Duration `yaml:"settle_after"`     // from the end of isolation to the original TTL; default 168h
}

// Preflight is what must hold just before a domain moves.
type Preflight struct {
	Lifetime  time.Duration `yaml:"lifetime"`            // how long its findings count; default 1h
	Addresses string        `yaml:"addresses" is:"path"` // addresses, one a line, that old server and gateway must judge alike; "" = none
	Each      int           `yaml:"each"`                // so many of each domain are asked for; default 3
}
