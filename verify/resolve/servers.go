package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"mxcutover/rrset"
)

// A Server is one address of an authoritative server.
type Server struct {
	Name string // canonical
	Addr netip.AddrPort
}

// String is the server as the journal names it: "ns1.example. 192.0.2.53".
func (s Server) String() string { return s.Name + " " + s.Addr.Addr().String() }

// Recurse asks the resolvers, the first that answers.
func (c *Client) Recurse(ctx context.Context, name, typ string) (Answer, error) {
	err := errors.New("no resolver is configured")
	for _, r := range c.Resolvers {
		var a Answer
		if a, err = c.Ask(ctx, r, name, typ, true); err == nil {
			return a, nil
		}
	}
	return Answer{}, err
}

// Addresses are a host's, of both families. None and no error: it has none.
func (c *Client) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, typ := range []string{"A", "AAAA"} {
		a, err := c.Recurse(ctx, host, typ)
		if err != nil {
			return nil, err
		}
		for _, d := range a.Set.Data {
			if addr, err := netip.ParseAddr(d); err == nil {
				out = append(out, addr)
			}
		}
	}
	return out, nil
}

// Servers are a zone's authoritative servers: those of the zone's own NS RRset,
// as its servers give it, and those of the parent's delegation, where that can
// be asked; each address once.
func (c *Client) Servers(ctx context.Context, zone string) ([]Server, error) {
	child, err := c.Recurse(ctx, zone, "NS")
	if err != nil {
		return nil, fmt.Errorf("name servers of %s: %w", zone, err)
	}
	if child.Set.Absent() {
		return nil, fmt.Errorf("name servers of %s: the resolver knows none", zone)
	}
	names := slices.Clone(child.Set.Data)
	names = append(names, c.delegated(ctx, zone)...)
	out, err := c.addressed(ctx, names)
	if err != nil {
		return nil, err
	}
	// A cached NS RRset may be old: ask the servers themselves.
	for _, s := range out {
		if a, err := c.Ask(ctx, s.Addr, zone, "NS", false); err == nil && a.AA {
			return c.addressed(ctx, append(names, a.Set.Data...))
		}
	}
	return out, nil
}

func (c *Client) addressed(ctx context.Context, names []string) ([]Server, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	var out []Server
	for _, n := range slices.Compact(names) {
		addrs, err := c.Addresses(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("addresses of name server %s: %w", n, err)
		}
		for _, a := range addrs {
			out = append(out, Server{Name: n, Addr: netip.AddrPortFrom(a, c.Port)})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("none of the name servers has an address")
	}
	return out, nil
}

// delegated are the names in the parent's delegation; none if it cannot be asked.
func (c *Client) delegated(ctx context.Context, zone string) []string {
	for up := rrset.Parent(zone); ; up = rrset.Parent(up) {
		soa, err := c.Recurse(ctx, up, "SOA")
		if err != nil {
			return nil
		}
		if !soa.Set.Absent() {
			return c.askParent(ctx, up, zone)
		}
		if up == "." {
			return nil
		}
	}
}

func (c *Client) askParent(ctx context.Context, parent, zone string) []string {
	ns, err := c.Recurse(ctx, parent, "NS")
	if err != nil {
		return nil
	}
	servers, err := c.addressed(ctx, ns.Set.Data)
	if err != nil {
		return nil
	}
	for _, s := range servers {
		if a, err := c.Ask(ctx, s.Addr, zone, "NS", false); err == nil {
			return a.NS
		}
	}
	return nil
}

// Authoritative asks one server with authority. [ErrLame]: it has none.
func (c *Client) Authoritative(ctx context.Context, s Server, name, typ string) (Answer, error) {
	a, err := c.Ask(ctx, s.Addr, name, typ, false)
	if err == nil && !a.AA {
		err = fmt.Errorf("%s %w", s, ErrLame)
	}
	return a, err
}
