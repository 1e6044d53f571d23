package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mxcutover/state"
	"mxcutover/state/bolt"
)

// dyingScript appends until it cannot, and tells how that looks.
func dyingScript(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		fmt.Println("unopened", saysEIO(err), !errors.Is(err, bolt.ErrDamaged))
		return nil
	}
	j, err := begin(s, path, true)
	if err != nil {
		fmt.Println("unopened", saysEIO(err), !errors.Is(err, bolt.ErrDamaged))
		return s.Close()
	}
	fmt.Println("ok begun")
	for n := 0; err == nil && n < 20; n++ {
		if err = appendPair(j, n); err == nil {
			fmt.Println("ok", stepEvent(n).Domain)
		}
	}
	seq := j.Status().Seq
	again := j.Append(context.Background(), state.Event{Kind: state.Stopped})
	fmt.Println("dead", errors.Is(err, state.ErrDead), saysEIO(err), errors.Is(again, state.ErrDead), j.Status().Seq == seq)
	return errors.Join(j.Close(), s.Close())
}

// saysEIO reads the text: bbolt wraps no error of the sync after it has resized
// the file.
func saysEIO(err error) bool { return err != nil && strings.Contains(err.Error(), syscall.EIO.Error()) }

// TestSyncFails has each sync fail in its turn, once, as a disk's does.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 18; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			path, n := newPath(t), 0
			var answered []string
			var last string
			watch(t, "dying", path, func(c *call) syscall.Errno {
				if said, ok := c.said(); ok {
					last = said
					if name, ok := strings.CutPrefix(said, "ok "); ok {
						answered = append(answered, name)
					}
				}
				if c.sync() {
					n++
				}
				if c.sync() && n == at {
					return syscall.EIO
				}
				return 0
			})
			want := "dead true true true true"
			if len(answered) == 0 {
				want = "unopened true true"
			}
			if last != want {
				t.Errorf("after %d answers: %q, want %q", len(answered), last, want)
			}
			if err := checkImage(t, path, answered); err != nil {
				t.Errorf("the next process: %v", err)
			}
		})
	}
}

// A fullDisk has no block left: what is written already can be written again,
// and files can be resized, with holes.
type fullDisk struct {
	dir  string
	full bool
	ends map[string]int64
}

func (d *fullDisk) judge(c *call) syscall.Errno {
	if said, ok := c.said(); ok && said == "full" {
		d.full = true
	}
	switch {
	case !strings.HasPrefix(c.file, d.dir):
	case c.nr == unix.SYS_PWRITE64:
		end := c.at + int64(len(c.data))
		if d.full && end > d.ends[c.file] {
			return syscall.ENOSPC
		}
		d.ends[c.file] = max(d.ends[c.file], end)
	case d.full && (c.nr == unix.SYS_WRITE || c.nr == unix.SYS_OPENAT && c.at&unix.O_EXCL != 0):
		return syscall.ENOSPC
	}
	return 0
}

// appendSome appends small events one by one, as a rollback does.
func appendSome(j *state.Journal, n int) error {
	random := rand.New(rand.NewPCG(uint64(n), 2))
	for i := range n {
		e := state.Event{Kind: state.Observed, Domain: stepEvent(i).Domain, Step: "rollback"}
		for range 60 {
			e.Reason += fmt.Sprintf("%08x", random.Uint32())
		}
		if err := j.Append(context.Background(), e); err != nil {
			return fmt.Errorf("append %d: %w", i, err)
		}
	}
	return nil
}

// fullScript appends on a full disk without having reserved room.
func fullScript(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	j, err := begin(s, path, true)
	if err != nil {
		return err
	}
	fmt.Println("full")
	err = appendSome(j, 500)
	fmt.Println("died", errors.Is(err, state.ErrDead), errors.Is(err, syscall.ENOSPC), s.Room())
	return errors.Join(j.Close(), s.Close())
}

