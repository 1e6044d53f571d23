package rollout

import (
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// accompanied are the domains of the play that have companions: one of each wave,
// and the one whose probes fail, which is rolled back and begins anew.
var accompanied = []string{first, failingDomain, "d12.example.", "d16.example."}

// companionWait is what the plan wants at least; it is longer than the TTL.
const companionWait = 40 * time.Minute

func firstOf(domain string) string  { return "_mta-sts." + domain }
func secondOf(domain string) string { return "_spf." + domain }
func lateOf(domain string) string   { return "_smtp._tls." + domain }

// accompany gives a domain three companions: one that is created, one that is
// changed, and a late one.
func (w *sim) accompany(domain string, set *plan.Settings) {
	lag := w.records[domain].lag
	add := func(name, before, after string, late bool) {
		was, will := text(name, before), text(name, after)
		w.records[name] = &record{domain: name, of: domain, past: []version{{at: time.Now().Add(-time.Hour), set: was}}, lag: lag}
		if set.Companions == nil {
			set.Companions = map[string][]plan.Companion{}
		}
		set.Companions[domain] = append(set.Companions[domain], plan.Companion{
			Change: rrset.Change{Zone: domain, Before: was, After: will}, Provider: "play", Late: late, Wait: plan.Duration(companionWait), Why: "the play",
		})
	}
	add(firstOf(domain), "", `"v=STSv1; id=2"`, false)
	add(secondOf(domain), `"v=spf1 mx -all"`, `"v=spf1 ip4:192.0.2.1 -all"`, false)
	add(lateOf(domain), `"v=TLSRPTv1; rua=a"`, `"v=TLSRPTv1; rua=b"`, true)
	set.Zones = append(set.Zones, plan.Zone{Name: domain, Provider: "play", Sets: []rrset.Set{text(secondOf(domain), "x")}})
}

// unaccompanied takes all companions out of the world.
func (w *sim) unaccompanied() {
	for _, d := range accompanied {
		for _, name := range []string{firstOf(d), secondOf(d), lateOf(d)} {
			delete(w.records, name)
		}
	}
}

func text(name, data string) rrset.Set {
	s := rrset.Set{Name: name, Type: "TXT"}
	if data != "" {
		s.TTL, s.Data = 600, []string{data}
	}
	return s
}
