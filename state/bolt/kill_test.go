package bolt_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
	"mxcutover/state/bolt"
)

// appendForEver begins a migration and has many goroutines append to it. It
// prints the number of each event that was answered, until it is killed.
func appendForEver(path string) int {
	p, err := plan.Make(plan.Inventory{}, plan.Settings{Migration: "test"})
	if err != nil {
		return 1
	}
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return 1
	}
	j, err := state.Create(context.Background(), s, p, state.Options{Snapshots: path + ".txt"})
	if err != nil {
		return 1
	}
	fmt.Println("open")
	var wg sync.WaitGroup
	var out sync.Mutex
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := stepEvent(w*1_000_000 + i)
				if j.Append(context.Background(), e) != nil {
					return
				}
				out.Lock()
				fmt.Println(e.Domain)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return 1
}

// TestKilledWhileAppending kills the process that appends: what it had been
// answered is there, numbered without a gap, and so are its snapshots.
func TestKilledWhileAppending(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "journal.db")
	said, kill, _ := other(t, "append:"+path)
	answered := map[string]bool{}
	for range 500 {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		answered[strings.TrimSpace(line)] = true
	}
	kill()
	s := open(t, path, bolt.Options{Wait: 10 * time.Second})
	j, err := state.Open(t.Context(), s, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	for e, err := range j.Events(t.Context(), 0) {
		if err != nil || e.Seq != next {
			t.Fatalf("event %d, want %d: %v", e.Seq, next, err)
		}
		next++
		delete(answered, e.Domain)
	}
	if len(answered) > 0 {
		t.Errorf("%d events were answered and are not there", len(answered))
	}
	text, err := os.ReadFile(path + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := state.ReadSnapshots(bytes.NewReader(text))
	if err != nil || uint64(len(snapshots)) < next-2 {
		t.Errorf("%d snapshots for %d events: %v", len(snapshots), next-2, err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
