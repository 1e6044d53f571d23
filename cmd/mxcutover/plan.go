package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
)

const defaultPlan = "plan.jsonl"

func newPlan(s *streams) *cobra.Command {
	var out string
	var detailed, alone, extend bool
	c := &cobra.Command{
		Use: "plan", Short: "make the plan: who moves, in which waves, by which changes",
		Long: `plan surveys the zones and writes the plan of the migration as JSON Lines: a
header, then one domain a line. It changes nothing else. What may not be changed
safely is left out of the waves and listed with the reason; "plan show" shows all.
What a cutover needs besides its MX (MTA-STS, SPF, TLSA records) is planned with it.

With --extend it makes the plan of the migration that was begun longer: domains
that came in since go into new waves after all others, and nothing that was planned
changes; what would change it is refused. "run --plan FILE" goes on with that plan.`,
		Example: "  mxcutover plan\n  mxcutover plan --out /var/lib/mxcutover/plan.jsonl\n  mxcutover plan show\n  mxcutover plan --extend && mxcutover run --plan plan.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPlan(cmd.Context(), s, planOptions{out: out, detailed: detailed, alone: alone, extend: extend})
		},
	}
	c.Flags().StringVar(&out, "out", defaultPlan, "where the plan is written")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there is something to change")
	c.Flags().BoolVar(&alone, "no-companions", false, "plan no other records than MX, whatever a cutover needs besides")
	c.Flags().BoolVar(&extend, "extend", false, "add what is new to the plan of the migration that was begun")
	c.AddCommand(newPlanShow(s))
	return c
}

// planOptions are the flags of plan.
type planOptions struct {
	out                     string
	detailed, alone, extend bool
}

