package bolt_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// An event of the usual size: a step's intent with its snapshot.
func stepEvent(i int) state.Event {
	name := fmt.Sprintf("d%06d.example.", i)
	old := rrset.Set{Name: name, Type: "MX", TTL: 300, Data: []string{"10 old.example."}}
	fresh := rrset.Set{Name: name, Type: "MX", TTL: 300, Data: []string{"10 gw1.example.", "20 gw2.example."}}
	return state.Event{
		At: time.Date(2026, 3, 4, 5, 6, 7, i, time.UTC), Kind: state.Intended, Wave: "pilot", Domain: name, Step: "publish",
		Intent: &state.Intent{Snapshot: &old, Change: &rrset.Change{Zone: "example.", Before: old, After: fresh}, Provider: "campus", Attempt: 1},
	}
}

// BenchmarkUpdateEach is what a journal without a group commit would do: one
// bbolt transaction for each step.
func BenchmarkUpdateEach(b *testing.B) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "each.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("events"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		text, err := json.Marshal(stepEvent(i))
		if err != nil {
			b.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("events")).Put(fmt.Appendf(nil, "%016x", i), text)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAppend64(b *testing.B)   { benchmarkAppend(b, 64) }
func BenchmarkAppend1000(b *testing.B) { benchmarkAppend(b, 1000) }

func benchmarkAppend(b *testing.B, writers int) {
	s, err := bolt.Open(filepath.Join(b.TempDir(), "state", "journal.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := plan.Make(plan.Inventory{}, plan.Settings{Migration: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	j, err := state.Create(context.Background(), s, p, state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := j.Append(context.Background(), stepEvent(int(i))); err != nil {
					b.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
	if err := j.Close(); err != nil {
		b.Error(err)
	}
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}
