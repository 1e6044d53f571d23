// Package tui is the screen of a migration: it shows the folded Status and sends
// Decisions, and knows nothing else of the engine.
//
// The model is the Status, a cursor and a filter; views are functions of it, one
// file each; Update does no I/O. Events come from the engine's stream, a few
// batches a second; when it breaks, the screen keeps what it last saw, says how
// old that is, and goes on from there once the engine is back.
package tui

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// An Engine takes decisions and tells events.
type Engine interface {
	Do(context.Context, state.Decision) error
	Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error]
}

// A Controller lets one session decide alone. Its channel gets the name of who
// took control over, and is closed when it ends.
type Controller interface {
	Take(ctx context.Context, force bool) (lost <-chan string, err error)
}

// Options of the screen.
type Options struct {
	Plan    plan.Plan
	Engine  Engine
	Control Controller       // nil = everybody decides
	ASCII   bool             // no symbols beyond ASCII
	NoColor bool             // symbols and words only
	Now     func() time.Time // default time.Now
	In      io.Reader
	Out     io.Writer
}

// Run shows the screen until the user detaches or the context ends. The engine
// goes on in either case.
func Run(ctx context.Context, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var p *tea.Program
	take := func(force bool) error { return nil }
	if o.Control != nil {
		take = func(force bool) error { return takeControl(ctx, o.Control, force, func(m tea.Msg) { p.Send(m) }) }
	}
	send := func(d state.Decision) error {
		if d.Verb == state.Take {
			return take(true)
		}
		return o.Engine.Do(ctx, d)
	}
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithFPS(10)}
	if o.NoColor {
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	}
	p = tea.NewProgram(newModel(o.Plan, report.Printer{ASCII: o.ASCII}, o.Now, send), opts...)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := take(false); err != nil {
			p.Send(controlMsg{lost: err.Error()})
		}
	})
	wg.Go(func() { feed(ctx, o.Engine, p.Send) })
	_, err := p.Run()
	cancel()
	wg.Wait()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// controlMsg says whether this screen decides; lost is why it does not.
type controlMsg struct{ lost string }

// takeControl takes control, and tells when it is lost.
func takeControl(ctx context.Context, c Controller, force bool, send func(tea.Msg)) error {
	lost, err := c.Take(ctx, force)
	if err != nil {
		return err
	}
	send(controlMsg{})
	go func() { // it ends with the session, which ends with ctx
		if by, told := <-lost; told {
			send(controlMsg{lost: by + " took control over"})
		}
	}()
	return nil
}

// batchMsg are events that came together; lostMsg says that the stream broke.
type (
	batchMsg []state.Event
	lostMsg  struct{ err error }
)

const (
	batchEvery = 100 * time.Millisecond
	batchMost  = 5000
	retryLeast = 500 * time.Millisecond
	retryMost  = 5 * time.Second
)

// feed follows the engine, over breaks, until the context ends.
func feed(ctx context.Context, e Engine, send func(tea.Msg)) {
	var since uint64
	pause := retryLeast
	for ctx.Err() == nil {
		err := stream(ctx, e, &since, func(b batchMsg) {
			pause = retryLeast
			send(b)
		})
		if ctx.Err() != nil {
			return
		}
		send(lostMsg{err})
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, retryMost)
	}
}

// stream gathers events into batches, ten a second at most.
func stream(ctx context.Context, e Engine, since *uint64, send func(batchMsg)) (err error) {
	events := make(chan state.Event)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(events)
		for ev, ferr := range e.Follow(ctx, *since) {
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