// reserveScript reserves room, has the disk full, and uses it, also after the
// journal was opened again; more room cannot be had, which does no harm.
func reserveScript(path string) error {
	ctx := context.Background()
	for round := range 3 {
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			return err
		}
		j, err := begin(s, path, round == 0)
		if err != nil {
			return err
		}
		if round == 0 {
			if err := s.Reserve(ctx, 1<<20); err != nil {
				return err
			}
			fmt.Println("full")
		}
		before := s.Room()
		if err := appendSome(j, 200); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := s.Reserve(ctx, 100<<10); err != nil {
			return fmt.Errorf("what is there need not be written: %w", err)
		}
		err = s.Reserve(ctx, 4<<20)
		fmt.Println("more", errors.Is(err, syscall.ENOSPC), before > s.Room(), s.Room() > 100<<10)
		if err := errors.Join(appendSome(j, 10), j.Close(), s.Close()); err != nil {
			return err
		}
	}
	fmt.Println("all 631 appended")
	return nil
}

// unsyncedScript cannot sync the room that it reserves.
func unsyncedScript(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	j, err := begin(s, path, true)
	if err != nil {
		return err
	}
	fmt.Println("reserving")
	err = s.Reserve(context.Background(), 1<<20)
	again := j.Append(context.Background(), state.Event{Kind: state.Started})
	fmt.Println("dead", err != nil, errors.Is(again, state.ErrDead), s.Room())
	return errors.Join(j.Close(), s.Close())
}

func TestReserveIsSynced(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			reserving, failed, last := false, false, ""
			watch(t, "unsynced", newPath(t), func(c *call) syscall.Errno {
				if said, ok := c.said(); ok {
					last, reserving = said, said == "reserving"
				}
				if !c.sync() || !reserving {
					return 0
				}
				reserving, failed = false, true
				return errno
			})
			if !failed || last != "dead true true 0" {
				t.Errorf("a sync failed: %v; it says %q", failed, last)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][]string{
		"full":    {"full", "died true true 0"},
		"reserve": {"full", "more true true true", "more true true true", "more true true true", "all 631 appended"},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			d := &fullDisk{dir: filepath.Dir(path), ends: map[string]int64{}}
			var said []string
			for _, c := range watch(t, script, path, d.judge) {
				if line, ok := c.said(); ok {
					said = append(said, line)
				}
			}
			if !slices.Equal(said, want) {
				t.Errorf("it says %q, want %q", said, want)
			}
			if left, err := filepath.Glob(path + ".holder*"); len(left) > 0 || err != nil {
				t.Errorf("left: %v, %v", left, err)
			}
			s := open(t, path, bolt.Options{})
			j, err := begin(s, path, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := j.Status().Seq; script == "reserve" && got != 631 {
				t.Errorf("%d events", got)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// readOnlyScript opens a journal on a disk that cannot be written.
func readOnlyScript(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err == nil {
		return errors.Join(errors.New("it was opened to be written"), s.Close())
	}
	fmt.Println("refused", errors.Is(err, state.ErrReadOnly), errors.Is(err, syscall.EROFS), strings.Contains(err.Error(), "it can still be read"))
	if s, err = bolt.Open(path, bolt.Options{ReadOnly: true}); err != nil {
		return err
	}
	j, err := begin(s, path, false)
	if err != nil {
		return err
	}
	err = j.Append(context.Background(), state.Event{Kind: state.Started})
	fmt.Println("read", j.Status().Seq, errors.Is(err, state.ErrReadOnly), errors.Is(s.Reserve(context.Background(), 1), state.ErrReadOnly))
	return errors.Join(j.Close(), s.Close())
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, bolt.Options{})
	j, err := begin(s, path, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, c := range watch(t, "readonly", path, func(c *call) syscall.Errno {
		if strings.HasPrefix(c.file, filepath.Dir(path)) {
			return syscall.EROFS // it asks before whatever changes a file
		}
		return 0
	}) {
		if line, ok := c.said(); ok {
			said = append(said, line)
		}
	}
	if want := []string{"refused true true true", "read 1 true true"}; !slices.Equal(said, want) {
		t.Errorf("it says %q, want %q", said, want)
	}
}

// TestTornFirstWrite has what a lost power may leave of a new file.
func TestTornFirstWrite(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	path := newPath(t)
	_, calls := record(t, "power")
	first := calls[slices.IndexFunc(calls, func(c call) bool { return c.nr == unix.SYS_PWRITE64 })]
	if len(first.data) != 4*os.Getpagesize() || first.at != 0 {
		t.Fatalf("bbolt's first write has %d bytes at %d", len(first.data), first.at)
	}
	for range 20 {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, apply(nil, first, random), 0o600)); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, "k", "v")
		if err := errors.Join(s.Close(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
}
