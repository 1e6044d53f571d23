package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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

// A sharer is another domain that has a step for the same RRset.
type sharer struct {
	cut    plan.Cutover
	index  int  // in the order of the plan
	begun  bool // with that step, and has not taken it back
	going  bool // back, and needs nobody for it
	stays  bool // it is back, and left companions under an MX that was kept
	record state.StepRecord
}

// sharers are the others that have begun with the RRset of a turn, or have left it
// there as they went back; and where the turn itself stands in the order of the plan.
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
					r, begun := d.Steps[step.ID]
					if begun || d.Stays {
						out = append(out, sharer{*c, n, begun, d.Back && !d.Waiting(), d.Stays, r})
					}
				}
			}
		}
	})
	return out, own
}

// joined is the Intent of a companion that another domain has written, whether all
// name servers serve it yet or not: what it was before is what that one found, so that
// whoever goes back last restores it.
func joined(t Turn, now rrset.Set) (state.Intent, bool) {
	if !t.beside() {
		return state.Intent{}, false
	}
	all, _ := sharers(t)
	for _, x := range all {
		if i := x.record.Intent; x.begun && i.Change != nil && i.Snapshot != nil && ours(now, i.Change.After, x.record.Got) {
			return i, true
		}
	}
	return state.Intent{}, false
}

// staysFor tells why a companion is not taken back: others build on it. nil = none
// does. Of several that go back at once the last in the order of the plan takes it
// back, when the others are done. One that waits for a person keeps nobody waiting: it
// takes the companion back itself, when it goes.
func (w World) staysFor(ctx context.Context, t Turn) ([]plan.Finding, error) {
	for told := false; ; {
		all, own := sharers(t)
		var stay []string
		later, first := false, ""
		for _, x := range all {
			switch {
			case !x.begun:
				host, _, err := w.leadsThere(ctx, x.cut)
				if err != nil {
					return nil, err
				}
				if host != "" {
					stay = append(stay, rrset.Bare(x.cut.Domain))
				}
			case !x.going:
				stay = append(stay, rrset.Bare(x.cut.Domain))
			default:
				later, first = later || x.index > own, cmp.Or(first, rrset.Bare(x.cut.Domain))
			}
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
		case first == "":
			return nil, nil
		}
		if !told {
			told = true
			if err := t.Observe(ctx, t.Now(), plan.Finding{
				Check: "ns.sync", Target: t.about(), Severity: plan.Pass, At: t.Now(),
				Detail: "it waits for " + first + ", which goes back too and needs it until its caches have let go",
			}); err != nil {
				return nil, err
			}
		}
		if err := sleep(ctx, w.Policy.PollEvery); err != nil {
			return nil, err
		}
	}
}

// builtUpon tells why a companion is not taken back: the domain's MX leads to the
// gateway still, as somebody else wrote it and a person kept it. nil = it does not.
func (w World) builtUpon(ctx context.Context, t Turn) ([]plan.Finding, error) {
	host, mx, err := w.leadsThere(ctx, t.Cutover)
	if err != nil || host == "" {
		return nil, err
	}
	return []plan.Finding{{
		Check: "ns.sync", Target: t.about(), Severity: plan.Warn, At: t.Now(),
		Detail: fmt.Sprintf("it stays, since the MX that was kept, %s, still leads to %s", mx.InLineTTL(), rrset.Bare(host)),
	}}, nil
}

// leadsThere is the first host of the gateway that a domain's MX leads to, and the MX
// as its provider has it; "" = none. Hosts that it had before do not count.
func (w World) leadsThere(ctx context.Context, c plan.Cutover) (host string, mx rrset.Set, err error) {
	var gateway []string
	for _, m := range c.After().MX() {
		if !slices.ContainsFunc(c.Before().MX(), func(b rrset.MX) bool { return b.Host == m.Host }) {
			gateway = append(gateway, m.Host)
		}
	}
	if len(gateway) == 0 {
		return "", mx, nil // nothing of it was published
	}
	p, err := w.provider(c.Provider)
	if err != nil {
		return "", mx, err
	}
	if mx, err = providers.Read(ctx, p, c.Zone, c.Domain, "MX"); err != nil {
		return "", mx, fmt.Errorf("read %s at %s: %w", c.Domain, c.Provider, err)
	}
	for _, m := range mx.MX() {
		if slices.Contains(gateway, m.Host) {
			return m.Host, mx, nil
		}
	}
	return "", mx, nil
}
