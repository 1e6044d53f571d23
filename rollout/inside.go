package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/state"
)

// nobodyListens is the evidence of a port at which the old server itself was not let in
// before it was armed.
const nobodyListens = "nobody listens"

func beforeArming(port uint16) string { return fmt.Sprintf("port %d before arming", port) }

// listens tells of each port that is about to be armed whether the old server lets
// itself in there: what was silent before is not cut off by us.
func (w World) listens(ctx context.Context, t Turn) (found []plan.Finding) {
	in, ok := w.Firewall.(firewall.Insider)
	if !ok {
		return nil
	}
	for _, port := range t.Step.Ports {
		f := plan.Finding{Check: "old.inside", Target: beforeArming(port), Severity: plan.Pass, At: t.Now()}
		switch at, err := in.OwnMail(ctx, w.Checker.Old(), port); {
		case err == nil:
			f.Detail = "lets itself in at " + at
		case ctx.Err() == nil && !errors.Is(err, firewall.ErrNoWay):
			f.Detail, f.Evidence = "nobody listens there", nobodyListens
		default:
			continue // it is asked again when it is proven
		}
		found = append(found, f)
	}
	return found
}

// silentPorts are the targets of ports that were silent before they were armed.
func silentPorts(t Turn) (out []string) {
	t.View(func(s *state.Status) {
		for _, f := range s.Isolation.Findings {
			if f.Check == "old.inside" && f.Evidence == nobodyListens {
				out = append(out, f.Target)
			}
		}
	})
	return out
}

// inside asks what nobody outside sees: whether the old server's own mail works, and
// whether an administrator who comes anew gets in.
func (w World) inside(ctx context.Context, t Turn) (found []plan.Finding) {
	in, ok := w.Firewall.(firewall.Insider)
	if !ok {
		return nil // an embedded world's has no inside
	}
	judge := func(target string, err error, pass string) {
		f := plan.Finding{Check: "old.inside", Target: target, Severity: plan.Pass, Detail: pass, At: t.Now()}
		switch {
		case ctx.Err() != nil, errors.Is(err, firewall.ErrNoWay):
			f.Severity, f.Detail = plan.Unknown, fmt.Sprint("could not check: ", cmp.Or(ctx.Err(), err))
		case err != nil:
			f.Severity, f.Detail = plan.Fail, err.Error()
		}
		found = append(found, f)
	}
	silent := silentPorts(t)
	for _, port := range t.Step.Ports {
		at, err := in.OwnMail(ctx, w.Checker.Old(), port)
		told := "lets itself in at " + at
		if err != nil && slices.Contains(silent, beforeArming(port)) && !errors.Is(err, firewall.ErrNoWay) {
			err, told = nil, "nobody listened there before it was armed, either"
		}
		judge(fmt.Sprint("its own mail at port ", port), err, told)
	}
	if who, err := in.NewLogin(ctx); who != "" {
		judge("a new login", err, who+" lets in who comes anew")
	}
	return found
}
