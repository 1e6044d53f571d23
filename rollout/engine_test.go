package rollout

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// memory is a Store that survives the end of an engine, as a disk does.
type memory struct {
	mu      sync.Mutex
	data    map[string][]byte
	commits int
	after   func(commits int) // called after each commit, if set
}

func (m *memory) Scan(_ context.Context, prefix string) iter.Seq2[state.KV, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kvs []state.KV
	for _, k := range slices.Sorted(maps.Keys(m.data)) {
		if strings.HasPrefix(k, prefix) {
			kvs = append(kvs, state.KV{Key: k, Value: slices.Clone(m.data[k])})
		}
	}
	return func(yield func(state.KV, error) bool) {
		for _, kv := range kvs {
			if !yield(kv, nil) {
				return
			}
		}
	}
}

func (m *memory) Commit(_ context.Context, t state.Txn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kv := range t.If {
		if have, ok := m.data[kv.Key]; ok != (kv.Value != nil) || string(have) != string(kv.Value) {
			return state.ErrConflict
		}
	}
	for _, kv := range t.Put {
		if kv.Value == nil {
			delete(m.data, kv.Key)
		} else {
			m.data[kv.Key] = slices.Clone(kv.Value)
		}
	}
	if m.commits++; m.after != nil {
		m.after(m.commits)
	}
	return nil
}

func (m *memory) Lock(ctx context.Context, _ string) (context.Context, error) { return ctx, nil }
func (m *memory) Close() error                                                { return nil }

// play is a world in memory: the MX RRsets, the firewall, and what is wrong.
type play struct {
	mu      sync.Mutex
	mx      map[string]rrset.Set
	writes  map[string]int // of each "domain step", how often it took effect
	closed  bool
	failing map[string]bool // probes for these domains fail
	foreign map[string]bool // somebody else changes these just before publish
	log     []string
}

func (w *play) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// act is an Action of the play. It observes first, as real ones do.
type act struct {
	w    *play
	wait time.Duration
}

func (a act) Prepare(_ context.Context, t Turn) (state.Intent, error) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	i := state.Intent{Change: t.Step.Change, Provider: "play"}
	if t.Step.Kind == plan.Publish && a.w.foreign[t.Cutover.Domain] {
		return i, &providers.DriftError{Expected: t.Step.Change.Before}
	}
	if c := t.Step.Change; c != nil {
		s := a.w.mx[t.Cutover.Domain]
		i.Snapshot = &s
	}
	if a.wait > 0 {
		i.Until = t.Now().Add(a.wait)
	}
	return i, nil
}

func (a act) Do(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	if !i.Until.IsZero() {
		if err := sleep(ctx, i.Until.Sub(t.Now())); err != nil {
			return Outcome{}, err
		}
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	switch t.Step.Kind {
	case plan.Probe:
		if a.w.failing[t.Cutover.Domain] {
			return Outcome{Findings: []plan.Finding{{Check: "probe.arrival", Target: t.Cutover.Domain, Severity: plan.Fail, Detail: "550"}}}, nil
		}
	case plan.Arm:
		a.w.closed = true
	}
	if i.Change == nil || a.w.mx[t.Cutover.Domain].Equal(i.Change.After) {
		return Outcome{}, nil
	}
	if !a.w.mx[t.Cutover.Domain].Equal(i.Change.Before) {
		return Outcome{}, &providers.DriftError{Expected: i.Change.Before, Found: a.w.mx[t.Cutover.Domain]}
	}
	a.w.mx[t.Cutover.Domain] = i.Change.After
	a.w.writes[t.Cutover.Domain+" "+string(t.Step.Kind)]++
	return Outcome{Got: &i.Change.After}, nil
}

func (a act) Undo(_ context.Context, t Turn, i state.Intent) (Outcome, error) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	if i.Snapshot == nil {
		return Outcome{}, errors.New("no snapshot")
	}
	if a.w.closed {
		a.w.note("%s: MX pointed back while the old server was closed", t.Cutover.Domain)
	}
	a.w.mx[t.Cutover.Domain] = *i.Snapshot
	return Outcome{}, nil
}

func (w *play) lift(context.Context, Turn) ([]plan.Finding, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = false
	return nil, nil
}

