package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ErrByHand means that somebody else's firewall is loaded, and read, by a person
// alone: what is so now is seen from outside.
var ErrByHand = errors.New("this firewall is loaded by a person, and cannot be read from here")

// A Hand is a driver of a firewall that a person loads (driver: script): it makes the
// tables that are asked for, and loads nothing. All else that a [Driver] can do fails
// there with [ErrByHand], so that nothing is ever taken for loaded.
type Hand interface {
	Closing(r Rules) (Table, error)
	Opening(r Rules) (Table, error)
}

// Script asks a person to load the rules into a firewall that mxcutover does not
// drive: iptables, pf, an appliance, the router in front.
type Script struct {
	old []netip.Addr // the old server's addresses
	to  []netip.Addr // of redirect: the gateway's, one of each family that the old server has
}

func openScript(s Settings) (Driver, error) {
	if len(s.Old) == 0 {
		return nil, errors.New("script: old.addresses was expected")
	}
	return &Script{old: s.Old, to: s.To}, nil
}

// Closing is what closes the ports, or hands their connections to the gateway.
func (s *Script) Closing(r Rules) (Table, error) {
	r = r.canonical()
	if len(r.Ports) == 0 {
		return Table{}, fmt.Errorf("%w: no port is to be closed", ErrRules)
	}
	checked := r
	if r.Action == Redirect { // only the router in the path can do that, and a person loads that
		checked.Action = Reject
	}
	if err := checked.Check(); err != nil {
		return Table{}, err
	}
	t := Table{verb: "close"}
	if r.Action == Redirect {
		t.verb = "redirect"
		for _, a := range s.old {
			if !s.target(a).IsValid() {
				return Table{}, fmt.Errorf("%w: no address of the gateway to hand the connections of %s to; name one of that family in isolate.redirect_to", ErrRules, a)
			}
		}
	}
	for _, a := range s.old {
		for _, port := range r.Ports {
			for _, from := range s.spared(r, a) {
				t.Rows = append(t.Rows, rowOf(from, port, "accept", a))
			}
			row := rowOf(everybody(a), port, string(r.Action), a)
			if r.Action == Redirect {
				row.To = s.target(a).String()
			}
			t.Rows = append(t.Rows, row)
		}
	}
	t.ports = r.Ports
	t.NFT = s.text(r)
	return t, nil
}

// Opening is the inverse: everybody may connect again.
func (s *Script) Opening(r Rules) (Table, error) {
	r = r.canonical()
	if len(r.Ports) == 0 {
		return Table{}, fmt.Errorf("%w: no port is to be opened", ErrRules)
	}
	t := Table{verb: "open", ports: r.Ports, NFT: openText()}
	for _, a := range s.old {
		for _, port := range r.Ports {
			t.Rows = append(t.Rows, rowOf(everybody(a), port, "accept", a))
		}
	}
	return t, nil
}

// spared are the sources, of an address's family, that are let in: the machine
// itself, by whichever of its addresses, and the trusted networks.
func (s *Script) spared(r Rules, a netip.Addr) (out []netip.Prefix) {
	loop := netip.MustParsePrefix("127.0.0.0/8")
	if a.Is6() {
		loop = netip.MustParsePrefix("::1/128")
	}
	out = append(out, loop)
	for _, o := range s.old {
		if o.Is4() == a.Is4() {
			out = append(out, netip.PrefixFrom(o, o.BitLen()))
		}
	}
	for _, p := range r.Trust {
		if p.Addr().Is4() == a.Is4() {
			out = append(out, p)
		}
	}
	return out
}

// target is the gateway's address of the family of one of the old server's.
func (s *Script) target(a netip.Addr) netip.Addr {
	i := slices.IndexFunc(s.to, func(t netip.Addr) bool { return t.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}
	}
	return s.to[i]
}

func everybody(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// Apply is of [Driver]; nothing is loaded from here.
func (*Script) Apply(context.Context, Rules, time.Time) error { return ErrByHand }

// Keep is of [Driver]; a person makes it last.
func (*Script) Keep(context.Context, Rules) error { return ErrByHand }

// Kept is of [Driver]; nobody can tell from here.
func (*Script) Kept(context.Context, Rules) (bool, error) { return false, ErrByHand }

// Loaded is of [Driver]; nobody can tell from here.
func (*Script) Loaded(context.Context) (Rules, time.Time, error) {
	return Rules{}, time.Time{}, ErrByHand
}

// Seen is of [Driver]; nobody can tell from here.
func (*Script) Seen(context.Context) (map[netip.AddrPort]uint64, error) { return nil, ErrByHand }
