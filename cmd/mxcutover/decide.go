package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/report"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/state"
)

// target is whom a decision is about: exactly one of these flags.
type target struct {
	wave, domain string
	all, isolate bool
	confirm      string

	take               bool // control from whoever has it
	adopt, force, skip bool // what becomes of somebody else's record
}

func (t *target) flags(c *cobra.Command, names ...string) {
	f := c.Flags()
	for _, n := range names {
		switch n {
		case "wave":
			f.StringVar(&t.wave, n, "", "one wave, by its name")
		case "domain":
			f.StringVar(&t.domain, n, "", "one domain")
		case "all":
			f.BoolVar(&t.all, n, false, "the whole migration")
		case "isolate":
			f.BoolVar(&t.isolate, n, false, "the isolation of the old server")
		case "drift":
			f.BoolVar(&t.adopt, "adopt", false, "a record that somebody else changed counts as right: it is built upon, or stays")
			f.BoolVar(&t.force, "force", false, "a record that somebody else changed is overwritten; needs --confirm")
			f.BoolVar(&t.skip, "skip", false, "a domain whose record somebody else changed is left as it is, out of the migration")
			c.MarkFlagsMutuallyExclusive("adopt", "force", "skip")
		case "confirm":
			f.StringVar(&t.confirm, n, "", "the target's name once more: the wave, the domain, or \"all\"")
		}
	}
}

// takeFlag is of every command whose decision is refused while another session has control.
func (t *target) takeFlag(c *cobra.Command) {
	c.Flags().BoolVar(&t.take, "take-control", false, "decide though another session has control, and take it away")
}

// decision is what the flags say; names are those that the command has.
func (t target) decision(v state.Verb, names []string) (state.Decision, error) {
	var targets []string
	if t.wave != "" {
		targets = append(targets, state.WaveTarget(t.wave))
	}
	if t.domain != "" {
		name, err := rrset.CanonicalName(t.domain)
		if err != nil {
			return state.Decision{}, usagef("--domain: %w", err)
		}
		targets = append(targets, state.DomainTarget(name))
	}
	if t.all {
		targets = append(targets, state.All)
	}
	if t.isolate {
		targets = append(targets, state.Isolate)
	}
	if len(targets) != 1 {
		return state.Decision{}, usagef("%s: say whom, with exactly one of %s\nsee: mxcutover %[1]s --help", v, whom(names))
	}
	return state.Decision{Verb: v, Target: targets[0], Confirm: t.confirm, Drift: t.drift()}, nil
}

// whom lists the flags that name a target.
func whom(names []string) string {
	words := map[string]string{"wave": "--wave NAME", "domain": "--domain NAME", "all": "--all", "isolate": "--isolate"}
	var out []string
	for _, n := range names {
		if w, ok := words[n]; ok {
			out = append(out, w)
		}
	}
	last := len(out) - 1
	return strings.Join(out[:last], ", ") + " or " + out[last]
}

func (t target) drift() state.Drift {
	switch {
	case t.adopt:
		return state.Adopt
	case t.force:
		return state.Force
	case t.skip:
		return state.Skip
	}
	return ""
}

// decider makes the command of one verb.
func decider(s *streams, verb state.Verb, short, long, example string, flags ...string) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: string(verb), Short: short, Long: long, Example: example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := t.decision(verb, flags)
			if err != nil {
				return err
			}
			return runDecide(cmd.Context(), s, d, t.take)
		},
	}
	t.flags(c, flags...)
	t.takeFlag(c)
	s.addJournal(c)
	return c
}

func newApprove(s *streams) *cobra.Command {
	return decider(s, state.Approve, "let a wave, or the isolation, start",
		"approve lets the next wave start once the wave before it is live, or lets the old\nserver be armed once all is live.",
		"  mxcutover approve --wave wave-2\n  mxcutover approve --isolate", "wave", "isolate")
}

func newHold(s *streams) *cobra.Command {
	return decider(s, state.Hold, "start nothing new for a domain, a wave or all",
		"hold ends waits and probes under way and starts nothing new. A write under way is\nfinished first. What is published stays published.",
		"  mxcutover hold --domain choir.example\n  mxcutover hold --all", "wave", "domain", "all", "isolate")
}

func newResume(s *streams) *cobra.Command {
	return decider(s, state.Resume, "take a hold back",
		"resume lets what was held go on from where it stands. Each step observes first.",
		"  mxcutover resume --all", "wave", "domain", "all", "isolate")
}

func newRetry(s *streams) *cobra.Command {
	return decider(s, state.Retry, "let a held, drifted or rolled-back domain go on",
		`retry takes a held or drifted domain up where it stands, and begins a rolled-back
one anew (by its name or its wave's, never by --all). Use it when the cause is
mended. A drifted record is looked at again and not overwritten: say --adopt,
--force or --skip to choose what becomes of it. The choice is journaled with your
name.`,
		"  mxcutover retry --domain estates.example\n  mxcutover retry --domain estates.example --adopt\n  mxcutover retry --domain estates.example --force --confirm estates.example",
		"wave", "domain", "all", "isolate", "drift", "confirm")
}

