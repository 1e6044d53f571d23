package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mxcutover/state"
	"mxcutover/state/storetest"
)

// TestMigrate walks a journal through versions that were made up here.
func TestMigrate(t *testing.T) {
	t.Parallel()
	step := func(to int) state.Migration {
		return state.Migration{To: to, Run: func(ctx context.Context, s state.Store) error {
			return s.Commit(ctx, state.Txn{Put: []state.KV{{Key: "meta/journal", Value: fmt.Appendf(nil, `{"v":%d}`, to)}}})
		}}
	}
	begin := func() *storetest.Memory {
		s := storetest.NewMemory()
		closeJournal(t, create(t, s, samplePlan(t, 2)))
		return s
	}
	s := begin()
	if from, to, err := state.Migrate(t.Context(), s, state.Migrations()); err != nil || from != state.Version || to != state.Version {
		t.Errorf("nothing to do: %d to %d, %v", from, to, err)
	}
	if from, to, err := state.Migrate(t.Context(), s, []state.Migration{step(2), step(3)}); err != nil || from != 1 || to != 3 {
		t.Errorf("two steps: %d to %d, %v", from, to, err)
	}
	if _, _, err := state.Migrate(t.Context(), s, []state.Migration{step(2), step(3)}); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := state.Open(t.Context(), s, state.Options{}); !errors.Is(err, state.ErrVersion) {
		t.Errorf("this release opens version 3: %v", err)
	}
	for name, list := range map[string][]state.Migration{
		"no way":    {step(3)},
		"said done": {{To: 2, Run: func(context.Context, state.Store) error { return nil }}},
		"failed":    {{To: 2, Run: func(context.Context, state.Store) error { return errors.New("no room") }}},
	} {
		if _, to, err := state.Migrate(t.Context(), begin(), list); err == nil || to > 2 || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("%s: %d, %v", name, to, err)
		}
	}
	if _, _, err := state.Migrate(t.Context(), storetest.NewMemory(), nil); !errors.Is(err, state.ErrNone) {
		t.Errorf("an empty store: %v", err)
	}
}
