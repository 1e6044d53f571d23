package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"mxcutover/config"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A restoring is what a snapshots file tells of a migration.
type restoring struct {
	plan    plan.Plan
	domains []string                    // in their order
	chains  map[string][]state.Snapshot // by domain: see chain
}

// fromSnapshots makes a plan of what was written since each domain was last
// rolled back.
func fromSnapshots(cfg *config.Config, snaps []state.Snapshot) (*restoring, error) {
	r := &restoring{chains: map[string][]state.Snapshot{}}
	others := ""
	for _, x := range snaps {
		switch {
		case x.Migration != cfg.Migration:
			others = x.Migration
		case x.After != nil && slices.Contains(writing(), plan.KindOf(x.Step)):
			r.chains[x.Domain] = chain(r.chains[x.Domain], x)
		}
	}
	r.domains = slices.Sorted(maps.Keys(r.chains))
	if len(r.domains) == 0 {
		if others != "" {
			return nil, refusef("it is of migration %s, and %s is of %s", others, cfg.Path, cfg.Migration)
		}
		return nil, errors.New("it has no snapshot of a record that was changed: nothing is to be restored")
	}
	r.plan = plan.Plan{Migration: cfg.Migration, Config: cfg.Hash(), Made: time.Now().UTC().Truncate(time.Second)}
	wave := plan.Wave{Name: restoreWave, Gate: plan.Gate{Approve: plan.Manual, Failures: 1}}
	for _, domain := range r.domains {
		r.chains[domain] = numbered(r.chains[domain])
		wave.Cutovers = append(wave.Cutovers, cutover(r.chains[domain]))
	}
	r.plan.Waves = []plan.Wave{wave}
	if cfg.Isolate != nil {
		r.plan.Isolate = []plan.Step{{ID: string(plan.Arm), Kind: plan.Arm, Ports: cfg.Isolate.Ports}}
	}
	r.plan = r.plan.Sign()
	return r, nil
}

// writing are the kinds of steps that change DNS, in the order of a cutover.
func writing() []plan.Kind {
	return []plan.Kind{plan.WriteCompanion, plan.LowerTTL, plan.Publish, plan.Settle}
}

// place is a step's among those that write one RRset.
func place(step string) (int, int) {
	n, _ := strconv.Atoi(plan.Step{ID: step}.Number()) // those of the MX have none
	return slices.Index(writing(), plan.KindOf(step)), n
}

// before tells whether a snapshot is of an earlier step, or of another RRset.
func before(h, x state.Snapshot) bool {
	if h.Name != x.Name || h.Type != x.Type {
		return true
	}
	kind, n := place(h.Step)
	kindX, nX := place(x.Step)
	return kind < kindX || kind == kindX && n < nX
}

// chain adds a snapshot to those of a domain's steps that were written and, as
// far as the file tells, not undone: one a step. A step that is begun again was
// undone before, with all that came after it; one that was begun twice in the
// same attempt is undone to where it first began, or to the record that a person
// took over since. A later attempt that begins with a later step goes on from
// the steps before: such is one after a skip.
func chain(have []state.Snapshot, x state.Snapshot) []state.Snapshot {
	var kept []state.Snapshot
	for _, h := range have {
		switch {
		case before(h, x):
			kept = append(kept, h)
		case h.Step == x.Step && h.Attempt == x.Attempt && !x.Base:
			return have
		}
	}
	return append(kept, x)
}

// numbered gives companions of different RRsets different steps: a domain that was
// planned anew may have had another one by the same number.
func numbered(chain []state.Snapshot) []state.Snapshot {
	taken := map[string]bool{}
	for _, x := range chain {
		taken[x.Step] = true
	}
	seen := map[string]bool{}
	for i := range chain {
		x := &chain[i]
		for n := 1; seen[x.Step]; n++ {
			if id := string(plan.WriteCompanion) + ":" + strconv.Itoa(n); !taken[id] {
				x.Step, taken[id] = id, true
			}
		}
		seen[x.Step] = true
	}
	return chain
}

