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
	"slices"
	"time"
)

// Rules say which ports are refused to whom.
type Rules struct {
	Ports   []uint16       `json:"ports"`             // refused; none = lifted
	Lasting []uint16       `json:"lasting,omitempty"` // those of Ports that are closed for good, whatever becomes of the others
	Trust   []netip.Prefix `json:"trust"`             // still let in, both families
	Action  Action         `json:"action,omitempty"`  // "" = reject
}

// Closes tells whether all of some ports are refused.
func (r Rules) Closes(ports []uint16) bool { return holds(r.Ports, ports) }

// Holds tells of rules that were read back whether all of some ports are refused for
// good.
func (r Rules) Holds(ports []uint16) bool { return len(ports) > 0 && holds(r.Lasting, ports) }

func holds(all, some []uint16) bool {
	return !slices.ContainsFunc(some, func(p uint16) bool { return !slices.Contains(all, p) })
}

// Confirmed are the rules with all ports closed for good.
func (r Rules) Confirmed() Rules {
	r.Lasting = r.Ports
	return r
}

// An Action is what happens to a refused connection.
type Action string

// The actions.
const (
	Reject Action = "reject" // TCP reset: senders fall through at once
	Drop   Action = "drop"   // silence: the last resort

	// Redirect hands connections to the gateway. Only the router in the path can do
	// that, and a person loads it there; see [Script].
	Redirect Action = "redirect"
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
