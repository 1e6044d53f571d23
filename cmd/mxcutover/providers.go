package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
)

func newProviders(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "providers", Short: "list the kinds of DNS providers, their settings and modes",
		Long: `providers lists the kinds of DNS providers: their settings, how they change an
RRset, and what they do otherwise than one would expect. The modes, safest first:
swap, an atomic compare-and-swap; set, an atomic replacement of the RRset after a
compare; edit, additions and then deletions, never a moment without MX.`,
		Example: "  mxcutover providers\n  mxcutover providers list zonefile\n  mxcutover providers check",
		RunE:    func(*cobra.Command, []string) error { return runProvidersList(s, nil) },
	}
	l := &cobra.Command{
		Use: "list [KIND...]", Short: "list the kinds of DNS providers, their settings and modes", Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return kindNames(), cobra.ShellCompDirectiveNoFileComp
		},
		Example: "  mxcutover providers list\n  mxcutover providers list rfc2136 -o json",
		RunE:    func(_ *cobra.Command, args []string) error { return runProvidersList(s, args) },
	}
	s.addOutput(l)
	c.AddCommand(l, newProvidersCheck(s))
	return c
}

func runProvidersList(s *streams, only []string) error {
	kinds := providers.Kinds()
	for _, name := range only {
		if !slices.ContainsFunc(kinds, func(k providers.Kind) bool { return k.Kind == name }) {
			return usagef("no provider is of kind %.40q; see: mxcutover providers", name)
		}
	}
	if len(only) > 0 {
		kinds = slices.DeleteFunc(kinds, func(k providers.Kind) bool { return !slices.Contains(only, k.Kind) })
	}
	if s.json() {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(kinds)
	}
	for _, k := range kinds {
		fmt.Fprintf(s.out, "%s: %s; mode %s\n%s\n", k.Kind, k.Title, k.Mode, k.Settings)
		for _, q := range k.Quirks {
			fmt.Fprintf(s.out, "  - %s\n", q)
		}
		fmt.Fprintf(s.out, "  Proven on %s\n  %s\n\n", k.Proven, k.Docs)
	}
	return nil
}

// providersOptions are the flags of providers check.
type providersOptions struct{ scratch bool }

func newProvidersCheck(s *streams) *cobra.Command {
	var o providersOptions
	c := &cobra.Command{
		Use: "check [NAME...]", Short: "prove each provider's credentials and rights", Args: cobra.ArbitraryArgs,
		Long: `check opens each provider of the configuration, or those that are named, and
reads each of its zones. Where the provider can tell, it proves that the zone may
be written. It changes nothing.

With --scratch it also writes a TXT record at a random name right below each
zone's apex, reads it back, and takes it away again, with any that an earlier
check left. No such record is written where a wildcard stands below the apex.
Exit: 0 all pass, 7 something failed, 8 something could not be checked.`,
		Example: "  mxcutover providers check\n  mxcutover providers check campus --scratch\n  mxcutover providers check -o json | jq .summary",
		RunE:    func(cmd *cobra.Command, args []string) error { return runProvidersCheck(cmd.Context(), s, args, o) },
	}
	c.Flags().BoolVar(&o.scratch, "scratch", false, "write a scratch TXT record to each zone, and take it away")
	s.addOutput(c)
	return c
}

func runProvidersCheck(ctx context.Context, s *streams, names []string, o providersOptions) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(cfg.Providers))
	}
	for _, n := range names {
		if _, ok := cfg.Providers[n]; !ok {
			return usagef("the configuration has no provider %.40q; it has: %s", n, strings.Join(slices.Sorted(maps.Keys(cfg.Providers)), ", "))
		}
	}
	c := providerCheck{scratch: o.scratch}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, name := range names {
		c.provider(gctx, g, name, cfg.Providers[name])
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return err
	}
	slices.SortStableFunc(c.found, func(a, b plan.Finding) int { return strings.Compare(a.Target, b.Target) })
	return s.showFindings(c.found)
}

