package plan

import (
	"strings"

	"mxcutover/rrset"
)

// sharing lets cutovers that are read have one copy of what they have in common.
// The steps of all domains are nearly the same.
type sharing struct {
	texts map[string]string
	data  map[string][]string
}

// maxShared bounds how much is remembered: where all differ, nothing is saved.
const maxShared = 1 << 14

func newSharing() sharing { return sharing{map[string]string{}, map[string][]string{}} }

func (s sharing) text(t string) string {
	if x, ok := s.texts[t]; ok {
		return x
	}
	if len(s.texts) < maxShared {
		s.texts[t] = t
	}
	return t
}

// cutover shares what it can; the name of its RRsets is the domain's own.
func (s sharing) cutover(c *Cutover) {
	c.Wave, c.Zone, c.Provider, c.PointsTo = s.text(c.Wave), s.text(c.Zone), s.text(c.Provider), PointsTo(s.text(string(c.PointsTo)))
	for i, t := range c.Traits {
		c.Traits[i] = Trait(s.text(string(t)))
	}
	for i := range c.Steps {
		x := &c.Steps[i]
		x.ID, x.Kind, x.Provider, x.Check, x.Why = s.text(x.ID), Kind(s.text(string(x.Kind))), s.text(x.Provider), s.text(x.Check), s.text(x.Why)
		if x.Change != nil {
			x.Change.Zone = s.text(x.Change.Zone)
			s.set(&x.Change.Before, c.Domain)
			s.set(&x.Change.After, c.Domain)
		}
	}
}

func (s sharing) set(r *rrset.Set, domain string) {
	if r.Name == domain {
		r.Name = domain
	} else {
		r.Name = s.text(r.Name)
	}
	r.Type = s.text(r.Type)
	key := strings.Join(r.Data, "\n")
	if x, ok := s.data[key]; ok && len(x) == len(r.Data) {
		r.Data = x
	} else if len(s.data) < maxShared {
		s.data[key] = r.Data
	}
}

// left shares what a name that is left has in common with others.
func (s sharing) left(l *Left) {
	l.Zone, l.Provider, l.PointsTo, l.Reason = s.text(l.Zone), s.text(l.Provider), PointsTo(s.text(string(l.PointsTo))), s.text(l.Reason)
}
