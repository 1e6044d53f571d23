package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"mxcutover/rrset"
)

// A Delegation is who answers for a zone: as its parent says, and as it says
// itself.
type Delegation struct {
	Zone     string
	Parent   []string                // names in the parent's delegation, sorted; none: see Silent
	Child    []string                // names in the zone's own NS RRset, sorted
	Glue     map[string][]netip.Addr // addresses that the parent's servers give for names below the zone
	Silent   string                  // why the parent could not be asked, or has no say: it is on the same server
	Nameless []string                // names without an address
	Servers  []Server                // each name's addresses, those of the glue too
}

// delegated is what was found out about a zone, by one of those who ask.
type delegated struct {
	mu    sync.Mutex
	found Delegation
	until time.Time
}

// Bounds of what is kept about zones, and of one zone: an NS RRset may name
// thousands, and lead to as many questions elsewhere. It is kept as long as the NS
// RRset may be, and no longer than a person would wait for a change of it to be seen.
const (
	maxZones   = 1 << 16
	keepZones  = 5 * time.Minute
	maxNames   = 64  // name servers, by parent and zone; the root has 13
	maxServers = 256 // their addresses
)

// Delegation finds the authoritative servers of a zone.
func (c *Client) Delegation(ctx context.Context, zone string) (Delegation, error) {
	c.mu.Lock()
	key := fmt.Sprint(c.Resolvers, zone)
	d := c.zones[key]
	if d == nil {
		if len(c.zones) >= maxZones {
			clear(c.zones) // asked for again, that is all
		}
		d = &delegated{}
		c.zones[key] = d
	}
	c.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.until) {
		return d.found, nil
	}
	// A zone whose signatures are broken has servers all the same, and they are asked
	// for what is wrong with it.
	u := *c
	u.unjudging = true
	found, ttl, err := u.delegation(ctx, zone)
	if err == nil {
		d.found, d.until = found, time.Now().Add(min(time.Duration(ttl)*time.Second, keepZones))
	}
	return found, err
}

func (c *Client) delegation(ctx context.Context, zone string) (d Delegation, ttl uint32, err error) {
	child, err := c.Recurse(ctx, zone, "NS")
	if err != nil {
		return d, 0, fmt.Errorf("name servers of %s: %w", zone, err)
	}
	if child.Set.Absent() {
		return d, 0, fmt.Errorf("name servers of %s: the resolver knows none", zone)
	}
	d = Delegation{Zone: zone, Child: child.Set.Data}
	c.askParents(ctx, &d)
	if err := c.addressed(ctx, &d); err != nil {
		return d, 0, err
	}
	// A cached NS RRset may be old: ask the servers themselves.
	for _, s := range d.Servers {
		if a, err := c.Ask(ctx, s.Addr, zone, "NS", false); err == nil && a.AA && !a.Set.Absent() {
			if !slices.Equal(d.Child, a.Set.Data) {
				d.Child = a.Set.Data
				err = c.addressed(ctx, &d)
			}
			return d, child.Set.TTL, err
		}
	}
	return d, child.Set.TTL, nil
}

// addressed finds the addresses of all name servers.
func (c *Client) addressed(ctx context.Context, d *Delegation) error {
	d.Servers, d.Nameless = nil, nil
	names := slices.Concat(d.Parent, d.Child)
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > maxNames {
		return fmt.Errorf("%s has %d name servers, and at most %d are asked", d.Zone, len(names), maxNames)
	}
	for _, n := range names {
		addrs, err := c.Addresses(ctx, n)
		if err != nil {
			return fmt.Errorf("addresses of name server %s: %w", n, err)
		}
		// Resolvers that come from the parent go where its glue leads, old or not.
		for _, g := range d.Glue[n] {
			if !slices.Contains(addrs, g) {
				addrs = append(addrs, g)
			}
		}
		if len(addrs) == 0 {
			d.Nameless = append(d.Nameless, n)
		}
		for _, a := range addrs {
			d.Servers = append(d.Servers, Server{Name: n, Addr: netip.AddrPortFrom(a, c.Port)})
		}
		if len(d.Servers) > maxServers {
			return fmt.Errorf("the name servers of %s have more than %d addresses", d.Zone, maxServers)
		}
	}
	if len(d.Servers) == 0 {
		return errors.New("none of the name servers has an address")
	}
	return nil
}

// askParents asks the servers of the zone above for the delegation.
func (c *Client) askParents(ctx context.Context, d *Delegation) {
	if d.Zone == "." {
		d.Silent = "the root has no parent"
		return
	}
	for up := rrset.Parent(d.Zone); ; up = rrset.Parent(up) {
		soa, err := c.Recurse(ctx, up, "SOA")
		if err != nil {
			d.Silent = err.Error()
			return
		}
		if !soa.Set.Absent() {
			d.Silent = c.askParent(ctx, up, d)
			return
		}
		if up == "." {
			d.Silent = "no zone above was found"
			return
		}
	}
}

// askParent asks one zone's servers, the first that answers; it says why there is
// no answer.
func (c *Client) askParent(ctx context.Context, parent string, d *Delegation) string {
	ns, err := c.Recurse(ctx, parent, "NS")
	if err != nil {
		return err.Error()
	}
	above := Delegation{Zone: parent, Child: ns.Set.Data}
	if err := c.addressed(ctx, &above); err != nil {
		return err.Error()
	}
	for _, s := range above.Servers {
		var m *dns.Msg
		if m, err = c.message(ctx, s.Addr, d.Zone, dns.TypeNS, flags{}); err != nil {
			continue
		}
		if m.Authoritative && len(m.Answer) > 0 {
			return "the zone and its parent " + parent + " are on the same server, " + s.String()
		}
		if d.Parent, d.Glue = referred(m, d.Zone); len(d.Parent) > 0 {
			return ""
		}
		err = fmt.Errorf("%s does not delegate it", s)
	}
	return err.Error()
}

// referred are the names of a referral, and the addresses that it gives for those
// within the zone.
func referred(m *dns.Msg, zone string) ([]string, map[string][]netip.Addr) {
	names, glue := map[string]bool{}, map[string][]netip.Addr{}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if ns, ok := rr.(*dns.NS); ok && dns.CanonicalName(ns.Hdr.Name) == zone {
			if n, err := rrset.CanonicalName(ns.Ns); err == nil {
				names[n] = true
			}
		}
	}
	for _, rr := range m.Extra {
		n, err := rrset.CanonicalName(rr.Header().Name)
		if err != nil || !names[n] || !rrset.Below(n, zone) {
			continue
		}
		var addr netip.Addr
		switch v := rr.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(v.A)
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(v.AAAA)
		}
		if addr.IsValid() {
			glue[n] = append(glue[n], addr.Unmap())
		}
	}
	return slices.Sorted(maps.Keys(names)), glue
}
