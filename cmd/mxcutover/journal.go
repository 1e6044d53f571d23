package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// beside is what stands beside a journal, under its name with another ending.
func beside(path, ending string) string { return strings.TrimSuffix(path, ".db") + ending }

// socketDir is where the engine of a migration listens.
func socketDir(cfg *config.Config) string { return beside(cfg.State.Path, ".run") }

// snapshotFile holds each snapshot as text, for the day when the journal is lost.
func snapshotFile(cfg *config.Config) string { return beside(cfg.State.Path, ".snapshots") }

// named is the configuration with another journal in place of its own, such as
// that of a rollback from the snapshots alone. "" = its own.
func named(cfg *config.Config, path string) *config.Config {
	if path == "" {
		return cfg
	}
	other := *cfg
	other.State.Path, other.State.Main = path, mainPath(cfg)
	return &other
}

// mainPath is where the migration's own journal is, or was.
func mainPath(cfg *config.Config) string { return cmp.Or(cfg.State.Main, cfg.State.Path) }

// hold takes the right to write the migration: of all that change it, whichever
// file they change, there is one at a time. Where its disk is read only or
// broken, others stand in for the hold's own file.
func hold(cfg *config.Config, who string, writes bool, others ...string) (*bolt.Hold, error) {
	path := mainPath(cfg)
	return bolt.Take(path, who, writes && cfg.State.Main == "", append([]string{beside(path, ".snapshots"), filepath.Dir(path)}, others...)...)
}

// whoami names the user of this process.
func whoami() string {
	uid := os.Getuid()
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("uid %d (%s)", uid, u.Username)
	}
	return fmt.Sprintf("uid %d", uid)
}

// errNoMigration means that nothing was begun yet.
var errNoMigration = errors.New("no migration was begun here; begin one with: mxcutover run")

// begunHere is errNoMigration where there is no journal.
func begunHere(cfg *config.Config) error {
	if _, err := os.Stat(cfg.State.Path); errors.Is(err, os.ErrNotExist) {
		return errNoMigration
	}
	return nil
}

// notBegun tells whether an error means that there is no journal, or nothing in it.
func notBegun(err error) bool { return errors.Is(err, errNoMigration) || errors.Is(err, state.ErrNone) }

// A journal is a state.Journal with the store that it is in.
type journal struct {
	*state.Journal
	store *bolt.Store
	path  string
	hold  *bolt.Hold // nil if it is only looked at, or another has the hold
}

// Close ends the journal, then its store, then the hold of the migration.
func (j *journal) Close() error {
	err := errors.Join(j.Journal.Close(), j.store.Close())
	if j.hold != nil {
		err = errors.Join(err, j.hold.Release())
	}
	return err
}

// openJournal opens the journal of a migration that was begun, to write it.
func openJournal(ctx context.Context, cfg *config.Config) (*journal, error) {
	if err := begunHere(cfg); err != nil {
		return nil, err
	}
	return held(cfg, func(s *bolt.Store) (*state.Journal, error) {
		return state.Open(ctx, s, journalOptions(cfg))
	})
}

// createJournal begins a migration.
func createJournal(ctx context.Context, cfg *config.Config, p plan.Plan) (*journal, error) {
	return held(cfg, func(s *bolt.Store) (*state.Journal, error) {
		return state.Create(ctx, s, p, journalOptions(cfg))
	})
}

// held opens a journal to write it, with the hold of its migration.
func held(cfg *config.Config, open func(*bolt.Store) (*state.Journal, error)) (*journal, error) {
	h, err := hold(cfg, whoami(), true)
	if err != nil {
		return nil, err
	}
	j, err := withStore(cfg, bolt.Options{Wait: time.Second, Holder: whoami()}, open)
	if err != nil {
		return nil, errors.Join(damaged(cfg, err), h.Release())
	}
	j.hold = h
	return j, nil
}

// damaged says how to go on, or back, with a journal that is not whole.
func damaged(cfg *config.Config, err error) error {
	if !errors.Is(err, bolt.ErrDamaged) && !errors.Is(err, state.ErrBroken) {
		return err
	}
	return fmt.Errorf(`%w
see what is wrong and what can be done; put a backup back; or go back without the journal:
  mxcutover state check
  mxcutover state restore BACKUP
  mxcutover rollback --from %s --all --confirm all`, err, report.Quote(snapshotFile(cfg)))
}

