package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// savedDomain is a domain as the inventory's JSON has it.
type savedDomain struct {
	Domain   string        `json:"domain"`
	Zone     string        `json:"zone"`
	Provider string        `json:"provider"`
	MX       []savedMX     `json:"mx"`
	TTL      uint32        `json:"ttl"`
	PointsTo plan.PointsTo `json:"points_to"`
	Messages uint64        `json:"messages"`
	Why      string        `json:"why"`     // it is in the plan or not, and leads there
	Blocked  string        `json:"blocked"` // why nothing may be written there
	Plan     string        `json:"plan"`    // its wave, "left" or "question"; "-" = not known
	Source   plan.Source   `json:"source,omitempty"`
	View     string        `json:"view,omitempty"`  // that alone has it, if it is not the one in which domains move
	Views    []savedView   `json:"views,omitempty"` // others that have its name
}

type savedMX struct {
	Preference uint16 `json:"preference"`
	Host       string `json:"host"`
}

// InventoryJSON writes the inventory, domain by domain.
func InventoryJSON(w io.Writer, inv plan.Inventory, verdicts map[string]plan.Verdict) error {
	o := newObjectWriter(w)
	o.field("v", version)
	o.list("domains", func(yield func(any) bool) {
		var s savedDomain
		for i := range inv.Domains {
			d := &inv.Domains[i]
			s = savedDomain{
				Domain: rrset.Bare(d.Name), Zone: rrset.Bare(d.Zone), Provider: d.Provider, MX: s.MX[:0], TTL: d.MX.TTL,
				PointsTo: d.PointsTo, Messages: d.Messages, Blocked: d.Blocked, Source: d.Source, View: d.View, Views: savedViews(*d),
			}
			if d.Zone == "" {
				s.Zone = ""
			}
			s.Plan, s.Why = judged(d, verdicts)
			for _, m := range d.MX.MX() {
				s.MX = append(s.MX, savedMX{Preference: m.Preference, Host: rrset.Bare(m.Host)})
			}
			if s.MX == nil {
				s.MX = []savedMX{}
			}
			if !yield(&s) {
				return
			}
		}
	})
	o.list("delegated", func(yield func(any) bool) {
		for _, d := range inv.Delegated {
			if !yield(plan.Delegated{Name: rrset.Bare(d.Name), Zone: rrset.Bare(d.Zone), View: d.View}) {
				return
			}
		}
	})
	if len(inv.Views) > 0 {
		o.field("views", inv.Views)
	}
	if differ := savedDisparities(inv); len(differ) > 0 {
		o.field("differences", differ)
	}
	return o.end()
}

func savedMXs(s rrset.Set) []savedMX {
	out := []savedMX{}
	for _, m := range s.MX() {
		out = append(out, savedMX{Preference: m.Preference, Host: rrset.Bare(m.Host)})
	}
	return out
}

// maxInventory bounds a saved inventory, in bytes.
const maxInventory = 1 << 30

// ReadInventory reads what [InventoryJSON] wrote, domain by domain.
func ReadInventory(r io.Reader) (plan.Inventory, error) {
	limited := &io.LimitedReader{R: r, N: maxInventory + 1}
	inv, v, err := readInventory(json.NewDecoder(bufio.NewReader(limited)))
	switch {
	case limited.N == 0:
		return plan.Inventory{}, fmt.Errorf("above %d bytes", maxInventory)
	case v > version, err == nil && v < 1: // which may be why it is not understood
		return plan.Inventory{}, fmt.Errorf("an inventory of version %d, and this mxcutover reads up to %d", v, version)
	case err != nil:
		return plan.Inventory{}, err
	}
	return inv, nil
}

func readInventory(j *json.Decoder) (inv plan.Inventory, v int, err error) {
	broken := func(err error) error { return fmt.Errorf("no inventory: %w", err) }
	if err := delim(j, '{'); err != nil {
		return inv, v, broken(err)
	}
	same := sharing{texts: map[string]string{}, data: map[string][]string{}}
	for j.More() {
		key, err := j.Token()
		if err != nil {
			return inv, v, broken(err)
		}
		switch key {
		case "v":
			err = j.Decode(&v)
		case "domains":
			inv.Domains, err = readDomains(j, same)
			if bad := (*badDomain)(nil); errors.As(err, &bad) {
				return inv, v, bad
			}
		default:
			err = j.Decode(new(json.RawMessage))
		}
		if err != nil {
			return inv, v, broken(err)
		}
	}
	if err := delim(j, '}'); err != nil {
		return inv, v, broken(err)
	}
	if _, err := j.Token(); err != io.EOF {
		return inv, v, broken(errors.New("something follows it"))
	}
	return inv, v, nil
}

