package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// start is a move that may begin now.
type start struct {
	domain state.DomainStatus
	cut    plan.Cutover
	move   move
	hand   bool // a person makes its changes
}

// turnover starts all that may start now. It tells when to look again, and
// whether the run is over.
func (e *Engine) turnover(ctx context.Context) (at time.Time, over bool, err error) {
	if err := e.turnWaves(ctx); err != nil {
		return at, false, err
	}
	var starts []start
	var iso plan.Step
	var isoMove moveKind
	var end ending
	var look time.Time
	e.mu.Lock()
	e.Journal.View(func(s *state.Status) {
		starts = e.starts(s)
		if _, busy := e.running[""]; !busy {
			iso, isoMove = nextIsolation(&e.plan, s, e.Policy)
			look = e.nextLook(s)
		}
		busy := len(e.running)+len(starts) > 0 || isoMove != moveNone || e.agenda.waits()
		if isoMove == moveNone && !look.IsZero() && !e.Clock.Now().Before(look) { // watching keeps no run going, a look does
			iso, isoMove, busy = looksAt(&e.plan, s), moveLook, true
		}
		end = judgeEnd(&e.plan, s, e.Policy, busy)
	})
	at = e.agenda.at()
	if !look.IsZero() && (at.IsZero() || look.Before(at)) {
		at = look
	}
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
		e.Journal.View(func(s *state.Status) { events = waveEvents(&e.plan, s, e.Policy) })
		if len(events) == 0 {
			return nil
		}
		if err := e.emit(ctx, events...); err != nil {
			return err
		}
		e.lookAtAll()
	}
}

// lookAtAll makes the next turn look at every domain: something has changed that
// concerns them all.
func (e *Engine) lookAtAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.agenda.all = true
}

// starts lists the moves that may be made now, as many as the waves' gates let
// be made at once. e.mu is held.
func (e *Engine) starts(s *state.Status) (out []start) {
	now := moment(e.Clock)
	if e.agenda.all {
		e.settle = settleAt(&e.plan, s, e.Policy)
	}
	var back []state.DomainStatus
	for _, name := range e.agenda.due(&e.plan, now.At) {
		d := s.Domain(name)
		if _, busy := e.running[name]; busy || d == nil {
			continue
		}
		switch _, m := e.next(s, *d, now); m.what {
		case moveNone:
		case moveLater:
			e.agenda.later(name, m.at, m.watch)
		case moveUndo:
			back = append(back, *d)
		default:
			e.agenda.queue(d.Wave).push(*d)
		}
	}
	slices.SortFunc(back, newestFirst)
	for _, d := range back {
		e.agenda.queue(d.Wave).push(d)
	}
	for i := range e.plan.Waves {
		out = append(out, e.take(s, &e.plan.Waves[i], now)...)
	}
	return out
}

// take takes domains of one wave from its queue while there is room. What was
// queued is judged again: much may have happened since.
func (e *Engine) take(s *state.Status, w *plan.Wave, now state.Moment) (out []start) {
	q := e.agenda.queue(w.Name)
	for e.Policy.Concurrency <= 0 || e.agenda.busy[w.Name] < e.Policy.Concurrency {
		name, ok := q.pop()
		if !ok {
			break
		}
		if _, busy := e.running[name]; busy {
			continue
		}
		d := s.Domain(name)
		c, m := e.next(s, *d, now)
		switch m.what {
		case moveNone:
			continue
		case moveLater:
			e.agenda.later(name, m.at, m.watch)
			continue
		}
		st := start{domain: s.CopyOf(name), cut: c, move: m, hand: e.Hand != nil && e.Hand(cmp.Or(m.step.Provider, c.Provider))}
		if !st.idle() {
			e.agenda.busy[w.Name]++
		}
		out = append(out, st)
	}
	return out
}

