package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/report"
	"mxcutover/state"
)

func newEvents(s *streams) *cobra.Command {
	var since uint64
	var follow bool
	c := &cobra.Command{
		Use: "events", Short: "print the journal's events as JSON Lines",
		Example: "  mxcutover events\n  mxcutover events --since 4711 --follow | jq -c 'select(.kind == \"held\")'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runEvents(cmd.Context(), s, since, follow) },
	}
	c.Flags().Uint64Var(&since, "since", 0, "only events after this sequence number")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with events as they come; waits for an engine")
	s.addJournal(c)
	return c
}

func runEvents(ctx context.Context, s *streams, since uint64, follow bool) (err error) {
	cfg, err := s.loadNamed()
	if err != nil {
		return err
	}
	v, err := view(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	print := func(ev state.Event) error {
		since = ev.Seq
		return e.Encode(ev)
	}
	if err := v.events(ctx, since, print); err != nil || !follow {
		return err
	}
	if err := v.close(); err != nil {
		return err
	}
	v.close = func() error { return nil }
	return followOn(ctx, cfg, &since, print)
}

// Between two looks at an engine that hangs up.
const (
	soonAgain = 100 * time.Millisecond
	mostAgain = 5 * time.Second
)

// followOn gives events for ever, over engines that stop and start. An engine
// that is away is waited for; one that hangs up without a word is asked again
// ever less often, and one of another version not at all. An engine that ended may have
// journaled what nobody was given: while none is there, the journal is read when it has
// changed.
func followOn(ctx context.Context, cfg *config.Config, since *uint64, yield func(state.Event) error) error {
	again := soonAgain
	var read time.Time // of the journal, how it was when it was read
	for ctx.Err() == nil {
		client, err := control.Dial(socketDir(cfg))
		if errors.Is(err, control.ErrNoEngine) {
			if err := missed(ctx, cfg, since, &read, yield); err != nil {
				return err
			}
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		for ev, err := range client.Follow(ctx, *since) {
			if errors.Is(err, control.ErrVersion) {
				return err
			}
			if err != nil {
				break // the line was lost: dial again
			}
			again = soonAgain
			if err := yield(ev); err != nil {
				return err
			}
			*since = ev.Seq
		}
		if err := pause(ctx, again); err != nil {
			return err
		}
		again = min(2*again, mostAgain)
	}
	return ctx.Err()
}

// missed gives the events that the journal has beyond since, if it has changed since it
// was read. A journal that an engine has taken meanwhile is told by that.
func missed(ctx context.Context, cfg *config.Config, since *uint64, read *time.Time, yield func(state.Event) error) error {
	info, err := os.Stat(cfg.State.Path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.ModTime().Equal(*read) {
		return nil
	}
	if err != nil {
		return err
	}
	v, err := viewJournal(ctx, cfg)
	if errors.Is(err, state.ErrLocked) || errors.Is(err, errNoMigration) {
		return nil
	}
	if err != nil {
		return err
	}
	err = v.events(ctx, *since, func(ev state.Event) error {
		if err := yield(ev); err != nil {
			return err
		}
		*since = ev.Seq
		return nil
	})
	*read = info.ModTime() // of before: what is written meanwhile is read again
	return errors.Join(err, v.close())
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newWatch(s *streams) *cobra.Command {
	var until string
	var timeout time.Duration
	c := &cobra.Command{
		Use: "watch", Short: "follow the migration on a plain terminal, one line per change",
		Long: `watch prints one line for each change, from now on. It ends when the migration is
over, or with exit code 3 when something is held or drifted and waits for a person.
With --until it ends when a wave, a domain or isolation has come to a state; of isolation
also with exit code 3 once that is held and goes on only when a person retries it. With
--until done it ends only when the migration is over.`,
		Example: "  mxcutover watch\n  mxcutover watch --until done\n  mxcutover watch --until wave:pilot=live --timeout 2h\n  mxcutover watch --until held",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runWatch(cmd.Context(), s, until, timeout) },
	}
	c.Flags().StringVar(&until, "until", "", `"done", "live", "held", "wave:NAME=STATE", "domain:NAME=STATE" or "isolation=STATE"`)
	completeWith(c, "until", func() []string { return []string{"done", "live", "held"} })
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long, with exit code 4")
	s.addJournal(c)
	return c
}

func runWatch(ctx context.Context, s *streams, until string, timeout time.Duration) error {
	cfg, err := s.loadNamed()
	if err != nil {
		return err
	}
	goal, err := parseGoal(until)
	if err != nil {
		return err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	v, err := view(ctx, cfg)
	if err != nil {
		return err
	}
	if err := goal.in(v.status, until); err != nil {
		return errors.Join(err, v.close())
	}
	fold := state.NewStatus(v.plan)
	since := uint64(0)
	old := v.status.Seq
	p := s.printer(s.out)
	see := func(ev state.Event) error {
		fold.Apply(ev)
		since = ev.Seq
		if ev.Seq > old {
			fmt.Fprintln(s.out, p.Line(ev))
		}
		if ev.Seq >= old && goal.reached(fold) {
			return errSeen
		}
		return nil
	}
	err = v.events(ctx, 0, see)
	if cerr := v.close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = followOn(ctx, cfg, &since, see)
	}
	if errors.Is(err, errSeen) {
		switch err = goal.exit(fold); {
		case goal.inVain(fold):
			s.say("isolation is held: %s; see: mxcutover isolate status", report.Harmless(fold.Isolation.Reason))
		case err != nil && until == "":
			s.say("a person is needed: mxcutover status says for what; mxcutover watch --until done goes on watching")
		}
	}
	if timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("after %s %s (--timeout): %w", timeout, goal.now(fold), err)
	}
	return err
}

var errSeen = errors.New("seen")
