package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
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
	metrics  string
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
		Example: "  mxcutover run\n  mxcutover run --plan plan.jsonl --exit-when-held\n  mxcutover run --progress json 2>events.jsonl\n  mxcutover run --metrics :9817",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.named = cmd.Flags().Changed("plan")
			return runRun(cmd.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.plan, "plan", defaultPlan, "the plan file, for a migration that was not begun yet")
	f.StringVar(&o.progress, "progress", "plain", "plain, json or none: what is written to standard error")
	f.BoolVar(&o.resume, "resume-waves", false, "start new waves though the last engine crashed")
	f.StringVar(&o.metrics, "metrics", "", "answer Prometheus at HOST:PORT (:PORT is loopback) or unix:PATH, under /metrics")
	completeWith(c, "progress", func() []string { return []string{"plain", "json", "none"} })
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
	defer site.checker.Close()
	metrics, err := s.openMetrics(ctx, o.metrics)
	if err != nil {
		return err
	}
	if metrics != nil {
		defer metrics.Close()
	}
	j, err := s.beginOrResume(ctx, site, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	defer s.serveMetrics(ctx, metrics, j)()
	pol := policy(cfg)
	pol.ResumeWaves, pol.ExitHeld = o.resume, o.exitHeld
	err = runEngine(ctx, s, site, j, pol, s.progress(o.progress))
	if errors.Is(err, context.Canceled) {
		s.say("stopped at a safe point; go on with: mxcutover run")
		return exitCode(codeInterrupted)
	}
	if state.NoSpace(err) {
		return fmt.Errorf("%w\nthe engine has ended, and nothing is lost; make room on the disk and go on, or go back as it is (mxcutover rollback --all --confirm all):\n  mxcutover run", err)
	}
	return err
}

// beginOrResume opens the journal of the migration, or begins it from its plan.
func (s *streams) beginOrResume(ctx context.Context, site *site, o runOptions) (*journal, error) {
	cfg := site.cfg
	j, err := openJournal(ctx, cfg)
	if err == nil {
		if err := s.sameOrExtended(ctx, site, j, o); err != nil {
			return nil, errors.Join(err, j.Close())
		}
		s.say("going on with migration %s, plan %.12s", j.Plan().Migration, j.Plan().ID)
		return j, nil
	}
	if !notBegun(err) {
		return nil, err
	}
	if err := noTraces(cfg); err != nil {
		return nil, err
	}
	p, err := readPlan(o.plan)
	if err != nil {
		return nil, err
	}
	if p.Config != cfg.Hash() {
		return nil, refusef("%s was made from other settings than %s now has; make it anew with:\n  mxcutover plan --out %s", o.plan, cfg.Path, report.Quote(o.plan))
	}
	if err := s.notStale(ctx, site, p.Cutovers(), "plan --out "+report.Quote(o.plan)); err != nil {
		return nil, err
	}
	return createJournal(ctx, cfg, p)
}

// notStale refuses cutovers whose records are not as they expect.
func (s *streams) notStale(ctx context.Context, site *site, cuts []plan.Cutover, anew string) error {
	stale, err := site.stale(ctx, cuts, s.err)
	if err != nil {
		return err
	}
	if len(stale) > 0 {
		return refusef("the plan is stale: %d of its records are not as it expects\n%smake it anew with:\n  mxcutover %s", len(stale), strings.Join(stale, ""), anew)
	}
	return nil
}

// sameOrExtended refuses to go on with a journal under another plan or settings,
// unless the plan that was named extends the one that was begun.
func (s *streams) sameOrExtended(ctx context.Context, site *site, j *journal, o runOptions) error {
	cfg, begun := site.cfg, j.Plan()
	p := begun
	if o.named {
		var err error
		if p, err = readPlan(o.plan); err != nil {
			return err
		}
	}
	if p.ID == begun.ID {
		return sameSettings(cfg, begun)
	}
	if why := p.Extends(begun); why != nil {
		return refusef("%s is plan %.12s, and the migration was begun with plan %.12s, which it does not extend: %w; go on with that by: mxcutover run", o.plan, p.ID, begun.ID, why)
	}
	anew := "plan --extend --out " + report.Quote(o.plan)
	if p.Config != cfg.Hash() {
		return refusef("%s was made from other settings than %s now has; make it anew with:\n  mxcutover %s", o.plan, cfg.Path, anew)
	}
	more := p.NewWaves(begun)
	if err := s.notStale(ctx, site, plan.Plan{Waves: more}.Cutovers(), anew); err != nil {
		return err
	}
	if err := j.Extend(ctx, p); err != nil {
		return err
	}
	s.say("the plan is extended by %d waves with %d domains", len(more), len(plan.Plan{Waves: more}.Cutovers()))
	return nil
}

