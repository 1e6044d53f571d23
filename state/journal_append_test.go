package state_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/state/storetest"
)

func TestAppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	gate := &gated{Memory: storetest.NewMemory(), in: make(chan struct{}, 9)}
	j := create(t, gate, samplePlan(t, 2))
	gate.hold()
	first := make(chan error, 1)
	ctx1, cancel1 := context.WithCancel(t.Context())
	go func() { first <- j.Append(ctx1, state.Event{Kind: state.Started}) }()
	<-gate.in // the first is being committed
	ctx2, cancel2 := context.WithCancel(t.Context())
	cancel1()
	second := make(chan error, 1)
	go func() { second <- j.Append(ctx2, state.Event{Kind: state.Stopped}) }()
	await(func() bool { return j.Queued() == 1 })
	cancel2()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("an append that was not yet taken: %v", err)
	}
	gate.letGo()
	if err := <-first; err != nil {
		t.Errorf("an append that was being committed: %v", err)
	}
	if err := j.Append(t.Context(), state.Event{Kind: state.Started}); err != nil {
		t.Fatal(err)
	}
	if got := history(t, j, 1); len(got) != 2 || got[0].Kind != state.Started || got[1].Kind != state.Started {
		t.Errorf("events: %s", asJSON(t, got))
	}
}

// gated stops commits until they are let go.
type gated struct {
	*storetest.Memory
	in   chan struct{}
	mu   sync.Mutex
	stop chan struct{}
}

func (g *gated) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = make(chan struct{})
}

func (g *gated) letGo() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.stop)
	g.stop = nil
}

func (g *gated) Commit(ctx context.Context, t state.Txn) error {
	g.mu.Lock()
	stop := g.stop
	g.mu.Unlock()
	if stop != nil {
		g.in <- struct{}{}
		<-stop
	}
	return g.Memory.Commit(ctx, t)
}

func TestLostLock(t *testing.T) {
	t.Parallel()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 2))
	follow := make(chan error, 1)
	go func() {
		var last error
		for _, err := range j.Follow(context.Background(), 0) {
			last = err
		}
		follow <- last
	}()
	s.Lose()
	if err := j.Append(t.Context(), state.Event{Kind: state.Started}); !errors.Is(err, state.ErrDead) || !errors.Is(err, state.ErrLost) {
		t.Errorf("append: %v", err)
	}
	if err := <-follow; !errors.Is(err, state.ErrLost) {
		t.Errorf("follow: %v", err)
	}
}

// TestAnotherWriter has somebody write in spite of the lock.
func TestAnotherWriter(t *testing.T) {
	t.Parallel()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 2))
	put(t, s, "meta/head", []byte("another's"))
	err := j.Append(t.Context(), state.Event{Kind: state.Started})
	if !errors.Is(err, state.ErrDead) || !errors.Is(err, state.ErrConflict) {
		t.Errorf("append: %v", err)
	}
	if got := j.Status(); got.Seq != 1 || got.Engine != "stopped" {
		t.Errorf("the status shows event %d", got.Seq)
	}
}

func TestSecondJournalIsRefused(t *testing.T) {
	t.Parallel()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 2))
	if _, err := state.Open(t.Context(), s, state.Options{Holder: "second"}); !errors.Is(err, state.ErrLocked) {
		t.Errorf("second: %v", err)
	}
	closeJournal(t, j)
	for _, f := range []func() error{
		func() error { return j.Append(t.Context(), state.Event{Kind: state.Started}) },
		func() error {
			return j.Decide(t.Context(), state.Decision{Verb: state.Hold, Target: state.All})
		},
	} {
		if err := f(); !errors.Is(err, state.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	j := create(t, storetest.NewMemory(), samplePlan(t, 2))
	if err := j.Append(t.Context(), state.Event{Kind: "invented"}); err == nil {
		t.Error("an unknown kind was appended")
	}
	huge := state.Event{Kind: state.Observed, Reason: strings.Repeat("x", state.MaxBytes)}
	if err := j.Append(t.Context(), huge); !errors.Is(err, state.ErrTooBig) {
		t.Errorf("a huge event: %v", err)
	}
	far := state.Event{Kind: state.Observed, At: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := j.Append(t.Context(), far); err == nil || errors.Is(err, state.ErrDead) {
		t.Errorf("an event that has no JSON: %v", err)
	}
	half := state.Event{Kind: state.Observed, Reason: strings.Repeat("x", state.MaxBytes/2)}
	var wg sync.WaitGroup
	for range 8 { // no two fit into one batch
		wg.Go(func() {
			if err := j.Append(t.Context(), half); err != nil {
				t.Errorf("half: %v", err)
			}
		})
	}
	wg.Wait()
	if got := j.Status().Seq; got != 9 {
		t.Errorf("the last event is %d", got)
	}
}

func TestLiveFoldIsTheStoredOne(t *testing.T) {
	t.Parallel()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 2))
	e := intended(t, "d0000.example.", 1)
	e.At = time.Now() // local, with a monotonic reading
	e.Reason = "bad \xff utf-8"
	e.Findings = []plan.Finding{}
	if err := j.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e.Intent.Snapshot.Data[0] = "the caller's own"
	if live, stored := j.Status(), reopen(t, s.Copy()).Status(); !reflect.DeepEqual(live, stored) {
		t.Errorf("live and stored differ:\n%+v\n%+v", live.Domains[0], stored.Domains[0])
	}
}
