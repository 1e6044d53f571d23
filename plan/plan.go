// Package plan makes and judges the plan of a migration: which domains move,
// in which waves, by which steps, and what must hold before the next wave.
//
// The way through it: zones and addresses become an [Inventory] ([Survey]); the
// inventory and the settings become a [Plan] ([Make]); the plan is written to a
// file and read back ([Plan.Write], [Read]); findings are judged ([Judge]).
// It is pure: no I/O and no clock, so that the same inputs give the same plan.
package plan

import (
	"time"

	"mxcutover/rrset"
)

// A Plan is a whole ordered migration. Once it is begun it can get more waves
// ([Extend]), and nothing else changes.
type Plan struct {
	ID        string            // SHA-256 of all the rest, in hexadecimal
	Migration string            // its name, from the configuration
	Config    string            // hash of the settings it was made from
	Made      time.Time         // when, UTC, whole seconds; when it was extended, if it was
	Fixed     string            // hash of those settings that an extension must not change; "" = not known
	Kinds     map[string]string // provider -> its kind, which stays as well
	Waves     []Wave
	Isolate   []Step
	Left      []Left
	Findings  []Finding // of looking for companions
}

// A Wave is a set of domains moved together, and what lets the next one start.
type Wave struct {
	Name     string    `json:"name"`
	Gate     Gate      `json:"gate"`
	Cutovers []Cutover `json:"-"`
}

// A Cutover is one domain's ordered steps.
type Cutover struct {
	Domain   string   `json:"domain"` // canonical
	Wave     string   `json:"wave"`
	Zone     string   `json:"zone"`
	Provider string   `json:"provider"`
	PointsTo PointsTo `json:"points_to"` // before the cutover
	Traffic
	Traits []Trait `json:"traits,omitempty"`
	Steps  []Step  `json:"steps"`
}

// Traffic is a domain's mail, over the time that was counted.
type Traffic struct {
	Messages uint64 `json:"messages"`       // delivered; one for several recipients counts for each, if logs were counted
	Peak     *int   `json:"peak,omitempty"` // the hour with most messages, from 0 to 23 in the gate's zone; nil = unknown
}

// A Step is one reversible unit: data only. What it does and undoes is an
// Action of package rollout, one for each Kind.
type Step struct {
	ID     string        `json:"id"` // unique within its cutover, or within Plan.Isolate
	Kind   Kind          `json:"kind"`
	Change *rrset.Change `json:"change,omitempty"`
	Ports  []uint16      `json:"ports,omitempty"`

	// Of companions only.
	Provider string   `json:"provider,omitempty"` // that has the zone of Change; "" = the cutover's
	Late     bool     `json:"late,omitempty"`     // when original TTLs come back, and after that
	Wait     Duration `json:"wait,omitempty"`     // of await-companion: at least
	Check    string   `json:"check,omitempty"`    // that fails until the companion is served and waited for
	Why      string   `json:"why,omitempty"`
}

// A Kind names what a step does.
type Kind string

// The steps of a cutover, in their order, then those of isolation.
const (
	Preflight      Kind = "preflight"       // all checks before, and a probe at every planned MX host
	WriteCompanion Kind = "companion"       // another RRset that the cutover needs; before the MX, or late
	AwaitCompanion Kind = "await-companion" // until no cache holds what it was
	LowerTTL       Kind = "lower-ttl"       // the same members with a low TTL
	AwaitTTL       Kind = "await-ttl"       // until no cache holds the high TTL
	Publish        Kind = "publish"         // Before becomes After
	Propagate      Kind = "propagate"       // every authoritative server, then the resolvers
	Probe          Kind = "probe"           // a message by the public way, until it arrives
	Soak           Kind = "soak"            // probes again and again, until the deadline
	Settle         Kind = "settle"          // the original TTL again, after isolation

	Observe Kind = "observe" // the evidence that isolation is earned
	Arm     Kind = "arm"     // refuse new connections, for a time only
	Prove   Kind = "prove"   // closed from outside, open from the gateway
	Confirm Kind = "confirm" // keep it
)

// Writes tells whether a step of this kind changes DNS or the firewall.
func (k Kind) Writes() bool {
	switch k {
	case WriteCompanion, LowerTTL, Publish, Settle, Arm, Confirm:
		return true
	}
	return false
}

// A Left is a name of the inventory that the plan does not move, and why.
type Left struct {
	Domain   string   `json:"domain"`
	Zone     string   `json:"zone"`
	Provider string   `json:"provider"`
	View     string   `json:"view,omitempty"` // that has it, if it is not the one in which domains move
	PointsTo PointsTo `json:"points_to"`
	Question bool     `json:"question,omitempty"` // a person must decide
	Reason   string   `json:"reason"`
}

// Step is the cutover's first step of a kind.
func (c Cutover) Step(k Kind) (Step, bool) {
	for _, s := range c.Steps {
		if s.Kind == k {
			return s, true
		}
	}
	return Step{}, false
}

// Before is the domain's MX RRset as the plan found it, with its TTL; it is
// absent for an implicit MX.
func (c Cutover) Before() rrset.Set {
	for _, k := range []Kind{LowerTTL, Publish} {
		if s, ok := c.Step(k); ok && s.Change != nil {
			return s.Change.Before
		}
	}
	return rrset.Set{Name: c.Domain, Type: "MX"}
}

// After is the MX RRset that publishing writes, at the low TTL.
func (c Cutover) After() rrset.Set {
	if s, ok := c.Step(Publish); ok && s.Change != nil {
		return s.Change.After
	}
	return rrset.Set{Name: c.Domain, Type: "MX"}
}

// Cutovers walks all cutovers in the order of their waves.
func (p Plan) Cutovers() []Cutover {
	var out []Cutover
	for _, w := range p.Waves {
		out = append(out, w.Cutovers...)
	}
	return out
}