// A providerCheck gathers what is found of all providers.
type providerCheck struct {
	scratch bool
	mu      sync.Mutex
	found   []plan.Finding
}

func (c *providerCheck) tell(check, target string, s plan.Severity, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found = append(c.found, plan.Finding{Check: check, Target: target, Severity: s, Detail: fmt.Sprintf(format, args...), At: time.Now()})
}

// failed tells what could not be done, and what cures it.
func (c *providerCheck) failed(check, target string, err error) {
	var network *net.OpError
	s, cure := plan.Fail, ""
	switch {
	case errors.Is(err, providers.ErrCredential):
		cure = "; put a credential that is valid, and may read and write this zone, where the settings say"
	case errors.Is(err, providers.ErrNoZone):
		cure = "; compare the provider's zones in the configuration with what this credential sees"
	case errors.Is(err, providers.ErrTransient), errors.Is(err, providers.ErrInDoubt), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network):
		s = plan.Unknown
	}
	c.tell(check, target, s, "%v%s", err, cure)
}

// provider checks one provider, zone by zone.
func (c *providerCheck) provider(ctx context.Context, g *errgroup.Group, name string, section config.Provider) {
	p, err := providers.Open(section.Kind, section.Settings.Decode)
	if err != nil {
		c.failed("provider.open", name, err)
		return
	}
	if section.Compared {
		p = providers.OnlyRead(p)
	}
	for _, zone := range section.Zones {
		g.Go(func() error {
			c.zone(ctx, p, name, section, zone)
			return ctx.Err()
		})
	}
}

// zone checks one zone: it can be read, it may be written, and on request it is.
func (c *providerCheck) zone(ctx context.Context, p providers.Provider, name string, section config.Provider, zone string) {
	at := name + " " + rrset.Bare(zone)
	sets, err := providers.Zone(ctx, p, zone)
	if err != nil {
		c.failed("provider.read", at, err)
		return
	}
	c.tell("provider.read", at, plan.Pass, "%d RRsets were read by %s", len(sets), section.Kind)
	if section.Compared {
		c.tell("provider.rights", at, plan.Pass, "nothing is written here: it is view %s, which is only compared", section.View)
		return
	}
	left := providers.Leftovers(zone, sets, "", time.Now())
	if len(left) > 0 && !c.scratch {
		c.tell("provider.write", at, plan.Warn, "%d scratch records were left there, %s first; --scratch takes them away", len(left), rrset.Bare(left[0].Before.Name))
	}
	mode := providers.ModeOf(p)
	switch mode {
	case "":
		c.failed("provider.rights", at, providers.ErrReadOnly)
		return
	case providers.Hand:
		c.tell("provider.rights", at, plan.Pass, "nothing is written here: a person is asked for each change")
		return
	}
	switch proven, err := providers.Inspect(ctx, p, zone); {
	case err != nil:
		c.failed("provider.rights", at, err)
		return
	case proven:
		c.tell("provider.rights", at, plan.Pass, "it may be written, in mode %s", mode)
	case !c.scratch:
		c.tell("provider.rights", at, plan.Warn, "whether it may be written was not tried; --scratch does, with a TXT record that is taken away again")
	}
	if c.scratch {
		c.write(ctx, p, at, zone)
	}
}

// write writes a scratch record and takes it away.
func (c *providerCheck) write(ctx context.Context, p providers.Provider, at, zone string) {
	got, remove, err := providers.WriteScratch(ctx, p, zone, "check", time.Now())
	switch {
	case errors.Is(err, providers.ErrScratch):
		c.tell("provider.write", at, plan.Warn, "%v", err)
		return
	case err != nil:
		c.failed("provider.write", at, err)
		return
	}
	if err := remove(); err != nil {
		c.failed("provider.write", at, err)
		return
	}
	c.tell("provider.write", at, plan.Pass, "%s TXT was written, read back, and taken away again", rrset.Bare(got.Name))
}
