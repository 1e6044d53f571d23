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
	Watch   func(context.Context, Turn) ([]plan.Finding, error)              // looks at a live domain; nil = never
	Compare func(context.Context, Turn) ([]plan.Finding, error)              // probes a live domain, to tell a domain's fault from the gateway's; nil = never
	Lift    func(context.Context, Turn) ([]plan.Finding, error)              // opens the old server and proves it
	Closed  func(ctx context.Context, t Turn, ports []uint16) []plan.Finding // asks whether what was closed for good is so still; nil = never
	Quiet   func(provider string) time.Duration                              // how late a write without an answer may come; nil = 5 minutes
	Hand    func(provider string) bool                                       // a person makes its changes; nil = never
	Policy  Policy
	Clock   Clock
	Engine  state.Engine        // which process this is; Boot is filled in
	Name    string              // the same in words
	Warn    func(string, error) // what could not be journaled
}

// An Engine walks one plan. Make it with [New], start it with [Engine.Run].
type Engine struct {
	Options
	wake    chan struct{}
	plan    plan.Plan
	mu      sync.Mutex
	running map[string]*working // by domain; "" is isolation
	agenda  agenda
	watched map[string]time.Time
	outlook outlook
	round   time.Time // when all was looked at last
	settle  time.Time // when original TTLs may come back
	quit    context.CancelFunc
	workers sync.WaitGroup
	ended   bool                // Run has given up on workers that did not end
	failed  error               // the journal's
	apart   func(domain string) // tests: lets no two moves begin at the same instant
}

// working is a step under way.
type working struct {
	cancel context.CancelFunc
	wave   string
	idle   bool // it only waits, and takes no place in its wave
	look   bool // it only looks at what was closed for good, and is in nobody's way
}

// New makes an Engine over an open journal.
func New(o Options) *Engine {
	o.Policy = o.Policy.withDefaults()
	if o.Quiet == nil {
		o.Quiet = func(string) time.Duration { return 5 * time.Minute }
	}
	return &Engine{
		Options: o, plan: o.Journal.Plan(), wake: make(chan struct{}, 1),
		running: map[string]*working{}, watched: map[string]time.Time{}, agenda: newAgenda(),
	}
}

// Do takes a decision: it is judged, journaled, and then acted on.
func (e *Engine) Do(ctx context.Context, d state.Decision) error {
	if err := e.Journal.Decide(ctx, d); err != nil {
		return err
	}
	e.mu.Lock()
	e.agenda.all = true
	switch d.Verb {
	case state.Hold, state.Rollback, state.Lift:
		e.interrupt(d)
	case state.Quit:
		if e.quit != nil {
			e.quit()
		}
	}
	e.mu.Unlock()
	e.look()
	return nil
}

// Control journals who decides from now on.
func (e *Engine) Control(ctx context.Context, d state.Decision) error {
	return e.emit(ctx, state.Event{Kind: state.Control, Decision: &d})
}

// interrupt ends the steps under way that a decision is about. A write in the
// middle is finished first; see [write].
func (e *Engine) interrupt(d state.Decision) {
	if w, ok := e.running[""]; ok && (w.look || d.Target == state.Isolate || d.Target == state.All) {
		w.cancel()
	}
	e.Journal.View(func(s *state.Status) {
		_, domains, err := s.Targets(d.Target)
		if err != nil {
			return
		}
		for _, x := range domains {
			if w, ok := e.running[x.Domain]; ok {
				w.cancel()
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
// when every step under way has come to a safe point, or at the latest after
// Policy.StopWithin: an effect whose answer is still awaited is journaled as
// begun, and the next engine looks at it.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.quit, e.agenda, e.ended = cancel, newAgenda(), false
	e.mu.Unlock()
	self := e.Engine
	self.Boot, _ = e.Clock.Boot()
	self.Resume = e.Policy.ResumeWaves && !e.Policy.BackOnly
	if err := e.emit(ctx, state.Event{Kind: state.Started, Reason: e.Name, Engine: &self}); err != nil {
		return err
	}
	err := e.keepRoom(ctx)
	if err == nil {
		err = e.loop(ctx)
	}
	cancel()
	left := e.drain()
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
	if left > 0 {
		why += fmt.Sprintf("; %d steps were left without an answer, and are looked at by the next engine", left)
	}
	if serr := e.emit(ctx, state.Event{Kind: state.Stopped, Reason: why}); serr != nil {
		return serr
	}
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	return err
}

// drain waits for the steps under way, not for ever, and tells how many did not
// end.
func (e *Engine) drain() int {
	ended := make(chan struct{})
	go func() { // it ends with the last worker, whose own waits are bounded
		e.workers.Wait()
		close(ended)
	}()
	t := time.NewTimer(e.Policy.StopWithin)
	defer t.Stop()
	select {
	case <-ended:
		return 0
	case <-t.C:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.running)
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

// wait waits for an event, or until a time. Each minute all is looked at again, however
// much happens meanwhile: a clock may have been set, and what waits for others is told by
// no event.
func (e *Engine) wait(ctx context.Context, at time.Time) error {
	d := max(time.Until(e.round.Add(time.Minute)), 0)
	if !at.IsZero() {
		d = min(d, max(at.Sub(e.Clock.Now()), 0))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.wake:
	case <-t.C:
	}
	if time.Since(e.round) >= time.Minute {
		e.round = time.Now()
		e.lookAtAll()
		if err := e.keepRoom(ctx); err != nil {
			return err
		}
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
	_, err := e.append(ctx, events)
	return err
}

// append is emit, and tells the moment that the events got.
func (e *Engine) append(ctx context.Context, events []state.Event) (state.Moment, error) {
	e.mu.Lock()
	ended := e.ended
	e.mu.Unlock()
	now := moment(e.Clock)
	if ended {
		return now, errEnded
	}
	for i := range events {
		events[i].At, events[i].Up = now.At, now.Up
	}
	err := e.Journal.Append(context.WithoutCancel(ctx), events...)
	if errors.Is(err, state.ErrNoRoom) {
		return now, fmt.Errorf("journal: %w", err) // nothing was written: see noRoom
	}
	if err != nil {
		e.mu.Lock()
		e.failed = fmt.Errorf("journal: %w", err)
		if e.quit != nil {
			e.quit()
		}
		e.mu.Unlock()
		return now, fmt.Errorf("journal: %w", err)
	}
	return now, nil
}

// errEnded stops a step that did not end when the engine did.
var errEnded = errors.New("the engine has ended")
