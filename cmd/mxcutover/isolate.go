package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mxcutover/control"
	"mxcutover/firewall"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rollout"
	"mxcutover/state"
)

func newIsolate(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "isolate", Short: "the old server's firewall: status, show, done, watch, replay, confirm, lift",
		Long: `When every domain is live the engine gathers the evidence that the old server may
be closed; once approved (mxcutover approve --isolate) it arms the firewall for a
limited time, proves it from outside and from the gateway, and keeps it when a
person confirms. Until then the kernel itself opens the ports again.

With isolate.driver: script a person loads the rules, and takes them away: nothing
opens by itself there. See isolate show, done and lift.`,
	}
	var all bool
	status := &cobra.Command{
		Use: "status", Short: "how isolation stands, and on what evidence",
		Long: `status shows each condition under which the old server may be closed: whether it
holds, on what evidence, when that is from, and what is missing; and what a person
does next. --all adds every finding.`,
		Example: "  mxcutover isolate status\n  mxcutover isolate status -o json | jq -r '.gate[] | select(.severity != \"pass\") | .what'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runIsolateStatus(cmd.Context(), s, all) },
	}
	status.Flags().BoolVar(&all, "all", false, "every finding, too")
	s.addOutput(status)
	var t target
	confirm := &cobra.Command{
		Use: "confirm", Short: "keep what is armed and proven",
		Example: "  mxcutover isolate confirm --confirm isolate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDecide(cmd.Context(), s, state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: t.confirm}, t.take)
		},
	}
	confirm.Flags().StringVar(&t.confirm, "confirm", "", `the word "isolate"`)
	t.takeFlag(confirm)
	completeWith(confirm, "confirm", func() []string { return []string{state.Isolate} })
	lift := &cobra.Command{
		Use: "lift", Short: "open the old server again, and prove it",
		Long: `lift opens the old server and proves it by connecting. It asks neither the engine
nor the journal whether anything is closed; it tells them afterwards if they are
there.

With isolate.driver: script it prints what a person has to load in order to open it,
looks from outside until it is open, for isolate.confirm_within, and ends with exit
code 3 if it is not.`,
		Example: "  mxcutover isolate lift",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runLift(cmd.Context(), s) },
	}
	c.AddCommand(status, newIsolateShow(s), newIsolateDone(s), newIsolateWatch(s), newForcedCommand(s), newReplay(s), confirm, lift)
	return c
}

func runIsolateStatus(ctx context.Context, s *streams, all bool) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	v, err := view(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	fold, err := v.whole(ctx)
	if err != nil {
		return err
	}
	if s.json() {
		return report.IsolationJSON(s.out, &v.plan, fold)
	}
	if err := s.printer(s.out).IsolationStatus(s.out, &v.plan, fold); err != nil || !all {
		return err
	}
	return s.printer(s.out).Findings(s.out, fold.Isolation.Findings)
}

// runLift opens first and asks afterwards.
func runLift(ctx context.Context, s *streams) error {
	cfg, _, err := s.isolation()
	if err != nil {
		return err
	}
	w := rollout.World{Policy: policy(cfg), Handed: handed(cfg.Isolate)}
	if w.Firewall, err = openFirewall(cfg); err != nil {
		return err
	}
	_, hand := w.Firewall.(firewall.Hand)
	if hand {
		if err := s.asksToOpen(cfg); err != nil {
			return err
		}
	}
	// Nothing that is needed for the proof alone keeps it closed: not a file of
	// recipients, nor a provider's secret.
	checker, without := newChecker(cfg)
	if without == nil {
		defer checker.Close()
		w.Checker = checker
	} else {
		s.say("lifted without proof: %s", report.Harmless(without.Error()))
	}
	found, err := w.Lift(ctx, rollout.Turn{})
	var held *rollout.Held
	if errors.As(err, &held) && hand {
		return fmt.Errorf("%w: %w", rollout.ErrPersonNeeded, errors.Join(s.printer(s.out).Findings(s.out, held.Findings), held))
	}
	if err != nil {
		return err
	}
	if err := s.printer(s.out).Findings(s.out, found); err != nil {
		return err
	}
	if plan.Judge(found) != plan.Pass {
		return refusef("lifted, but the old server was not proven open; see the findings above")
	}
	err = runDecide(ctx, s, state.Decision{Verb: state.Lift, Target: state.Isolate}, false)
	if errors.Is(err, errNoMigration) || errors.Is(err, control.ErrNoEngine) {
		return nil
	}
	return err
}
