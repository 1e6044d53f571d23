// Package storetest holds what every Store of the journal must do ([Run]), a
// Store in memory, and one that fails when it is told to. Tests alone use it.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcutover/state"
)

// Run tests a kind of Store. open makes an empty one, and cleans up after it.
func Run(t *testing.T, open func(*testing.T) state.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, state.Store){
		"scans in order":      scansInOrder,
		"nil is absent":       nilIsAbsent,
		"conflicts":           conflicts,
		"all or nothing":      allOrNothing,
		"limits":              limits,
		"commits while scans": commitsWhileScanning,
		"concurrent counters": concurrentCounters,
		"values are copies":   valuesAreCopies,
		"one lock":            oneLock,
		"closed":              closed,
		"ended context":       endedContext,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func commit(t *testing.T, s state.Store, txn state.Txn) {
	t.Helper()
	if err := s.Commit(t.Context(), txn); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func put(kvs ...string) (t state.Txn) {
	for i := 0; i < len(kvs); i += 2 {
		t.Put = append(t.Put, state.KV{Key: kvs[i], Value: []byte(kvs[i+1])})
	}
	return t
}

func scan(t *testing.T, s state.Store, prefix string) []string {
	t.Helper()
	var out []string
	for kv, err := range s.Scan(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("scan %q: %v", prefix, err)
		}
		out = append(out, kv.Key+"="+string(kv.Value))
	}
	return out
}

func expect(t *testing.T, s state.Store, prefix string, want ...string) {
	t.Helper()
	if got := scan(t, s, prefix); !slices.Equal(got, want) {
		t.Errorf("scan %q: %q, want %q", prefix, got, want)
	}
}

func scansInOrder(t *testing.T, s state.Store) {
	expect(t, s, "")
	commit(t, s, put("b/2", "x", "a", "y", "b/10", "z"))
	commit(t, s, put("b/1", "w", "c", "v", "b", "u", "b\xff", "t"))
	expect(t, s, "b/", "b/1=w", "b/10=z", "b/2=x")
	expect(t, s, "b", "b=u", "b/1=w", "b/10=z", "b/2=x", "b\xff=t")
	expect(t, s, "", "a=y", "b=u", "b/1=w", "b/10=z", "b/2=x", "b\xff=t", "c=v")
	expect(t, s, "none")
	for kv, err := range s.Scan(t.Context(), "") {
		if err != nil || kv.Key != "a" {
			t.Errorf("first of all: %q, %v", kv.Key, err)
		}
		break // leaving early must not keep anything locked
	}
	var want []string
	for i := range 700 { // more than a page of any store
		k := fmt.Sprintf("many/%04d", i)
		commit(t, s, put(k, "v"))
		want = append(want, k+"=v")
	}
	expect(t, s, "many/", want...)
}

func nilIsAbsent(t *testing.T, s state.Store) {
	commit(t, s, state.Txn{If: []state.KV{{Key: "k"}}, Put: []state.KV{{Key: "k", Value: []byte{}}}})
	expect(t, s, "k", "k=")
	if err := s.Commit(t.Context(), state.Txn{If: []state.KV{{Key: "k"}}}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("an empty value was taken for an absent one: %v", err)
	}
	commit(t, s, state.Txn{If: []state.KV{{Key: "k", Value: []byte{}}}, Put: []state.KV{{Key: "k"}}})
	expect(t, s, "k")
	if err := s.Commit(t.Context(), state.Txn{If: []state.KV{{Key: "k", Value: []byte{}}}}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("an absent value was taken for an empty one: %v", err)
	}
	commit(t, s, state.Txn{Put: []state.KV{{Key: "never there"}}})
}

func conflicts(t *testing.T, s state.Store) {
	commit(t, s, put("k", "one"))
	for _, v := range []string{"two", "on", "onee", "ONE"} {
		txn := put("k", "changed")
		txn.If = []state.KV{{Key: "k", Value: []byte(v)}}
		if err := s.Commit(t.Context(), txn); !errors.Is(err, state.ErrConflict) {
			t.Errorf("if %q: %v, want a conflict", v, err)
		}
	}
	txn := put("k", "two")
	txn.If = []state.KV{{Key: "k", Value: []byte("one")}, {Key: "other"}}
	commit(t, s, txn)
	expect(t, s, "k", "k=two")
}

func allOrNothing(t *testing.T, s state.Store) {
	commit(t, s, put("a", "1"))
	txn := put("b", "2", "c", "3")
	txn.Put = append(txn.Put, state.KV{Key: "a"})
	txn.If = []state.KV{{Key: "a", Value: []byte("1")}, {Key: "c", Value: []byte("x")}}
	if err := s.Commit(t.Context(), txn); !errors.Is(err, state.ErrConflict) {
		t.Errorf("commit: %v, want a conflict", err)
	}
	expect(t, s, "", "a=1")
	txn.If = txn.If[:1]
	commit(t, s, txn)
	expect(t, s, "", "b=2", "c=3")
}

func limits(t *testing.T, s state.Store) {
	var keys state.Txn
	for i := range state.MaxKeys {
		keys.Put = append(keys.Put, state.KV{Key: fmt.Sprintf("k%03d", i), Value: []byte("v")})
	}
	commit(t, s, keys)
	big := make([]byte, state.MaxBytes-1)
	commit(t, s, state.Txn{Put: []state.KV{{Key: "b", Value: big}}})
	for name, txn := range map[string]state.Txn{
		"keys":   {If: []state.KV{{Key: "k000", Value: []byte("v")}}, Put: keys.Put},
		"bytes":  {Put: []state.KV{{Key: "bb", Value: big}}},
		"if":     {If: []state.KV{{Key: "b", Value: big}}, Put: []state.KV{{Key: "x", Value: []byte("v")}}},
		"length": {Put: []state.KV{{Key: strings.Repeat("k", state.MaxKeyBytes+1)}}},
	} {
		if err := s.Commit(t.Context(), txn); !errors.Is(err, state.ErrTooBig) {
			t.Errorf("%s: %v, want too big", name, err)
		}
	}
	for name, txn := range map[string]state.Txn{"empty key": put("", "v"), "twice": put("x", "1", "x", "2")} {
		if err := s.Commit(t.Context(), txn); err == nil {
			t.Errorf("%s was committed", name)
		}
	}
	expect(t, s, "x")
	if n := len(scan(t, s, "k")); n != state.MaxKeys {
		t.Errorf("%d keys, want %d", n, state.MaxKeys)
	}
}

func commitsWhileScanning(t *testing.T, s state.Store) {
	for i := range 300 {
		commit(t, s, put(fmt.Sprintf("a%03d", i), strings.Repeat("v", 4000)))
	}
	n := 0
	for kv, err := range s.Scan(t.Context(), "a") {
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, put("z"+kv.Key, strings.Repeat("w", 20000)))
		n++
	}
	if n != 300 {
		t.Errorf("scanned %d of 300", n)
	}
}

