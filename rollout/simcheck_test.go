package rollout

import (
	"context"
	"net/netip"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// simChecker asks and probes, for one life.
type simChecker struct{ *life }

func one(check, target string, s plan.Severity, detail string) []plan.Finding {
	return []plan.Finding{{Check: check, Target: target, Severity: s, Detail: detail}}
}

func severity(ok bool) plan.Severity {
	if ok {
		return plan.Pass
	}
	return plan.Fail
}

// ask runs a check, unless the engine is dead. Probes are points.
func (c simChecker) ask(what string, f func() []plan.Finding) []plan.Finding {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.dead || what != "" && c.point(what) != nil {
		return one("dead", "", plan.Unknown, "dead")
	}
	return f()
}

func (c simChecker) Run(_ context.Context, when verify.When, cut plan.Cutover) []plan.Finding {
	return c.ask("preflight of "+cut.Domain, func() []plan.Finding {
		if when == verify.Before {
			c.w.oracle.preflight[cut.Domain] = time.Now()
		}
		found := one("probe.arrival", cut.Domain, plan.Pass, "straight")
		if forever, ok := c.w.wanting[cut.Domain]; ok {
			r := c.w.records[secondOf(cut.Domain)]
			found = append(found, one("spf.future", cut.Domain, severity(!forever && !r.now().set.Equal(r.past[0].set)), "by the MX")...)
		}
		return found
	})
}

func (c simChecker) Only(_ context.Context, cut plan.Cutover, checks ...string) []plan.Finding {
	return c.ask("", func() []plan.Finding {
		r := c.w.records[cut.Domain]
		if checks[0] == "cache.resolver" {
			ok := r.cached().SameData(cut.After())
			return one(checks[0], cut.Domain, map[bool]plan.Severity{true: plan.Pass, false: plan.Warn}[ok], "")
		}
		return one(checks[0], cut.Domain, severity(r.seen(r.lag).SameData(cut.After()) && r.now().set.SameData(cut.After())), "")
	})
}

func (c simChecker) Served(_ context.Context, _, name, _ string) (out map[string]rrset.Set, found []plan.Finding) {
	c.w.apart(name)
	found = c.ask("", func() []plan.Finding {
		r := c.w.records[name]
		out = map[string]rrset.Set{"ns1": r.now().set, "ns2": r.seen(r.lag)}
		if c.w.elsewhere {
			out = map[string]rrset.Set{"ns1": r.past[0].set, "ns2": r.past[0].set}
		}
		if name == c.w.mute || name == c.w.flap && time.Now().Minute()%7 < 3 {
			delete(out, "ns2")
			return one("ns.sync", "ns2", plan.Unknown, "SERVFAIL")
		}
		return one("ns.sync", "ns2", plan.Pass, "")
	})
	return out, found
}

func (c simChecker) NegativeTTL(context.Context, string) (uint32, error) {
	return uint32(negativeTTL / time.Second), nil
}

func (c simChecker) Turn(_ context.Context, cut plan.Cutover) (time.Time, string) {
	if c.w.turn == nil {
		return time.Time{}, ""
	}
	return c.w.turn(cut.Domain), "it waits for its turn"
}

func (simChecker) Expect(string, time.Time) {}

func (c simChecker) LeadsToOld(_ context.Context, _, name string) (bool, string, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.within[name] {
		return true, "MX, in view inside", nil
	}
	r := c.w.records[name]
	return leads(r.now().set) || leads(r.seen(r.lag)), "MX", nil
}

// OldMail is what the world's log says.
func (c simChecker) OldMail(context.Context, verify.Closing) []plan.Finding {
	return c.ask("", func() []plan.Finding {
		return one("old.log", "", severity(!c.w.straggling), "192.0.2.7 comes past the gateway")
	})
}

func (c simChecker) Routed(_ context.Context, cut plan.Cutover) []plan.Finding {
	return c.ask("a probe to "+cut.Domain, func() []plan.Finding {
		if !c.w.records[cut.Domain].cached().SameData(cut.After()) {
			return one("probe.arrival", cut.Domain, plan.Unknown, "our resolver still answers the old MX")
		}
		if c.w.silent[cut.Domain] {
			return one("probe.arrival", cut.Domain, plan.Unknown, "the mailbox could not be asked")
		}
		return one("probe.arrival", cut.Domain, severity(!c.w.failing[cut.Domain] && !c.w.down), "550")
	})
}

// RealMail is bad while the world says so, and else little.
func (c simChecker) RealMail(_ context.Context, cut plan.Cutover, since time.Time) []plan.Finding {
	return c.ask("", func() []plan.Finding {
		if since.IsZero() {
			c.w.oracle.blame("P10", "the real mail of %s is asked about, which was not published", cut.Domain)
		}
		if losing, ok := c.w.losing[cut.Domain]; ok {
			return one("mail.real", cut.Domain, severity(!losing), "25 of 30 messages were refused")
		}
		return one("mail.real", cut.Domain, plan.Unknown, "no real mail has passed yet")
	})
}

func (c simChecker) Returned(_ context.Context, cut plan.Cutover, back rrset.Set) []plan.Finding {
	return c.ask("a probe back to "+cut.Domain, func() []plan.Finding {
		if !c.w.records[cut.Domain].cached().SameData(back) {
			return one("probe.arrival", cut.Domain, plan.Unknown, "our resolver still answers the new MX")
		}
		c.w.oracle.returned[cut.Domain] = true
		return one("probe.arrival", cut.Domain, severity(!c.w.isClosed()), "the old server")
	})
}

func (c simChecker) Nodes(_ context.Context, cut plan.Cutover, _ []netip.Prefix, _ verify.Callers) []plan.Finding {
	return c.ask("", func() []plan.Finding { return one("old.trust", cut.Domain, severity(!c.w.nodeLost), "192.0.2.21") })
}

func (c simChecker) TrueSources(context.Context, []uint16, []netip.Prefix, verify.Callers) []plan.Finding {
	return c.ask("", func() []plan.Finding { return one("old.source", "old", severity(!c.w.hidden), "192.0.2.1") })
}

func (c simChecker) Old() []netip.Addr { return nil }

func (c simChecker) OldClosed(context.Context, uint16) []plan.Finding {
	return c.ask("", func() []plan.Finding { return one("old.closed", "old", severity(c.w.isClosed()), "") })
}

func (c simChecker) OldOpen(context.Context) []plan.Finding {
	return c.ask("", func() []plan.Finding { return one("old.open", "old", severity(!c.w.isClosed()), "") })
}
