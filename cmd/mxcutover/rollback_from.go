package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// restoreWave is the wave of a journal that was made from snapshots.
const restoreWave = "restore"

// runRollbackFrom rolls back from the snapshots file alone. What was written is told
// to a new journal as if it had just been done, and then undone by the same code
// as any rollback.
func runRollbackFrom(cmd *cobra.Command, s *streams, from string) (err error) {
	ctx := cmd.Context()
	cfg, err := s.load()
	if err != nil {
		return err
	}
	d, err := restoreDecision(cmd)
	if err != nil {
		return err
	}
	if _, err := control.Dial(socketDir(cfg)); !errors.Is(err, control.ErrNoEngine) {
		return cmp.Or(err, refusef("an engine runs; let it roll back:\n  mxcutover rollback --all --confirm all"))
	}
	own := named(cfg, cmp.Or(s.journal, restoreJournal(cfg, time.Now())))
	h, err := hold(own, "mxcutover rollback --from, "+whoami()+", journal "+own.State.Path, false, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Release()) }()
	snaps, err := readSnapshots(s, from)
	if err != nil {
		return err
	}
	r, err := fromSnapshots(cfg, snaps)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	site, err := openSite(own)
	if err != nil {
		return err
	}
	defer site.checker.Close()
	j, err := beginRestore(ctx, own, r.plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if err := r.tell(ctx, site, j); err != nil {
		return err
	}
	s.say("%d domains are known from %s; what is done is journaled in %s; look at it with: mxcutover status%s", len(r.domains), from, j.path, journalFlag(own))
	d.By = whoami()
	if err := j.Decide(ctx, d); err != nil {
		return decisionError(d, err, journalFlag(own))
	}
	return carryOut(ctx, s, site, j, d)
}

// restoreDecision is the rollback that was asked for. Snapshots know no waves.
func restoreDecision(cmd *cobra.Command) (state.Decision, error) {
	f := cmd.Flags()
	if f.Changed("wave") {
		return state.Decision{}, usagef("--from knows no waves; name each --domain, or say --all")
	}
	text := func(name string) string { return f.Lookup(name).Value.String() }
	t := target{
		domain: text("domain"), confirm: text("confirm"), all: text("all") == "true",
		adopt: text("adopt") == "true", force: text("force") == "true", skip: text("skip") == "true",
	}
	return t.decision(state.Rollback, []string{"domain", "all"})
}

// readSnapshots reads what is whole in the file. What is damaged is told, and
// does not keep the rest from being restored.
func readSnapshots(s *streams, path string) ([]state.Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	snaps, err := state.ReadSnapshots(f)
	if err != nil {
		if len(snaps) == 0 {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		s.say("%s: %s\ngoing on with the %d snapshots that are whole", path, report.HarmlessLines(err.Error()), len(snaps))
	}
	return snaps, nil
}

// restoreJournal is the path of a new journal beside the lost one.
func restoreJournal(cfg *config.Config, now time.Time) string {
	return beside(cfg.State.Path, ".restore-") + now.UTC().Format("20060102T150405") + ".db"
}

// beginRestore begins the journal of a rollback from snapshots, or goes on with
// the one that is there, if it was begun from the same ones.
func beginRestore(ctx context.Context, own *config.Config, p plan.Plan) (*journal, error) {
	path := own.State.Path
	o := bolt.Options{Wait: time.Second, Holder: whoami()}
	if _, err := os.Stat(path); err != nil {
		j, err := withStore(own, o, func(s *bolt.Store) (*state.Journal, error) {
			return state.Create(ctx, s, p, journalOptions(own))
		})
		if err != nil {
			return nil, fmt.Errorf("%w\nname a file on another disk with --journal", err)
		}
		return j, nil
	}
	j, err := withStore(own, o, func(s *bolt.Store) (*state.Journal, error) {
		j, err := state.Open(ctx, s, journalOptions(own))
		if errors.Is(err, state.ErrNone) { // it died as it was about to begin
			return state.Create(ctx, s, p, journalOptions(own))
		}
		return j, err
	})
	if err != nil {
		return nil, fmt.Errorf("%w\nname a new file with --journal", err)
	}
	if p.Made = j.Plan().Made; p.Sign().ID != j.Plan().ID {
		return nil, errors.Join(refusef("%s is the journal of something else, or of other snapshots; name a new file with --journal", path), j.Close())
	}
	return j, nil
}
