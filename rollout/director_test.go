package rollout

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A director is the people of the play: who approves, mends, retries, edits
// records behind the engine's back, and at last wants one wave back.
type director struct {
	delay        time.Duration // decides by what it saw so long ago
	twice        bool          // says everything twice, as a script that lost the answer
	staleUntil   time.Time
	staleOnWrite bool // the provider lags after each write
	drifted      bool // has edited the drifting domain
	retries      map[string]int
	back         bool // has asked for the rollback
}

// The domains of the play that have a part.
const (
	failingDomain  = "d04.example."
	driftingDomain = "d11.example."
	flappingDomain = "d13.example."
	implicitDomain = "d15.example."
	raisedDomain   = "d06.example." // its TTL is raised after the plan was made
)

// direct acts on what the status shows, every few minutes, until the context
// ends.
func (w *sim) direct(ctx context.Context, e *Engine) {
	for sleep(ctx, 2*time.Minute+7*time.Microsecond) == nil {
		s := e.Journal.Status()
		if time.Since(w.begun) > playLimit {
			w.stuck(s)
			return
		}
		decisions := w.decide(s)
		if len(decisions) > 0 && sleep(ctx, w.director.delay) != nil {
			return
		}
		for _, d := range decisions {
			w.say(ctx, e, d)
			if w.director.twice {
				w.say(ctx, e, d)
			}
		}
	}
}

// playLimit is how long a play may last, with all its waits and people.
const playLimit = 30 * 24 * time.Hour

// stuck ends a play that comes to no end, and tells what it waits for.
func (w *sim) stuck(s *state.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.oracle.blame("P5", "it does not come to its end; isolation is %s %q", s.Isolation.State, s.Isolation.Reason)
	for _, d := range s.Domains {
		w.note("%s in %s is %s, step %q, until %v: %s", d.Domain, d.Wave, d.State, d.Step, d.Until, d.Reason)
	}
	w.over = true
	w.deaths[w.points+1] = "kill"
}

func (w *sim) say(ctx context.Context, e *Engine, d state.Decision) {
	d.By = "director"
	if err := e.Do(ctx, d); err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrRefused) && !errors.Is(err, state.ErrDead) && !errors.Is(err, state.ErrClosed) {
		w.mu.Lock()
		w.oracle.blame("decision", "%v: %v", d, err)
		w.mu.Unlock()
	}
}

