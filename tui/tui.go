// Package tui is the screen of a migration: it shows the folded Status and sends
// Decisions, and knows nothing else of the engine.
//
// The model is the fold of the events (a report.Story, which holds the Status),
// a cursor and a filter; views are functions of it, one file each; Update does no
// I/O. Events come from the engine's stream, a few batches a second (feed.go); when
// it breaks, the screen keeps what it last saw, says how old that is, and goes on
// from there once the engine is back. What events do not tell, such as the rules
// that are loaded, is asked for outside of Update (Questions).
//
// Lower-case keys look. Upper-case keys open a dialog, which says what will be
// done, how long that takes, how it is undone, and which command does the same;
// only another key, Ctrl+Y, carries it out.
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

// An Engine takes decisions and tells events. Follow ends with [ErrNoEngine] when it
// has given what the journal has and no engine runs.
type Engine interface {
	Do(context.Context, state.Decision) error
	Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error]
}

// ErrNoEngine means that no engine runs.
var ErrNoEngine = errors.New("no engine runs")

// A Controller lets one session decide alone. Its channel gets the name of who
// took control over, and is closed when it ends.
type Controller interface {
	Take(ctx context.Context, force bool) (lost <-chan string, err error)
}

// Questions are asked beside the events; each may be nil. None changes anything
// but Start, which is asked only after a dialog.
type Questions struct {
	Status  func(context.Context) (*state.Status, error)     // how the engine stands: once for each connection
	Plan    func(context.Context) (plan.Plan, error)         // the plan that it has now, which may have been extended
	Rules   func(context.Context, int) (report.Rules, error) // of the old server's firewall, for a stage from 1
	Refused func(context.Context) ([]report.Refused, error)  // who was refused there, the most first
	Start   func(context.Context) (told string, err error)   // starts an engine that outlives the terminal

	// Servers asks each name server of a zone, and each resolver, for a domain's MX.
	Servers func(ctx context.Context, zone, domain string) ([]Answer, error)
}

// Options of the screen.
type Options struct {
	Plan    plan.Plan
	Engine  Engine
	Control Controller // nil = everybody decides
	Ask     Questions
	ASCII   bool             // no symbols beyond ASCII
	NoColor bool             // symbols and words only
	Now     func() time.Time // default time.Now
	Width   int              // of a terminal that does not tell, in columns
	Height  int              // and in lines
	In      io.Reader
	Out     io.Writer
}

// framesPerSecond bounds what is drawn, also over a slow line.
const framesPerSecond = 10

// Run shows the screen until the user detaches or the context ends. The engine
// goes on in either case.
func Run(ctx context.Context, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithFPS(framesPerSecond)}
	if o.Width > 0 && o.Height > 0 {
		opts = append(opts, tea.WithWindowSize(o.Width, o.Height))
	}
	if o.NoColor {
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	}
	l := &line{engine: o.Engine, control: o.Control, ask: o.Ask, plan: o.Plan.ID, wake: make(chan struct{}, 1)}
	p := tea.NewProgram(newModel(o.Plan, report.Printer{ASCII: o.ASCII, Color: !o.NoColor}, o.Now, l.effects(ctx)), opts...)
	l.send = p.Send
	var wg sync.WaitGroup
	wg.Go(func() { l.feed(ctx) })
	_, err := p.Run()
	cancel()
	wg.Wait()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}
