package site

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// A World is a whole site, and the world around it: each server real, and on a host of
// its own. Two routers part the site from the world, and every wire has both families.
//
//	senders ──┐                       ┌── old          Postfix, Dovecot, sshd
//	vantage ──┤                       ├── gw1, gw2     Exim
//	spammer ──┼── border ═══ campus ──┼── primary      BIND
//	resolver ─┤                       └── operator     mxcutover; Unbound of the inside view
//	secondary ┘
//
// The senders' host has the mail server of everybody else (Postfix), the vantage's sshd,
// the resolver's Unbound, the secondary's Knot. Needs root.
type World struct {
	WorldOptions
	Net *Network

	Border, Campus                                            *Space // the routers
	Senders, Vantage, Spammer, Resolver, Second, Old, Primary *Space
	Operator                                                  *Space
	Gateways                                                  [2]*Space

	BIND           *BIND
	Knot           *Knot
	Public, Inside *Unbound // resolvers of the world, and of the inside view
	Exim           [2]*Exim // the gateway's nodes
	Postfix        *Postfix // the old server
	Dovecot        *Dovecot
	Elsewhere      *Postfix // of all who send
	VantageSSH     *SSHD
	OldSSH         *SSHD

	Key, InsideKey Key // of the two views of the zones
	Anchor         string
	GatewayCA      []byte
	MailboxCA      []byte
	OldFolders     map[string]string // folders of the old server's system, and where they are

	numbered atomic.Int64 // messages of all streams
}

// WorldOptions shape a [World].
type WorldOptions struct {
	Zones      []string          // that move: zone names without final dots, with an MX that leads to the old server
	Records    map[string]string // more lines of a zone's master file
	Hosts      []string          // names below zones, with an MX of their own that leads there, too
	TwoMX      []string          // zones that lead to the old server by two names
	Signed     []string          // zones that BIND signs
	Split      []string          // zones that have an inside view, which leads to the old server as well
	Greylisted []string          // domains for which the gateway greylists
	TTL        time.Duration     // of the zones' records
	SSHKey     string            // a public key, in one line, that may log in at the vantage and the old server
	Processes  int               // so many conversations the old server has at once; 0 = 100
}

// Addresses of the hosts: IPv4 and IPv6. Each is alone with its router on a wire.
var (
	SendersAddr   = hostAddrs{"203.0.113.2", "2001:db8:a:1::2"}
	VantageAddr   = hostAddrs{"203.0.113.10", "2001:db8:a:2::2"}
	SpammerAddr   = hostAddrs{"203.0.113.18", "2001:db8:a:3::2"}
	ResolverAddr  = hostAddrs{"203.0.113.26", "2001:db8:a:4::2"}
	SecondaryAddr = hostAddrs{"203.0.113.34", "2001:db8:a:5::2"}
	OldAddr       = hostAddrs{"192.0.2.10", "2001:db8:b:1::2"}
	GatewayAddr   = [2]hostAddrs{{"192.0.2.18", "2001:db8:b:2::2"}, {"192.0.2.26", "2001:db8:b:3::2"}}
	PrimaryAddr   = hostAddrs{"192.0.2.34", "2001:db8:b:4::2"}
	OperatorAddr  = hostAddrs{"192.0.2.42", "2001:db8:b:5::2"}
	InsideAddr    = hostAddrs{"192.0.2.43", "2001:db8:b:5::3"} // the operator's host has this one, too
)

type hostAddrs struct{ v4, v6 string }

// V4 is the host's IPv4 address.
func (h hostAddrs) V4() netip.Addr { return netip.MustParseAddr(h.v4) }

// V6 is the host's IPv6 address.
func (h hostAddrs) V6() netip.Addr { return netip.MustParseAddr(h.v6) }

func (h hostAddrs) at(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.V4(), port) }

// ends are the prefixes of a wire between the host and its router, which has the first
// address of each.
func (h hostAddrs) ends() (host, router []netip.Prefix, via []netip.Addr) {
	for a, bits := range map[netip.Addr]int{h.V4(): 29, h.V6(): 64} {
		first := netip.PrefixFrom(a, bits).Masked().Addr().Next()
		host, router, via = append(host, netip.PrefixFrom(a, bits)), append(router, netip.PrefixFrom(first, bits)), append(via, first)
	}
	return host, router, via
}

// StartWorld lays the wires and starts all servers. Nothing is left of it if that fails.
func StartWorld(ctx context.Context, o WorldOptions) (*World, error) {
	w := &World{WorldOptions: o, Key: NewKey("mxcutover"), InsideKey: NewKey("inside"), OldFolders: map[string]string{}}
	for _, step := range []func(context.Context) error{w.wires, w.names, w.mail, w.logins} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, w.Stop())
		}
	}
	return w, nil
}

