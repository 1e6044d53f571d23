package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

func runStateRestore(ctx context.Context, s *streams, from string, force bool) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	h, err := idle(cfg, "state restore")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Release()) }()
	backup, err := look(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if backup.migration != cfg.Migration {
		return refusef("%s is of migration %s, and %s is of %s", from, backup.migration, cfg.Path, cfg.Migration)
	}
	if _, err := os.Stat(cfg.State.Path); err == nil {
		if have, err := look(cfg.State.Path); err == nil && have.events > backup.events && !force {
			return refusef("the journal has %d events, and the backup %d; restore it all the same with:\n  mxcutover state restore --force %s", have.events, backup.events, report.Quote(from))
		}
		kept, err := aside(cfg, "before-restore")
		if err != nil {
			return err
		}
		s.say("the journal that was there is kept as %s", kept)
	}
	found, err := whole(cfg.State.Path, func(w io.Writer) error {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	s.say("%s: restored, with %d events of migration %s", cfg.State.Path, found.events, found.migration)
	if err := tellSince(ctx, s, cfg); err != nil {
		return fmt.Errorf("what was written since the backup could not be told to the journal: %w\ngo back without it, if you must:\n  mxcutover rollback --from %s --all --confirm all", err, report.Quote(snapshotFile(cfg)))
	}
	s.say("the next run observes before each step; what does not fit is held as drifted:\n  mxcutover run")
	return nil
}

// tellSince tells a journal that was put back from a backup what the snapshots
// file knows beyond it: else a rollback would leave what was written since, and
// lead to a server that was closed since. Each domain that was written is held,
// so that nothing goes on before somebody has looked.
func tellSince(ctx context.Context, s *streams, cfg *config.Config) (err error) {
	snaps, err := readSnapshots(s, snapshotFile(cfg))
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.say("%s is not there, so it is not known what was written since the backup: look at each domain before you go on", snapshotFile(cfg))
	case err != nil:
		s.say("%s cannot be read, so it is not known what was written since the backup: look at each domain before you go on: %s", snapshotFile(cfg), report.HarmlessLines(err.Error()))
	}
	j, err := withStore(cfg, bolt.Options{Wait: time.Second, Holder: whoami()}, func(st *bolt.Store) (*state.Journal, error) {
		return state.Open(ctx, st, journalOptions(cfg))
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	known := map[string]bool{}
	for ev, err := range j.Events(ctx, 0) {
		if err != nil {
			return err
		}
		if ev.Kind == state.Intended && ev.Intent != nil && ev.Intent.Snapshot != nil {
			known[madeBefore(ev.Domain, ev.Step, ev.At, *ev.Intent.Snapshot)] = true
		}
	}
	if lost := beyond(j.Plan(), j.Status(), known, snaps); len(lost) > 0 {
		s.say("%d domains were written that the backup's plan does not have, since it was extended after that (%s, ...): do not go on with this one; put a later backup back, or go back without it:\n  mxcutover rollback --from %s --all --confirm all",
			len(lost), report.Harmless(rrset.Bare(lost[0])), report.Quote(snapshotFile(cfg)))
	}
	told := since(j.Plan(), j.Status(), known, snaps)
	held := 0
	for _, events := range told {
		if err := j.Append(ctx, events...); err != nil {
			return err
		}
		if events[0].Domain != "" {
			held++
		}
	}
	if held > 0 {
		s.say("%d domains were written since the backup was made, and are held: look, then retry them, or go back:\n  mxcutover retry --all\n  mxcutover rollback --all --confirm all", held)
	}
	return nil
}

// beyond are the domains that snapshots tell of and the plan does not have: it was
// extended after the backup was made.
func beyond(p plan.Plan, st *state.Status, known map[string]bool, snaps []state.Snapshot) []string {
	names := map[string]bool{}
	for _, x := range snaps {
		if x.Migration == p.Migration && x.After != nil && st.Domain(x.Domain) == nil && !known[madeBefore(x.Domain, x.Step, x.At, x.Set)] {
			names[x.Domain] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// madeBefore is the same for an Intent and for its line in the snapshots file.
func madeBefore(domain, step string, at time.Time, s rrset.Set) string {
	return domain + "|" + step + "|" + at.UTC().Format(time.RFC3339Nano) + "|" + s.Hash()
}

const heldSince = "this step was begun after the backup was made that the journal was put back from: look, then retry, or roll it back"

// since are the events that tell what snapshots know beyond a journal, of one
// domain after the other: its steps as done, so that they can be undone, and then
// that it is held. The old server may have been closed since, too: it is opened,
// and proven open, before any MX goes back.
func since(p plan.Plan, st *state.Status, known map[string]bool, snaps []state.Snapshot) (told [][]state.Event) {
	chains := map[string][]state.Snapshot{}
	for _, x := range snaps {
		if x.Migration == p.Migration && x.After != nil && !known[madeBefore(x.Domain, x.Step, x.At, x.Set)] {
			chains[x.Domain] = chain(chains[x.Domain], x)
		}
	}
	for i := range st.Domains {
		d := &st.Domains[i]
		var events []state.Event
		for _, ev := range retold(chains[d.Domain], nil) {
			if r, begun := d.Steps[ev.Step]; begun && ev.Kind == state.Intended && !ev.Intent.Base {
				ev.Intent = &r.Intent // what it was before the backup counts
			}
			ev.Wave = d.Wave
			events = append(events, ev)
		}
		if len(events) > 0 {
			last := events[len(events)-1]
			told = append(told, append(events, state.Event{Kind: state.Held, Wave: d.Wave, Domain: d.Domain, Step: last.Step, Reason: heldSince}))
		}
	}
	for _, s := range p.Isolate {
		if s.Kind == plan.Arm && !st.Isolation.Closed {
			return append([][]state.Event{{{Kind: state.Intended, Step: s.ID}}}, told...)
		}
	}
	return told
}
