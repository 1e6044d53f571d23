// Package state holds the facts of a migration: events, decisions, the journal
// that keeps them, and the Status that they fold into.
//
// The engine appends an [Event] before and after every outside effect; a
// [Journal] makes it durable over a small [Store]; viewers and the engine itself
// see only the fold of events, a [Status]. Nothing else is kept.
package state

import (
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// Version is the version of events in journals and streams.
const Version = 1

// An Event is one fact of a migration. Events carry facts; package report makes
// the words. Which fields are set is said at each Kind.
type Event struct {
	Seq      uint64         `json:"seq"` // from 1, without gaps; set by the journal
	At       time.Time      `json:"at"`
	Up       time.Duration  `json:"up,omitempty"` // ns since the machine was started, at At; 0 = unknown
	Kind     Kind           `json:"kind"`
	Wave     string         `json:"wave,omitempty"`
	Domain   string         `json:"domain,omitempty"`
	Step     string         `json:"step,omitempty"`
	Intent   *Intent        `json:"intent,omitempty"`
	Decision *Decision      `json:"decision,omitempty"`
	Findings []plan.Finding `json:"findings,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Err      string         `json:"err,omitempty"`
	Engine   *Engine        `json:"engine,omitempty"` // of Started

	Extension *Extension `json:"extension,omitempty"` // of Extended
}

// An Engine is what is known of the process that writes the journal.
type Engine struct {
	Boot    string `json:"boot,omitempty"` // the machine's boot; Event.Up counts from it
	UID     int    `json:"uid"`            // -1 = unknown
	PID     int    `json:"pid,omitempty"`
	Version string `json:"version,omitempty"`
	Resume  bool   `json:"resume,omitempty"` // new waves may start, though the engine before ended without order
}

// A Kind is what an event tells.
type Kind string

// The kinds of events. With no Domain, a step's event is one of isolation.
const (
	Begun    Kind = "begun"    // the migration; Reason is the plan's ID
	Extended Kind = "extended" // the plan has more waves from now on; Extension
	Started  Kind = "started"  // an engine; Engine, and Reason in words
	Stopped  Kind = "stopped"  // an engine, in order; Reason says why

	Decided Kind = "decided" // a person's Decision was taken
	Control Kind = "control" // Decision.Verb is Take or Release, and By whose

	WaveStarted Kind = "wave-started" // Wave
	WaveHeld    Kind = "wave-held"    // Wave, Reason: no later wave starts; with Step "publish", nor is more of this one published
	WaveLive    Kind = "wave-live"    // Wave: each of its domains is live

	Intended Kind = "intended" // Step, Intent: just before an effect or a wait
	Observed Kind = "observed" // Step, Findings: what was seen while it goes on
	Done     Kind = "done"     // Step, Findings: its outcome; Intent.Snapshot is what was read back
	Failed   Kind = "failed"   // Step, Findings, Reason: its outcome

	Held    Kind = "held"     // Reason: waits for a person
	Drifted Kind = "drifted"  // Reason: somebody else changed the record
	InDoubt Kind = "in-doubt" // Step, Intent.Until, Err: a write without an answer

	RollingBack Kind = "rolling-back" // Reason: undoing begins
	Undoing     Kind = "undoing"      // Step, Intent: just before the undo's effect
	Undone      Kind = "undone"       // Step, Findings; Intent.Until is when the last cache lets go
	RolledBack  Kind = "rolled-back"  // all steps undone
	Skipped     Kind = "skipped"      // Reason: left as it is, as a person chose

	DiskLow  Kind = "disk-low"  // Reason: the journal has room for a rollback only
	DiskFree Kind = "disk-free" // it has room again

	Lifted Kind = "lifted" // isolation was lifted and proven open
	Closed Kind = "closed" // all is settled; the migration is over
)

// Known tells whether this release knows the kind. Viewers pass over a kind
// that they do not know; writers refuse the journal.
func (k Kind) Known() bool {
	switch k {
	case Begun, Extended, Started, Stopped, Decided, Control, WaveStarted, WaveHeld, WaveLive,
		Intended, Observed, Done, Failed, Held, Drifted, InDoubt,
		RollingBack, Undoing, Undone, RolledBack, Skipped, DiskLow, DiskFree, Lifted, Closed:
		return true
	}
	return false
}

// An Intent is what is journaled before an effect, enough to do it again or
// undo it after a crash.
type Intent struct {
	Snapshot *rrset.Set           `json:"snapshot,omitempty"` // as read from the provider
	Served   map[string]rrset.Set `json:"served,omitempty"`   // as served, by "host address" of the authoritative server
	Change   *rrset.Change        `json:"change,omitempty"`   // what is about to be written
	Until    time.Time            `json:"until,omitzero"`     // the deadline of a wait, by the wall's clock
	Wait     time.Duration        `json:"wait,omitempty"`     // the same, in ns from the event on; of a companion that snapshots tell of: for how long caches may have the gateway's MX
	Rest     time.Duration        `json:"rest,omitempty"`     // of a companion, in ns: how long what builds on it waits, by the plan, also when it goes back
	Stays    bool                 `json:"stays,omitempty"`    // of an undo: the companion was left there, since an MX that a person kept needs it
	Base     bool                 `json:"base,omitempty"`     // Snapshot is somebody else's record, taken over by a person's choice: a rollback ends with it
	Provider string               `json:"provider,omitempty"`
	Attempt  int                  `json:"attempt,omitempty"` // from 1
}

// A Decision is a person's, or a script's.
type Decision struct {
	Verb    Verb   `json:"verb"`
	Target  string `json:"target"`            // "all", "wave:low", "domain:example.org", "isolate"
	Confirm string `json:"confirm,omitempty"` // the target's bare name, typed, where the verb destroys
	Drift   Drift  `json:"drift,omitempty"`   // of Retry and Rollback: what becomes of somebody else's record
	By      string `json:"by"`                // set by the receiver, from the socket's peer
	UID     *int   `json:"uid,omitempty"`     // the same, as a number; nil = unknown
}

// A Drift is a person's choice about a record that somebody else changed.
type Drift string

// The choices. Without one, such a record is not written.
const (
	Adopt Drift = "adopt" // it stays or is built upon: what is there now counts as right
	Force Drift = "force" // it is overwritten; needs Confirm
	Skip  Drift = "skip"  // the domain is left as it is, out of the migration
)

// A Verb is what a decision asks for.
type Verb string

// The verbs of decisions.
const (
	Approve  Verb = "approve"  // a wave, or isolate: it may start
	Hold     Verb = "hold"     // nothing new starts for the target
	Resume   Verb = "resume"   // takes hold back
	Retry    Verb = "retry"    // a held, drifted or rolled-back domain, or a wave of them, goes on
	Rollback Verb = "rollback" // undo the target's done steps; needs Confirm
	Keep     Verb = "confirm"  // isolation is kept; needs Confirm
	Lift     Verb = "lift"     // isolation is lifted
	Loaded   Verb = "done"     // a person has loaded the firewall's table that was asked for; Confirm is its name
	Quit     Verb = "quit"     // the engine stops at the next safe point

	Take    Verb = "take"    // of Control: one session decides from now on
	Release Verb = "release" // of Control: any may
)
