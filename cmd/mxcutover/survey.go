package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/verify"
)

// ofView tells whether a provider's zones are those of a view: "" is the one in which
// domains move, which has all that are not only compared.
func ofView(p config.Provider, view string) bool {
	if view == "" {
		return !p.Compared
	}
	return p.Compared && p.View == view
}

// holder tells which provider holds a name in a view: that of the closest zone of the
// configuration.
func holder(cfg *config.Config, view string) func(name string) (zone, provider string, ok bool) {
	at := map[string]string{}
	for provider, p := range cfg.Providers {
		for _, z := range p.Zones {
			if ofView(p, view) {
				at[z] = provider
			}
		}
	}
	return func(name string) (zone, provider string, ok bool) {
		for zone = name; zone != "."; zone = rrset.Parent(zone) {
			if provider, ok := at[zone]; ok {
				return zone, provider, true
			}
		}
		return "", "", false
	}
}

// zones are those of a view, not read yet.
func (s *site) zones(view string) (out []plan.Zone) {
	for name, p := range s.cfg.Providers {
		for _, z := range p.Zones {
			if ofView(p, view) {
				out = append(out, plan.Zone{Name: z, Provider: name})
			}
		}
	}
	slices.SortFunc(out, func(a, b plan.Zone) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// readZones reads every zone of a view.
func (s *site) readZones(ctx context.Context, view string) ([]plan.Zone, error) {
	out := s.zones(view)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range out {
		g.Go(func() (err error) {
			out[i].Sets, err = providers.Zone(ctx, s.providers[out[i].Provider], out[i].Name)
			if err != nil {
				return fmt.Errorf("zone %s at %s: %w", rrset.Bare(out[i].Name), out[i].Provider, err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// survey reads the zones and makes the inventory of the view in which domains move,
// beside all others that are listed. With a file of names, these are asked for by DNS
// alone, in every view that has a resolver, and no zone is read.
func (s *site) survey(ctx context.Context, out *streams, names string) (zones []plan.Zone, inv plan.Inventory, err error) {
	traffic, err := countTraffic(ctx, out, s.cfg)
	if err != nil {
		return nil, inv, err
	}
	var listed []string
	if names != "" {
		if listed, err = readNames(names); err != nil {
			return nil, inv, fmt.Errorf("--names: %w", err)
		}
	}
	about := plan.Site{
		OldHosts: s.cfg.Old.Hosts, OldAddresses: s.cfg.Old.Addresses, Planned: s.planned(),
		OwnName: s.cfg.Domains.OwnName, Traffic: traffic, Holder: holder(s.cfg, ""),
	}
	seen := s.checker.Views()
	moves := plan.View{Name: seen[0].Name(), Holder: about.Holder}
	if names != "" {
		moves.Named, err = s.askNames(ctx, seen[0], listed, plan.FromList, out.err)
	} else {
		moves.Zones, err = s.readZones(ctx, "")
	}
	if err != nil {
		return nil, inv, err
	}
	about.Named = moves.Named
	if moves.Addresses, err = s.addresses(ctx, seen[0], plan.Hosts(moves.Zones, about), names != "", out.err); err != nil {
		return nil, inv, err
	}
	inv = plan.Survey(moves.Zones, moves.Addresses, about)
	if names == "" {
		if moves.Named, err = s.beyondZones(ctx, out, inv, traffic); err != nil {
			return moves.Zones, inv, err
		}
		if about.Named = moves.Named; len(about.Named) > 0 {
			more, err := s.resolved(ctx, seen[0], plan.Hosts(nil, about), out.err) // those of our own zones are known
			if err != nil {
				return moves.Zones, inv, err
			}
			maps.Copy(more, moves.Addresses)
			moves.Addresses = more
			inv = plan.Survey(moves.Zones, more, about)
		}
	}
	others, err := s.otherViews(ctx, out, about, names != "", listed)
	return moves.Zones, plan.Beside(inv, moves, others, about), err
}

// otherViews are those in which nothing moves: the zones that are listed of them, or
// names that are asked for in each.
func (s *site) otherViews(ctx context.Context, out *streams, about plan.Site, byName bool, listed []string) (others []plan.View, err error) {
	for _, v := range s.checker.Views()[1:] {
		o := plan.View{Name: v.Name(), Holder: holder(s.cfg, v.Name())}
		switch {
		case byName:
			o.Named, err = s.askNames(ctx, v, listed, plan.FromList, out.err)
		case len(s.zones(o.Name)) == 0:
			continue
		default:
			o.Zones, err = s.readZones(ctx, o.Name)
		}
		if err != nil {
			return nil, err
		}
		about.Named = o.Named
		if o.Addresses, err = s.addresses(ctx, v, plan.Hosts(o.Zones, about), byName, out.err); err != nil {
			return nil, err
		}
		others = append(others, o)
	}
	return others, nil
}

// beyondZones asks for the names of domains.names, and for those that had mail, where
// no zone told of them.
func (s *site) beyondZones(ctx context.Context, out *streams, inv plan.Inventory, traffic map[string]plan.Traffic) ([]plan.Named, error) {
	have := map[string]bool{}
	for _, d := range inv.Domains {
		have[d.Name] = true
	}
	var listed []string
	if s.cfg.Domains.Names != "" {
		all, err := readNames(s.cfg.Domains.Names)
		if err != nil {
			return nil, fmt.Errorf("domains.names: %w", err)
		}
		for _, n := range all {
			if !have[n] {
				have[n] = true
				listed = append(listed, n)
			}
		}
	}
	var seen []string
	for n, t := range traffic {
		if !have[n] && t.Messages > 0 {
			seen = append(seen, n)
		}
	}
	slices.Sort(seen)
	view := s.checker.Views()[0]
	named, err := s.askNames(ctx, view, listed, plan.FromList, out.err)
	if err != nil {
		return nil, err
	}
	more, err := s.askNames(ctx, view, seen, plan.FromMail, out.err)
	return append(named, more...), err
}

// addresses resolves hosts in a view. A host that has no address is left out; a
// resolver that cannot be asked is an error, since a name might lead to the old server
// unseen. Of foreign names each says so by itself.
func (s *site) addresses(ctx context.Context, view verify.View, hosts []string, foreign bool, progress io.Writer) (plan.Addresses, error) {
	if foreign {
		return s.resolved(ctx, view, hosts, progress)
	}
	found := make([][]netip.Addr, len(hosts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i, h := range hosts {
		g.Go(func() (err error) {
			found[i], err = view.Addresses(ctx, h)
			if err != nil {
				return fmt.Errorf("addresses of %s in view %s: %w", rrset.Bare(h), view.Name(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := plan.Addresses{}
	for i, h := range hosts {
		if len(found[i]) > 0 {
			out[h] = found[i]
		}
	}
	return out, nil
}