func runPlan(ctx context.Context, s *streams, o planOptions) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	site, err := openSite(cfg)
	if err != nil {
		return err
	}
	defer site.checker.Close()
	if o.alone {
		site.companions = nil
	}
	var base *plan.Plan
	if o.extend {
		v, err := view(ctx, cfg)
		if err != nil {
			return err
		}
		base = &v.plan
		if err := v.close(); err != nil {
			return err
		}
	}
	p, inv, err := site.draftPlan(ctx, s, base, time.Now())
	if errors.Is(err, plan.ErrNothingNew) {
		s.say("%s", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := writeWhole(o.out, false, p.Write); err != nil {
		return err
	}
	if err := saveInventory(inventoryOf(o.out), inv, p.Verdicts()); err != nil {
		return err
	}
	s.sayPlan(p, base)
	if base != nil {
		s.say("look at it with: mxcutover plan show %[1]s\nthen end the engine (Ctrl-C is safe), and go on with:\n  mxcutover run --plan %[1]s", report.Quote(o.out))
	} else {
		s.say("look at it with: mxcutover plan show %s", report.Quote(o.out))
		if _, err := os.Stat(cfg.State.Path); err == nil {
			s.say("a migration was begun (%s), and goes on by the plan that it has, not by this one; to add domains to it:\n  mxcutover plan --extend --out more.jsonl", report.Harmless(cfg.State.Path))
		}
	}
	if o.detailed && (base == nil && p.Size().Domains > 0 || base != nil) {
		return exitCode(codeChanges)
	}
	return nil
}

// sayPlan tells what a plan has, and what it has beyond the one before.
func (s *streams) sayPlan(p *plan.Draft, base *plan.Plan) {
	n := p.Size()
	s.say("plan %.12s: %d domains in %d waves, %d left, %d of them questions for you", p.ID(), n.Domains, n.Waves, n.Left, n.Questions)
	if base != nil {
		s.say("that is %d domains in %d new waves after those of plan %.12s, which stay as they are", n.NewDomains, n.NewWaves, base.ID)
	}
	if n.Companions > 0 {
		s.say("%d other records are changed with them", n.Companions)
	}
	for _, f := range p.Findings() {
		if f.Severity != plan.Pass {
			s.say("%s: %s: %s: %s", f.Severity, f.Check, report.Harmless(rrset.Bare(f.Target)), report.Harmless(f.Detail))
		}
	}
}

// makePlan surveys and plans.
func (s *site) makePlan(ctx context.Context, out *streams, now time.Time) (plan.Plan, error) {
	d, _, err := s.draftPlan(ctx, out, nil, now)
	if err != nil {
		return plan.Plan{}, err
	}
	return d.Plan(), nil
}

// draftPlan surveys and plans: anew, or what a plan that was begun is extended by.
func (s *site) draftPlan(ctx context.Context, out *streams, base *plan.Plan, now time.Time) (d *plan.Draft, inv plan.Inventory, err error) {
	zones, inv, err := s.survey(ctx, out, "")
	if err != nil {
		return nil, inv, err
	}
	if s.companions == nil {
		forgetRecords(zones)
	}
	set := s.settings(now)
	set.Zones = zones
	drafted := func() (*plan.Draft, error) {
		if base == nil {
			return plan.NewDraft(inv, set)
		}
		return plan.ExtendedDraft(*base, inv, set)
	}
	if d, err = drafted(); err != nil || s.companions == nil {
		return d, inv, err
	}
	if err := s.findCompanions(ctx, d, &set); err != nil {
		return nil, inv, err
	}
	d, err = drafted()
	return d, inv, err
}

// settings are what the configuration says to a plan.
func (s *site) settings(now time.Time) plan.Settings {
	cfg := s.cfg
	set := plan.Settings{
		Migration: cfg.Migration, Config: cfg.Hash(), Made: now, Selected: selected(cfg.Domains),
		Planned: cfg.MX.Records, Templates: cfg.MX.Templates, Keep: cfg.MX.Keep,
		First: cfg.Waves.First, Growth: cfg.Waves.Growth, Max: cfg.Waves.Max, Share: cfg.Waves.Share, Pin: cfg.Waves.Pin,
		Gate: cfg.Gate.Plan(), LowTTL: cfg.TTL.Low, Fixed: cfg.Fixed(), Kinds: map[string]string{},
	}
	for name, p := range cfg.Providers {
		if !p.Compared { // nothing is written there, so nothing needs to go back
			set.Kinds[name] = p.Kind
		}
	}
	if cfg.Isolate != nil {
		set.Ports, set.Stages = cfg.Isolate.Ports, cfg.Isolate.Stages
	}
	return set
}

// findCompanions asks what each new cutover needs besides its MX.
func (s *site) findCompanions(ctx context.Context, d *plan.Draft, set *plan.Settings) error {
	type needs struct {
		domain string
		list   []plan.Companion
		found  []plan.Finding
	}
	all := make([]needs, d.Size().NewDomains)
	var g errgroup.Group
	g.SetLimit(16)
	i := 0
	for c := range d.New() {
		to := &all[i]
		i++
		g.Go(func() error {
			to.domain = c.Domain
			to.list, to.found = s.companions(ctx, c)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	set.Companions = map[string][]plan.Companion{}
	for _, n := range all {
		if len(n.list) > 0 {
			set.Companions[n.domain] = n.list
		}
		set.Findings = append(set.Findings, n.found...)
	}
	return nil
}

// selected tells whether the configuration wants a domain moved.
func selected(d config.Domains) func(string) bool {
	matches := func(globs []string, name string) bool {
		return slices.ContainsFunc(globs, func(g string) bool {
			ok, err := path.Match(g, name)
			return g == "*" || g == name || err == nil && ok
		})
	}
	return func(domain string) bool {
		name := rrset.Bare(domain)
		return (len(d.Include) == 0 || matches(d.Include, name)) && !matches(d.Exclude, name)
	}
}

func readPlan(file string) (plan.Plan, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return plan.Plan{}, fmt.Errorf("no plan at %s; make one with:\n  mxcutover plan --out %s", file, report.Quote(file))
	}
	if err != nil {
		return plan.Plan{}, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	p, err := plan.Read(f)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

func newPlanShow(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "show [FILE]", Short: "show a plan as a readable diff of records",
		Example: "  mxcutover plan show\n  mxcutover plan show plan.jsonl -o json | jq '.changes | length'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return runPlanShow(s, append(args, defaultPlan)[0])
		},
	}
	s.addOutput(c)
	return c
}

func runPlanShow(s *streams, file string) error {
	p, err := readPlan(file)
	if err != nil {
		return err
	}
	if s.json() {
		return report.PlanJSON(s.out, p)
	}
	return s.printer(s.out).Plan(s.out, p)
}

// stale compares the records that a plan expects with those that are there.
func (s *site) stale(ctx context.Context, cuts []plan.Cutover, progress io.Writer) ([]string, error) {
	return each(ctx, cuts, func(ctx context.Context, c plan.Cutover) (string, error) {
		now, err := s.read(ctx, c)
		if err != nil {
			return "", err
		}
		if now.Equal(c.Before()) {
			return "", nil
		}
		return fmt.Sprintf("%s: the plan expects\n%sand there is\n%s", rrset.Bare(c.Domain), indent(c.Before()), indent(now)), nil
	}, progress)
}
