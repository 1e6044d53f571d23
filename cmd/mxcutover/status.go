package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

func newStatus(s *streams) *cobra.Command {
	var domain string
	c := &cobra.Command{
		Use: "status", Short: "how the migration stands",
		Long: `status shows waves and domains as the journal has them: from the engine while one
runs, else straight from the file. With --domain it explains one domain: why it
is in its state, and what can be done.`,
		Example: "  mxcutover status\n  mxcutover status --domain choir.example\n  mxcutover status -o json | jq '.domains[] | select(.state == \"held\")'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), s, domain) },
	}
	c.Flags().StringVar(&domain, "domain", "", "explain one domain")
	s.addOutput(c)
	return c
}

func runStatus(ctx context.Context, s *streams, domain string) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	v, err := view(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if domain != "" {
		return explain(ctx, s, v, domain)
	}
	if s.json() {
		return report.StatusJSON(s.out, v.status)
	}
	return s.printer(s.out).Status(s.out, v.status)
}

// explain folds the whole journal, since a status over the wire holds no steps.
func explain(ctx context.Context, s *streams, v *viewing, domain string) error {
	name, err := rrset.CanonicalName(domain)
	if err != nil {
		return usagef("--domain: %w", err)
	}
	fold := state.NewStatus(v.plan)
	c, ok := fold.Cutover(name)
	if !ok {
		return fmt.Errorf("the plan has no domain %s; see: mxcutover status", domain)
	}
	if err := v.events(ctx, 0, func(ev state.Event) error { fold.Apply(ev); return nil }); err != nil {
		return err
	}
	for _, line := range s.printer(s.out).Explain(*fold.Domain(name), c) {
		fmt.Fprintln(s.out, line)
	}
	return nil
}
