package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

func newBackup(s *streams) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "backup FILE", Short: "copy the journal, also while an engine runs",
		Long: `backup writes a consistent copy of the journal to FILE, and of its snapshots to
FILE.snapshots, both readable by you alone. While an engine runs the copy comes
from it, and it goes on meanwhile. The copy is opened and checked before it gets
its name. Put it back with: mxcutover state restore FILE`,
		Example: "  mxcutover backup /backup/gateway-2026.$(date +%F).db",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runBackup(cmd.Context(), s, args[0], force) },
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return c
}

func runBackup(ctx context.Context, s *streams, path string, force bool) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !force {
		return refusef("%s is there already; replace it with:\n  mxcutover backup --force %s", path, report.Quote(path))
	}
	found, err := whole(path, func(w io.Writer) error { return copyJournal(ctx, cfg, w) })
	if err != nil {
		return err
	}
	n, err := copySnapshots(cfg, path+".snapshots")
	if err != nil {
		return err
	}
	s.say("%s: %d events of migration %s, SHA-256 %x", path, found.events, found.migration, found.sum)
	if n >= 0 {
		s.say("%s.snapshots: %d bytes", path, n)
	}
	return nil
}

// copyJournal writes the journal's file as it is now: from its engine, else from
// the disk.
func copyJournal(ctx context.Context, cfg *config.Config, w io.Writer) error {
	client, err := control.Dial(socketDir(cfg))
	switch {
	case err == nil:
		return client.Backup(ctx, w)
	case !errors.Is(err, control.ErrNoEngine):
		return err
	}
	if err := begunHere(cfg); err != nil {
		return err
	}
	store, err := bolt.Open(cfg.State.Path, bolt.Options{ReadOnly: true, Wait: time.Second})
	if err != nil {
		return err
	}
	f, err := os.Open(cfg.State.Path)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	_, err = io.Copy(w, f) // the lock is held: nobody writes
	return errors.Join(err, f.Close(), store.Close())
}

// A copied file is what was found in a copy of a journal.
type copied struct {
	migration string
	events    uint64
	sum       []byte
}

// whole writes a journal's file beside its place, checks it, and only then gives
// it its name.
func whole(path string, write func(io.Writer) error) (found copied, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".journal-*.db")
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			at.Path = filepath.Dir(path) // the name beside it means nothing to people
			return found, fmt.Errorf("write %s: its folder: %w", path, err)
		}
		return found, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error before counts
		}
	}()
	sum := sha256.New()
	if err := errors.Join(write(io.MultiWriter(tmp, sum)), tmp.Sync(), tmp.Close()); err != nil {
		return found, err
	}
	if found, err = look(tmp.Name()); err != nil {
		return found, fmt.Errorf("the copy is no whole journal: %w", err)
	}
	found.sum = sum.Sum(nil)
	if err := os.Rename(tmp.Name(), path); err != nil {
		return found, err
	}
	return found, syncFolder(filepath.Dir(path))
}

// look opens a journal that nobody else has, and reads all of it.
func look(path string) (found copied, err error) {
	store, err := bolt.Open(path, bolt.Options{ReadOnly: true, Wait: time.Second})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	j, err := state.Open(context.Background(), store, state.Options{Now: time.Now, Verify: true})
	if err != nil {
		return found, err
	}
	st := j.Status()
	return copied{migration: st.Migration, events: st.Seq}, j.Close()
}

// copySnapshots copies the snapshots file; -1 if there is none.
func copySnapshots(cfg *config.Config, path string) (n int64, err error) {
	from, err := os.Open(snapshotFile(cfg))
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(to, from)
	return n, errors.Join(err, to.Sync(), to.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
