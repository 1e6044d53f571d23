package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A zone may have two owners: two DNS hosts, or a host and a generator that feeds
// some of its name servers from elsewhere. What is written at one is then not
// served by all, or written over. So before the first write to a zone a scratch
// TXT record is written to it, which must come to every server that the zone is
// delegated to, and is then taken away. A crash in between leaves it; it is taken
// away before the next one is written.

// owners remembers for the run which zones have one owner.
type owners struct {
	mu    sync.Mutex
	zones map[string]*flight
	begun map[string]bool // zones that were written to before this run
}

// A flight is one look at a zone, which all its domains wait for.
type flight struct {
	done  chan struct{}
	found []plan.Finding
	err   error
}

// scratchTime bounds writing a scratch record, or taking it away.
const scratchTime = 2 * time.Minute

// oneOwner looks, once a run, at a zone that was not written to yet. An error
// holds the domain, or is repeated.
func (w World) oneOwner(ctx context.Context, t Turn) error {
	if !w.Owners[t.provider()] || w.owners == nil || w.Hand(t.provider()) {
		return nil
	}
	zone := t.zone()
	for {
		f, mine := w.owners.of(t, zone)
		if f == nil {
			return nil
		}
		if mine {
			f.found, f.err = w.lookForOwners(ctx, t)
			w.owners.landed(zone, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case mine && len(f.found) > 0 && f.err == nil:
			return t.Observe(ctx, time.Time{}, f.found...)
		case mine || !errors.Is(f.err, context.Canceled):
			return f.err
		}
	}
}

// of is the look at a zone that is under way or was made; nil if none is needed.
// mine: it is the caller's to make.
func (o *owners) of(t Turn, zone string) (f *flight, mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun == nil {
		o.begun = map[string]bool{}
		t.View(func(s *state.Status) { o.written(t.Plan, s) })
	}
	if o.begun[zone] {
		return nil, false
	}
	if f, ok := o.zones[zone]; ok {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	o.zones[zone] = f
	return f, true
}

// written notes the zones that have a write in the journal.
func (o *owners) written(p *plan.Plan, s *state.Status) {
	for _, c := range p.Cutovers() {
		d := s.Domain(c.Domain)
		for _, step := range c.Steps {
			if d != nil && step.Kind.Writes() {
				if _, begun := d.Steps[step.ID]; begun {
					o.begun[zoneOf(c, step)] = true
				}
			}
		}
	}
}

// landed ends a look. One that failed is made anew by whoever comes next.
func (o *owners) landed(zone string, f *flight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.err != nil {
		delete(o.zones, zone)
	}
	close(f.done)
}

// lookForOwners writes a scratch record, and waits until every server has it.
func (w World) lookForOwners(ctx context.Context, t Turn) ([]plan.Finding, error) {
	p, err := w.provider(t.provider())
	if err != nil {
		return nil, err
	}
	zone := rrset.Bare(t.zone())
	want, remove, err := w.scratch(ctx, t, p)
	switch {
	case errors.Is(err, providers.ErrScratch):
		return w.owner(t, plan.Warn, "not proven: %v", err), nil
	case err != nil:
		return nil, err
	}
	found, ok, err := w.reaches(ctx, t, want)
	var told []plan.Finding
	if rerr := remove(); rerr != nil {
		told = w.owner(t, plan.Warn, "%v; its text says what it is, and it may be deleted by hand", rerr)
	}
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, hold(found, "zone %s may have two owners: a scratch record that was written through %s did not come to every name server that the zone is delegated to, and was taken away again: %s; give the zone one owner, or say in the configuration that it has (one_owner: true)", zone, t.provider(), worst(found))
	}
	return append(told, w.owner(t, plan.Pass, "what is written through %s comes to every name server of %s", t.provider(), zone)...), nil
}

func (w World) owner(t Turn, s plan.Severity, format string, args ...any) []plan.Finding {
	return []plan.Finding{{Check: "ns.owner", Target: t.zone(), Severity: s, At: t.Now(), Detail: fmt.Sprintf(format, args...)}}
}

// scratch writes the record by the one way there is, in the provider's turn.
func (w World) scratch(ctx context.Context, t Turn, p providers.Provider) (rrset.Set, func() error, error) {
	if ctx.Err() != nil {
		return rrset.Set{}, nil, ctx.Err()
	}
	free, err := w.limits.take(ctx, t.provider())
	if err != nil {
		return rrset.Set{}, nil, err
	}
	defer free()
	ctx, cancel := within(ctx, scratchTime)
	defer cancel()
	want, remove, err := providers.WriteScratch(ctx, p, t.zone(), t.Plan.Migration, t.Now())
	switch {
	case err == nil, errors.Is(err, providers.ErrScratch), errors.Is(err, providers.ErrTransient) && !errors.Is(err, providers.ErrInDoubt):
		return want, remove, err
	}
	// It is no record of the domain's: neither drift nor doubt about it is the domain's.
	return want, remove, hold(nil, "a scratch record could not be written to zone %s through %s: %v", rrset.Bare(t.zone()), t.provider(), err)
}

// reaches waits until every authoritative server serves the scratch record.
func (w World) reaches(ctx context.Context, t Turn, want rrset.Set) (found []plan.Finding, ok bool, err error) {
	ok, err = poll(ctx, t.Clock, w.Policy.SyncWait, w.Policy.PollEvery, func() (bool, error) {
		served, f := w.Checker.Served(ctx, t.zone(), want.Name, want.Type)
		found = f
		for _, server := range slices.Sorted(maps.Keys(served)) {
			if s := served[server]; !s.SameData(want) {
				found = append(found, plan.Finding{
					Check: "ns.owner", Target: server, Severity: plan.Fail, At: t.Now(),
					Detail: "it does not have the scratch record", Evidence: s.String(), RFC: "RFC 1034 section 4.3.5",
				})
			}
		}
		return len(served) > 0 && (Outcome{Findings: found}).verdict() == plan.Pass, ctx.Err()
	})
	return found, ok, err
}