func (w *sim) decide(s *state.Status) (out []state.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edit(s)
	live := true
	for _, ws := range s.Waves {
		if live && !ws.Approved {
			out = append(out, state.Decision{Verb: state.Approve, Target: state.WaveTarget(ws.Name)})
		}
		live = live && ws.State == state.Live
	}
	for _, d := range s.Domains {
		if w.wantsRetry(d, w.wall()) {
			w.director.retries[d.Domain]++
			out = append(out, state.Decision{Verb: state.Retry, Target: state.DomainTarget(d.Domain)})
		}
	}
	if d := s.Domain(raisedDomain); d.State == state.IsDrifted {
		w.oracle.forced[raisedDomain] = true
		out = append(out, state.Decision{Verb: state.Retry, Target: state.DomainTarget(raisedDomain), Drift: state.Adopt})
	}
	i := s.Isolation
	if i.State == state.IsolationConfirmed && w.permanent && !w.kept {
		w.oracle.blame("P5", "isolation is confirmed, and a reboot would open the old server")
	}
	switch {
	case !live:
	case i.Held:
		out = append(out, state.Decision{Verb: state.Retry, Target: state.Isolate})
	case !i.Approved && i.State != state.IsolationLifted:
		out = append(out, state.Decision{Verb: state.Approve, Target: state.Isolate})
	case i.State == state.IsolationProven && !i.Keep:
		out = append(out, state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
	}
	return out
}

// edit changes the drifting domain's record once its TTL is lowered, and takes
// that back once it was noticed.
func (w *sim) edit(s *state.Status) {
	r, d := w.records[driftingDomain], s.Domain(driftingDomain)
	switch {
	case d.State == state.Waited && !w.director.drifted:
		w.director.drifted = true
		other, err := rrset.New(driftingDomain, "MX", 300, "10 mail.other.test.")
		if err != nil {
			panic(err)
		}
		w.note("somebody edits %s", driftingDomain)
		w.change(driftingDomain, other, true)
	case d.State == state.IsDrifted && r.now().foreign:
		w.note("somebody takes the edit back")
		w.change(driftingDomain, r.past[len(r.past)-2].set, false)
	}
}

// wantsRetry tells whether a person tells a domain to go on: what is held, after
// a while; what failed, once it is mended.
func (w *sim) wantsRetry(d state.DomainStatus, now time.Time) bool {
	switch {
	case d.State == state.IsHeld, d.State == state.IsDrifted && d.Domain != raisedDomain && !w.records[d.Domain].now().foreign:
		return now.Sub(d.Since).Abs() > 4*time.Minute
	case d.State == state.IsRolledBack && d.Failed && !w.director.back:
		w.failing[d.Domain] = false
		return true
	}
	return false
}

// newSim is a world of 20 domains in three waves.
func newSim(t testing.TB, adjust func(*plan.Inventory, *plan.Settings)) *sim {
	t.Helper()
	w := &sim{
		records: map[string]*record{}, disk: &disk{data: map[string][]byte{}}, oracle: newOracle(), bootAt: time.Now(), begun: time.Now(),
		failing: map[string]bool{failingDomain: true}, silent: map[string]bool{}, flap: flappingDomain, deaths: map[int]string{}, faults: map[int]fault{},
		director: director{retries: map[string]int{}}, turns: map[string]int{},
	}
	var inv plan.Inventory
	for i := range 20 {
		name := fmt.Sprintf("d%02d.example.", i)
		mx, err := rrset.New(name, "MX", 3600, "10 mail.old.test.")
		if err != nil {
			t.Fatal(err)
		}
		d := plan.Domain{Name: name, Zone: name, Provider: "play", MX: mx, PointsTo: plan.ToOld, Traffic: plan.Traffic{Messages: uint64(i)}}
		if name == implicitDomain {
			mx = rrset.Set{Name: name, Type: "MX"}
			d.MX, d.PointsTo = mx, plan.ToImplicit
		}
		lag := time.Duration(i%4) * 20 * time.Second
		w.records[name] = &record{domain: name, past: []version{{at: time.Now().Add(-time.Hour), set: mx}}, lag: lag}
		inv.Domains = append(inv.Domains, d)
	}
	raised := w.records[raisedDomain]
	raised.past = append(raised.past, version{at: time.Now().Add(-time.Minute), set: raised.now().set.WithTTL(7200), foreign: true})
	window, err := plan.ParseWindow("daily 06:00-23:00")
	if err != nil {
		t.Fatal(err)
	}
	set := plan.Settings{
		Migration: "m", Planned: []rrset.MX{{Preference: 10, Host: "gw.test."}}, First: 3, Growth: 2.4, Max: 10, LowTTL: 300,
		Gate: plan.Gate{
			Approve: plan.Manual, Failures: 1, Shared: 3, Soak: plan.Duration(30 * time.Minute),
			Windows: []plan.Window{window}, Zone: "UTC",
		},
		Ports: []uint16{25},
	}
	for _, d := range accompanied {
		w.accompany(d, &set)
	}
	if adjust != nil {
		adjust(&inv, &set)
	}
	w.plan, err = plan.Make(inv, set)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.plan.Waves) != 3 {
		t.Fatalf("%d waves", len(w.plan.Waves))
	}
	return w
}

// policy is that of the play, with a day before isolation.
func (w *sim) policy() Policy {
	return Policy{
		PrepareAll: true, PreflightLifetime: time.Hour, SyncWait: 10 * time.Minute, PollEvery: 10 * time.Second,
		ProbeFailures: 2, ProbeEvery: 5 * time.Minute, RollBack: true, SettleAfter: 6 * time.Hour, WatchEvery: time.Hour,
		IsolateAfter: isolateAfter, ConfirmWithin: 10 * time.Minute, ConfirmAfter: 10 * time.Minute, ResumeWaves: true, Concurrency: 4,
	}
}

