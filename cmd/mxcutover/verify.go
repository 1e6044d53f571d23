package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/verify"
)

// checkOptions are the flags of preflight and verify.
type checkOptions struct {
	plan    string
	domains []string
}

func (o *checkOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.plan, "plan", defaultPlan, "the plan file, while no migration was begun")
	c.Flags().StringSliceVar(&o.domains, "domain", nil, "only these domains")
}

func newPreflight(s *streams) *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use: "preflight", Short: "check every domain of the plan before anything is changed",
		Long: `preflight runs every check that must pass before a domain moves, and sends a probe
straight to every planned MX host at each of its addresses. It changes no record.
Exit: 0 all pass, 7 findings failed, 8 something could not be checked.`,
		Example: "  mxcutover preflight\n  mxcutover preflight --domain choir.example -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), s, o, verify.Before) },
	}
	o.flags(c)
	s.addOutput(c)
	return c
}

func newVerify(s *streams) *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use: "verify", Short: "check every moved domain, after the migration or during it",
		Long: `verify asks DNS, the gateway and the mailbox about every domain of the migration,
as its state is: moved domains by the public way, isolated servers from outside.
It can be run again at any time, from cron too.
Exit: 0 all pass, 7 findings failed, 8 something could not be checked.`,
		Example: "  mxcutover verify\n  mxcutover verify --domain choir.example\n  mxcutover verify -o json | jq .summary",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), s, o, verify.After) },
	}
	o.flags(c)
	s.addOutput(c)
	return c
}

func runCheck(ctx context.Context, s *streams, o checkOptions, when verify.When) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	site, err := openSite(cfg)
	if err != nil {
		return err
	}
	p, st, err := planOrMigration(ctx, cfg, o.plan)
	if err != nil {
		return err
	}
	cuts, err := chosen(p, o.domains)
	if err != nil {
		return err
	}
	if when == verify.After {
		cuts = moved(s, cuts, st)
		site.checker.Mail.Published = published(st)
	}
	var mu sync.Mutex
	var found []plan.Finding
	_, err = each(ctx, cuts, func(ctx context.Context, c plan.Cutover) (string, error) {
		f := site.checker.Run(ctx, when, c)
		mu.Lock()
		defer mu.Unlock()
		found = append(found, f...)
		return "", ctx.Err()
	}, s.err)
	if err != nil {
		return err
	}
	if when == verify.After && st != nil && st.Isolation.State == state.IsolationConfirmed {
		for _, port := range cfg.Isolate.Ports {
			found = append(found, site.checker.OldClosed(ctx, port)...)
		}
	}
	return s.showFindings(found)
}

// published tells when each domain was published; nil = nobody knows.
func published(st *state.Status) func(string) time.Time {
	if st == nil {
		return nil
	}
	return func(domain string) time.Time {
		if d := st.Domain(domain); d != nil {
			return d.Published()
		}
		return time.Time{}
	}
}

// moved leaves out the domains that were not moved: there is nothing of the new
// way to verify at them.
func moved(s *streams, cuts []plan.Cutover, st *state.Status) (out []plan.Cutover) {
	if st == nil {
		return cuts
	}
	for _, c := range cuts {
		switch d := st.Domain(c.Domain); {
		case d == nil:
		case d.State == state.Live || d.State == state.Settled || d.State == state.Soaking || d.State == state.Probed || d.State == state.Propagated:
			out = append(out, c)
		default:
			s.say("%s is %s and not verified", rrset.Bare(c.Domain), d.State)
		}
	}
	return out
}

// planOrMigration is the plan that was begun, with its status, or else the file.
func planOrMigration(ctx context.Context, cfg *config.Config, file string) (plan.Plan, *state.Status, error) {
	v, err := view(ctx, cfg)
	if errors.Is(err, errNoMigration) || errors.Is(err, state.ErrNone) {
		p, err := readPlan(file)
		return p, nil, err
	}
	if err != nil {
		return plan.Plan{}, nil, err
	}
	return v.plan, v.status, v.close()
}

func chosen(p plan.Plan, names []string) ([]plan.Cutover, error) {
	all := p.Cutovers()
	if len(names) == 0 {
		return all, nil
	}
	byName := map[string]plan.Cutover{}
	for _, c := range all {
		byName[c.Domain] = c
	}
	var out []plan.Cutover
	for _, n := range names {
		name, err := rrset.CanonicalName(n)
		if err != nil {
			return nil, usagef("--domain: %w", err)
		}
		c, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("the plan has no domain %s; see: mxcutover plan show", n)
		}
		out = append(out, c)
	}
	return out, nil
}

// showFindings prints findings and ends with the exit code they ask for.
func (s *streams) showFindings(found []plan.Finding) error {
	var err error
	if s.json() {
		err = report.VerifyJSON(s.out, time.Now(), found)
	} else {
		err = s.printer(s.out).Findings(s.out, found)
	}
	if err != nil {
		return err
	}
	switch plan.Judge(found) {
	case plan.Fail:
		return exitCode(codeFailed)
	case plan.Unknown:
		return exitCode(codeUnknown)
	}
	return nil
}