// noTraces refuses to begin a migration whose snapshots tell that it was begun:
// then its journal is lost, and a new one would know nothing of what was written.
func noTraces(cfg *config.Config) error {
	path := snapshotFile(cfg)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	snaps, err := state.ReadSnapshots(f)
	written := err != nil // of what is damaged nobody knows
	for _, x := range snaps {
		written = written || x.Migration == cfg.Migration && x.After != nil
	}
	if !written {
		return nil
	}
	return refusef(`the journal %s is empty or not there, and %s has records that this migration was about to change: it was begun, and its journal is lost; put a backup back, or go back without it (or move the snapshots away, if all is as it was):
  mxcutover state restore BACKUP
  mxcutover rollback --from %s --all --confirm all`, cfg.State.Path, path, report.Quote(path))
}

// sameSettings refuses to go on with a journal under settings that shape another
// plan.
func sameSettings(cfg *config.Config, begun plan.Plan) error {
	if begun.Config != cfg.Hash() {
		return refusef("%s shapes another plan than the one that was begun (%.12s); put back its settings (migration, old, mx, providers' zones, domains, waves, gate, ttl, isolate.ports), or, for new zones and domains, extend the plan, look at it, and go on with it:\n  mxcutover plan --extend --out extended.jsonl", cfg.Path, begun.ID)
	}
	return nil
}

// runEngine runs the engine with its sockets and its notices. It listens before
// any step begins: an engine that nobody can reach must not start.
func runEngine(ctx context.Context, s *streams, site *site, j *journal, pol rollout.Policy, progress func(state.Event)) error {
	outlivePipes()
	sockets, err := listenAt(s, socketDir(site.cfg), pol)
	if err != nil {
		return err
	}
	notices, told := context.WithCancel(context.WithoutCancel(ctx))
	defer told()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := site.world(pol)
	hook := control.NewHook(site.cfg.Notify.Command, func(err error) { s.say("notify: %v", report.Harmless(err.Error())) })
	engine := rollout.New(rollout.Options{
		Journal: j.Journal, Actions: w.Actions(), Watch: w.Watch, Compare: w.Compare, Lift: w.Lift, Closed: w.StaysClosed, Quiet: w.Quiet, Hand: w.Hand,
		Policy: pol, Clock: rollout.SystemClock(), Engine: state.Engine{UID: os.Getuid(), PID: os.Getpid(), Version: version},
		Name: fmt.Sprintf("mxcutover %s, %s, pid %d", version, whoami(), os.Getpid()),
		Warn: func(what string, err error) {
			s.say("%s: %s", report.Harmless(rrset.Bare(what)), report.Harmless(err.Error()))
		},
	})
	finish := follow(ctx, j, func(ev state.Event) {
		progress(ev)
		hook.Send(ev)
	})
	served, noticed := make(chan error, 1), make(chan error, 1)
	go func() {
		var err error
		if sockets != nil {
			err = sockets.Serve(ctx, control.Options{
				Engine: engine, Plan: j.Plan(), Status: j.Status, Version: version, Backup: j.store.Backup, Control: engine.Control,
			})
		}
		if err != nil {
			cancel() // nobody can reach it any more
		}
		served <- err
	}()
	go func() { noticed <- hook.Run(notices) }()
	unattended := supervised(ctx, func(ctx context.Context) (*state.Status, error) {
		if sockets == nil {
			return j.Status(), nil
		}
		client, err := control.Dial(socketDir(site.cfg))
		if err != nil {
			return nil, err
		}
		return client.Look(ctx)
	})
	err = engine.Run(ctx)
	unattended()
	cancel()
	err = errors.Join(err, finish())
	told() // what waits is still told
	if serr := errors.Join(notCanceled(<-served), notCanceled(<-noticed)); serr != nil {
		return errors.Join(serr, notCanceled(err)) // why it was ended is not that somebody asked for it
	}
	return err
}

// listenAt takes the engine's sockets. A run that only goes back does without
// them where the disk has no room for them: mail is more than being looked at.
func listenAt(s *streams, dir string, pol rollout.Policy) (*control.Sockets, error) {
	sockets, err := control.Listen(dir)
	if pol.BackOnly && state.NoSpace(err) {
		s.say("no other command can reach this one while it runs: %s", report.Harmless(err.Error()))
		return nil, nil //nolint:nilnil // it goes on without
	}
	return sockets, err
}

// outlivePipes lets writes to a standard error that nobody reads any more fail,
// as in mxcutover run 2>&1 | head: without this the first of them ends the
// process (see package os/signal, SIGPIPE). It holds until the process ends.
func outlivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

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
				return // a reader that went away stops nothing, see outlivePipes
			}
		}
	case "plain":
		p := s.printer(s.err)
		return func(ev state.Event) { fmt.Fprintln(s.err, p.Line(ev)) }
	}
	return func(state.Event) {}
}
