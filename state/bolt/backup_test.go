package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"mxcutover/state"
	"mxcutover/state/bolt"
)

// TestBackupWhileWritten copies a store that is being written: each copy is
// whole, and holds all that was committed before it was asked for.
func TestBackupWhileWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := bolt.Open(filepath.Join(dir, "m.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	written := 0
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := s.Commit(t.Context(), state.Txn{Put: []state.KV{{Key: fmt.Sprintf("k%06d", i), Value: bytes.Repeat([]byte{7}, 900)}}}); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			written = i + 1
			mu.Unlock()
		}
	})
	for n := range 5 {
		mu.Lock()
		least := written
		mu.Unlock()
		path := filepath.Join(dir, fmt.Sprintf("copy%d.db", n))
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Backup(t.Context(), f), f.Close()); err != nil {
			t.Fatal(err)
		}
		if have := count(t, path); have < least {
			t.Errorf("copy %d has %d keys, and %d were committed", n, have, least)
		}
	}
	cancel()
	wg.Wait()
	if err := s.Backup(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a backup that was given up: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), &bytes.Buffer{}); !errors.Is(err, state.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func count(t *testing.T, path string) (n int) {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, err := range s.Scan(t.Context(), "k") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
