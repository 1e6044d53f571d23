package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mxcutover/state"
	"mxcutover/state/storetest"
)

// chain is a journal with a few batches, and what its store holds.
func chain(t *testing.T) (*storetest.Memory, map[string][]byte) {
	t.Helper()
	s := storetest.NewMemory()
	j := create(t, s, samplePlan(t, 4))
	for i := range 5 {
		e := state.Event{Kind: state.Observed, Domain: "d0001.example.", Reason: fmt.Sprint(i)}
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	closeJournal(t, j)
	all := map[string][]byte{}
	for kv, err := range s.Scan(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all[kv.Key] = kv.Value
	}
	return s, all
}

func put(t *testing.T, s state.Store, key string, value []byte) {
	t.Helper()
	if err := s.Commit(t.Context(), state.Txn{Put: []state.KV{{Key: key, Value: value}}}); err != nil {
		t.Fatal(err)
	}
}

func batchKey(n int) string { return fmt.Sprintf("event/%016x", n) }

// TestEveryByteCounts changes each byte of the third batch, of the head and of
// the first record, one at a time.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	s, all := chain(t)
	for key, at := range map[string]string{batchKey(3): "event 3", batchKey(6): "event 6", "meta/head": "event 6", "meta/journal": "", "plan/00000000": ""} {
		t.Run(strings.ReplaceAll(key, "/", " "), func(t *testing.T) {
			t.Parallel()
			value := all[key]
			step := 1 + len(value)/400
			for i := 0; i < len(value); i += step {
				for _, flip := range []byte{0x01, 0x80} {
					changed, copied := bytes.Clone(value), s.Copy()
					changed[i] ^= flip
					put(t, copied, key, changed)
					j, err := state.Open(t.Context(), copied, state.Options{})
					if err == nil {
						closeJournal(t, j)
						t.Fatalf("byte %d of %s was changed, and nobody saw it", i, key)
					}
					if !errors.Is(err, state.ErrBroken) && !errors.Is(err, state.ErrVersion) {
						t.Fatalf("byte %d: %v", i, err)
					}
					if !strings.Contains(err.Error(), at) && !strings.Contains(err.Error(), "event 4: the journal is damaged: it does not follow") {
						t.Fatalf("byte %d: %v, want that it names %q", i, err, at)
					}
				}
			}
		})
	}
}

func TestChainBreaks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*testing.T, *storetest.Memory, map[string][]byte)
		want  string
	}{
		"a batch is missing": {func(t *testing.T, s *storetest.Memory, _ map[string][]byte) { put(t, s, batchKey(4), nil) }, "event 4"},
		"the last one is missing": {func(t *testing.T, s *storetest.Memory, _ map[string][]byte) {
			put(t, s, batchKey(6), nil)
		}, "it ends at event 5, and should end at 6"},
		"two changed places": {func(t *testing.T, s *storetest.Memory, all map[string][]byte) {
			put(t, s, batchKey(3), all[batchKey(4)])
			put(t, s, batchKey(4), all[batchKey(3)])
		}, "event 3"},
		"one stands twice": {func(t *testing.T, s *storetest.Memory, all map[string][]byte) {
			put(t, s, batchKey(7), all[batchKey(6)])
		}, "event 7"},
		"an old one came back": {func(t *testing.T, s *storetest.Memory, all map[string][]byte) {
			put(t, s, batchKey(5), all[batchKey(2)])
		}, "event 5"},
		"no head":             {func(t *testing.T, s *storetest.Memory, _ map[string][]byte) { put(t, s, "meta/head", nil) }, "its end is not marked"},
		"a batch is empty":    {func(t *testing.T, s *storetest.Memory, _ map[string][]byte) { put(t, s, batchKey(2), []byte{}) }, "event 2"},
		"the plan is shorter": {func(t *testing.T, s *storetest.Memory, _ map[string][]byte) { put(t, s, "plan/00000000", nil) }, "its plan"},
		"another plan": {func(t *testing.T, s *storetest.Memory, _ map[string][]byte) {
			other := storetest.NewMemory()
			closeJournal(t, create(t, other, samplePlan(t, 5)))
			for kv := range other.Scan(t.Context(), "") {
				if !strings.HasPrefix(kv.Key, "event/") {
					put(t, s, kv.Key, kv.Value)
				}
			}
		}, "event 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, all := chain(t)
			copied := s.Copy()
			c.spoil(t, copied, all)
			_, err := state.Open(t.Context(), copied, state.Options{})
			if !errors.Is(err, state.ErrBroken) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("open: %v, want %q", err, c.want)
			}
		})
	}
}

