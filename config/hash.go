package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// shape is what a plan is made from. Its JSON is what is hashed, so that a new
// field, or another name of one, makes every plan stale.
type shape struct {
	V         int                       `json:"v"`
	Migration string                    `json:"migration"`
	Hosts     []string                  `json:"hosts"`
	Addresses []netip.Addr              `json:"addresses"`
	Records   []rrset.MX                `json:"records"`
	Keep      []string                  `json:"keep"`
	Templates map[string][]rrset.MX     `json:"templates"`
	Providers map[string]shapedProvider `json:"providers"`
	Include   []string                  `json:"include"`
	Exclude   []string                  `json:"exclude"`
	OwnName   []string                  `json:"own_name"`
	First     int                       `json:"first"`
	Growth    float64                   `json:"growth"`
	Max       int                       `json:"max"`
	Pin       map[string][]string       `json:"pin"`
	Gate      plan.Gate                 `json:"gate"`
	TTL       shapedTTL                 `json:"ttl"`
	Sender    string                    `json:"sender"` // domain of probe.from, which never moves
	Ports     []uint16                  `json:"ports"`
	Stages    [][]uint16                `json:"stages,omitempty"`
}

type shapedProvider struct {
	Kind     string   `json:"kind"`
	Zones    []string `json:"zones"`
	View     string   `json:"view,omitempty"`
	Compared bool     `json:"compare_only,omitempty"`
}

type shapedTTL struct {
	Low         uint32        `json:"low"`
	Prepare     string        `json:"prepare"`
	Assume      plan.Duration `json:"assume"`
	SettleAfter plan.Duration `json:"settle_after"`
}

// Hash is the SHA-256, in hexadecimal, of the settings from which a plan is
// made: migration, old, mx, the providers' kinds, zones and views, domains, waves,
// gate, ttl, the domain of probe.from, and the ports of isolate. Comments,
// layout, the order of keys and of lists that are sets do not count, nor does
// what only says how to work: resolvers, probes, passwords, notify, state.
func (c *Config) Hash() string {
	s := shape{
		V: 1, Migration: c.Migration,
		Hosts: sorted(c.Old.Hosts), Addresses: slices.SortedFunc(slices.Values(c.Old.Addresses), netip.Addr.Compare),
		Records: records(c.MX.Records), Keep: sorted(c.MX.Keep), Templates: map[string][]rrset.MX{},
		Providers: map[string]shapedProvider{},
		Include:   sorted(c.Domains.Include), Exclude: sorted(c.Domains.Exclude), OwnName: sorted(c.Domains.OwnName),
		First: c.Waves.First, Growth: c.Waves.Growth, Max: c.Waves.Max, Pin: map[string][]string{},
		Gate: c.Gate.Plan(),
		TTL:  shapedTTL{c.TTL.Low, c.TTL.Prepare, plan.Duration(c.TTL.Assume), plan.Duration(c.TTL.SettleAfter)},
	}
	for d, list := range c.MX.Templates {
		s.Templates[d] = records(list)
	}
	for name, p := range c.Providers {
		s.Providers[name] = shapedProvider{Kind: p.Kind, Zones: sorted(p.Zones), View: p.View, Compared: p.Compared}
	}
	for w, list := range c.Waves.Pin {
		s.Pin[w] = sorted(list)
	}
	if _, domain, ok := strings.Cut(c.Probe.From, "@"); ok {
		s.Sender = domain
	}
	if c.Isolate != nil {
		s.Ports = slices.Sorted(slices.Values(c.Isolate.Ports))
		for _, set := range c.Isolate.Stages {
			s.Stages = append(s.Stages, slices.Sorted(slices.Values(set)))
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("config: hash: %v", err)) // only plain data is encoded, and no number but a finite one
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Fixed is the SHA-256, in hexadecimal, of those settings of [Config.Hash] that
// must not change once a migration is begun, even when its plan is extended:
// migration, old, mx.records, gate, ttl, the domain of probe.from, and the ports of
// isolate. What is left of the others is compared with the plan itself.
func (c *Config) Fixed() string {
	part := Config{
		Migration: c.Migration, Old: c.Old, MX: MX{Records: c.MX.Records}, Gate: c.Gate, TTL: c.TTL,
		Probe: Probe{From: c.Probe.From}, Isolate: c.Isolate,
	}
	return part.Hash()
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func records(list []rrset.MX) []rrset.MX {
	return slices.SortedFunc(slices.Values(list), rrset.MX.Compare)
}
