package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// A View is the DNS as some resolvers see it. What one says is never taken for
// what another would.
type View struct {
	name string
	dns  *resolve.Client
}

// Name is what the configuration calls the view.
func (v View) Name() string { return v.name }

// Addresses are a host's in this view, by the first resolver that answers. None and
// no error: it has none.
func (v View) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	return v.dns.Addresses(ctx, host)
}

// Asked is a RRset as the first resolver of this view that answers has it, and the
// canonical name if the name is an alias; then the RRset is that name's, under the
// name asked for.
func (v View) Asked(ctx context.Context, name, typ string) (set rrset.Set, alias string, err error) {
	a, err := v.dns.Recurse(ctx, name, typ)
	if err != nil {
		return rrset.Set{}, "", err
	}
	set = a.Set
	set.Name, set.Type = name, typ
	return set, a.CNAME, nil
}

// Views are those that resolvers are known of, that in which domains move first.
func (c *Checker) Views() []View { return c.views }

// Addresses are a host's in the view in which domains move; see [View.Addresses].
func (c *Checker) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	return c.views[0].Addresses(ctx, host)
}

// see makes a client of each view, that in which domains move first; all share the
// sockets.
func (c *Checker) see() {
	byName := map[string][]netip.AddrPort{}
	var names []string
	for _, r := range c.Resolvers {
		if byName[r.View] == nil {
			names = append(names, r.View)
		}
		byName[r.View] = append(byName[r.View], r.Addr)
	}
	moves := names[0]
	for _, want := range []string{plan.PublicView, c.View} {
		if byName[want] != nil {
			moves = want
		}
	}
	from := c.here()
	c.dns = resolve.New(resolve.Settings{Port: c.DNSPort, Resolvers: byName[moves], Rate: c.DNSRate, Source: from.Source, Dial: from.Dial})
	c.views = []View{{moves, c.dns}}
	for _, n := range names {
		if n != moves {
			c.views = append(c.views, View{n, c.dns.With(byName[n])})
		}
	}
}

// in names a target together with its view, where there are several.
func (c *Checker) in(v View, target string) string {
	if len(c.views) == 1 {
		return target
	}
	return target + " (" + v.name + ")"
}

// mxViews asks in each view besides the one in which the domain moves whether its
// mail leads to the old server there. That loses nothing until the old server is
// closed, which it then forbids: before and during it is a warning.
func mxViews(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	found := make([]plan.Finding, len(c.views)-1)
	inParallel(len(found), func(i int) {
		v := c.views[i+1]
		target := c.in(v, rrset.Bare(cut.Domain))
		switch why, err := c.leadsIn(ctx, v, cut.Domain); {
		case err != nil:
			found[i] = unknown(target, "could not check: %v", err)
		case why == "":
			found[i] = pass(target, "its mail does not lead to the old server in this view")
		case when == After:
			found[i] = fail(target, "in this view its mail still leads to the old server (%s): the domain is moved by half, and the old server cannot be closed", why)
		default:
			found[i] = warn(target, "in this view its mail leads to the old server (%s); if the view has a zone of its own, the plan does not change that: somebody must, before the old server can be closed", why)
		}
	})
	return found, ctx.Err()
}

// lacksViews: with one view there is nothing beside it.
func lacksViews(c *Checker) string {
	if len(c.views) < 2 {
		return "a second view in resolvers"
	}
	return ""
}

// LeadsToOld asks live DNS whether a name's mail still leads to the old server, in
// any view. In the one in which domains move any authoritative server of its zone
// counts; "" is the zone of a name that stands in none of that view's, and then, as in
// all other views, its resolvers are asked. It says by what.
func (c *Checker) LeadsToOld(ctx context.Context, zone, name string) (bool, string, error) {
	beside := c.views
	if zone != "" {
		why, alias, err := c.servedToOld(ctx, zone, name)
		if why != "" || err != nil {
			return why != "", why, err
		}
		if !alias { // of which only a resolver knows where it leads
			beside = c.views[1:]
		}
	}
	for _, v := range beside {
		why, err := c.leadsIn(ctx, v, name)
		switch {
		case err != nil:
			return false, "", fmt.Errorf("view %s: %w", v.name, err)
		case why != "" && len(c.views) > 1:
			return true, why + ", in view " + v.name, nil
		case why != "":
			return true, why, nil
		}
	}
	return false, "", nil
}

// servedToOld is LeadsToOld in the view in which domains move: by any authoritative
// server's MX at any preference, or without MX by the name's own address (RFC 5321
// section 5.1). An alias has no MX of its own: its mail follows another name.
func (c *Checker) servedToOld(ctx context.Context, zone, name string) (why string, alias bool, err error) {
	served, found := c.Served(ctx, zone, name, "MX")
	for _, f := range found {
		switch {
		case strings.Contains(f.Detail, "is an alias"):
			alias = true
		case f.Severity != plan.Pass:
			return "", alias, fmt.Errorf("%s: %s", f.Target, f.Detail)
		}
	}
	for server, s := range served {
		if why, err = c.mailToOld(ctx, c.views[0], name, s); err != nil {
			return "", alias, err
		}
		if why != "" {
			return why + ", says " + server, alias, nil
		}
	}
	return "", alias, nil
}

// leadsIn tells how a name's mail leads to the old server by the resolvers of one
// view; "" = it does not. Below a wildcard a name is made up that only it answers.
func (c *Checker) leadsIn(ctx context.Context, v View, name string) (string, error) {
	name = asked(name)
	for range maxAliases {
		a, err := v.dns.Recurse(ctx, name, "MX")
		switch {
		case err != nil:
			return "", err
		case a.Set.Absent() && a.CNAME != "" && a.CNAME != name:
			name = a.CNAME
		case a.Set.Absent() && a.RCode == "NXDOMAIN":
			return "", nil
		default:
			return c.mailToOld(ctx, v, name, a.Set)
		}
	}
	return "", errors.New("its aliases have no end")
}

// mailToOld tells how a name with this MX RRset leads to the old server, by its
// hosts' addresses in a view; "" = it does not.
func (c *Checker) mailToOld(ctx context.Context, v View, name string, mx rrset.Set) (string, error) {
	var hosts []string
	for _, m := range mx.MX() {
		if !m.Null() {
			hosts = append(hosts, m.Host)
		}
	}
	if mx.Absent() {
		hosts = []string{name} // RFC 5321 section 5.1: its address is its MX
	}
	for _, h := range hosts {
		addrs, err := v.Addresses(ctx, h)
		if err != nil {
			return "", err
		}
		if why := c.old(h, addrs); why != "" {
			return why, nil
		}
	}
	return "", nil
}
