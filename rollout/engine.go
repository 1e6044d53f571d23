package rollout

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// ErrPersonNeeded ends a run in which nothing can go on without a decision.
var ErrPersonNeeded = errors.New("a person is needed")

// Options make an Engine.
type Options struct {
	Journal *state.Journal
	Actions map[plan.Kind]Action
	Watch   func(context.Context, Turn) ([]plan.Finding, error) // looks at a live domain; nil = never
	Lift    func(context.Context, Turn) ([]plan.Finding, error) // opens the old server and proves it
	Policy  Policy
	Now     func() time.Time
	Name    string              // who runs, for the journal
	Warn    func(string, error) // what could not be journaled
}

// An Engine walks one plan. Make it with [New], start it with [Engine.Run].
type Engine struct {
	Options
	wake    chan struct{}
	plan    plan.Plan
	mu      sync.Mutex
	running map[string]context.CancelFunc // by domain; "" is isolation
	watched map[string]time.Time
	quit    context.CancelFunc
	waves   bool // new waves may start
	workers sync.WaitGroup
	failed  error // the journal's
}

// New makes an Engine over an open journal.
func New(o Options) *Engine {
	o.Policy = o.Policy.withDefaults()
	return &Engine{
		Options: o, plan: o.Journal.Plan(), wake: make(chan struct{}, 1),
		running: map[string]context.CancelFunc{}, watched: map[string]time.Time{},
	}
}

// Do takes a decision: it is judged, journaled, and then acted on.
func (e *Engine) Do(ctx context.Context, d state.Decision) error {
	if err := e.Journal.Decide(ctx, d); err != nil {
		return err
	}
	e.mu.Lock()
	switch d.Verb {
	case state.Hold, state.Rollback, state.Lift:
		e.interrupt(d)
	case state.Approve:
		e.waves = true
	case state.Quit:
		if e.quit != nil {
			e.quit()
		}
	}
	e.mu.Unlock()
	e.look()
	return nil
}

// interrupt ends the steps under way that a decision is about. A write in the
// middle is finished first; see [write].
func (e *Engine) interrupt(d state.Decision) {
	if d.Target == state.Isolate || d.Target == state.All {
		if cancel, ok := e.running[""]; ok {
			cancel()
		}
	}
	e.Journal.View(func(s *state.Status) {
		_, domains, err := s.Targets(d.Target)
		if err != nil {
			return
		}
		for _, x := range domains {
			if cancel, ok := e.running[x.Domain]; ok {
				cancel()
			}
		}
	})
}

// Follow gives the events after a sequence number, then those to come.
func (e *Engine) Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error] {
	return e.Journal.Follow(ctx, since)
}

// Run walks the plan until it is over, until the context ends, or, as the
// Policy says, until only a person can go on ([ErrPersonNeeded]). It returns
// after every step under way has come to a safe point.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var crashed bool
	e.Journal.View(func(s *state.Status) { crashed = s.Engine == "running" })
	e.mu.Lock()
	e.quit, e.waves = cancel, !crashed || e.Policy.ResumeWaves
	e.mu.Unlock()
	if err := e.emit(ctx, state.Event{Kind: state.Started, Reason: e.Name}); err != nil {
		return err
	}
	err := e.loop(ctx)
	cancel()
	e.workers.Wait()
	if e.journalError() != nil {
		return e.journalError()
	}
	why := "done"
	switch {
	case errors.Is(err, ErrPersonNeeded):
		why = err.Error()
	case errors.Is(err, context.Canceled):
		why = "asked to"
	}
	if serr := e.emit(ctx, state.Event{Kind: state.Stopped, Reason: why}); serr != nil {
		return serr
	}
	return err
}

func (e *Engine) loop(ctx context.Context) error {
	for {
		at, over, err := e.turnover(ctx)
		if over || err != nil {
			return err
		}
		if err := e.wait(ctx, at); err != nil {
			return err
		}
	}
}

// wait waits for an event, or until a time. It looks again each minute, since a
// clock may have been set.
func (e *Engine) wait(ctx context.Context, at time.Time) error {
	d := time.Minute
	if !at.IsZero() {
		d = min(d, max(at.Sub(e.Now()), 0))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.wake:
	case <-t.C:
	}
	return e.journalError()
}

// look makes the loop look again.
func (e *Engine) look() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Engine) journalError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// emit journals events. It goes through even while the engine is being stopped:
// what was done must be known. A journal that fails ends the run.
func (e *Engine) emit(ctx context.Context, events ...state.Event) error {
	if len(events) == 0 {
		return nil
	}
	now := e.Now()
	for i := range events {
		events[i].At = now
	}
	if err := e.Journal.Append(context.WithoutCancel(ctx), events...); err != nil {
		e.mu.Lock()
		e.failed = fmt.Errorf("journal: %w", err)
		if e.quit != nil {
			e.quit()
		}
		e.mu.Unlock()
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
