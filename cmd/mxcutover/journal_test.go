package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"mxcutover/control"
	"mxcutover/state"
)

// TestViewOfAnEngineThatBegins: between the engine's hold of the journal and its first
// answer a look is neither refused nor endless.
func TestViewOfAnEngineThatBegins(t *testing.T) {
	t.Parallel()
	locked := fmt.Errorf("open the journal: %w", state.ErrLocked)
	for name, c := range map[string]struct {
		engine, journal []error // what each answers, in turn; the last one for ever
		want            error
		looks           int // at the journal
	}{
		"no engine":                 {[]error{control.ErrNoEngine}, []error{nil}, nil, 1},
		"an engine":                 {[]error{nil}, nil, nil, 0},
		"it begins just then":       {[]error{control.ErrNoEngine, control.ErrNoEngine, nil}, []error{locked}, nil, 2},
		"whoever had it is gone":    {[]error{control.ErrNoEngine}, []error{locked, nil}, nil, 2},
		"it never answers":          {[]error{control.ErrNoEngine}, []error{locked}, state.ErrLocked, viewTries},
		"an engine that is no help": {[]error{control.ErrVersion}, nil, control.ErrVersion, 0},
		"no migration":              {[]error{control.ErrNoEngine}, []error{errNoMigration}, errNoMigration, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, looks := 0, 0
			next := func(list []error, n *int) (*viewing, error) {
				err := list[min(*n, len(list)-1)]
				if *n++; err != nil {
					return nil, err
				}
				return &viewing{}, nil
			}
			v, err := viewSoon(context.Background(),
				func() (*viewing, error) { return next(c.engine, &asked) },
				func() (*viewing, error) { return next(c.journal, &looks) })
			if !errors.Is(err, c.want) || (v != nil) != (c.want == nil) || looks != c.looks {
				t.Errorf("%v, %v, %d looks at the journal", v, err, looks)
			}
		})
	}
}