func withStore(cfg *config.Config, o bolt.Options, open func(*bolt.Store) (*state.Journal, error)) (*journal, error) {
	store, err := bolt.Open(cfg.State.Path, o)
	if err != nil {
		return nil, err
	}
	j, err := open(store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &journal{Journal: j, store: store, path: cfg.State.Path}, nil
}

// journalOptions: a journal that was made from snapshots gets none of its own.
func journalOptions(cfg *config.Config) state.Options {
	o := state.Options{Now: time.Now, Holder: whoami()}
	if cfg.State.Main == "" {
		o.Snapshots = snapshotFile(cfg)
	}
	return o
}

// viewing reads a migration: from its engine while one runs, else from the
// journal.
type viewing struct {
	status *state.Status
	plan   plan.Plan
	client *control.Client // nil without an engine
	close  func() error
	events func(ctx context.Context, since uint64, yield func(state.Event) error) error
}

// view looks at a migration without changing it.
func view(ctx context.Context, cfg *config.Config) (*viewing, error) {
	return viewSoon(ctx, func() (*viewing, error) {
		client, err := control.Dial(socketDir(cfg))
		if err != nil {
			return nil, err
		}
		return viewEngine(ctx, client)
	}, func() (*viewing, error) { return viewJournal(ctx, cfg) })
}

// viewTries bounds the looks at a journal that somebody holds and no engine answers for;
// each waits a second for it.
const viewTries = 5

// viewSoon asks the engine, or else reads the journal. An engine that begins just then has
// the journal before it answers, so both are tried again.
func viewSoon(ctx context.Context, engine, journal func() (*viewing, error)) (*viewing, error) {
	var taken error
	for range viewTries {
		v, err := engine()
		if !errors.Is(err, control.ErrNoEngine) {
			return v, err
		}
		if v, err = journal(); !errors.Is(err, state.ErrLocked) {
			return v, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		taken = err
	}
	return nil, taken
}

func viewEngine(ctx context.Context, client *control.Client) (*viewing, error) {
	p, err := client.Plan(ctx)
	if err != nil {
		return nil, err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	v := &viewing{status: s, plan: p, client: client, close: func() error { return nil }}
	v.events = func(ctx context.Context, since uint64, yield func(state.Event) error) error {
		last := s.Seq
		if since >= last {
			return nil
		}
		for ev, err := range client.Follow(ctx, since) {
			if err != nil {
				return err
			}
			if err := yield(ev); err != nil || ev.Seq >= last {
				return err
			}
		}
		return ctx.Err()
	}
	return v, nil
}

// whole is the status with what each step recorded, such as when a domain was
// published, and which ports are closed for good. An engine's own has not that.
func (v *viewing) whole(ctx context.Context) (*state.Status, error) {
	if v.client == nil {
		return v.status, nil
	}
	st := state.NewStatus(v.plan)
	err := v.events(ctx, 0, func(ev state.Event) error { st.Apply(ev); return nil })
	st.Engine = v.status.Engine
	return st, err
}

func viewJournal(ctx context.Context, cfg *config.Config) (*viewing, error) {
	if err := begunHere(cfg); err != nil {
		return nil, err
	}
	j, err := withStore(cfg, bolt.Options{ReadOnly: true, Wait: time.Second}, func(s *bolt.Store) (*state.Journal, error) {
		return state.Open(ctx, s, state.Options{Now: time.Now})
	})
	if errors.Is(err, state.ErrBroken) { // what is whole can be looked at; run refuses it
		why := err
		if j, err = withStore(cfg, bolt.Options{ReadOnly: true, Wait: time.Second}, func(s *bolt.Store) (*state.Journal, error) {
			return state.Open(ctx, s, state.Options{Now: time.Now, Salvage: true})
		}); err == nil {
			fmt.Fprintf(os.Stderr, "mxcutover: %s\nshown is what stands before that; see: mxcutover state check\n", report.Harmless(why.Error()))
		}
	}
	if err != nil {
		return nil, damaged(cfg, err)
	}
	s := j.Status()
	s.Engine = "stopped" // whatever it said before it died: we could open its journal
	return &viewing{
		status: s, plan: j.Plan(), close: j.Close,
		events: func(ctx context.Context, since uint64, yield func(state.Event) error) error {
			for ev, err := range j.Events(ctx, since) {
				if err != nil {
					return err
				}
				if err := yield(ev); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// dialSoon waits for an engine that is just starting.
func dialSoon(ctx context.Context, dir string) (*control.Client, error) {
	for {
		client, err := control.Dial(dir)
		if !errors.Is(err, control.ErrNoEngine) {
			return client, err
		}
		if perr := pause(ctx, 20*time.Millisecond); perr != nil {
			return nil, err
		}
	}
}