// open begins a life: an engine over the world's disk.
func (w *sim) open(ctx context.Context, adjust func(*Policy)) (*life, *Engine, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &life{w: w, cancel: cancel}
	w.lives++
	clock := simClock{w}
	opt := state.Options{Now: clock.Now}
	j, err := state.Open(ctx, simStore{l}, opt)
	if errors.Is(err, state.ErrNone) {
		j, err = state.Create(ctx, simStore{l}, w.plan, opt)
	}
	if err != nil {
		cancel()
		return l, nil, err
	}
	world := World{
		Providers: map[string]providers.Provider{"play": w.provider(l)}, Checker: simChecker{l}, Firewall: simFirewall{l},
		Trust: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, Policy: w.policy(),
		Credentials: w.credentials,
	}
	world.Trust = append(world.Trust, w.trust...)
	if w.person.action != "" {
		world.Action, world.Handed.Ports, world.Firewall = w.person.action, []uint16{25}, w.person.firewall()
		world.Trust = append(world.Trust, w.person.trust...)
	}
	if adjust != nil {
		adjust(&world.Policy)
	}
	e := New(Options{
		Journal: j, Actions: world.Actions(), Watch: world.Watch, Compare: world.Compare, Lift: world.Lift, Closed: world.StaysClosed, Quiet: world.Quiet, Hand: world.Hand,
		Policy: world.Policy, Clock: clock, Engine: state.Engine{UID: 1, Version: fmt.Sprint("test ", w.lives)}, Name: "sim",
	})
	e.apart = w.apart
	return l, e, nil
}

// credentials are there, unless the world has lost them.
func (w *sim) credentials(_ context.Context, provider string) []plan.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := plan.Finding{Check: "site.credentials", Target: provider, Severity: plan.Pass, Detail: "they can be read"}
	if w.keyless {
		f.Severity, f.Detail = plan.Fail, "the key is gone"
	}
	return []plan.Finding{f}
}

// apart sleeps for up to 10 ms, for each domain and time another while, where the
// play is to be the same each time: of goroutines that are awake at the same
// instant, any may be first.
func (w *sim) apart(domain string) {
	if !w.inOrder {
		return
	}
	h := fnv.New64a()
	w.mu.Lock()
	fmt.Fprint(h, domain, w.turns[domain])
	w.turns[domain]++
	w.mu.Unlock()
	time.Sleep(time.Duration(h.Sum64() % 1e7))
}

// live runs one life, to its end or its death. It tells whether the play is over.
func (w *sim) live(ctx context.Context) (over bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	adjust := func(p *Policy) {}
	if w.director.back {
		adjust = func(p *Policy) { p.BackOnly = true }
	}
	l, e, err := w.open(ctx, adjust)
	if err != nil {
		return w.ended(l, err)
	}
	defer e.Journal.Close()
	stop := context.AfterFunc(ctx, l.cancel)
	defer stop()
	run, quit := context.WithCancel(ctx)
	defer quit()
	w.mu.Lock()
	l.cancel = quit
	w.mu.Unlock()
	if e.Journal.Status().Over {
		w.director.back = true // though the answer may be lost
		err := e.Journal.Decide(run, state.Decision{Verb: state.Rollback, Target: state.WaveTarget(undone), Confirm: undone, By: "director"})
		if err != nil {
			return w.ended(l, err)
		}
		return false
	}
	played := make(chan struct{})
	go func() {
		defer close(played)
		w.direct(run, e)
		if w.over {
			quit()
		}
	}()
	err = e.Run(run)
	quit()
	<-played
	if w.ended(l, err) {
		return true
	}
	s := e.Journal.Status()
	for _, d := range s.Domains {
		if d.Wave == undone && d.State != state.IsRolledBack {
			return false
		}
	}
	return w.director.back && !l.dead
}

// ended tells whether a life came to an end that nothing in the play explains.
func (w *sim) ended(l *life, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || l.dead || errors.Is(err, ErrPersonNeeded) || errors.Is(err, context.Canceled) {
		return false
	}
	w.oracle.blame("P5", "the engine ended: %v", err)
	return true
}

// play plays the whole migration, with as many lives as it takes.
func (w *sim) play(ctx context.Context) {
	for !w.live(ctx) {
		if w.lives > 400 {
			w.oracle.blame("P5", "it does not come to its end in 400 lives")
			w.over = true
		}
		if w.over {
			return
		}
		if err := sleep(ctx, time.Minute); err != nil {
			return
		}
	}
	if w.over {
		return
	}
	if err := sleep(ctx, 2*time.Hour); err != nil { // caches and secondaries catch up
		return
	}
	_, e, err := w.open(ctx, nil)
	if err != nil {
		w.oracle.blame("P5", "the journal cannot be opened at the end: %v", err)
		return
	}
	defer e.Journal.Close()
	attempts, told := map[string]int{}, map[string]time.Time{}
	for _, d := range e.Journal.Status().Domains {
		attempts[d.Domain], told[d.Domain] = d.Attempt, d.Gone
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.oracle.end(w, attempts, told)
}
