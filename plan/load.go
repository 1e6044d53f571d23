package plan

import (
	"fmt"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A Load is what a wave carries.
type Load struct {
	Wave     string
	Domains  int
	Messages uint64
	Unused   int     // domains of which no mail was counted
	Share    float64 // of the mail of all waves, from 0 to 1; of the domains, if no mail was counted
}

// Loads tells what each wave carries, and whether mail was counted at all. If it
// was not, shares are of domains.
func (p Plan) Loads() (loads []Load, counted bool) { return loadsOf(p.usedWaves()) }

func loadsOf(waves []usedWave) (loads []Load, counted bool) {
	var messages, domains float64
	for _, w := range waves {
		l := Load{Wave: w.name, Domains: w.n}
		for u := range w.uses {
			l.Messages += u.messages
			if u.messages == 0 {
				l.Unused++
			}
		}
		messages += float64(l.Messages)
		domains += float64(l.Domains)
		loads = append(loads, l)
	}
	counted = messages > 0
	for i := range loads {
		if counted {
			loads[i].Share = float64(loads[i].Messages) / messages
		} else {
			loads[i].Share = float64(loads[i].Domains) / domains
		}
	}
	return loads, counted
}

// loadFindings warns where no mail was counted, and of waves that carry more than
// a share of it.
func loadFindings(p Plan, waves []usedWave, share float64) (found []Finding) {
	warn := func(check, target, detail string) {
		found = append(found, Finding{Check: check, Target: target, Severity: Warn, At: p.Made, Detail: detail})
	}
	loads, counted := loadsOf(waves)
	if len(loads) == 0 {
		return nil
	}
	if !counted {
		warn("plan.traffic", p.Migration, "no mail of any domain was counted, so domains move in the order of their names, and nobody knows what a wave carries; name traffic.logs or traffic.table")
		return found
	}
	for i, l := range loads {
		if share <= 0 || l.Share <= share {
			continue
		}
		detail := fmt.Sprintf("it carries %s of all mail, above %s (waves.share)", percent(l.Share), percent(share))
		if l.Domains == 1 {
			detail += ", and it is one domain: choose its hour, and let it soak longer"
		} else {
			detail += "; lower waves.max or waves.growth, or pin its greatest to waves of their own: " + strings.Join(greatest(waves[i], 3), ", ")
		}
		warn("plan.share", l.Wave, detail)
	}
	return found
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// greatest are a wave's domains with most mail, at most n.
func greatest(w usedWave, n int) (names []string) {
	all := slices.SortedStableFunc(w.uses, func(a, b use) int { return a.compare(b, true) })
	for i := len(all) - 1; i >= 0 && len(names) < n; i-- {
		names = append(names, rrset.Bare(all[i].domain))
	}
	return names
}