func (w *play) actions() map[plan.Kind]Action {
	m := map[plan.Kind]Action{}
	for _, k := range []plan.Kind{
		plan.Preflight, plan.LowerTTL, plan.Publish, plan.Propagate, plan.Probe, plan.Settle, plan.Observe, plan.Arm, plan.Prove, plan.Confirm,
	} {
		m[k] = act{w: w}
	}
	m[plan.AwaitTTL] = act{w: w, wait: time.Hour}
	m[plan.Soak] = act{w: w, wait: 30 * time.Minute}
	return m
}

// stage is a plan of six domains in three waves over a play.
func newStage(t *testing.T, adjust func(*plan.Settings)) (plan.Plan, *play) {
	t.Helper()
	w := &play{mx: map[string]rrset.Set{}, writes: map[string]int{}, failing: map[string]bool{}, foreign: map[string]bool{}}
	var inv plan.Inventory
	for i := range 6 {
		name := string(rune('a'+i)) + ".example."
		mx, err := rrset.New(name, "MX", 3600, "10 mail.old.test.")
		if err != nil {
			t.Fatal(err)
		}
		w.mx[name] = mx
		inv.Domains = append(inv.Domains, plan.Domain{Name: name, Zone: name, Provider: "play", MX: mx, PointsTo: plan.ToOld, Messages: uint64(i)})
	}
	set := plan.Settings{
		Migration: "m", Planned: []rrset.MX{{Preference: 10, Host: "gw.test."}}, First: 1, Growth: 2, Max: 10, LowTTL: 300,
		Gate: plan.Gate{Approve: plan.Auto, Failures: 1, Shared: 3}, Ports: []uint16{25},
	}
	if adjust != nil {
		adjust(&set)
	}
	p, err := plan.Make(inv, set)
	if err != nil {
		t.Fatal(err)
	}
	return p, w
}

func (w *play) engine(t *testing.T, s state.Store, p plan.Plan, adjust func(*Policy)) (*Engine, *state.Journal) {
	t.Helper()
	j, err := state.Open(t.Context(), s, state.Options{Now: time.Now})
	if errors.Is(err, state.ErrNone) {
		j, err = state.Create(t.Context(), s, p, state.Options{Now: time.Now})
	}
	if err != nil {
		t.Fatal(err)
	}
	pol := Policy{PrepareAll: true, ProbeFailures: 1, RollBack: true, AutoApprove: true, SettleAfter: 24 * time.Hour}
	if adjust != nil {
		adjust(&pol)
	}
	return New(Options{Journal: j, Actions: w.actions(), Lift: w.lift, Policy: pol, Now: time.Now}), j
}

func TestWholeWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newStage(t, nil)
		e, j := w.engine(t, &memory{data: map[string][]byte{}}, p, nil)
		defer j.Close()
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := j.Status()
		if !s.Over || s.Isolation.State != state.IsolationConfirmed {
			t.Errorf("over %v, isolation %s", s.Over, s.Isolation.State)
		}
		for _, d := range s.Domains {
			want, _ := s.Cutover(d.Domain)
			if got := w.mx[d.Domain]; d.State != state.Settled || !got.Equal(want.After().WithTTL(3600)) {
				t.Errorf("%s is %s with %v", d.Domain, d.State, got)
			}
			for _, k := range []string{"lower-ttl", "publish", "settle"} {
				if n := w.writes[d.Domain+" "+k]; n != 1 {
					t.Errorf("%s %s was written %d times", d.Domain, k, n)
				}
			}
		}
	})
}

// TestFailureRollsBackAndHolds shows P4: the failing domain goes back by itself,
// its neighbour goes on, no later wave starts; once mended and retried, all end.
func TestFailureRollsBackAndHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newStage(t, nil)
		w.failing["b.example."] = true
		store := &memory{data: map[string][]byte{}}
		e, j := w.engine(t, store, p, func(p *Policy) { p.ExitHeld = true })
		if err := e.Run(t.Context()); !errors.Is(err, ErrPersonNeeded) {
			t.Fatalf("run ended with %v, want that a person is needed", err)
		}
		s := j.Status()
		if d := s.Domain("b.example."); d.State != state.IsRolledBack || !d.Failed {
			t.Errorf("the failing domain is %s", d.State)
		}
		if got := w.mx["b.example."]; got.TTL != 3600 || got.Data[0] != "10 mail.old.test." {
			t.Errorf("rolled back to %v", got)
		}
		if d := s.Domain("c.example."); d.State != state.Live {
			t.Errorf("its neighbour is %s (P4)", d.State)
		}
		if s.Waves[1].State != state.IsHeld || s.Waves[2].State != state.WaveWaiting {
			t.Errorf("waves are %s and %s", s.Waves[1].State, s.Waves[2].State)
		}
		w.failing["b.example."] = false
		if err := e.Do(t.Context(), state.Decision{Verb: state.Retry, Target: "domain:b.example.", By: "test"}); err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context()); err != nil || !j.Status().Over {
			t.Errorf("after the retry: %v", err)
		}
		j.Close()
	})
}

func TestForeignChangeIsHeldNotOverwritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newStage(t, nil)
		w.foreign["a.example."] = true
		e, j := w.engine(t, &memory{data: map[string][]byte{}}, p, func(p *Policy) { p.ExitHeld = true })
		defer j.Close()
		if err := e.Run(t.Context()); !errors.Is(err, ErrPersonNeeded) {
			t.Fatalf("run ended with %v", err)
		}
		if d := j.Status().Domain("a.example."); d.State != state.IsDrifted {
			t.Errorf("the drifted domain is %s", d.State)
		}
		if w.writes["a.example. publish"] != 0 {
			t.Error("a foreign record was overwritten (P2)")
		}
	})
}

// TestRollbackLiftsFirst shows P6 and P8: after isolation, a rollback of all
// opens the old server before any MX is pointed back, and restores all exactly.
func TestRollbackLiftsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newStage(t, nil)
		before := maps.Clone(w.mx)
		e, j := w.engine(t, &memory{data: map[string][]byte{}}, p, func(p *Policy) { p.ExitHeld = true; p.SettleAfter = 1000 * time.Hour })
		defer j.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(100 * time.Hour) // the play's clock: all is isolated, nothing settled
		if st := j.Status().Isolation.State; st != state.IsolationConfirmed || !w.closed {
			t.Fatalf("isolation is %s", st)
		}
		bad := state.Decision{Verb: state.Rollback, Target: state.All, By: "test"}
		if err := e.Do(ctx, bad); !errors.Is(err, state.ErrRefused) {
			t.Errorf("a rollback without its name typed: %v", err)
		}
		bad.Confirm = "all"
		if err := e.Do(ctx, bad); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		cancel()
		for _, l := range w.log {
			t.Error(l)
		}
		for n, s := range before {
			if !w.mx[n].Equal(s) {
				t.Errorf("%s is %v, was %v", n, w.mx[n], s)
			}
		}
	})
}

// TestEndAnywhere ends the engine after each commit and starts another on the
// same journal: the end is the same, and nothing is written twice (P5).
func TestEndAnywhere(t *testing.T) {
	t.Parallel()
	for n := 2; ; n++ {
		var over bool
		t.Run(fmt.Sprint("after commit ", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { over = endAfter(t, n) })
		})
		if over || t.Failed() {
			return
		}
	}
}

// endAfter tells whether the migration was over before the nth commit.
func endAfter(t *testing.T, n int) (over bool) {
	p, w := newStage(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store := &memory{data: map[string][]byte{}, after: func(commits int) {
		if commits >= n {
			cancel()
		}
	}}
	e, j := w.engine(t, store, p, nil)
	over = e.Run(ctx) == nil
	j.Close()
	store.after = nil
	e, j = w.engine(t, store, p, nil)
	defer j.Close()
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !j.Status().Over {
		t.Error("not over")
	}
	for k, n := range w.writes {
		if n != 1 {
			t.Errorf("%s was written %d times", k, n)
		}
	}
	return over
}

// TestDeadlineSurvivesRestart ends the engine in the middle of a wait: the next
// one goes on with the journaled deadline, and not with a new one.
func TestDeadlineSurvivesRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newStage(t, nil)
		store := &memory{data: map[string][]byte{}}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute) // of the hour that TTLs take
		defer cancel()
		e, j := w.engine(t, store, p, nil)
		if err := e.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("run: %v", err)
		}
		j.Close()
		e, j = w.engine(t, store, p, nil)
		defer j.Close()
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for ev, err := range j.Events(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if took := ev.At.Sub(begun); ev.Kind == state.Done && ev.Step == "await-ttl" && took != time.Hour {
				t.Errorf("%s waited %v, want an hour in all", ev.Domain, took)
			}
		}
	})
}
