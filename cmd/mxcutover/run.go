package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rollout"
	"mxcutover/rrset"
	"mxcutover/state"
)

// runOptions are the flags of run.
type runOptions struct {
	plan     string
	named    bool // the plan was named by the user
	progress string
	resume   bool
	exitHeld bool
}

func newRun(s *streams) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use: "run", Short: "walk the plan: the engine",
		Long: `run begins the migration of a plan file, or goes on with the one that was begun.
It refuses a plan that was edited, or whose records are no longer there (exit 6).
It runs in the foreground until all is settled, answers to the other commands over
its sockets, and can be ended at any time: the next run goes on where it stood.
After a crash it resumes what was under way but starts no new wave until a person
approves one, or with --resume-waves.`,
		Example: "  mxcutover run\n  mxcutover run --plan plan.jsonl --exit-when-held\n  mxcutover run --progress json 2>events.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.named = cmd.Flags().Changed("plan")
			return runRun(cmd.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.plan, "plan", defaultPlan, "the plan file, for a migration that was not begun yet")
	f.StringVar(&o.progress, "progress", "plain", "plain, json or none: what is written to standard error")
	f.BoolVar(&o.resume, "resume-waves", false, "start new waves though the last engine crashed")
	f.BoolVar(&o.exitHeld, "exit-when-held", false, "end with exit code 3 when only a person can go on")
	return c
}

func runRun(ctx context.Context, s *streams, o runOptions) (err error) {
	if o.progress != "plain" && o.progress != "json" && o.progress != "none" {
		return usagef("--progress %s: expected plain, json or none", o.progress)
	}
	cfg, err := s.load()
	if err != nil {
		return err
	}
	site, err := openSite(cfg)
	if err != nil {
		return err
	}
	j, err := s.beginOrResume(ctx, site, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	pol := policy(cfg)
	pol.ResumeWaves, pol.ExitHeld = o.resume, o.exitHeld
	err = runEngine(ctx, s, site, j, pol, s.progress(o.progress))
	if errors.Is(err, context.Canceled) {
		s.say("stopped at a safe point; go on with: mxcutover run")
		return exitCode(codeInterrupted)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w\nthe engine has ended, and nothing is lost; make room on the disk and go on, or go back as it is (mxcutover rollback --all --confirm all):\n  mxcutover run", err)
	}
	return err
}

// beginOrResume opens the journal of the migration, or begins it from its plan.
func (s *streams) beginOrResume(ctx context.Context, site *site, o runOptions) (*journal, error) {
	cfg := site.cfg
	j, err := openJournal(ctx, cfg)
	if err == nil {
		if err := sameMigration(cfg, j.Plan(), o); err != nil {
			return nil, errors.Join(err, j.Close())
		}
		s.say("going on with migration %s, plan %.12s", j.Plan().Migration, j.Plan().ID)
		return j, nil
	}
	if !errors.Is(err, errNoMigration) && !errors.Is(err, state.ErrNone) {
		return nil, err
	}
	p, err := readPlan(o.plan)
	if err != nil {
		return nil, err
	}
	if p.Config != cfg.Hash() {
		return nil, refusef("%s was made from other settings than %s now has; make it anew with:\n  mxcutover plan --out %s", o.plan, cfg.Path, report.Quote(o.plan))
	}
	stale, err := site.stale(ctx, p, s.err)
	if err != nil {
		return nil, err
	}
	if len(stale) > 0 {
		return nil, refusef("the plan is stale: %d of its records are not as it expects\n%smake it anew with:\n  mxcutover plan --out %s", len(stale), strings.Join(stale, ""), report.Quote(o.plan))
	}
	return createJournal(ctx, cfg, p)
}

// sameMigration refuses to go on with a journal under another plan or settings.
func sameMigration(cfg *config.Config, begun plan.Plan, o runOptions) error {
	if begun.Config != cfg.Hash() {
		return refusef("%s shapes another plan than the one that was begun (%.12s); put back its settings: migration, old, mx, providers' zones, domains, waves, gate, ttl, isolate.ports", cfg.Path, begun.ID)
	}
	if !o.named {
		return nil
	}
	p, err := readPlan(o.plan)
	if err != nil {
		return err
	}
	if p.ID != begun.ID {
		return refusef("%s is plan %.12s, and the migration was begun with plan %.12s; go on with it by: mxcutover run", o.plan, p.ID, begun.ID)
	}
	return nil
}

// runEngine runs the engine with its sockets and its notices.
func runEngine(ctx context.Context, s *streams, site *site, j *journal, pol rollout.Policy, progress func(state.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := site.world(pol)
	hook := control.NewHook(site.cfg.Notify.Command, func(err error) { s.say("notify: %v", report.Harmless(err.Error())) })
	engine := rollout.New(rollout.Options{
		Journal: j.Journal, Actions: w.Actions(), Watch: w.Watch, Compare: w.Compare, Lift: w.Lift, Quiet: w.Quiet,
		Policy: pol, Clock: rollout.SystemClock(), Engine: state.Engine{UID: os.Getuid(), PID: os.Getpid(), Version: version},
		Name: fmt.Sprintf("mxcutover %s, %s, pid %d", version, whoami(), os.Getpid()),
		Warn: func(what string, err error) {
			s.say("%s: %s", report.Harmless(rrset.Bare(what)), report.Harmless(err.Error()))
		},
	})
	tell := func(ev state.Event) {
		progress(ev)
		hook.Send(ev)
	}
	told := follow(ctx, j, tell)
	served := make(chan error, 2)
	go func() {
		err := control.Serve(ctx, control.Options{
			Dir: socketDir(site.cfg), Engine: engine, Plan: j.Plan(), Status: j.Status, Version: version, Backup: j.store.Backup, Control: engine.Control,
		})
		if err != nil {
			cancel() // an engine that nobody can reach must not go on
		}
		served <- err
	}()
	go func() { served <- hook.Run(ctx) }()
	err := engine.Run(ctx)
	cancel()
	err = errors.Join(err, told())
	for range 2 {
		if serr := <-served; serr != nil && !errors.Is(serr, context.Canceled) {
			err = errors.Join(serr, err)
		}
	}
	return err
}

// follow tells each event from now on. The function that it returns waits, once
// the engine has ended and the context with it, until all were told.
func follow(ctx context.Context, j *journal, tell func(state.Event)) (finish func() error) {
	since := j.Status().Seq
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ev, err := range j.Follow(ctx, since) {
			if err != nil {
				return
			}
			tell(ev)
			since = ev.Seq
		}
	}()
	return func() error {
		<-ended
		for ev, err := range j.Events(context.WithoutCancel(ctx), since) {
			if err != nil {
				return err
			}
			tell(ev)
		}
		return nil
	}
}

// progress is what is told of each event while the engine runs.
func (s *streams) progress(how string) func(state.Event) {
	switch how {
	case "json":
		e := json.NewEncoder(s.err)
		return func(ev state.Event) {
			if err := e.Encode(ev); err != nil {
				return // a progress reader that went away stops nothing
			}
		}
	case "plain":
		p := s.printer(s.err)
		return func(ev state.Event) { fmt.Fprintln(s.err, p.Line(ev)) }
	}
	return func(state.Event) {}
}
