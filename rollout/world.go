package rollout

import (
	"net/netip"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/verify"
)

// A World is what Actions reach outside: DNS providers, the checker, and the old
// server's firewall.
type World struct {
	Providers map[string]providers.Provider
	Checker   *verify.Checker
	Firewall  firewall.Driver // nil = no isolation
	Trust     []netip.Prefix  // still let in to the old server
	Action    firewall.Action
	Policy    Policy
}

// Actions are those of all kinds of steps, one a kind.
func (w World) Actions() map[plan.Kind]Action {
	w.Policy = w.Policy.withDefaults()
	return map[plan.Kind]Action{
		plan.Preflight: preflight{w},
		plan.LowerTTL:  write{w},
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
