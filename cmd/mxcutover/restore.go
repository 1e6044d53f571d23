package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// restoreWave is the wave of a journal that was made from snapshots.
const restoreWave = "restore"

// runRestore rolls back from the snapshots file alone. What was written is told
// to a new journal as if it had just been done, and then undone by the same code
// as any rollback.
func runRestore(cmd *cobra.Command, s *streams, from, journal string) (err error) {
	ctx := cmd.Context()
	cfg, err := s.load()
	if err != nil {
		return err
	}
	d, err := restoreDecision(cmd)
	if err != nil {
		return err
	}
	if err := noEngine(cfg); err != nil {
		return err
	}
	snaps, err := readSnapshots(s, from)
	if err != nil {
		return err
	}
	p, events, err := fromSnapshots(cfg, snaps)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	j, err := createAt(ctx, cfg, p, cmp.Or(journal, restoreJournal(cfg, time.Now())))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	for chunk := range slices.Chunk(events, 64) {
		if err := j.Append(ctx, chunk...); err != nil {
			return err
		}
	}
	s.say("%d domains are known from %s; what is done is journaled in %s", len(p.Cutovers()), from, j.path)
	d.By = whoami()
	if err := j.Decide(ctx, d); err != nil {
		return decisionError(d, err)
	}
	return carryOut(ctx, s, cfg, j)
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
	return t.decision(state.Rollback)
}

// noEngine refuses to go on beside a living engine. A journal that is lost or
// damaged is why one is here, so only its lock counts.
func noEngine(cfg *config.Config) error {
	if _, err := control.Dial(socketDir(cfg)); !errors.Is(err, control.ErrNoEngine) {
		return cmp.Or(err, refusef("an engine runs; let it roll back:\n  mxcutover rollback --all --confirm all"))
	}
	store, err := bolt.Open(cfg.State.Path, bolt.Options{ReadOnly: true, Wait: time.Second})
	switch {
	case errors.Is(err, state.ErrLocked):
		return err
	case err == nil:
		return store.Close()
	}
	return nil
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

// fromSnapshots makes a plan of what was written, and the events that tell that
// it was: of each domain's last attempt.
func fromSnapshots(cfg *config.Config, snaps []state.Snapshot) (plan.Plan, []state.Event, error) {
	byDomain := map[string][]state.Snapshot{}
	others := ""
	for _, x := range snaps {
		switch have := byDomain[x.Domain]; {
		case x.Migration != cfg.Migration:
			others = x.Migration
		case x.After == nil || !plan.Kind(x.Step).Writes():
		case len(have) > 0 && have[0].Attempt > x.Attempt:
		case len(have) > 0 && have[0].Attempt < x.Attempt:
			byDomain[x.Domain] = []state.Snapshot{x}
		default:
			byDomain[x.Domain] = append(have, x)
		}
	}
	if len(byDomain) == 0 {
		if others != "" {
			return plan.Plan{}, nil, refusef("it is of migration %s, and %s is of %s", others, cfg.Path, cfg.Migration)
		}
		return plan.Plan{}, nil, errors.New("it has no snapshot of a record that was changed: nothing is to be restored")
	}
	p := plan.Plan{Migration: cfg.Migration, Config: cfg.Hash(), Made: time.Now().UTC().Truncate(time.Second)}
	wave := plan.Wave{Name: restoreWave, Gate: plan.Gate{Approve: plan.Manual, Failures: 1}}
	var events []state.Event
	for _, domain := range slices.Sorted(maps.Keys(byDomain)) {
		c, told := restored(byDomain[domain])
		wave.Cutovers = append(wave.Cutovers, c)
		events = append(events, told...)
	}
	p.Waves = []plan.Wave{wave}
	if cfg.Isolate != nil {
		p.Isolate = []plan.Step{{ID: string(plan.Arm), Kind: plan.Arm, Ports: cfg.Isolate.Ports}}
		// It may be closed: it is opened, and proven open, before any MX goes back.
		events = append(events, state.Event{Kind: state.Intended, Step: string(plan.Arm)})
	}
	return p.Sign(), events, nil
}

// restored is one domain's cutover, as far as its snapshots tell, and the events
// of its steps. A step that was written twice is undone to where it began.
func restored(snaps []state.Snapshot) (c plan.Cutover, events []state.Event) {
	first := snaps[0]
	c = plan.Cutover{Domain: first.Domain, Wave: restoreWave, Zone: first.Zone, Provider: first.Provider, PointsTo: plan.ToOld}
	for _, k := range []plan.Kind{plan.LowerTTL, plan.Publish, plan.Settle} {
		i := slices.IndexFunc(snaps, func(x state.Snapshot) bool { return plan.Kind(x.Step) == k })
		if i < 0 {
			continue
		}
		x := snaps[i]
		change := rrset.Change{Zone: x.Zone, Before: x.Set, After: *x.After}
		c.Steps = append(c.Steps, plan.Step{ID: x.Step, Kind: k, Change: &change})
		intent := state.Intent{Snapshot: &change.Before, Change: &change, Provider: x.Provider, Attempt: x.Attempt}
		events = append(events,
			state.Event{Kind: state.Intended, Wave: restoreWave, Domain: x.Domain, Step: x.Step, Intent: &intent},
			state.Event{Kind: state.Done, Wave: restoreWave, Domain: x.Domain, Step: x.Step})
	}
	return c, events
}

// restoreJournal is the path of a new journal beside the lost one.
func restoreJournal(cfg *config.Config, now time.Time) string {
	return strings.TrimSuffix(cfg.State.Path, ".db") + ".restore-" + now.UTC().Format("20060102T150405") + ".db"
}

// createAt begins a journal at a path of its own, without a snapshots file.
func createAt(ctx context.Context, cfg *config.Config, p plan.Plan, path string) (*journal, error) {
	if _, err := os.Stat(path); err == nil {
		return nil, refusef("%s is there already; name a new file with --journal", path)
	}
	moved := *cfg
	moved.State.Path = path
	return withStore(&moved, bolt.Options{Wait: time.Second, Holder: whoami()}, func(s *bolt.Store) (*state.Journal, error) {
		return state.Create(ctx, s, p, state.Options{Now: time.Now, Holder: whoami()})
	})
}
