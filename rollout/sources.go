package rollout

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcutover/firewall"
	"mxcutover/plan"
)

// checkSource asks whether the old server sees true source addresses.
const checkSource = "old.source"

// reach asks, before anything is closed, whether the firewall can tell the gateway from
// the rest of the world: it sees each vantage by an address of its own, and each node
// of the gateway by one that stays let in. Where the firewall can note who connects, it
// is asked what it saw, which is not always what the server was told.
func (w World) reach(ctx context.Context, t Turn) (found []plan.Finding) {
	see, ok := w.Firewall.(firewall.Witness)
	if !ok {
		return append(w.sourceByMail(ctx, t), w.nodes(ctx, t, nil)...)
	}
	unseen := func(err error) []plan.Finding {
		return append(found, plan.Finding{Check: checkSource, Target: "firewall", Severity: plan.Unknown, Detail: "could not check: " + err.Error(), At: t.Now()})
	}
	if err := t.Observe(ctx, time.Time{}, plan.Finding{
		Check: checkSource, Target: "firewall", Severity: plan.Unknown, Detail: "it begins to note who connects, and refuses nobody",
	}); err != nil {
		return unseen(err)
	}
	defer func() { // what is left behind refuses nobody, and goes with the next look, a lift or a boot
		dctx, cancel := within(ctx, writeTime)
		defer cancel()
		if err := see.Dismiss(dctx); err != nil {
			found = append(found, plan.Finding{
				Check: checkSource, Target: "firewall", Severity: plan.Warn, Detail: "it still notes who connects, and refuses nobody: " + err.Error(), At: t.Now(),
			})
		}
	}()
	if err := see.Witness(ctx, firewall.Rules{Ports: t.Step.Ports, Trust: w.Trust}); err != nil {
		return unseen(err)
	}
	found = w.Checker.TrueSources(ctx, t.Step.Ports, w.Trust, see.Callers)
	return append(found, w.nodes(ctx, t, see.Callers)...)
}

// sourceByMail asks the old server itself, by a message from each vantage, where its
// firewall cannot be asked. A server need not take a stranger's mail: what is not known
// is told, and holds nothing.
func (w World) sourceByMail(ctx context.Context, t Turn) []plan.Finding {
	cuts := oneLiveOfEach(t)
	if len(cuts) == 0 {
		return nil
	}
	found := w.Checker.Only(ctx, cuts[0], checkSource)
	for i := range found {
		switch f := &found[i]; f.Severity {
		case plan.Warn:
			f.Severity = plan.Fail
		case plan.Unknown:
			f.Severity = plan.Warn
		}
	}
	return found
}

// checkContainers asks whether containers of the old server still get in.
const checkContainers = "old.containers"

// containers tells of networks within the old server that are not let in: a container
// there that hands mail to the machine comes by none of its loopback addresses, and
// would be refused. Whether any does, nobody knows but a person: it is told, and holds
// nothing.
func (w World) containers(ctx context.Context, t Turn) (found []plan.Finding) {
	in, ok := w.Firewall.(firewall.Bridger)
	if !ok {
		return nil
	}
	all, err := in.Bridges(ctx)
	if err != nil {
		return []plan.Finding{{Check: checkContainers, Target: "all", Severity: plan.Unknown, Detail: "could not check: " + err.Error(), At: t.Now()}}
	}
	shut := 0
	for _, b := range all {
		if slices.ContainsFunc(w.Trust, func(p netip.Prefix) bool { return p.Bits() <= b.Network.Bits() && p.Contains(b.Network.Addr()) }) {
			continue
		}
		if shut++; shut <= maxContainers {
			found = append(found, plan.Finding{
				Check: checkContainers, Target: b.Name, Severity: plan.Warn, At: t.Now(),
				Detail: fmt.Sprintf("%s is not in isolate.trust: what runs there cannot hand mail to ports %v of the old server once they are closed", b.Network, t.Step.Ports),
			})
		}
	}
	return append(found, plan.Finding{
		Check: checkContainers, Target: "all", Severity: plan.Pass, At: t.Now(),
		Detail: fmt.Sprintf("%d networks of its own, %d of them not in isolate.trust", len(all), shut),
	})
}

// maxContainers are named; more are counted.
const maxContainers = 20
