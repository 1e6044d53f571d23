package rollout

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A scene is a world with an engine, and a script in place of the director.
type scene struct {
	*testing.T
	w    *sim
	e    *Engine
	life *life
	end  context.CancelFunc
	done chan error

	stopped bool
}

// A setup is what is other than usual in a scene.
type setup struct {
	plan   func(*plan.Inventory, *plan.Settings)
	world  func(*sim)
	policy func(*Policy)

	companions bool // the play's domains have theirs
}

// play runs a script in a world that was prepared. Every violation of a promise
// fails it.
func play(t *testing.T, with setup, script func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newSim(t, func(inv *plan.Inventory, set *plan.Settings) {
			if !with.companions {
				set.Companions, set.Zones = nil, nil
			}
			if with.plan != nil {
				with.plan(inv, set)
			}
		})
		if !with.companions {
			w.unaccompanied()
		}
		w.failing = map[string]bool{}
		w.flap = ""
		w.records[raisedDomain].past = w.records[raisedDomain].past[:1]
		if with.world != nil {
			with.world(w)
		}
		s := &scene{T: t, w: w}
		s.start(with.policy)
		defer w.report(t)
		defer s.halt()
		script(s)
	})
}

// start begins a life.
func (s *scene) start(adjust func(*Policy)) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	l, e, err := s.w.open(ctx, adjust)
	if err != nil {
		s.Fatal(err)
	}
	l.cancel, s.life, s.e, s.end, s.done, s.stopped = cancel, l, e, cancel, make(chan error, 1), false
	go func() { s.done <- e.Run(ctx) }()
}

// stop ends the engine in order, and tells how long that took.
func (s *scene) stop() (took time.Duration) {
	begun := time.Now()
	s.stopped = true
	s.end()
	if err := <-s.done; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrPersonNeeded) && !s.life.dead {
		s.Errorf("the engine ended: %v", err)
	}
	took = time.Since(begun)
	if err := s.e.Journal.Close(); err != nil {
		s.Error(err)
	}
	time.Sleep(time.Second) // the lock is let go
	return took
}

// halt is stop at the end of a scene, also of one that failed.
func (s *scene) halt() {
	if !s.stopped {
		s.stop()
	}
}

// kill ends the engine without warning.
func (s *scene) kill(how string) {
	s.w.mu.Lock()
	s.w.deaths[s.w.points+1] = how
	s.w.mu.Unlock()
	s.until("it dies", func(*state.Status) bool {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		return s.life.dead
	})
	s.stop()
}

// until waits, in the world's time, until the status is as wanted.
func (s *scene) until(what string, ok func(*state.Status) bool) *state.Status {
	s.Helper()
	for range 6 * 24 * 360 {
		if st := s.e.Journal.Status(); ok(st) {
			return st
		}
		time.Sleep(10 * time.Second)
	}
	for _, d := range s.e.Journal.Status().Domains {
		s.Logf("%s is %s, step %q: %s", d.Domain, d.State, d.Step, d.Reason)
	}
	i := s.e.Journal.Status().Isolation
	s.Logf("isolation is %s, step %q, held %v, asks %q: %s", i.State, i.Step, i.Held, i.Asks, i.Reason)
	s.w.over = true
	s.Fatalf("in vain: %s", what)
	return nil
}

func (s *scene) reaches(domain string, states ...state.Phase) *state.DomainStatus {
	s.Helper()
	return s.until(domain+" is "+string(states[0]), func(st *state.Status) bool {
		for _, p := range states {
			if st.Domain(domain).State == p {
				return true
			}
		}
		return false
	}).Domain(domain)
}

// world changes the world.
func (s *scene) world(f func(*sim)) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	f(s.w)
}

func (s *scene) writes() (n int) {
	s.world(func(w *sim) { n = w.writes })
	return n
}

// dying tells whether the engine is still to die in a write.
func (s *scene) dying() (yes bool) {
	s.world(func(w *sim) { yes = w.dieLate != "" })
	return yes
}

func (s *scene) do(d state.Decision) {
	s.Helper()
	d.By = "scene"
	if err := s.e.Do(s.Context(), d); err != nil {
		s.Fatalf("%s %s: %v", d.Verb, d.Target, err)
	}
}

func (s *scene) rollback(target string) {
	s.Helper()
	s.do(state.Decision{Verb: state.Rollback, Target: target, Confirm: state.ConfirmName(target)})
}

// isolate brings all waves live and isolates the old server.
func (s *scene) isolate() {
	s.Helper()
	for _, w := range s.w.plan.Waves[1:] {
		s.do(state.Decision{Verb: state.Approve, Target: state.WaveTarget(w.Name)})
	}
	s.do(state.Decision{Verb: state.Approve, Target: state.Isolate})
	s.until("isolation is proven", func(st *state.Status) bool { return st.Isolation.State == state.IsolationProven })
	s.do(state.Decision{Verb: state.Keep, Target: state.Isolate, Confirm: state.Isolate})
	s.until("isolation is confirmed", func(st *state.Status) bool { return st.Isolation.State == state.IsolationConfirmed })
}

// set is what the world has for a domain.
func (s *scene) set(domain string) rrset.Set {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.records[domain].now().set
}

// original fails unless a domain is as it was before the migration.
func (s *scene) original(domain string) {
	s.Helper()
	if got, want := s.set(domain), s.past(domain)[0].set; !got.Equal(want) {
		s.Errorf("%s is %v TTL %d, was %v TTL %d", domain, got.Data, got.TTL, want.Data, want.TTL)
	}
}

// past are all versions of a domain's record.
func (s *scene) past(domain string) (out []version) {
	s.world(func(w *sim) { out = slices.Clone(w.records[domain].past) })
	return out
}

func (s *scene) foreign(domain string, ttl uint32, data string) {
	s.Helper()
	set, err := rrset.New(domain, "MX", ttl, data)
	if err != nil {
		s.Fatal(err)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.change(domain, set, true)
}

// first is the first domain of the first wave.
const first = "d00.example."
