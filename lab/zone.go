package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// A zone is a DNS zone at one server. Readers take its present contents without
// a lock; writers make new contents and put them in place.
type zone struct {
	origin  string // canonical
	writing sync.Mutex
	now     atomic.Pointer[contents]
	signer  *signer         // nil = unsigned
	changed func(*contents) // told of new contents while writing is held; may be nil
}

// contents is one version of a zone. It is not changed once a zone shows it.
type contents struct {
	origin  string
	nodes   map[string]node // by canonical owner name; none is empty
	below   map[string]int  // owner names below a name: empty non-terminals have these alone (RFC 4592 section 2.2.2)
	touched bool            // it differs from the version it was made from

	ordered sync.Once // order is made
	order   []string  // see owners
}

// A node is what one name owns, by type.
type node map[uint16][]dns.RR

// parseZone reads a master file (RFC 1035 section 5) whose names are relative
// to origin.
func parseZone(origin, text string, ttl uint32) (*zone, error) {
	c := &contents{origin: origin, nodes: map[string]node{}, below: map[string]int{}}
	p := dns.NewZoneParser(strings.NewReader(text), origin, "")
	p.SetDefaultTTL(ttl)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		c.add(rr)
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("zone %s: %w", origin, err)
	}
	if c.soa() == nil {
		return nil, fmt.Errorf("zone %s: no SOA record", origin)
	}
	z := &zone{origin: origin}
	z.now.Store(c)
	return z, nil
}

// edit changes the zone by one function as a whole, or, if that fails, not at
// all. Unless edit changed the SOA record itself, the serial number grows.
func (z *zone) edit(change func(*contents) error) error {
	z.writing.Lock()
	defer z.writing.Unlock()
	before := z.now.Load()
	after := &contents{origin: before.origin, nodes: maps.Clone(before.nodes), below: maps.Clone(before.below)}
	if err := change(after); err != nil {
		return err
	}
	if !after.touched {
		return nil
	}
	if after.soa().Serial == before.soa().Serial {
		soa := dns.Copy(after.soa()).(*dns.SOA)
		soa.Serial = nextSerial(soa.Serial)
		after.replace(z.origin, dns.TypeSOA, []dns.RR{soa})
	}
	z.now.Store(after)
	if z.changed != nil {
		z.changed(after)
	}
	return nil
}

// nextSerial adds one (RFC 1982); zero is avoided, as it has a meaning of its own to some.
func nextSerial(n uint32) uint32 {
	if n++; n == 0 {
		return 1
	}
	return n
}

func (c *contents) soa() *dns.SOA {
	if rrs := c.nodes[c.origin][dns.TypeSOA]; len(rrs) == 1 {
		return rrs[0].(*dns.SOA)
	}
	return nil
}

// exists tells whether a name is in the zone, as an owner or as an empty
// non-terminal.
func (c *contents) exists(name string) bool {
	return len(c.nodes[name]) > 0 || c.below[name] > 0
}

// replace sets all records of one name and type; none deletes them.
func (c *contents) replace(name string, typ uint16, rrs []dns.RR) {
	old := c.nodes[name]
	if sameSet(old[typ], rrs) {
		return
	}
	c.touched = true
	n := maps.Clone(old)
	if n == nil {
		n = node{}
	}
	if len(rrs) == 0 {
		delete(n, typ)
	} else {
		n[typ] = rrs
	}
	switch {
	case len(n) == 0 && len(old) > 0:
		delete(c.nodes, name)
		c.count(name, -1)
	case len(n) > 0:
		c.nodes[name] = n
		if len(old) == 0 {
			c.count(name, 1)
		}
	}
}

// count tells the names above an owner name that it came or went.
func (c *contents) count(name string, by int) {
	for name != c.origin && name != "." {
		name = parent(name)
		if c.below[name] += by; c.below[name] <= 0 {
			delete(c.below, name)
		}
	}
}

// add puts one record into its RRset, whose TTL becomes that of the record, as
// an RRset has only one (RFC 2181 section 5.2).
func (c *contents) add(rr dns.RR) {
	rr = dns.Copy(rr)
	h := rr.Header()
	h.Name = dns.CanonicalName(h.Name)
	out := []dns.RR{}
	for _, old := range c.nodes[h.Name][h.Rrtype] {
		if dns.IsDuplicate(old, rr) {
			continue
		}
		old = dns.Copy(old)
		old.Header().Ttl = h.Ttl
		out = append(out, old)
	}
	c.replace(h.Name, h.Rrtype, append(out, rr))
}

// remove takes one record out of its RRset.
func (c *contents) remove(rr dns.RR) {
	name, typ := dns.CanonicalName(rr.Header().Name), rr.Header().Rrtype
	old := c.nodes[name][typ]
	left := slices.DeleteFunc(slices.Clone(old), func(o dns.RR) bool { return dns.IsDuplicate(o, rr) })
	if len(left) != len(old) {
		c.replace(name, typ, left)
	}
}

// sameMembers compares RRsets without regard to order, TTL and the case of names.
func sameMembers(x, y []dns.RR) bool {
	if len(x) != len(y) {
		return false
	}
	for _, a := range x {
		if !slices.ContainsFunc(y, func(b dns.RR) bool { return dns.IsDuplicate(a, b) }) {
			return false
		}
	}
	return true
}

// sameSet compares RRsets with their TTL.
func sameSet(x, y []dns.RR) bool {
	return sameMembers(x, y) && (len(x) == 0 || x[0].Header().Ttl == y[0].Header().Ttl)
}

// records are all records, the SOA first, in a steady order.
func (c *contents) records() []dns.RR {
	out := []dns.RR{c.soa()}
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		for _, typ := range slices.Sorted(maps.Keys(c.nodes[name])) {
			if typ != dns.TypeSOA {
				out = append(out, c.nodes[name][typ]...)
			}
		}
	}
	return out
}

// parent is the name without its first label; that of the root is the root.
func parent(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}