// cutover is one domain's, as far as its snapshots tell.
func cutover(chain []state.Snapshot) plan.Cutover {
	first := chain[0]
	for _, x := range slices.Backward(chain) {
		if plan.KindOf(x.Step) != plan.WriteCompanion {
			first = x // whose zone is the domain's
		}
	}
	c := plan.Cutover{Domain: first.Domain, Wave: restoreWave, Zone: first.Zone, Provider: first.Provider, PointsTo: plan.ToOld}
	for _, x := range chain {
		change := rrset.Change{Zone: x.Zone, Before: x.Set, After: *x.After}
		s := plan.Step{ID: x.Step, Kind: plan.KindOf(x.Step), Change: &change}
		if s.Kind == plan.WriteCompanion {
			s.Provider = x.Provider
		}
		c.Steps = append(c.Steps, s)
	}
	return c
}

// retold are the events that tell that a domain's steps were done. Where the record
// stands as it was before one of them, that step and those before it are told
// only: the others were undone, and what stands is nobody else's change. now is
// the MX; nil = it could not be read. Companions are looked at as they are undone.
// Where the MX went back before, nobody knows when: companions wait from now on for
// as long as a cache may have had the gateway's.
func retold(chain []state.Snapshot, now *rrset.Set) (events []state.Event) {
	var caches time.Duration
	if now != nil {
		if i := slices.IndexFunc(chain, func(x state.Snapshot) bool { return now.Equal(x.Set) }); i >= 0 {
			undone := func(x state.Snapshot) bool { return !before(x, chain[i]) && x.Step != chain[i].Step }
			for _, x := range chain {
				if k := plan.KindOf(x.Step); undone(x) && (k == plan.Publish || k == plan.Settle) {
					caches = max(caches, time.Duration(x.After.TTL)*time.Second)
				}
			}
			chain = slices.DeleteFunc(slices.Clone(chain), undone)
		}
	}
	for _, x := range chain {
		change := rrset.Change{Zone: x.Zone, Before: x.Set, After: *x.After}
		intent := state.Intent{Snapshot: &change.Before, Change: &change, Rest: x.Rest, Base: x.Base, Provider: x.Provider, Attempt: x.Attempt}
		if plan.KindOf(x.Step) == plan.WriteCompanion {
			intent.Wait = caches
		}
		events = append(events,
			state.Event{Kind: state.Intended, Wave: restoreWave, Domain: x.Domain, Step: x.Step, Intent: &intent},
			state.Event{Kind: state.Done, Wave: restoreWave, Domain: x.Domain, Step: x.Step})
	}
	return events
}

// tell journals what was written, of each domain that the journal does not know
// of yet: a domain's events are journaled together or not at all.
func (r *restoring) tell(ctx context.Context, site *site, j *journal) error {
	known := map[string]bool{}
	for ev, err := range j.Events(ctx, 0) {
		if err != nil {
			return err
		}
		known[ev.Domain] = known[ev.Domain] || ev.Kind == state.Intended
	}
	if len(r.plan.Isolate) > 0 && !known[""] {
		// It may be closed: it is opened, and proven open, before any MX goes back.
		if err := j.Append(ctx, state.Event{Kind: state.Intended, Step: string(plan.Arm)}); err != nil {
			return err
		}
	}
	more := slices.DeleteFunc(slices.Clone(r.domains), func(d string) bool { return known[d] })
	now := r.read(ctx, site, more)
	for at := range slices.Chunk(indexes(len(more)), 16) {
		var events []state.Event
		for _, i := range at {
			events = append(events, retold(r.chains[more[i]], now[i])...)
		}
		if err := j.Append(ctx, events...); err != nil {
			return err
		}
	}
	return nil
}

func indexes(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

// readAll bounds reading all records before a rollback begins.
const readAll = time.Minute

// read asks the providers for domains' records, in time or not at all: each undo
// looks again.
func (r *restoring) read(ctx context.Context, site *site, domains []string) []*rrset.Set {
	out := make([]*rrset.Set, len(domains))
	ctx, cancel := context.WithTimeout(ctx, readAll)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(16)
	for i, d := range domains {
		g.Go(func() error {
			if set, err := site.read(ctx, cutover(r.chains[d])); err == nil {
				out[i] = &set
			}
			return nil
		})
	}
	_ = g.Wait() // none fails: what could not be read is nil
	return out
}
