package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"mxcutover/state"
	"mxcutover/state/bolt"
)

func stat(t *testing.T, path string) (size, allocated int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size(), info.Sys().(*syscall.Stat_t).Blocks * 512
}

// TestReserve fills what was reserved with values of many sizes: the file does
// not grow.
func TestReserve(t *testing.T) {
	t.Parallel()
	const room = 1 << 20
	for _, size := range []int{100, 1400, 2100, 4200, 60_000, 180_000, 250_000, 300_000, 340_000, 500_000, 520_000, 1_000_000, 0} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(size), 3))
			path := newPath(t)
			s := open(t, path, bolt.Options{})
			commit(t, s, "before", "v")
			if got := s.Room(); got != 0 {
				t.Errorf("room for %d bytes in a new journal", got)
			}
			if err := s.Reserve(t.Context(), room); err != nil || s.Room() < room {
				t.Fatalf("reserve: %v, room for %d bytes", err, s.Room())
			}
			had, allocated := stat(t, path)
			if allocated < 2*room {
				t.Errorf("%d bytes of the file's %d are on the disk", allocated, had)
			}
			left := s.Room()
			for done, i := 0, 0; done < room; {
				var txn state.Txn
				for len(txn.Put) < 1+3000/(size+40) && done < room {
					n := size
					if n == 0 {
						n = 1 + random.IntN(6000)
					}
					n = min(n, room-done)
					txn.Put = append(txn.Put, state.KV{Key: fmt.Sprintf("event/%016x", i), Value: bytes.Repeat([]byte("x"), n)})
					done += n
					i++
				}
				if err := s.Commit(t.Context(), txn); err != nil {
					t.Fatal(err)
				}
			}
			if now, _ := stat(t, path); now != had {
				t.Errorf("the file grew from %d to %d bytes", had, now)
			}
			if s.Room() > left-room/2 {
				t.Errorf("room for %d bytes, and it was %d before %d were committed", s.Room(), left, room)
			}
		})
	}
}

func TestReserveWritesOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, bolt.Options{})
	if err := s.Reserve(t.Context(), 3<<20); err != nil {
		t.Fatal(err)
	}
	room := s.Room()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, bolt.Options{})
	if got := s.Room(); got != room {
		t.Errorf("room for %d bytes after it was opened again, and %d before", got, room)
	}
	if err := s.Reserve(t.Context(), 3<<20); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the file was written at %v, and before at %v (%v)", after.ModTime(), before.ModTime(), err)
	}
	if err := os.Truncate(path, 64<<20); err != nil { // a hole, as bbolt makes them
		t.Fatal(err)
	}
	if got := s.Room(); got != room {
		t.Errorf("room for %d bytes with a hole at the end, and %d before", got, room)
	}
}

// TestOpeningWritesNothing: the disk may be full.
func TestOpeningWritesNothing(t *testing.T) {
	t.Parallel()
	path, before := filled(t)
	if err := open(t, path, bolt.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written (%v)", err)
	}
}

func TestReserveRefuses(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, bolt.Options{})
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Reserve(ended, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	commit(t, s, "k", "v") // it goes on
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve(t.Context(), 1); !errors.Is(err, state.ErrClosed) || s.Room() != 0 {
		t.Errorf("closed: %v, room for %d bytes", err, s.Room())
	}
	r := open(t, path, bolt.Options{ReadOnly: true})
	if err := r.Reserve(t.Context(), 1); !errors.Is(err, state.ErrReadOnly) || r.Room() != 0 {
		t.Errorf("read only: %v, room for %d bytes", err, r.Room())
	}
}