// next is a domain's next move.
func (e *Engine) next(s *state.Status, d state.DomainStatus, now state.Moment) (plan.Cutover, move) {
	c, _ := s.Cutover(d.Domain)
	gate, wave := e.gate(d.Wave), s.Wave(d.Wave)
	return c, next(c, d, gates{
		wave: wave.State != state.WaveWaiting, shut: wave.Shut, quiet: e.Quiet, open: !s.Isolation.Closed, settle: e.settle, gate: gate,
		canWatch: e.Watch != nil && !e.Policy.BackOnly, watched: e.lastWatch(d), room: s.DiskLow == "",
	}, e.Policy, now)
}

func (e *Engine) lastWatch(d state.DomainStatus) time.Time {
	if t, ok := e.watched[d.Domain]; ok {
		return t
	}
	return d.Since
}

// idle tells whether the move only waits, so that others of its wave need not
// wait for it.
func (st start) idle() bool {
	k := st.move.step.Kind
	switch st.move.what {
	case moveDo:
		return k == plan.AwaitTTL || k == plan.AwaitCompanion || k == plan.Soak || st.hand && k.Writes()
	case moveUndo:
		return k == plan.WriteCompanion || st.hand
	}
	return false
}

// startDomain runs one move of a domain in a goroutine that Run waits for.
// e.mu is held.
func (e *Engine) startDomain(ctx context.Context, st start) {
	ctx, cancel := context.WithCancel(ctx)
	e.running[st.cut.Domain] = &working{cancel: cancel, wave: st.cut.Wave, idle: st.idle()}
	e.workers.Go(func() {
		defer e.done(st.cut.Domain)
		if e.apart != nil {
			e.apart(st.cut.Domain)
		}
		if err := e.walk(ctx, st); err != nil && ctx.Err() == nil && e.Warn != nil {
			e.Warn(st.cut.Domain, err)
		}
	})
}

func (e *Engine) startIsolation(ctx context.Context, step plan.Step, m moveKind) {
	ctx, cancel := context.WithCancel(ctx)
	e.running[""] = &working{cancel: cancel, idle: true, look: m == moveLook}
	e.workers.Go(func() {
		defer e.done("")
		if e.apart != nil {
			e.apart("")
		}
		if err := e.walkIsolation(ctx, step, m); err != nil && ctx.Err() == nil && e.Warn != nil {
			e.Warn("isolation", err)
		}
	})
}

// done ends a step. Isolation's steps concern every domain.
func (e *Engine) done(key string) {
	e.mu.Lock()
	w := e.running[key]
	w.cancel()
	delete(e.running, key)
	if !w.idle {
		e.agenda.busy[w.wave]--
	}
	e.agenda.dirty[key] = true
	if key == "" && !w.look {
		e.agenda.all = true
	}
	e.mu.Unlock()
	e.look()
}

func (e *Engine) turn(c plan.Cutover, d state.DomainStatus, s plan.Step) Turn {
	return Turn{
		Plan: &e.plan, Cutover: c, Step: s, Attempt: d.Attempt, Domain: d, Clock: e.Clock, View: e.Journal.View,
		Observe: func(ctx context.Context, until time.Time, found ...plan.Finding) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ev := state.Event{Kind: state.Observed, Domain: c.Domain, Wave: c.Wave, Step: s.ID, Findings: stamp(found, e.Clock.Now())}
			if !until.IsZero() {
				ev.Intent = &state.Intent{Until: until}
			}
			return e.emit(ctx, ev)
		},
		Idle: func(wait func() error) error {
			e.rest(c.Domain, true)
			defer e.rest(c.Domain, false)
			return wait()
		},
	}
}

// rest gives a domain's place in its wave to others, or takes one again, also where
// that is one too many for a while.
func (e *Engine) rest(domain string, idle bool) {
	e.mu.Lock()
	if w := e.running[domain]; w != nil && w.idle != idle {
		w.idle = idle
		if idle {
			e.agenda.busy[w.wave]--
		} else {
			e.agenda.busy[w.wave]++
		}
	}
	e.mu.Unlock()
	if idle {
		e.look()
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
