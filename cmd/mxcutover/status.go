package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

func newStatus(s *streams) *cobra.Command {
	var domain string
	var all bool
	c := &cobra.Command{
		Use: "status", Short: "how the migration stands",
		Long: `status shows waves and domains as the journal has them: from the engine while one
runs, else straight from the file. With --domain it explains one domain: why it
is in its state, and what can be done. Of many domains it shows those that wait for
a person or go back; --all shows each.`,
		Example: "  mxcutover status\n  mxcutover status --domain choir.example\n  mxcutover status -o json | jq '.domains[] | select(.state == \"held\")'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), s, domain, all) },
	}
	c.Flags().BoolVar(&all, "all", false, "show every domain, however many")
	c.Flags().StringVar(&domain, "domain", "", "explain one domain")
	s.addJournal(c)
	s.addOutput(c)
	return c
}

func runStatus(ctx context.Context, s *streams, domain string, all bool) (err error) {
	cfg, err := s.loadNamed()
	if err != nil {
		return err
	}
	if domain == "" {
		st, err := lookAt(ctx, cfg)
		if err != nil {
			return err
		}
		if s.json() {
			return report.StatusJSON(s.out, st)
		}
		return s.printer(s.out).Status(s.out, st, all)
	}
	v, err := view(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	return explain(ctx, s, v, domain)
}

// lookAt is the status alone, by the shortest way: from the engine, or as its
// orderly end left it in the journal, or folded from the events.
func lookAt(ctx context.Context, cfg *config.Config) (*state.Status, error) {
	client, err := control.Dial(socketDir(cfg))
	if err == nil {
		return client.Look(ctx)
	}
	if !errors.Is(err, control.ErrNoEngine) {
		return nil, err
	}
	if err := begunHere(cfg); err != nil {
		return nil, err
	}
	store, err := bolt.Open(cfg.State.Path, bolt.Options{ReadOnly: true, Wait: time.Second})
	if err != nil {
		return nil, damaged(cfg, err)
	}
	st, ok, err := state.Look(ctx, store)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, damaged(cfg, err)
	}
	if ok {
		st.Engine = "stopped"
		return st, nil
	}
	v, err := viewJournal(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return v.status, v.close()
}

func explain(ctx context.Context, s *streams, v *viewing, domain string) error {
	name, err := rrset.CanonicalName(domain)
	if err != nil {
		return usagef("--domain: %w", err)
	}
	fold, err := v.whole(ctx)
	if err != nil {
		return err
	}
	c, ok := fold.Cutover(name)
	if !ok {
		return fmt.Errorf("the plan has no domain %s; see: mxcutover status", domain)
	}
	for _, line := range s.printer(s.out).Explain(*fold.Domain(name), c) {
		fmt.Fprintln(s.out, line)
	}
	return nil
}