func concurrentCounters(t *testing.T, s state.Store) {
	commit(t, s, put("n", "0"))
	const each, writers = 10, 8
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				for !increment(t, s) {
				}
			}
		})
	}
	wg.Wait()
	expect(t, s, "n", fmt.Sprintf("n=%d", each*writers))
}

func increment(t *testing.T, s state.Store) bool {
	for kv, err := range s.Scan(t.Context(), "n") {
		if err != nil {
			t.Errorf("scan: %v", err)
			return true
		}
		n := 0
		if _, err := fmt.Sscan(string(kv.Value), &n); err != nil {
			t.Errorf("counter %q: %v", kv.Value, err)
		}
		txn := put("n", fmt.Sprint(n+1))
		txn.If = []state.KV{kv}
		err = s.Commit(t.Context(), txn)
		if err != nil && !errors.Is(err, state.ErrConflict) {
			t.Errorf("commit: %v", err)
			return true
		}
		return err == nil
	}
	t.Error("the counter is gone")
	return true
}

func valuesAreCopies(t *testing.T, s state.Store) {
	v := []byte("value")
	commit(t, s, state.Txn{Put: []state.KV{{Key: "k", Value: v}}})
	v[0] = 'X'
	for kv, err := range s.Scan(t.Context(), "k") {
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(kv.Value, []byte("value")) {
			t.Errorf("the store kept the caller's bytes: %q", kv.Value)
		}
		kv.Value[0] = 'Y'
	}
	expect(t, s, "k", "k=value")
}

func oneLock(t *testing.T, s state.Store) {
	ctx, release := context.WithCancel(t.Context())
	held, err := s.Lock(ctx, "the first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(t.Context(), "the second"); !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), "the first") {
		t.Errorf("second lock: %v, want that the first has it", err)
	}
	if held.Err() != nil {
		t.Error("the lock was lost")
	}
	commit(t, s, put("k", "v"))
	release()
	<-held.Done()
	again, err := s.Lock(t.Context(), "the third")
	for end := time.Now().Add(10 * time.Second); errors.Is(err, state.ErrLocked) && time.Now().Before(end); {
		again, err = s.Lock(t.Context(), "the third")
	}
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-again.Done()
}

func closed(t *testing.T, s state.Store) {
	commit(t, s, put("k", "v"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := s.Commit(t.Context(), put("k", "w")); !errors.Is(err, state.ErrClosed) {
		t.Errorf("commit: %v, want closed", err)
	}
	if _, err := s.Lock(t.Context(), "x"); !errors.Is(err, state.ErrClosed) {
		t.Errorf("lock: %v, want closed", err)
	}
	var got error
	for _, err := range s.Scan(t.Context(), "k") {
		got = err
	}
	if !errors.Is(got, state.ErrClosed) {
		t.Errorf("scan: %v, want closed", got)
	}
}

func endedContext(t *testing.T, s state.Store) {
	commit(t, s, put("k", "v"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ctx, put("k", "w")); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v, want canceled", err)
	}
	var got error
	for _, err := range s.Scan(ctx, "k") {
		got = err
	}
	if !errors.Is(got, context.Canceled) {
		t.Errorf("scan: %v, want canceled", got)
	}
	expect(t, s, "k", "k=v")
}
