package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
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
	d, err := c.Delegation(ctx, zone)
	return d.Servers, err
}

// Authoritative asks one server with authority. [ErrLame]: it has none.
func (c *Client) Authoritative(ctx context.Context, s Server, name, typ string) (Answer, error) {
	a, err := c.Ask(ctx, s.Addr, name, typ, false)
	var refused refusedError
	switch {
	case errors.As(err, &refused) && (refused == dns.RcodeRefused || refused == dns.RcodeNotAuth):
		err = fmt.Errorf("%s %w: %w", s, ErrLame, err) // it does not know the zone
	case err != nil || a.AA:
	case a.Zone != "":
		err = fmt.Errorf("%s %w: it refers to the servers of %s", s, ErrLame, a.Zone)
	default:
		err = fmt.Errorf("%s %w", s, ErrLame)
	}
	return a, err
}
