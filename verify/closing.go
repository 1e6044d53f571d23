package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// A Closing is what is to be closed at the old server, and what is known of the
// names that it had mail for.
type Closing struct {
	Rules    traffic.Closed
	Known    []netip.Prefix // sources that may be cut off: a person has said so
	Without  []string       // names, bare, that may lose what still comes for them: likewise
	LookBack time.Duration  // how far back the log counts
	Quiet    time.Duration  // a straggler that is silent for so long is gone
	Blind    bool           // it is closed though there is no log to read: a person has said so
	Zones    []string       // of the providers, canonical
	Names    traffic.Known
	LetGo    func(domain string) time.Time // when the last cache let go of a domain, named as in Names; zero = not known
}

// Bounds of what a closing asks and tells.
const (
	maxAsked = 4096 // names that are asked about in live DNS
	askNames = 16   // at once
	maxCuts  = 50   // findings of one kind; more are counted
)

// StaleLog is how long ago a log must have ended to be another one, or one that nobody
// writes any more; and what is so much later than now has a wrong time.
const StaleLog = 24 * time.Hour

// The findings of a closing, of no domain. Names that had mail have those of the
// inventory's.
const (
	checkOldLog     = "old.log"
	checkStraggling = "old.stragglers"
	checkReplay     = "old.replay"
	checkNames      = "old.names"
)

// OldMail tells by the old server's log whether it may be closed: who legitimate
// would be cut off, and which names that had mail there still lead to it, in any view
// of the DNS. What fails, or is not known, forbids it. There is always a finding.
func (c *Checker) OldMail(ctx context.Context, q Closing) []plan.Finding {
	found, err := c.oldMailOf(ctx, q)
	if err != nil {
		found = append(found, unknown(checkOldLog, "could not check: %v", err))
	}
	return c.stamp(found, checkOldLog, "", checkOldLog)
}

func (c *Checker) oldMailOf(ctx context.Context, q Closing) ([]plan.Finding, error) {
	if len(c.Mail.Old) == 0 {
		const lacks = "who would be cut off, and which names had mail there, is not known: traffic.logs names no log of the old server"
		if q.Blind {
			return []plan.Finding{warn(checkOldLog, lacks+"; isolate.blind goes on without")}, nil
		}
		return []plan.Finding{unknown(checkOldLog, lacks+"; name its log there, or set isolate.blind: true")}, nil
	}
	cuts, names, found, err := c.replayOld(ctx, q)
	if err != nil {
		return nil, err
	}
	found = append(found, q.cut(cuts)...)
	return append(found, c.hadMail(ctx, q, names)...), ctx.Err()
}

// replayOld reads what is new in the log, and replays all of it against the rules.
func (c *Checker) replayOld(ctx context.Context, q Closing) (cuts []traffic.Cut, names []traffic.HadMail, found []plan.Finding, err error) {
	o := &c.oldMail
	if err := o.mu.take(ctx); err != nil {
		return nil, nil, nil, err
	}
	defer o.mu.free()
	if err := o.readFor(ctx, c, q); err != nil {
		return nil, nil, nil, err
	}
	now := c.Now()
	r := &o.replay
	reverse := o.reverse(ctx, c, q.Sources(r))
	names, planned, left := r.Names(now.Add(-q.LookBack))
	switch s := o.log.stats(); {
	case r.Last.Before(now.Add(-StaleLog)):
		found = append(found, unknown(checkOldLog, "the old server's log ends at %s: is it the right one?", clock(r.Last)))
	case r.First.After(now.Add(-q.LookBack)):
		found = append(found, unknown(checkOldLog, "the old server's log begins at %s, and %s are to be looked back over: name older files in traffic.logs, or set isolate.look_back to less", clock(r.First), q.LookBack))
	case r.Unsure():
		found = append(found, unknown(checkOldLog, "the old server's log has so many senders and names that %d of its records are not told apart", r.LeftUses+r.Left.Accepted+left))
	default:
		found = append(found, pass(checkOldLog, "the old server's log was read from %s to %s: %d lines, %d of them not understood; it had mail for %s", clock(r.First), clock(r.Last), s.Lines, s.Skipped, describe(uint64(len(names)+planned), "name", "names")))
	}
	lacks := func(what, cure string) {
		if q.Blind {
			found = append(found, warn(checkOldLog, "%s; isolate.blind goes on all the same", what))
		} else {
			found = append(found, unknown(checkOldLog, "%s; %s, then set isolate.blind: true", what, cure))
		}
	}
	if o.log.writes("sendmail") {
		lacks("Sendmail's log names local recipients as they are after aliases, without a domain: names that had mail may be missing from it", "see that no other names lead to the old server")
	}
	if r.Sourceless(now.Add(-q.LookBack)) {
		lacks("the old server's log does not tell from where its mail comes, as with a filter that does not say for whom it speaks: who would be cut off is not known", "see by other means that nobody submits mail there, or comes past the gateway")
	}
	return q.Cuts(r, now, reverse), names, found, nil
}

// Sources are the stragglers whose names in DNS are worth asking for.
func (q *Closing) Sources(r *traffic.Replay) []netip.Addr {
	return traffic.Sources(r.List(traffic.Call{Trusted: q.trusts}))
}

func (q *Closing) trusts(_ string, a netip.Addr) bool { return !q.Rules.Cuts(a, 0) }

// Cuts are the legitimate uses of the old server that the rules would end, agreed to
// or not.
func (q *Closing) Cuts(r *traffic.Replay, now time.Time, reverse func(netip.Addr) traffic.Reverse) []traffic.Cut {
	var late []traffic.Straggler
	for _, x := range r.List(traffic.Call{Trusted: q.trusts, Reverse: reverse}) {
		if !x.Last.Before(q.LetGo(x.Domain)) && !x.Gone(now, q.Quiet) {
			late = append(late, x)
		}
	}
	return r.Cuts(q.Rules, now.Add(-q.LookBack), late)
}

