package rollout

import (
	"context"
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// start is a move that may begin now.
type start struct {
	domain state.DomainStatus
	cut    plan.Cutover
	move   move
}

// turnover starts all that may start now. It tells when to look again, and
// whether the run is over.
func (e *Engine) turnover(ctx context.Context) (at time.Time, over bool, err error) {
	if err := e.turnWaves(ctx); err != nil {
		return at, false, err
	}
	now := e.Now()
	var starts []start
	var iso plan.Step
	var isoMove moveKind
	var end ending
	e.mu.Lock()
	e.Journal.View(func(s *state.Status) {
		starts, at = e.starts(s, now)
		if _, busy := e.running[""]; !busy {
			iso, isoMove = nextIsolation(&e.plan, s, e.Policy)
		}
		end = judgeEnd(&e.plan, s, e.Policy, len(e.running)+len(starts) > 0 || isoMove != moveNone || !at.IsZero())
	})
	for _, st := range starts {
		e.startDomain(ctx, st)
	}
	if isoMove != moveNone {
		e.startIsolation(ctx, iso, isoMove)
	}
	e.mu.Unlock()
	return e.finish(ctx, at, end)
}

// finish acts on how the run stands.
func (e *Engine) finish(ctx context.Context, at time.Time, end ending) (time.Time, bool, error) {
	switch end {
	case endClosed:
		return at, true, e.emit(ctx, state.Event{Kind: state.Closed})
	case endDone:
		return at, true, nil
	case endHeld:
		return at, true, ErrPersonNeeded
	}
	return at, false, nil
}

// turnWaves journals what the waves have come to, until nothing more changes.
func (e *Engine) turnWaves(ctx context.Context) error {
	for {
		var events []state.Event
		e.mu.Lock()
		allowed := e.waves
		e.mu.Unlock()
		e.Journal.View(func(s *state.Status) { events = waveEvents(&e.plan, s, e.Policy, allowed) })
		if len(events) == 0 {
			return nil
		}
		if err := e.emit(ctx, events...); err != nil {
			return err
		}
	}
}

// starts lists the moves of all domains that are not under way.
func (e *Engine) starts(s *state.Status, now time.Time) (out []start, at time.Time) {
	settle := settleAt(&e.plan, s, e.Policy)
	for _, w := range e.plan.Waves {
		ws := s.Wave(w.Name)
		started := ws.State != state.WaveWaiting
		for _, c := range w.Cutovers {
			if _, busy := e.running[c.Domain]; busy {
				continue
			}
			d := s.Domain(c.Domain)
			m := next(c, *d, gates{
				wave: started, open: !s.Isolation.Closed, settle: settle,
				canWatch: e.Watch != nil && (d.State == state.Live || d.State == state.Settled), watched: e.lastWatch(*d),
			}, e.Policy, now)
			switch m.what {
			case moveNone:
			case moveLater:
				if at.IsZero() || m.at.Before(at) {
					at = m.at
				}
			default:
				out = append(out, start{domain: s.CopyOf(c.Domain), cut: c, move: m})
			}
		}
	}
	return out, at
}

func (e *Engine) lastWatch(d state.DomainStatus) time.Time {
	if t, ok := e.watched[d.Domain]; ok {
		return t
	}
	return d.Since
}

// startDomain runs one move of a domain in a goroutine that Run waits for.
// e.mu is held.
func (e *Engine) startDomain(ctx context.Context, st start) {
	ctx, cancel := context.WithCancel(ctx)
	e.running[st.cut.Domain] = cancel
	e.workers.Go(func() {
		defer e.ended(st.cut.Domain, cancel)
		if err := e.walk(ctx, st); err != nil && ctx.Err() == nil && e.Warn != nil {
			e.Warn(st.cut.Domain, err)
		}
	})
}

func (e *Engine) startIsolation(ctx context.Context, step plan.Step, m moveKind) {
	ctx, cancel := context.WithCancel(ctx)
	e.running[""] = cancel
	e.workers.Go(func() {
		defer e.ended("", cancel)
		if err := e.walkIsolation(ctx, step, m); err != nil && ctx.Err() == nil && e.Warn != nil {
			e.Warn("isolation", err)
		}
	})
}

func (e *Engine) ended(key string, cancel context.CancelFunc) {
	cancel()
	e.mu.Lock()
	delete(e.running, key)
	e.mu.Unlock()
	e.look()
}

func (e *Engine) turn(c plan.Cutover, d state.DomainStatus, s plan.Step) Turn {
	return Turn{
		Plan: &e.plan, Cutover: c, Step: s, Attempt: d.Attempt, Domain: d, Now: e.Now, Status: e.Journal.Status,
		Observe: func(ctx context.Context, until time.Time, found ...plan.Finding) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ev := state.Event{Kind: state.Observed, Domain: c.Domain, Wave: c.Wave, Step: s.ID, Findings: stamp(found, e.Now())}
			if !until.IsZero() {
				ev.Intent = &state.Intent{Until: until}
			}
			return e.emit(ctx, ev)
		},
	}
}

func stamp(found []plan.Finding, now time.Time) []plan.Finding {
	for i := range found {
		if found[i].At.IsZero() {
			found[i].At = now
		}
	}
	return found
}

// summary is the first and worst of findings, in a line.
func summary(found []plan.Finding, s plan.Severity) string {
	n, first := 0, plan.Finding{}
	for _, f := range found {
		if f.Severity == s {
			if n == 0 {
				first = f
			}
			n++
		}
	}
	if n == 0 {
		return ""
	}
	line := fmt.Sprintf("%s: %s: %s", first.Check, first.Target, first.Detail)
	if n > 1 {
		line += fmt.Sprintf(" (and %d more)", n-1)
	}
	return line
}
