package storetest

import (
	"context"
	"errors"
	"sync"

	"mxcutover/state"
)

// ErrFailed is what a commit that was made to fail says.
var ErrFailed = errors.New("the disk failed")

// A Failing store imitates a crash or a disk's end: its commit of the given
// number fails, and so do all later ones.
type Failing struct {
	state.Store
	At   int  // the number, from 1, of the commit that fails; 0 = none
	Late bool // what failed is nevertheless there afterwards
	mu   sync.Mutex
	n    int
}

// Commit is that of a Store.
func (f *Failing) Commit(ctx context.Context, t state.Txn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	switch {
	case f.At == 0 || f.n < f.At:
		return f.Store.Commit(ctx, t)
	case f.n == f.At && f.Late:
		if err := f.Store.Commit(ctx, t); err != nil {
			return err
		}
	}
	return ErrFailed
}