// badDomain is a domain that cannot be one.
type badDomain struct {
	name string
	err  error
}

func (b *badDomain) Error() string { return fmt.Sprintf("%.80q: %v", b.name, b.err) }
func (b *badDomain) Unwrap() error { return b.err }

func readDomains(j *json.Decoder, same sharing) (out []plan.Domain, err error) {
	if err := delim(j, '['); err != nil {
		return nil, err
	}
	for j.More() {
		var s savedDomain
		if err := j.Decode(&s); err != nil {
			return nil, err
		}
		d, err := s.domain()
		if err != nil {
			return nil, &badDomain{s.Domain, err}
		}
		out = append(out, same.domain(d))
	}
	return out, delim(j, ']')
}

// delim reads a bracket.
func delim(j *json.Decoder, want json.Delim) error {
	t, err := j.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%v stands where %v was expected", t, want)
	}
	return nil
}

// sharing lets domains have one copy of what they have in common.
type sharing struct {
	texts map[string]string
	data  map[string][]string
}

// maxShared bounds how much is remembered: where all differ, nothing is saved.
const maxShared = 1 << 14

func (s sharing) text(t string) string {
	if x, ok := s.texts[t]; ok {
		return x
	}
	if len(s.texts) < maxShared {
		s.texts[t] = t
	}
	return t
}

func (s sharing) domain(d plan.Domain) plan.Domain {
	d.Zone, d.Provider, d.Why, d.Blocked = s.text(d.Zone), s.text(d.Provider), s.text(d.Why), s.text(d.Blocked)
	d.PointsTo, d.Source = plan.PointsTo(s.text(string(d.PointsTo))), plan.Source(s.text(string(d.Source)))
	key := strings.Join(d.MX.Data, "\n")
	if x, ok := s.data[key]; ok {
		d.MX.Data = x
	} else if len(s.data) < maxShared {
		s.data[key] = d.MX.Data
	}
	return d
}

func (s savedDomain) domain() (d plan.Domain, err error) {
	d = plan.Domain{Provider: s.Provider, PointsTo: s.PointsTo, Why: s.Why, Blocked: s.Blocked, Source: s.Source, View: s.View, Traffic: plan.Traffic{Messages: s.Messages}}
	if d.Name, err = rrset.CanonicalName(s.Domain); err != nil {
		return d, err
	}
	if d.Zone, err = readZone(s.Zone); err != nil {
		return d, err
	}
	for _, v := range s.Views {
		e, err := v.elsewhere(d.Name)
		if err != nil {
			return d, fmt.Errorf("view %.40q: %w", v.View, err)
		}
		d.Elsewhere = append(d.Elsewhere, e)
	}
	d.MX, err = readMX(d.Name, s.TTL, s.MX)
	return d, err
}

// readZone reads a zone's name; "" is none.
func readZone(zone string) (string, error) {
	if zone == "" {
		return "", nil
	}
	return rrset.CanonicalName(zone)
}

func readMX(name string, ttl uint32, saved []savedMX) (rrset.Set, error) {
	if len(saved) == 0 {
		return rrset.Set{Name: name, Type: "MX"}, nil
	}
	var data []string
	for _, m := range saved {
		host := m.Host
		if !strings.HasSuffix(host, ".") {
			host += "."
		}
		data = append(data, strconv.Itoa(int(m.Preference))+" "+host)
	}
	return rrset.New(name, "MX", ttl, data...)
}

// DifferencesJSON writes the same as JSON.
func DifferencesJSON(w io.Writer, found []plan.Difference) error {
	out := make([]object, 0, len(found))
	side := func(d plan.Domain) any {
		if d.Name == "" {
			return nil
		}
		return object{"zone": bareZone(d), "provider": d.Provider, "mx": list(d.MX.Data), "ttl": d.MX.TTL, "points_to": d.PointsTo, "blocked": d.Blocked}
	}
	for _, d := range found {
		out = append(out, object{"domain": rrset.Bare(d.Name()), "kind": d.Kind, "what": list(d.What), "before": side(d.Before), "after": side(d.After)})
	}
	return encode(w, object{"v": version, "differences": out})
}