// wires makes the hosts and what lies between them.
func (w *World) wires(context.Context) (err error) {
	if w.Net, err = NewNetwork(); err != nil {
		return err
	}
	for name, at := range map[string]**Space{"border": &w.Border, "campus": &w.Campus} {
		if *at, err = w.Net.Space(name); err != nil {
			return err
		}
		if err := (*at).Forward(); err != nil {
			return err
		}
	}
	between := func(last string) []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("198.51.100." + last + "/30"), netip.MustParsePrefix("2001:db8:ff::" + last + "/64")}
	}
	toBorder := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:ff::1")}
	if err := w.Net.Wire(End{Space: w.Border, Device: "campus", Addrs: between("1")}, End{Space: w.Campus, Device: "world", Addrs: between("2"), Via: toBorder}); err != nil {
		return err
	}
	for network, via := range map[string]string{"192.0.2.0/24": "198.51.100.2", "2001:db8:b::/48": "2001:db8:ff::2"} {
		if err := w.Border.Route(netip.MustParsePrefix(network), netip.MustParseAddr(via)); err != nil {
			return err
		}
	}
	for _, h := range []struct {
		name   string
		at     **Space
		router *Space
		addrs  hostAddrs
	}{
		{"senders", &w.Senders, w.Border, SendersAddr},
		{"vantage", &w.Vantage, w.Border, VantageAddr},
		{"spammer", &w.Spammer, w.Border, SpammerAddr},
		{"resolver", &w.Resolver, w.Border, ResolverAddr},
		{"secondary", &w.Second, w.Border, SecondaryAddr},
		{"old", &w.Old, w.Campus, OldAddr},
		{"gw1", &w.Gateways[0], w.Campus, GatewayAddr[0]},
		{"gw2", &w.Gateways[1], w.Campus, GatewayAddr[1]},
		{"primary", &w.Primary, w.Campus, PrimaryAddr},
		{"operator", &w.Operator, w.Campus, OperatorAddr},
	} {
		if *h.at, err = w.Net.Space(h.name); err != nil {
			return err
		}
		host, router, via := h.addrs.ends()
		if err := w.Net.Wire(End{Space: h.router, Device: h.name, Addrs: router}, End{Space: *h.at, Device: "net", Addrs: host, Via: via}); err != nil {
			return err
		}
		if err := (*h.at).Resolvers(ResolverAddr.V4()); err != nil {
			return err
		}
	}
	for _, a := range []netip.Addr{InsideAddr.V4(), InsideAddr.V6()} {
		bits := map[bool]int{true: 29, false: 64}[a.Is4()]
		args := []string{"-n", w.Operator.Name, "address", "add", netip.PrefixFrom(a, bits).String(), "dev", "net"}
		if a.Is6() {
			args = append(args, "nodad")
		}
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// Hosted are all domains that the site has mail for and that move: zones and hosts.
func (w *World) Hosted() []string { return slices.Concat(w.Zones, w.Hosts) }

// logins start sshd at the vantage and at the old server, whose system folders are its own.
func (w *World) logins(ctx context.Context) error {
	for _, folder := range []string{"/etc/systemd/system"} {
		own, err := w.Old.Own(folder)
		if err != nil {
			return err
		}
		w.OldFolders[folder] = own
	}
	for _, s := range []struct {
		space *Space
		at    **SSHD
		addr  hostAddrs
	}{{w.Vantage, &w.VantageSSH, VantageAddr}, {w.Old, &w.OldSSH, OldAddr}} {
		err := s.space.In(func() (err error) {
			*s.at, err = StartSSHD(ctx, SSHDOptions{Addr: s.addr.at(22), Key: w.SSHKey})
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.space.Name, err)
		}
	}
	return nil
}

// Stop stops all servers and takes the wires away. It may be called again.
func (w *World) Stop() error {
	var err error
	stop := func(there bool, f func() error) {
		if there {
			err = errors.Join(err, f())
		}
	}
	stop(w.Elsewhere != nil, func() error { return w.Elsewhere.Stop() })
	for _, x := range w.Exim {
		stop(x != nil, func() error { return x.Stop() })
	}
	stop(w.Dovecot != nil, func() error { return w.Dovecot.Stop() })
	stop(w.Postfix != nil, func() error { return w.Postfix.Stop() })
	stop(w.VantageSSH != nil, func() error { return w.VantageSSH.Stop() })
	stop(w.OldSSH != nil, func() error { return w.OldSSH.Stop() })
	stop(w.Inside != nil, func() error { return w.Inside.Stop() })
	stop(w.Public != nil, func() error { return w.Public.Stop() })
	stop(w.Knot != nil, func() error { return w.Knot.Stop() })
	stop(w.BIND != nil, func() error { return w.BIND.Stop() })
	if w.Net != nil {
		err = errors.Join(err, w.Net.Close())
	}
	w.Elsewhere, w.Exim, w.Dovecot, w.Postfix, w.VantageSSH, w.OldSSH = nil, [2]*Exim{}, nil, nil, nil, nil
	w.Inside, w.Public, w.Knot, w.BIND, w.Net = nil, nil, nil, nil, nil
	return err
}