func newRollback(s *streams) *cobra.Command {
	c := decider(s, state.Rollback, "restore the records of a domain, a wave or all",
		`rollback restores each journaled MX RRset, member for member, newest step first:
the old server is opened and proven open, then the old members are written at the
low TTL and proven by a probe, then the original TTL. It works while an engine runs
and without one, weeks later too, and needs the target's name typed once more.

A record that somebody else changed is left alone until you choose: --adopt keeps
it, --force overwrites it, --skip leaves the domain out. The choice is journaled
with your name.

With --from it restores from the snapshots file alone, when the journal is lost:
it refuses while an engine lives, and journals what it does to a new file, or to
the one that --journal names, where that was begun from the same snapshots. Such a
file can be looked at and decided about: status, retry and rollback --journal FILE.`,
		"  mxcutover rollback --domain choir.example --confirm choir.example\n  mxcutover rollback --wave pilot --confirm pilot\n  mxcutover rollback --all --confirm all\n  mxcutover rollback --domain choir.example --confirm choir.example --force\n  mxcutover rollback --from /var/lib/mxcutover/gateway-2026.snapshots --all --confirm all",
		"wave", "domain", "all", "drift", "confirm")
	var from string
	c.Flags().StringVar(&from, "from", "", "restore from this snapshots file, without the journal")
	c.Flags().Lookup("journal").Usage = "with --from: the new journal, or one to go on with (default a new one beside the lost one)"
	decide := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if from != "" {
			return runRollbackFrom(cmd, s, from)
		}
		return decide(cmd, args)
	}
	return c
}

// runDecide hands the decision to the engine, or without one journals it and
// carries out what must not wait for an engine.
func runDecide(ctx context.Context, s *streams, d state.Decision, take bool) error {
	cfg, err := s.loadNamed()
	if err != nil {
		return err
	}
	client, err := control.Dial(socketDir(cfg))
	switch {
	case err == nil:
		if take {
			client.TakeControl()
		}
		if err := client.Do(ctx, d); err != nil {
			return decisionError(d, err, journalFlag(cfg))
		}
		s.say("%s %s: taken by the engine; follow it with: mxcutover watch%s", d.Verb, state.ConfirmName(d.Target), journalFlag(cfg))
		return nil
	case !errors.Is(err, control.ErrNoEngine):
		return err
	}
	return decideAlone(ctx, s, cfg, d)
}

// decisionError adds the command that was meant where only the name was not typed.
func decisionError(d state.Decision, err error, flag string) error {
	if errors.Is(err, state.ErrRefused) && d.Destroys() && d.Confirm != state.ConfirmName(d.Target) {
		return fmt.Errorf("%w\n  %s", err, commandOf(d, flag))
	}
	return err
}

// targetFlag is the flag that names a target.
func targetFlag(t string) string {
	if t == state.All || t == state.Isolate {
		return "--" + t
	}
	kind := "--domain "
	if len(t) > 5 && t[:5] == "wave:" {
		kind = "--wave "
	}
	return kind + report.Quote(state.ConfirmName(t))
}

// decideAlone journals a decision while no engine runs. A rollback, and a lift,
// are carried out here and now, by the same code.
func decideAlone(ctx context.Context, s *streams, cfg *config.Config, d state.Decision) (err error) {
	j, err := openJournal(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	d.By = whoami()
	if err := j.Decide(ctx, d); err != nil {
		return decisionError(d, err, journalFlag(cfg))
	}
	switch {
	case d.Verb == state.Rollback, d.Verb == state.Lift:
	case cfg.State.Main != "" && d.Verb == state.Retry: // of a rollback
	default:
		s.say("%s %s: journaled; no engine runs, so it counts from the next: mxcutover run", d.Verb, state.ConfirmName(d.Target))
		return nil
	}
	site, err := openSite(cfg)
	if err != nil {
		return fmt.Errorf("journaled, but not carried out: %w", err)
	}
	defer site.checker.Close()
	return carryOut(ctx, s, site, j, d)
}

// carryOut works off the rollbacks and lifts of a journal, here and now.
func carryOut(ctx context.Context, s *streams, site *site, j *journal, d state.Decision) error {
	pol := policy(site.cfg)
	pol.BackOnly = true
	err := runEngine(ctx, s, site, j, pol, s.progress("plain"))
	s.say("%s", report.RollbackWords(j.Status()))
	flag := journalFlag(site.cfg)
	switch {
	case errors.Is(err, rollout.ErrPersonNeeded):
		return fmt.Errorf("not all of it: %w; see why, and then retry or choose:\n  mxcutover status%s\n  mxcutover retry%s --domain NAME", err, flag, flag)
	case errors.Is(err, context.Canceled):
		s.say("stopped at a safe point; go on with: %s", commandOf(d, flag))
		return exitCode(codeInterrupted)
	}
	return err
}

// commandOf is the command that decides the same, with the name typed. flag names the
// journal.
func commandOf(d state.Decision, flag string) string {
	switch d.Verb {
	case state.Lift:
		return "mxcutover isolate lift"
	case state.Keep:
		return "mxcutover isolate confirm --confirm " + state.Isolate
	}
	line := fmt.Sprintf("mxcutover %s%s %s", d.Verb, flag, targetFlag(d.Target))
	if d.Drift != "" {
		line += " --" + string(d.Drift)
	}
	if d.Destroys() {
		line += " --confirm " + report.Quote(state.ConfirmName(d.Target))
	}
	return line
}

// journalFlag names the journal to the next command, if it is not the
// migration's own.
func journalFlag(cfg *config.Config) string {
	if cfg.State.Main == "" {
		return ""
	}
	return " --journal " + report.Quote(cfg.State.Path)
}
