package state

import (
	"context"
	"encoding/json"
	"fmt"
)

// A Migration turns a journal of the version before into its own, in place.
type Migration struct {
	To  int // the version that it makes
	Run func(context.Context, Store) error
}

// Migrations are those that lead to [Version], in their order. Version 1 is the
// first there was.
func Migrations() []Migration { return nil }

// VersionOf tells the version of the journal in a store; see [Create] and [Open]
// for the errors.
func VersionOf(ctx context.Context, s Store) (int, error) {
	text, err := get(ctx, s, metaKey)
	if err != nil {
		return 0, err
	}
	if text == nil {
		return 0, ErrNone
	}
	var v struct{ V int }
	if err := json.Unmarshal(text, &v); err != nil || v.V < 1 {
		return 0, fmt.Errorf("%w: its first record cannot be read", ErrBroken)
	}
	return v.V, nil
}

// Migrate runs the migrations that the journal in a store has not had, and tells
// from which version to which it came. The store must be a copy that nobody else
// has: after an error it is worth nothing.
func Migrate(ctx context.Context, s Store, list []Migration) (from, to int, err error) {
	if from, err = VersionOf(ctx, s); err != nil {
		return 0, 0, err
	}
	to = from
	for _, m := range list {
		if m.To <= to {
			continue
		}
		if m.To != to+1 {
			return from, to, fmt.Errorf("journal of version %d: there is no way to version %d", to, to+1)
		}
		if err := m.Run(ctx, s); err != nil {
			return from, to, fmt.Errorf("migrate to version %d: %w", m.To, err)
		}
		to = m.To
		if now, err := VersionOf(ctx, s); err != nil || now != to {
			return from, to, fmt.Errorf("migrate to version %d: the journal says %d: %w", to, now, err)
		}
	}
	return from, to, nil
}
