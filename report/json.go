package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// version of all JSON that is written here. Fields may be added, never renamed.
const version = 1

type object = map[string]any

func encode(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(asciiMarks(b.Bytes()))
	return err
}

// asciiMarks writes what a terminal would obey or hide as \u escapes. Such runes
// stand within strings only, so the JSON says the same as before.
func asciiMarks(text []byte) []byte {
	if !bytes.ContainsFunc(text, hidden) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func hidden(r rune) bool { return r != '\n' && !printable(r) }

// PlanJSON writes a plan; what is left stands among its findings.
func PlanJSON(w io.Writer, p plan.Plan) error {
	loads, counted := loadsJSON(p)
	o := newObjectWriter(w)
	o.list("canaries", func(yield func(any) bool) {
		for _, c := range p.Coverage() {
			if !yield(object{"trait": c.Trait, "wave": c.Wave, "domain": rrset.Bare(c.Domain), "domains": c.Domains}) {
				return
			}
		}
	})
	o.list("changes", func(yield func(any) bool) {
		for _, wave := range p.Waves {
			for _, c := range wave.Cutovers {
				if !changesJSON(c, yield) {
					return
				}
			}
		}
	})
	o.field("counted", counted)
	o.list("findings", func(yield func(any) bool) { planFindingsJSON(p, yield) })
	o.field("id", p.ID)
	o.field("v", version)
	o.list("waves", func(yield func(any) bool) {
		for _, wave := range p.Waves {
			names := make([]string, 0, len(wave.Cutovers))
			for i := range wave.Cutovers {
				names = append(names, rrset.Bare(wave.Cutovers[i].Domain))
			}
			if !yield(object{"name": wave.Name, "gate": wave.Gate, "domains": names, "messages": loads[wave.Name].Messages, "share": loads[wave.Name].Share}) {
				return
			}
		}
	})
	return o.end()
}

// changesJSON tells what a cutover changes; false: no more is wanted.
func changesJSON(c plan.Cutover, yield func(any) bool) bool {
	before, after := c.Before(), c.After()
	if !yield(object{
		"domain": rrset.Bare(c.Domain), "zone": rrset.Bare(c.Zone), "type": after.Type,
		"before": list(before.Data), "after": list(after.Data), "ttl_before": before.TTL, "ttl_after": after.TTL,
	}) {
		return false
	}
	for _, s := range c.Companions() {
		before, after := s.Change.Before, s.Change.After
		if !yield(object{
			"domain": rrset.Bare(c.Domain), "zone": rrset.Bare(s.Change.Zone), "type": after.Type, "name": rrset.Bare(after.Name),
			"before": list(before.Data), "after": list(after.Data), "ttl_before": before.TTL, "ttl_after": after.TTL,
			"provider": s.Provider, "late": s.Late, "why": s.Why,
		}) {
			return false
		}
	}
	return true
}

func planFindingsJSON(p plan.Plan, yield func(any) bool) {
	for _, l := range p.Left {
		severity, check := plan.Pass, "plan.left"
		if l.Question {
			severity, check = plan.Warn, "plan.question"
		}
		if !yield(object{
			"check": check, "target": rrset.Bare(l.Domain), "severity": severity, "detail": l.Reason, "points_to": l.PointsTo,
		}) {
			return
		}
	}
	for _, f := range p.Findings {
		if !yield(object{
			"check": f.Check, "target": rrset.Bare(f.Target), "severity": f.Severity, "detail": f.Detail, "rfc": f.RFC,
		}) {
			return
		}
	}
}

// list is never null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
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

// JSON writes findings, their summary, and what was not asked.
func (v Verification) JSON(w io.Writer) error {
	o := object{
		"v": version, "at": v.At.UTC(), "findings": list(v.Findings), "summary": Count(v.Findings), "not_asked": list(v.notAsked()),
	}
	if v.Domains > 0 {
		o["domains"] = v.Domains
	}
	if v.Migration != "" {
		o["migration"] = v.Migration
	}
	return encode(w, o)
}
