package rollout

import (
	"context"
	"net/netip"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// A World is what Actions reach outside: DNS providers, the checker, and the old
// server's firewall.
type World struct {
	Providers map[string]providers.Provider
	Checker   Checker
	Firewall  firewall.Driver // nil = no isolation
	Trust     []netip.Prefix  // still let in to the old server
	Action    firewall.Action
	Handed    verify.Handed  // where a person loads the rules: all ports, and how it is seen from outside
	OldMail   verify.Closing // what a person has said of closing the old server; see [World.closing] for the rest
	Policy    Policy
	Writes    map[string]int  // by provider: how many writes at once; 0 = 8
	Owners    map[string]bool // by provider: its zones are proven to have one owner before the first write
	limits    *limits
	owners    *owners

	// Credentials tells of each secret that a provider's rollback needs whether it
	// can be read now; nil = none is needed.
	Credentials func(ctx context.Context, provider string) []plan.Finding
}

// A Checker asks and probes; package verify has the one that does.
type Checker interface {
	Turn(ctx context.Context, c plan.Cutover) (at time.Time, why string) // to run; before that it waits
	Run(ctx context.Context, when verify.When, c plan.Cutover) []plan.Finding
	Only(ctx context.Context, c plan.Cutover, checks ...string) []plan.Finding
	Served(ctx context.Context, zone, name, typ string) (map[string]rrset.Set, []plan.Finding)
	NegativeTTL(ctx context.Context, zone string) (uint32, error)
	Expect(domain string, until time.Time) // from then on no cache that honours TTLs holds what was there before
	LeadsToOld(ctx context.Context, zone, name string) (leads bool, why string, err error)
	Routed(ctx context.Context, c plan.Cutover) []plan.Finding
	RealMail(ctx context.Context, c plan.Cutover, since time.Time) []plan.Finding // none where no log is configured
	Returned(ctx context.Context, c plan.Cutover, back rrset.Set) []plan.Finding
	OldMail(ctx context.Context, q verify.Closing) []plan.Finding // whom closing the old server would cut off; never empty
	OldClosed(ctx context.Context, port uint16) []plan.Finding
	OldOpen(ctx context.Context) []plan.Finding
	Old() []netip.Addr // the old server's addresses

	// Nodes and TrueSources are never empty. Without callers, a firewall does not tell
	// whom it sees.
	Nodes(ctx context.Context, c plan.Cutover, trust []netip.Prefix, callers verify.Callers) []plan.Finding
	TrueSources(ctx context.Context, ports []uint16, trust []netip.Prefix, callers verify.Callers) []plan.Finding

	BeforeHand(ctx context.Context, q verify.Handed) []plan.Finding // fail or unknown: it could not be proven afterwards
	HandShut(ctx context.Context, q verify.Handed) bool
	HandClosed(ctx context.Context, q verify.Handed) []plan.Finding // never empty
	HandOpen(ctx context.Context, q verify.Handed) []plan.Finding   // never empty
}

// Actions are those of all kinds of steps, one a kind.
func (w World) Actions() map[plan.Kind]Action {
	w.Policy = w.Policy.withDefaults()
	w.limits = &limits{of: w.Writes}
	w.owners = &owners{zones: map[string]*flight{}}
	return map[plan.Kind]Action{
		plan.Preflight: preflight{w},
		plan.LowerTTL:  write{w},

		plan.WriteCompanion: write{w},
		plan.AwaitCompanion: awaitCompanion{await{w}},

		plan.AwaitTTL:  await{w},
		plan.Publish:   write{w},
		plan.Propagate: propagate{w},
		plan.Probe:     probe{w},
		plan.Soak:      soak{w},
		plan.Settle:    write{w},
		plan.Observe:   observe{w},
		plan.Arm:       arm{w},
		plan.Prove:     prove{w},
		plan.Confirm:   confirm{w},
	}
}

func (w World) provider(name string) (providers.Provider, error) {
	p, ok := w.Providers[name]
	if !ok {
		return nil, hold(nil, "the configuration has no provider %q", name)
	}
	return p, nil
}

// Quiet is how late a write through a provider may come that got no answer.
func (w World) Quiet(provider string) time.Duration {
	p, err := w.provider(provider)
	if err != nil {
		return 0
	}
	return providers.Quiet(p)
}
