package rollout

import (
	"context"
	"fmt"
	"strings"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A companion may be that of many domains, as TLSA records of the gateway's hosts are
// (RFC 7672 section 3.1). Each domain has the same step. The first writes it, the
// others find it there and take over what it was before; it is taken back when the
// last of them goes back, and not before.

// A sharer is another domain whose step for the same RRset has begun.
type sharer struct {
	domain string
	index  int // in the order of the plan
	going  bool
	record state.StepRecord
}

// sharers are the others that have begun with the RRset of a turn, and where the turn
// itself stands in the order of the plan.
func sharers(t Turn) (out []sharer, own int) {
	t.View(func(s *state.Status) {
		n := 0
		for _, w := range t.Plan.Waves {
			for i := range w.Cutovers {
				c := &w.Cutovers[i]
				n++
				if c.Domain == t.Cutover.Domain {
					own = n
					continue
				}
				for _, step := range c.Companions() {
					if !sameSet(step, t.Step) {
						continue
					}
					d := s.Domain(c.Domain)
					if r, begun := d.Steps[step.ID]; begun {
						out = append(out, sharer{c.Domain, n, d.Back, r})
					}
				}
			}
		}
	})
	return out, own
}

// joined is the Intent of a companion that another domain has written: what it was
// before is what that one found, so that whoever goes back last restores it.
func joined(t Turn, now rrset.Set) (state.Intent, bool) {
	if !t.beside() {
		return state.Intent{}, false
	}
	all, _ := sharers(t)
	for _, x := range all {
		if i := x.record.Intent; x.record.Done && i.Change != nil && i.Snapshot != nil && ours(now, i.Change.After, x.record.Got) {
			return i, true
		}
	}
	return state.Intent{}, false
}

// staysFor tells why a companion is not taken back: others build on it. nil = none
// does. Of several that go back at once the last in the order of the plan takes it
// back, when the others are done.
func (w World) staysFor(ctx context.Context, t Turn) ([]plan.Finding, error) {
	for told := false; ; {
		all, own := sharers(t)
		var stay []string
		later := false
		for _, x := range all {
			if !x.going {
				stay = append(stay, rrset.Bare(x.domain))
			}
			later = later || x.going && x.index > own
		}
		switch {
		case len(stay) > 0:
			more := ""
			if len(stay) > 3 {
				more = fmt.Sprintf(" and %d more", len(stay)-3)
				stay = stay[:3]
			}
			return []plan.Finding{{
				Check: "ns.sync", Target: t.about(), Severity: plan.Pass, At: t.Now(),
				Detail: "it stays, since mail for " + strings.Join(stay, ", ") + more + " is on the way that needs it",
			}}, nil
		case later:
			return []plan.Finding{{
				Check: "ns.sync", Target: t.about(), Severity: plan.Pass, At: t.Now(),
				Detail: "it is taken back with the last of the domains that go back",
			}}, nil
		case len(all) == 0:
			return nil, nil
		}
		if !told {
			told = true
			if err := t.Observe(ctx, t.Now(), plan.Finding{
				Check: "ns.sync", Target: t.about(), Severity: plan.Pass, At: t.Now(),
				Detail: "it waits for " + rrset.Bare(all[0].domain) + ", which goes back too and needs it until its caches have let go",
			}); err != nil {
				return nil, err
			}
		}
		if err := sleep(ctx, w.Policy.PollEvery); err != nil {
			return nil, err
		}
	}
}

// builtUpon tells why a companion is not taken back: the domain's MX, which a person
// kept as somebody else wrote it, still leads to the gateway. nil = it does not.
func (w World) builtUpon(ctx context.Context, t Turn) ([]plan.Finding, error) {
	if t.Domain.Drift != state.Adopt && t.Domain.Drift != state.Skip {
		return nil, nil
	}
	p, err := w.provider(t.Cutover.Provider)
	if err != nil {
		return nil, err
	}
	mx, err := providers.Read(ctx, p, t.Cutover.Zone, t.Cutover.Domain, "MX")
	if err != nil {
		return nil, fmt.Errorf("read %s at %s: %w", t.Cutover.Domain, t.Cutover.Provider, err)
	}
	for _, m := range mx.MX() {
		for _, planned := range t.Cutover.After().MX() {
			if m.Host == planned.Host {
				return []plan.Finding{{
					Check: "ns.sync", Target: t.about(), Severity: plan.Warn, At: t.Now(),
					Detail: fmt.Sprintf("it stays, since the MX that was kept, %s, still leads to %s", inLine(mx), rrset.Bare(m.Host)),
				}}, nil
			}
		}
	}
	return nil, nil
}
