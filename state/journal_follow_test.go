package state_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"mxcutover/state"
	"mxcutover/state/storetest"
)

// TestFollowersMissNothing has followers begin at many points while writers
// write: each sees every event after its point, in order, once.
func TestFollowersMissNothing(t *testing.T) {
	t.Parallel()
	j := create(t, storetest.NewMemory(), samplePlan(t, 10))
	const writers, each, followers = 8, 60, 12
	const last = 1 + writers*each
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all, writing sync.WaitGroup
	for f := range followers {
		all.Go(func() {
			since := uint64(f * 40)
			for e, err := range j.Follow(ctx, since) {
				if err != nil {
					t.Errorf("follower %d: %v", f, err)
					return
				}
				if e.Seq != since+1 {
					t.Errorf("follower %d: event %d after %d", f, e.Seq, since)
					return
				}
				if since = e.Seq; since == last {
					return
				}
			}
			t.Errorf("follower %d ended at %d of %d", f, since, last)
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if err := j.Append(t.Context(), state.Event{Kind: state.Observed, Reason: fmt.Sprint(w, i)}); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	writing.Wait()
	all.Wait()
}

// TestStoppedFollowerDelaysNobody leaves a follower in the middle of an event
// for as long as everything else takes.
func TestStoppedFollowerDelaysNobody(t *testing.T) {
	t.Parallel()
	j := create(t, storetest.NewMemory(), samplePlan(t, 2))
	at, goOn, seen := make(chan struct{}), make(chan struct{}), make(chan int)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		n := 0
		for e, err := range j.Follow(ctx, 0) {
			if err != nil {
				t.Errorf("follow: %v", err)
				break
			}
			if n++; e.Seq == 1 {
				close(at)
				<-goOn
			}
			if e.Seq == 301 {
				break
			}
		}
		seen <- n
	}()
	<-at
	for range 300 { // more batches than stay in memory
		if err := j.Append(t.Context(), state.Event{Kind: state.Observed}); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	if n := <-seen; n != 301 {
		t.Errorf("the follower saw %d of 301", n)
	}
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	j := create(t, storetest.NewMemory(), samplePlan(t, 2))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for e, err := range j.Follow(ctx, 0) {
		if err != nil || e.Seq != 1 {
			t.Errorf("event %d, %v", e.Seq, err)
		}
		cancel()
	}
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		var last error
		for _, err := range j.Follow(context.Background(), 0) {
			if last = err; err == nil {
				close(begun)
			}
		}
		ended <- last
	}()
	<-begun
	closeJournal(t, j)
	if err := <-ended; err != nil {
		t.Errorf("the journal was closed in order, and its follower got %v", err)
	}
	for range j.Follow(t.Context(), 1) {
		t.Error("an event after the last of a closed journal")
	}
}

func TestEventsOfAnEndedContext(t *testing.T) {
	t.Parallel()
	j := create(t, storetest.NewMemory(), samplePlan(t, 2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got error
	for _, err := range j.Events(ctx, 0) {
		got = err
	}
	if !errors.Is(got, context.Canceled) {
		t.Errorf("a history that was not read: %v", got)
	}
}

// TestRacingDecisions has many people approve one wave at once: one does, and
// the others are told.
func TestRacingDecisions(t *testing.T) {
	t.Parallel()
	p := samplePlan(t, 10)
	s := storetest.NewMemory()
	j := create(t, s, p)
	d := state.Decision{Verb: state.Approve, Target: state.WaveTarget(p.Waves[1].Name), By: "somebody"}
	results := make([]error, 32)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = j.Decide(t.Context(), d) })
		wg.Go(func() {
			if err := j.Append(t.Context(), state.Event{Kind: state.Observed}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	wg.Wait()
	taken := 0
	for _, err := range results {
		switch {
		case err == nil:
			taken++
		case !errors.Is(err, state.ErrRefused):
			t.Errorf("decide: %v", err)
		}
	}
	decided := 0
	for _, e := range history(t, reopen(t, s.Copy()), 0) {
		if e.Kind == state.Decided {
			decided++
		}
	}
	if taken != 1 || decided != 1 {
		t.Errorf("%d decisions were taken and %d journaled, want one", taken, decided)
	}
	if !j.Status().Waves[1].Approved {
		t.Error("the wave is not approved")
	}
}
