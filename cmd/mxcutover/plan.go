package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
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
	var detailed, alone bool
	c := &cobra.Command{
		Use: "plan", Short: "make the plan: who moves, in which waves, by which changes",
		Long: `plan surveys the zones and writes the plan of the migration as JSON Lines: a
header, then one domain a line. It changes nothing else. What may not be changed
safely is left out of the waves and listed with the reason; "plan show" shows all.
What a cutover needs besides its MX (MTA-STS, SPF, TLSA records) is planned with it.`,
		Example: "  mxcutover plan\n  mxcutover plan --out /var/lib/mxcutover/plan.jsonl\n  mxcutover plan show",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPlan(cmd.Context(), s, out, detailed, alone) },
	}
	c.Flags().StringVar(&out, "out", defaultPlan, "where the plan is written")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there is something to change")
	c.Flags().BoolVar(&alone, "no-companions", false, "plan no other records than MX, whatever a cutover needs besides")
	c.AddCommand(newPlanShow(s))
	return c
}

func runPlan(ctx context.Context, s *streams, out string, detailed, alone bool) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	site, err := openSite(cfg)
	if err != nil {
		return err
	}
	defer site.checker.Close()
	if alone {
		site.companions = nil
	}
	p, err := site.makePlan(ctx, time.Now())
	if err != nil {
		return err
	}
	if err := writePlan(out, p); err != nil {
		return err
	}
	questions := 0
	for _, l := range p.Left {
		if l.Question {
			questions++
		}
	}
	s.say("plan %.12s: %d domains in %d waves, %d left, %d of them questions for you", p.ID, len(p.Cutovers()), len(p.Waves), len(p.Left), questions)
	if n := len(companionSteps(p)); n > 0 {
		s.say("%d other records are changed with them", n)
	}
	for _, f := range p.Findings {
		if f.Severity != plan.Pass {
			s.say("%s: %s: %s: %s", f.Severity, f.Check, report.Harmless(rrset.Bare(f.Target)), report.Harmless(f.Detail))
		}
	}
	s.say("look at it with: mxcutover plan show %s", report.Quote(out))
	if detailed && len(p.Cutovers()) > 0 {
		return exitCode(codeChanges)
	}
	return nil
}

// makePlan surveys and plans.
func (s *site) makePlan(ctx context.Context, now time.Time) (plan.Plan, error) {
	zones, inv, err := s.survey(ctx)
	if err != nil {
		return plan.Plan{}, err
	}
	cfg := s.cfg
	set := plan.Settings{
		Migration: cfg.Migration, Config: cfg.Hash(), Made: now, Selected: selected(cfg.Domains),
		Planned: cfg.MX.Records, Templates: cfg.MX.Templates, Keep: cfg.MX.Keep,
		First: cfg.Waves.First, Growth: cfg.Waves.Growth, Max: cfg.Waves.Max, Share: cfg.Waves.Share, Pin: cfg.Waves.Pin,
		Gate: cfg.Gate.Plan(), LowTTL: cfg.TTL.Low,
	}
	if cfg.Isolate != nil {
		set.Ports = cfg.Isolate.Ports
	}
	p, err := plan.Make(inv, set)
	if err != nil || s.companions == nil {
		return p, err
	}
	set.Zones = zones
	if err := s.findCompanions(ctx, p, &set); err != nil {
		return plan.Plan{}, err
	}
	return plan.Make(inv, set)
}

// findCompanions asks what each cutover of a plan needs besides its MX.
func (s *site) findCompanions(ctx context.Context, p plan.Plan, set *plan.Settings) error {
	cuts := p.Cutovers()
	lists, found := make([][]plan.Companion, len(cuts)), make([][]plan.Finding, len(cuts))
	var g errgroup.Group
	g.SetLimit(16)
	for i, c := range cuts {
		g.Go(func() error {
			lists[i], found[i] = s.companions(ctx, c)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	set.Companions = map[string][]plan.Companion{}
	for i, c := range cuts {
		if len(lists[i]) > 0 {
			set.Companions[c.Domain] = lists[i]
		}
		set.Findings = append(set.Findings, found[i]...)
	}
	return nil
}

// companionSteps are all of a plan that write companions.
func companionSteps(p plan.Plan) (out []plan.Step) {
	for _, c := range p.Cutovers() {
		out = append(out, c.Companions()...)
	}
	return out
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

// writePlan writes the file whole or not at all.
func writePlan(file string, p plan.Plan) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".plan-*")
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = p.Write(tmp)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
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
func (s *site) stale(ctx context.Context, p plan.Plan, progress io.Writer) ([]string, error) {
	cuts := p.Cutovers()
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