// cut judges whom the rules would cut off.
func (q *Closing) cut(cuts []traffic.Cut) (found []plan.Finding) {
	n := map[string]int{}
	for i := range cuts {
		x := &cuts[i]
		f := fail(x.Name, "%s", Words(x))
		f.Check, f.RFC = checkReplay, ""
		if x.Use == traffic.Sends {
			f.Check, f.Target = checkStraggling, rrset.Bare(x.Name)
		}
		if x.Use == traffic.Relays {
			f.Target = x.Source.String()
		}
		if q.Agreed(x) {
			f.Severity = plan.Warn
			f.Detail += "; that was agreed to"
		}
		if n[f.Check]++; n[f.Check] <= maxCuts || f.Severity == plan.Fail && n[f.Check+" fail"] == 0 {
			found = append(found, f)
		}
		if f.Severity == plan.Fail {
			n[f.Check+" fail"]++
		}
	}
	for _, of := range [][2]string{{checkStraggling, "legitimate senders that come past the gateway"}, {checkReplay, "other uses of the old server"}} {
		f := pass("all", "%d %s would be cut off, %d of them without anybody's word", n[of[0]], of[1], n[of[0]+" fail"])
		f.Check = of[0]
		found = append(found, f)
	}
	return found
}

// Agreed tells whether a person has said that a use may end. A user's never may.
func (q *Closing) Agreed(x *traffic.Cut) bool {
	switch x.Use {
	case traffic.Sends, traffic.Relays:
		return traffic.Within(q.Known, x.Source)
	case traffic.HasNoPlan:
		return slices.Contains(q.Without, rrset.Bare(x.Name))
	}
	return false
}

// Words say who would be cut off.
func Words(x *traffic.Cut) string {
	port := "at a port that the log does not tell"
	if x.Port > 0 {
		port = fmt.Sprintf("at port %d", x.Port)
	}
	last := fmt.Sprintf("%d, last %s", x.Count, clock(x.Last))
	switch x.Use {
	case traffic.SignedIn:
		user := x.Name
		if user == "" {
			user = "a user whom the log does not name"
		}
		return fmt.Sprintf("%s submits mail %s (%s), from %s: have the client set to a port that stays open, or trust the network", user, port, last, several(x))
	case traffic.HasNoPlan:
		return fmt.Sprintf("the plan does not move %s, and mail for it comes from %s (%s)", x.Name, several(x), last)
	case traffic.Relays:
		return fmt.Sprintf("%s hands over mail for names elsewhere, as %s (%s): it relays through the old server, or the plan lacks the name", x.Source, x.Name, last)
	case traffic.NotMoved:
		return fmt.Sprintf("%s has not moved yet, and has mail (%s)", x.Name, last)
	}
	return fmt.Sprintf("%s comes past the gateway (%s), from %s; guess: %s (%s)", named(x.Straggler), last, strings.Join(x.Straggler.Senders, ", "), x.Straggler.Guess, x.Straggler.Evidence())
}

func several(x *traffic.Cut) string {
	if x.Sources > 1 {
		return fmt.Sprintf("%s and %d more", x.Source, x.Sources-1)
	}
	return x.Source.String()
}

// hadMail asks live DNS, in every view, about names that had mail at the old server
// and that the inventory does not have.
func (c *Checker) hadMail(ctx context.Context, q Closing, names []traffic.HadMail) []plan.Finding {
	var ask []traffic.HadMail
	for _, h := range names {
		if _, known := q.Names.Names[h.Name]; !known && !strings.HasPrefix(h.Name, "[") {
			ask = append(ask, h)
		}
	}
	found := make([]plan.Finding, min(len(ask), maxAsked))
	next := make(chan int)
	var wg sync.WaitGroup
	for range askNames {
		wg.Go(func() {
			for i := range next {
				found[i] = c.leads(ctx, ask[i])
			}
		})
	}
	for i := range found {
		next <- i
	}
	close(next)
	wg.Wait()
	lead, bad := 0, found[:0]
	for _, f := range found {
		if f.Severity == plan.Pass {
			continue
		}
		if lead++; lead <= maxCuts {
			bad = append(bad, f)
		}
	}
	if more := len(ask) - maxAsked; more > 0 {
		bad = append(bad, unknown("all", "%d more names had mail at the old server, and were not asked about", more))
	}
	bad = append(bad, pass("all", "%d names that had mail at the old server since %s are not of the plan; %d of them lead there, or could not be asked about", len(ask), clock(c.Now().Add(-q.LookBack)), lead))
	for i := range bad {
		bad[i].Check, bad[i].RFC = checkNames, "RFC 5321 section 5.1"
	}
	return bad
}

// leads asks about one name; what fits no domain name leads nowhere.
func (c *Checker) leads(ctx context.Context, h traffic.HadMail) plan.Finding {
	name, err := rrset.CanonicalName(h.Name)
	if err != nil {
		return pass(h.Name, "it is no domain name")
	}
	for _, v := range c.views {
		why, err := c.leadsIn(ctx, v, name)
		switch {
		case err != nil:
			return unknown(c.in(v, h.Name), "had mail at the old server (%d, last %s), and could not be asked about: %v", h.Count, clock(h.Last), err)
		case why != "":
			return fail(c.in(v, h.Name), "had mail at the old server (%d, last %s), still leads there, and is not in the plan: %s", h.Count, clock(h.Last), why)
		}
	}
	return pass(h.Name, "it does not lead to the old server")
}
