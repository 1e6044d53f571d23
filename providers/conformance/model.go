package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// A Rec is one record as a fake keeps it: name and data as they were sent.
type Rec struct {
	ID         string
	Name, Type string
	TTL        uint32
	Data       string // in presentation format; hosts absolute, with or without the final dot
}

// A Zone is what a fake keeps of one zone. All its methods may be called at the
// same time.
type Zone struct {
	ID, Name string // Name is canonical

	mu   sync.Mutex
	next int
	recs []Rec
	past map[key][]rrset.Set
}

type key struct{ name, typ string }

// NewZone makes a zone with SOA and NS records.
func NewZone(id, name string) *Zone {
	z := &Zone{ID: id, Name: name, past: map[key][]rrset.Set{}}
	z.recs = []Rec{
		{z.NewID(), name, "SOA", 3600, "ns1.example.net. hostmaster.example.net. 1 3600 600 86400 300"},
		{z.NewID(), name, "NS", 3600, "ns1.example.net."},
	}
	return z
}

// NewID is an ID that no record had.
func (z *Zone) NewID() string {
	z.next++
	return fmt.Sprintf("%s%04d", z.ID, z.next)
}

// Records are the zone's records.
func (z *Zone) Records() []Rec {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.recs)
}

// Update changes the zone at once: f gives the records anew. It may call NewID.
// Each Update is a moment at which somebody could look.
func (z *Zone) Update(f func(recs []Rec) ([]Rec, error)) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	next, err := f(slices.Clone(z.recs))
	if err != nil {
		return err
	}
	count := map[Rec]int{}
	for _, r := range z.recs {
		count[r]++
	}
	for _, r := range next {
		count[r]--
	}
	touched := map[key]bool{}
	for r, n := range count {
		if n != 0 {
			touched[keyOf(r)] = true
		}
	}
	z.recs = next
	for k := range touched {
		s := z.set(k)
		if past := z.past[k]; len(past) == 0 || !past[len(past)-1].Equal(s) {
			z.past[k] = append(past, s)
		}
	}
	return nil
}

// Of tells whether a record belongs to an RRset, by a name in any spelling.
func (r Rec) Of(name, typ string) bool {
	n, err := rrset.CanonicalName(name)
	return err == nil && keyOf(r) == key{n, strings.ToUpper(typ)}
}

func keyOf(r Rec) key {
	n, err := rrset.CanonicalName(r.Name)
	if err != nil {
		n = r.Name // found by whoever looks for it so
	}
	return key{n, strings.ToUpper(r.Type)}
}

// Edit makes an RRset so, in one moment: somebody else.
func (z *Zone) Edit(_ context.Context, s rrset.Set) error {
	return z.Update(func(recs []Rec) ([]Rec, error) {
		recs = slices.DeleteFunc(recs, func(r Rec) bool { return r.Of(s.Name, s.Type) })
		for _, d := range s.Data {
			recs = append(recs, Rec{z.NewID(), s.Name, s.Type, s.TTL, d})
		}
		return recs, nil
	})
}

// EditInPlace is Edit where records keep their IDs as far as there are any: what
// a page for people does.
func (z *Zone) EditInPlace(_ context.Context, s rrset.Set) error {
	return z.Update(func(recs []Rec) ([]Rec, error) {
		left := slices.Clone(s.Data)
		var out []Rec
		for _, r := range recs {
			if r.Of(s.Name, s.Type) {
				if len(left) == 0 {
					continue
				}
				r, left = Rec{r.ID, s.Name, s.Type, s.TTL, left[0]}, left[1:]
			}
			out = append(out, r)
		}
		for _, d := range left {
			out = append(out, Rec{z.NewID(), s.Name, s.Type, s.TTL, d})
		}
		return out, nil
	})
}

// Truth is what the zone holds.
func (z *Zone) Truth(_ context.Context, name, typ string) (rrset.Set, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.set(key{name, typ}), nil
}

// Seen is every state of an RRset so far.
func (z *Zone) Seen(name, typ string) []rrset.Set {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.past[key{name, typ}])
}

func (z *Zone) set(k key) rrset.Set {
	var ttl uint32
	var data []string
	for _, r := range z.recs {
		if keyOf(r) == k {
			ttl = max(ttl, r.TTL)
			data = append(data, canonicalData(k.typ, r.Data))
		}
	}
	s, err := rrset.New(k.name, k.typ, ttl, data...)
	if err != nil || len(s.Data) != len(data) { // or a record is there twice: it was written twice
		return rrset.Set{Name: k.name, Type: k.typ, TTL: ttl, Data: data} // equal to nothing
	}
	return s
}

// canonicalData is the one spelling of what a fake keeps.
func canonicalData(typ, data string) string {
	rr, err := dns.NewRR(fmt.Sprintf(". 0 IN %s %s", typ, data))
	if err != nil || rr == nil {
		return data
	}
	d := strings.TrimPrefix(rr.String(), rr.Header().String())
	switch typ {
	case "MX", "NS", "CNAME", "PTR", "TLSA":
		d = strings.ToLower(d)
	}
	return d
}
