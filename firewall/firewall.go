// Package firewall closes the old server's mail ports to all but trusted
// networks: the rules (pure data and text) and the drivers that load them.
//
// The way of it: [Rules] are rendered for review ([Render]); a [Driver] loads
// them with a deadline at which the kernel itself opens the ports again (arm),
// then without one (confirm); Rules without ports lift everything.
package firewall

import (
	"context"
	"net/netip"
	"time"
)

// Rules say which ports are refused to whom.
type Rules struct {
	Ports  []uint16       `json:"ports"`            // refused; none = lifted
	Trust  []netip.Prefix `json:"trust"`            // still let in, both families
	Action Action         `json:"action,omitempty"` // "" = reject
}

// An Action is what happens to a refused connection.
type Action string

// The actions.
const (
	Reject Action = "reject" // TCP reset: senders fall through at once
	Drop   Action = "drop"   // silence: the last resort
)

// A Driver loads rules at the old server.
type Driver interface {
	// Apply loads the rules. until is when the kernel opens the ports again by
	// itself; zero = not before the next boot. Rules without ports lift everything.
	Apply(ctx context.Context, r Rules, until time.Time) error
	// Keep writes rules that are closed for good down for the next boot, and Kept
	// tells whether they are.
	Keep(ctx context.Context, r Rules) error
	Kept(ctx context.Context, r Rules) (bool, error)
	// Loaded reads back what is in force and until when.
	Loaded(context.Context) (Rules, time.Time, error)
	// Seen counts refused connections by source address and closed port.
	Seen(context.Context) (map[netip.AddrPort]uint64, error)
}
