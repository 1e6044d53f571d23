package report

import (
	"encoding/json"
	"io"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// version of all JSON that is written here. Fields may be added, never renamed.
const version = 1

type object = map[string]any

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// InventoryJSON writes the inventory.
func InventoryJSON(w io.Writer, inv plan.Inventory) error {
	domains := make([]object, 0, len(inv.Domains))
	for _, d := range inv.Domains {
		mx := []object{}
		for _, m := range d.MX.MX() {
			mx = append(mx, object{"preference": m.Preference, "host": rrset.Bare(m.Host)})
		}
		domains = append(domains, object{
			"domain": rrset.Bare(d.Name), "zone": rrset.Bare(d.Zone), "provider": d.Provider, "mx": mx, "ttl": d.MX.TTL,
			"points_to": d.PointsTo, "messages": d.Messages, "why": d.Why, "blocked": d.Blocked,
		})
	}
	return encode(w, object{"v": version, "domains": domains})
}

// PlanJSON writes a plan; what is left stands among its findings.
func PlanJSON(w io.Writer, p plan.Plan) error {
	waves, changes, findings := []object{}, []object{}, []object{}
	for _, wave := range p.Waves {
		names := []string{}
		for _, c := range wave.Cutovers {
			names = append(names, rrset.Bare(c.Domain))
			before, after := c.Before(), c.After()
			changes = append(changes, object{
				"domain": rrset.Bare(c.Domain), "zone": rrset.Bare(c.Zone), "type": after.Type,
				"before": list(before.Data), "after": list(after.Data), "ttl_before": before.TTL, "ttl_after": after.TTL,
			})
		}
		waves = append(waves, object{"name": wave.Name, "gate": wave.Gate, "domains": names})
	}
	for _, l := range p.Left {
		severity, check := plan.Pass, "plan.left"
		if l.Question {
			severity, check = plan.Warn, "plan.question"
		}
		findings = append(findings, object{
			"check": check, "target": rrset.Bare(l.Domain), "severity": severity, "detail": l.Reason, "points_to": l.PointsTo,
		})
	}
	return encode(w, object{"v": version, "id": p.ID, "waves": waves, "changes": changes, "findings": findings})
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// StatusJSON writes how a migration stands.
func StatusJSON(w io.Writer, s *state.Status) error {
	c := s.Clone()
	for i := range c.Domains {
		c.Domains[i].Domain = rrset.Bare(c.Domains[i].Domain)
	}
	return encode(w, c)
}

// VerifyJSON writes findings and their summary.
func VerifyJSON(w io.Writer, at time.Time, found []plan.Finding) error {
	out := make([]plan.Finding, 0, len(found))
	n := map[plan.Severity]int{plan.Pass: 0, plan.Warn: 0, plan.Fail: 0, plan.Unknown: 0}
	for _, f := range found {
		n[f.Severity]++
		f.Target = rrset.Bare(f.Target)
		out = append(out, f)
	}
	return encode(w, object{"v": version, "at": at.UTC(), "findings": out, "summary": n})
}
