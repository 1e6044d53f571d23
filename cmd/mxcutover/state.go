package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

func newState(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use: "state", Short: "check, restore or migrate the journal",
		Long:    "state looks after the journal's file. To copy it, see: mxcutover backup --help",
		Example: "  mxcutover state check\n  mxcutover state restore /backup/gateway-2026.2026-11-20.db\n  mxcutover state migrate",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	check := &cobra.Command{
		Use: "check [FILE]", Short: "read a whole journal and say what is in it, and what is wrong",
		Long: `check reads every page, every event and every snapshot of the journal, or of a
backup, and changes nothing. It ends with 0 if all is whole and with 1 if not,
and says what can be done.`,
		Example: "  mxcutover state check\n  mxcutover state check /backup/gateway-2026.2026-11-20.db -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runStateCheck(cmd.Context(), s, args) },
	}
	s.addOutput(check)
	var force bool
	restore := &cobra.Command{
		Use: "restore FILE", Short: "put a backup back as the journal",
		Long: `restore puts a backup in the journal's place. What was there is kept beside it. It
refuses while an engine has the journal, and a backup with fewer events than the
journal has (--force does it all the same).

The world may be further on than the backup knows. What the snapshots file has that
the backup has not is told to the journal, and each such domain is held: look, then
retry it or roll it back; the old server counts as closed until it is lifted. The
next run observes before each step: what is there already is not done again, and
what does not fit is held as drifted, for you to adopt, force or skip.`,
		Example: "  mxcutover state restore /backup/gateway-2026.2026-11-20.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStateRestore(cmd.Context(), s, args[0], force)
		},
	}
	restore.Flags().BoolVar(&force, "force", false, "restore a backup that has fewer events than the journal")
	migrate := &cobra.Command{
		Use: "migrate", Short: "bring the journal to this release's version",
		Long: `migrate changes the journal to the version that this release writes, if it is of an
older one: on a copy, which is checked and then takes its place; the old file is
kept beside it. Nothing else ever changes a journal's version.`,
		Example: "  mxcutover backup /backup/before-upgrade.db && mxcutover state migrate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStateMigrate(cmd.Context(), s, state.Migrations())
		},
	}
	c.AddCommand(check, restore, migrate)
	return c
}

// aside moves a journal out of the way, and tells where to.
func aside(cfg *config.Config, why string) (string, error) {
	to := cfg.State.Path + "." + why + "-" + time.Now().UTC().Format("20060102T150405")
	return to, os.Rename(cfg.State.Path, to)
}

// idle refuses to go on while an engine has the migration, and keeps others away
// until it is released: a journal that is put away takes its own lock along.
func idle(cfg *config.Config, who string) (*bolt.Hold, error) {
	if _, err := control.Dial(socketDir(cfg)); err == nil {
		return nil, refusef("an engine runs; end it first (Ctrl-C, or systemctl stop)")
	}
	return hold(cfg, "mxcutover "+who+", "+whoami(), false)
}

func runStateMigrate(ctx context.Context, s *streams, list []state.Migration) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	h, err := idle(cfg, "state migrate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Release()) }()
	store, err := bolt.Open(cfg.State.Path, bolt.Options{ReadOnly: true, Wait: time.Second})
	if err != nil {
		return err
	}
	version, err := state.VersionOf(ctx, store)
	latest := max(state.Version, lastOf(list))
	switch err := errors.Join(err, store.Close()); {
	case err != nil:
		return err
	case version > latest:
		return fmt.Errorf("the journal is of version %d, and this mxcutover writes %d: %w; use the newer release", version, latest, state.ErrVersion)
	case version == latest:
		s.say("the journal is of version %d, as this release writes it: nothing is to be done", version)
		return nil
	}
	tmp := cfg.State.Path + ".migrating"
	if err := migrateCopy(ctx, cfg.State.Path, tmp, list); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	kept, err := aside(cfg, fmt.Sprint("version-", version))
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, cfg.State.Path); err != nil {
		return err
	}
	s.say("the journal is of version %d now; the old one is kept as %s", latest, kept)
	return nil
}

func lastOf(list []state.Migration) int {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].To
}

// migrateCopy makes a copy of a journal and migrates that.
func migrateCopy(ctx context.Context, from, to string, list []state.Migration) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	store, err := bolt.Open(to, bolt.Options{Wait: time.Second, Holder: whoami()})
	if err != nil {
		return err
	}
	_, _, err = state.Migrate(ctx, store, list)
	return errors.Join(err, store.Close())
}
