package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcutover/state"
	"mxcutover/state/bolt"
)

// filled makes a journal of some dozen pages, with free ones among them.
func filled(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = newPath(t)
	s := open(t, path, bolt.Options{})
	for i := range 12 {
		commit(t, s, fmt.Sprintf("event/%04d", i), strings.Repeat(fmt.Sprint(i), 2000))
	}
	commit(t, s, "big", strings.Repeat("x", 50000))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// use opens a file and reads and writes it; it is content with errors, not with
// a panic or a fault.
func use(path string) error {
	s, err := bolt.Open(path, bolt.Options{Wait: time.Second})
	if err != nil {
		return err
	}
	for _, e := range s.Scan(context.Background(), "") {
		err = errors.Join(err, e)
	}
	err = errors.Join(err, s.Commit(context.Background(), state.Txn{Put: []state.KV{{Key: "new", Value: []byte("v")}}}))
	return errors.Join(err, s.Close())
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	_, good := filled(t)
	page := os.Getpagesize()
	cases := map[string][]byte{
		"text":             []byte("this is no journal\n"),
		"much text":        bytes.Repeat([]byte("no journal\n"), 10000),
		"zeros":            make([]byte, 64<<10),
		"cut to a byte":    good[:1],
		"cut to a page":    good[:page],
		"cut to two pages": good[:2*page],
		"cut in half":      good[:len(good)/2/page*page],
		"both heads gone":  append(make([]byte, 2*page), good[2*page:]...),
		"body zeroed":      append(bytes.Clone(good[:2*page]), make([]byte, len(good)-2*page)...),
		"body of ones":     append(bytes.Clone(good[:2*page]), bytes.Repeat([]byte{0xff}, len(good)-2*page)...),
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
				t.Fatal(err)
			}
			if err := use(path); !errors.Is(err, bolt.ErrDamaged) {
				t.Errorf("open: %v, want that it is damaged", err)
			}
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
}

func TestOneHeadGoneIsNoDamage(t *testing.T) {
	t.Parallel()
	path, good := filled(t)
	for i := range 2 { // a commit that was torn leaves the other head
		content := bytes.Clone(good)
		clear(content[i*os.Getpagesize():][:128])
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, bolt.Options{})
		if got := value(t, s, "event/0000"); len(got) != 2000 {
			t.Errorf("head %d gone: %d bytes", i, len(got))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlippedBits flips bits in the pages' structure: whatever comes of it, the
// process goes on.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	path, good := filled(t)
	page, found := os.Getpagesize(), 0
	for at := 0; at < len(good); at += page {
		for _, off := range []int{0, 8, 9, 10, 11, 12, 15, 16, 20, 24, 28, 31, 40, 48, 60} {
			if at+off >= len(good) {
				continue
			}
			content := bytes.Clone(good)
			content[at+off] ^= 0x41
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if use(path) != nil {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no flipped bit was found")
	}
}

func TestCutOffWhileOpen(t *testing.T) {
	t.Parallel()
	path, _ := filled(t)
	s := open(t, path, bolt.Options{})
	if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	var got error
	for _, err := range s.Scan(t.Context(), "") {
		got = errors.Join(got, err)
	}
	if !errors.Is(got, bolt.ErrDamaged) {
		t.Errorf("scan: %v, want that it is damaged", got)
	}
	if err := s.Commit(t.Context(), state.Txn{Put: []state.KV{{Key: "k"}}}); !errors.Is(err, bolt.ErrDamaged) {
		t.Errorf("commit: %v, want that it is damaged", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := bolt.Open(path, bolt.Options{Wait: time.Millisecond}); !errors.Is(err, bolt.ErrDamaged) {
		t.Errorf("the lock was kept, or the damage not seen: %v", err)
	}
}
