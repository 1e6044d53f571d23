package main

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"os"
	"sync"
	"time"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/tui"
	"mxcutover/verify"
)

// runBare is mxcutover without a command: on a terminal the screen of the migration,
// or of its plan before it is begun; elsewhere its status.
func runBare(ctx context.Context, s *streams) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if !isTerminal(s.out) || !isTerminal(s.in) {
		return runStatus(ctx, s, "", false)
	}
	a := &attached{cfg: cfg}
	p, err := a.first(ctx)
	if err != nil {
		return err
	}
	o := tui.Options{
		Plan: p, Engine: a, Control: a, ASCII: s.plain(s.out), NoColor: os.Getenv("NO_COLOR") != "", In: s.in, Out: s.out,
		Ask: tui.Questions{Status: a.status, Plan: a.planNow, Start: a.start},
	}
	o.Ask.Servers = a.servers
	defer a.close()
	if cfg.Isolate != nil {
		o.Ask.Rules, o.Ask.Refused = a.rules, a.refused
	}
	return tui.Run(ctx, o)
}

// attached is the engine as the screen sees it: over its socket while one runs, else
// what the journal has.
type attached struct {
	cfg     *config.Config
	journal sync.Mutex // while it is read no engine is started
	read    time.Time  // how the journal was when it was read
	mu      sync.Mutex
	client  *control.Client // nil = no engine runs; it carries the session's control
	dns     sync.Mutex
	checker *verify.Checker // nil = the name servers were not asked yet
}

// first is the plan that the screen begins with: the engine's, the journal's, or that
// of a migration that was not begun yet. An engine that starts just now has the journal
// and does not answer yet: it is given some time.
func (a *attached) first(ctx context.Context) (plan.Plan, error) {
	for end := time.Now().Add(startTime); ; {
		p, err := a.planNow(ctx)
		if !errors.Is(err, tui.ErrNoEngine) {
			return p, err
		}
		v, err := viewJournal(ctx, a.cfg)
		switch {
		case err == nil:
			return v.plan, v.close()
		case notBegun(err):
			return readPlan(defaultPlan)
		case !errors.Is(err, state.ErrLocked), time.Now().After(end):
			return plan.Plan{}, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return plan.Plan{}, err
		}
	}
}

// dial finds the engine anew, and keeps the client that has control while there is one.
func (a *attached) dial() (*control.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := control.Dial(socketDir(a.cfg))
	switch {
	case errors.Is(err, control.ErrNoEngine):
		a.client = nil
		return nil, tui.ErrNoEngine
	case err != nil:
		return nil, err
	case a.client == nil:
		a.client = c
	}
	return a.client, nil
}

func (a *attached) status(ctx context.Context) (*state.Status, error) {
	c, err := a.dial()
	if err != nil {
		return nil, err
	}
	return c.Look(ctx)
}

func (a *attached) planNow(ctx context.Context) (plan.Plan, error) {
	c, err := a.dial()
	if err != nil {
		return plan.Plan{}, err
	}
	return c.Plan(ctx)
}

// Do hands a decision to the engine.
func (a *attached) Do(ctx context.Context, d state.Decision) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	return c.Do(ctx, d)
}

// Take takes control until the context ends, or another does.
func (a *attached) Take(ctx context.Context, force bool) (<-chan string, error) {
	c, err := a.dial()
	if err != nil {
		return nil, err
	}
	session, err := c.Take(ctx, force)
	if err != nil {
		return nil, err
	}
	return session.Lost, nil
}

// Follow gives the engine's events; while none runs, those of the journal if it has
// changed, and then tui.ErrNoEngine.
func (a *attached) Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error] {
	return func(yield func(state.Event, error) bool) {
		c, err := a.dial()
		if err == nil {
			c.Follow(ctx, since)(yield)
			return
		}
		if errors.Is(err, tui.ErrNoEngine) {
			a.journal.Lock()
			defer a.journal.Unlock()
			err = missed(ctx, a.cfg, &since, &a.read, func(e state.Event) error {
				if !yield(e, nil) {
					return context.Canceled
				}
				return nil
			})
			if errors.Is(err, context.Canceled) || ctx.Err() != nil {
				return
			}
			if err == nil || errors.Is(err, state.ErrNone) {
				err = tui.ErrNoEngine
			}
		}
		yield(state.Event{}, err)
	}
}

// start starts an engine that outlives the terminal.
func (a *attached) start(ctx context.Context) (string, error) {
	a.journal.Lock()
	defer a.journal.Unlock()
	if _, err := control.Dial(socketDir(a.cfg)); err == nil {
		return "", refusef("an engine runs already")
	}
	return startEngine(ctx, a.cfg, newMachine())
}

// rules asks the old server's firewall what is loaded, and what a stage would change.
func (a *attached) rules(ctx context.Context, stage int) (report.Rules, error) {
	ctx, cancel := context.WithTimeout(ctx, firewallTime)
	defer cancel()
	want, err := upTo(a.cfg.Isolate, rulesOf(a.cfg.Isolate), stage)
	if err != nil {
		return report.Rules{}, err
	}
	return askRules(ctx, a.cfg, want)
}

// serversTime bounds how long name servers and resolvers are asked.
const serversTime = 15 * time.Second

// servers asks a zone's name servers, and the resolvers, for a domain's MX. It changes
// nothing.
func (a *attached) servers(ctx context.Context, zone, domain string) ([]tui.Answer, error) {
	a.dns.Lock()
	defer a.dns.Unlock()
	if a.checker == nil {
		c, err := newChecker(a.cfg)
		if err != nil {
			return nil, err
		}
		a.checker = c
	}
	ctx, cancel := context.WithTimeout(ctx, serversTime)
	defer cancel()
	all, err := a.checker.MXAnswers(ctx, zone, domain)
	out := make([]tui.Answer, len(all))
	for i, x := range all {
		out[i] = tui.Answer{Server: x.Server, Cache: x.Cache, Set: x.Set, Keep: x.Keep}
		if x.Err != nil {
			out[i].Err = x.Err.Error()
		}
	}
	return out, err
}

// close ends the sockets to name servers.
func (a *attached) close() {
	a.dns.Lock()
	defer a.dns.Unlock()
	if a.checker != nil {
		a.checker.Close()
	}
}

// refused asks it whom it refused.
func (a *attached) refused(ctx context.Context) ([]report.Refused, error) {
	ctx, cancel := context.WithTimeout(ctx, firewallTime)
	defer cancel()
	driver, err := openFirewall(a.cfg)
	if err != nil {
		return nil, err
	}
	seen, err := driver.Seen(ctx)
	if err != nil {
		return nil, err
	}
	return refusals(map[netip.AddrPort]uint64{}, seen, time.Now()), nil
}