func TestSalvageReadsUpToTheBreak(t *testing.T) {
	t.Parallel()
	s, _ := chain(t)
	copied := s.Copy()
	put(t, copied, batchKey(4), []byte{1, 2, 3})
	j, err := state.Open(t.Context(), copied, state.Options{Salvage: true})
	j = keep(t, j, err)
	if err := j.Damage(); !errors.Is(err, state.ErrBroken) || !strings.Contains(err.Error(), "event 4") {
		t.Errorf("damage: %v", err)
	}
	if n := len(history(t, j, 0)); n != 3 || j.Status().Seq != 3 {
		t.Errorf("%d events before the break", n)
	}
	if err := j.Append(t.Context(), state.Event{Kind: state.Started}); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
}

func TestNewerVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, state.Store, map[string][]byte){
		"journal": func(t *testing.T, s state.Store, all map[string][]byte) {
			put(t, s, "meta/journal", bytes.Replace(all["meta/journal"], []byte(`"v":1`), []byte(`"v":2`), 1))
		},
		"events": func(t *testing.T, s state.Store, all map[string][]byte) {
			put(t, s, batchKey(2), append([]byte{2}, all[batchKey(2)][1:]...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, all := chain(t)
			copied := s.Copy()
			spoil(t, copied, all)
			_, err := state.Open(t.Context(), copied, state.Options{})
			if !errors.Is(err, state.ErrVersion) || !strings.Contains(err.Error(), "version 2, and this mxcutover reads up to 1") {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// readOnly is a store that can only be read.
type readOnly struct{ *storetest.Memory }

func (readOnly) Commit(context.Context, state.Txn) error { return state.ErrReadOnly }

func (readOnly) Lock(context.Context, string) (context.Context, error) {
	return nil, state.ErrReadOnly
}

// withBatch is a store whose last event is of a kind, as another release may
// have written it.
func withBatch(t *testing.T, k state.Kind) *storetest.Memory {
	t.Helper()
	s := storetest.NewMemory()
	closeJournal(t, create(t, s, samplePlan(t, 2)))
	s = s.Copy()
	value, head, err := state.NextBatch(t.Context(), s, state.Event{Kind: k, At: epoch, Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, batchKey(2), value)
	put(t, s, "meta/head", head)
	return s
}

func TestUnknownKindsAreReadAndNotWrittenAfter(t *testing.T) {
	t.Parallel()
	s := withBatch(t, "from the future")
	if _, err := state.Open(t.Context(), s, state.Options{}); !errors.Is(err, state.ErrVersion) || !strings.Contains(err.Error(), `"from the future"`) {
		t.Errorf("a writer: %v", err)
	}
	j, err := state.Open(t.Context(), readOnly{s}, state.Options{})
	j = keep(t, j, err)
	if got := j.Status(); got.Seq != 2 || len(history(t, j, 1)) != 1 {
		t.Errorf("a viewer sees event %d", got.Seq)
	}
	if err := j.Append(t.Context(), state.Event{Kind: state.Started}); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
}

func FuzzBatch(f *testing.F) {
	good, err := state.EncodeBatch(state.Event{Kind: state.Started, At: epoch, Reason: "r"}, intended(f, "d.example.", 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{1})
	f.Add([]byte{2, 0x28, 0xb5, 0x2f, 0xfd})
	f.Add([]byte("\x01\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, value []byte) {
		events, err := state.DecodeBatch(value)
		switch {
		case err == nil && len(events) == 0:
			t.Error("a batch without events was read")
		case err != nil && !errors.Is(err, state.ErrBroken) && !errors.Is(err, state.ErrVersion):
			t.Errorf("an error of another kind: %v", err)
		}
	})
}
