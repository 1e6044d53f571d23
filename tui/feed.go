package tui

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// What the line to the engine tells the model.
type (
	batchMsg  []state.Event          // events that came together
	linkedMsg struct{ until uint64 } // the engine answers; it has so many events
	planMsg   struct{ plan plan.Plan }
	lostMsg   struct {
		err   error
		again time.Duration // until it is tried again
	}
	// controlMsg says whether this screen has control; lost is why it has not.
	controlMsg struct{ lost string }
)

const (
	batchEvery = 100 * time.Millisecond
	batchMost  = 5000
	retryLeast = 500 * time.Millisecond
	retryMost  = 5 * time.Second
)

// A line is the way to the engine. It does the I/O that Update does not.
type line struct {
	engine  Engine
	control Controller
	ask     Questions
	send    func(tea.Msg)
	plan    string        // the ID of the plan that the model has
	wake    chan struct{} // an engine was started: look at once
	holds   atomic.Bool   // a session of ours has control
}

// effects are what the model asks to be carried out. Each blocks, and is called
// outside of Update.
type effects struct {
	decide  func(state.Decision) error
	take    func(force bool) error
	start   func() (string, error)
	rules   func(stage int) (report.Rules, error)
	refused func() ([]report.Refused, error)
	servers func(zone, domain string) ([]Answer, error)
}

// effects binds what the model may ask for to a context; what cannot be done is nil.
func (l *line) effects(ctx context.Context) effects {
	e := effects{
		decide: func(d state.Decision) error { return l.engine.Do(ctx, d) },
		take:   func(force bool) error { return l.take(ctx, force) },
	}
	if f := l.ask.Start; f != nil {
		e.start = func() (string, error) {
			told, err := f(ctx)
			select {
			case l.wake <- struct{}{}:
			default:
			}
			return told, err
		}
	}
	if f := l.ask.Rules; f != nil {
		e.rules = func(stage int) (report.Rules, error) { return f(ctx, stage) }
	}
	if f := l.ask.Refused; f != nil {
		e.refused = func() ([]report.Refused, error) { return f(ctx) }
	}
	if f := l.ask.Servers; f != nil {
		e.servers = func(zone, domain string) ([]Answer, error) { return f(ctx, zone, domain) }
	}
	return e
}

// take takes control, and tells when it is lost. A session that lives on though the
// events broke off has it still.
func (l *line) take(ctx context.Context, force bool) error {
	if l.control == nil || l.holds.Load() {
		l.send(controlMsg{})
		return nil
	}
	lost, err := l.control.Take(ctx, force)
	if err != nil {
		return err
	}
	l.holds.Store(true)
	l.send(controlMsg{})
	go func() { // it ends with the session, which ends with ctx
		by, told := <-lost
		l.holds.Store(false)
		if told {
			l.send(controlMsg{lost: by + " took control over"})
		}
	}()
	return nil
}

// feed follows the engine, over breaks, until the context ends.
func (l *line) feed(ctx context.Context) {
	var since uint64
	pause := retryLeast
	for ctx.Err() == nil {
		err := l.link(ctx, &since)
		if err == nil {
			err = l.stream(ctx, &since, func(b batchMsg) {
				pause = retryLeast
				l.send(b)
			})
		}
		if ctx.Err() != nil {
			return
		}
		l.send(lostMsg{err, pause})
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-l.wake:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, retryMost)
	}
}

// link asks how the engine stands before its events are followed. A plan that is not
// the model's, or a journal that has fewer events than were seen (it was put back
// from a backup), begin anew.
func (l *line) link(ctx context.Context, since *uint64) error {
	if l.ask.Status == nil {
		return nil
	}
	st, err := l.ask.Status(ctx)
	if errors.Is(err, ErrNoEngine) {
		return nil // the journal may still have events
	}
	if err != nil {
		return err
	}
	if st.PlanID != l.plan || st.Seq < *since {
		if err := l.replan(ctx, since); err != nil {
			return err
		}
	}
	l.send(linkedMsg{st.Seq})
	if err := l.take(ctx, false); err != nil {
		l.send(controlMsg{lost: err.Error()})
	}
	return nil
}

func (l *line) replan(ctx context.Context, since *uint64) error {
	if l.ask.Plan == nil {
		return nil
	}
	p, err := l.ask.Plan(ctx)
	if err != nil {
		return err
	}
	l.plan, *since = p.ID, 0
	l.send(planMsg{p})
	return nil
}

// stream gathers events into batches, ten a second at most.
func (l *line) stream(ctx context.Context, since *uint64, send func(batchMsg)) (err error) {
	events := make(chan state.Event)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(events)
		for ev, ferr := range l.engine.Follow(ctx, *since) {
			if ferr != nil {
				err = ferr
				return
			}
			select {
			case events <- ev:
			case <-ctx.Done():
				return
			}
		}
	})
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	var batch batchMsg
	flush := func() {
		if len(batch) > 0 {
			send(batch)
			batch = nil
		}
	}
	defer flush()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return err
			}
			*since = ev.Seq
			if batch = append(batch, ev); len(batch) >= batchMost {
				flush()
			}
		case <-tick.C:
			flush()
		}
	}
}
