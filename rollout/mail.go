package rollout

import (
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/traffic"
	"mxcutover/verify"
)

// mailNames are what a plan and its journal know of the names in a mail log; zones
// are those of the providers. Without a status nothing has moved.
func mailNames(p *plan.Plan, s *state.Status, zones []string) traffic.Known {
	k := traffic.Known{Names: map[string]traffic.Name{}, Zones: map[string]bool{}}
	for _, z := range zones {
		k.Zones[rrset.Bare(z)] = true
	}
	for _, l := range p.Left {
		k.Names[rrset.Bare(l.Domain)] = traffic.Name{Domain: l.Domain, Standing: traffic.Unplanned}
	}
	for _, c := range p.Cutovers() {
		n := traffic.Name{Domain: c.Domain, Standing: traffic.Waiting}
		if s != nil {
			if d := s.Domain(c.Domain); d != nil && !d.Published().IsZero() {
				n.Standing, n.Moved = traffic.HasMoved, d.Published()
			}
		}
		k.Names[rrset.Bare(c.Domain)] = n
	}
	return k
}

// lettingGo tells when no cache that honours TTLs led to the old server any more, by
// domain; zero: the journal does not tell.
func lettingGo(p *plan.Plan, s *state.Status) func(domain string) time.Time {
	at := map[string]time.Time{}
	for _, c := range p.Cutovers() {
		if s == nil {
			break
		}
		if d := s.Domain(c.Domain); d != nil {
			at[c.Domain] = LetGo(d, c)
		}
	}
	return func(domain string) time.Time { return at[domain] }
}

// closing is what is to be closed, with what the journal knows.
func (w World) closing(t Turn) (q verify.Closing) {
	t.View(func(s *state.Status) { q = w.Closing(t.Plan, s) })
	q.Rules.Ports = w.rules(t).Ports // a later set of ports is judged when its turn comes
	return q
}

// Closing is what a plan closes, with what its journal knows; s may be nil.
func (w World) Closing(p *plan.Plan, s *state.Status) verify.Closing {
	q := w.OldMail
	q.Rules.Trust = w.Trust
	for _, s := range p.Isolate {
		if s.Kind == plan.Arm {
			q.Rules.Ports = append(q.Rules.Ports, s.Ports...)
		}
	}
	q.Quiet = max(w.Policy.IsolateAfter, traffic.StaleGone)
	q.Names, q.LetGo = mailNames(p, s, q.Zones), lettingGo(p, s)
	return q
}
