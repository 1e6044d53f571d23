package state

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Errors of a Store.
var (
	ErrConflict = errors.New("the store does not hold what the transaction expected")
	ErrLost     = errors.New("the lock on the store was lost")
	ErrLocked   = errors.New("another process holds the migration")
	ErrReadOnly = errors.New("the store was opened to be read only")
	ErrClosed   = errors.New("closed")
	ErrTooBig   = errors.New("too big")
)

// Limits of one transaction, so that bbolt and etcd both can do it.
const (
	MaxKeys     = 100
	MaxBytes    = 1 << 20 // keys and values, of If and Put together
	MaxKeyBytes = 256
)

// A KV is a key and its value. A nil Value is an absent key; an empty one is not.
type KV struct {
	Key   string
	Value []byte
}

// A Txn is committed whole or not at all: every If must hold (exact value, nil
// = absent), then every Put is done (nil = delete).
type Txn struct{ If, Put []KV }

// Check tells what makes a transaction impossible in any store: too many keys
// or bytes ([ErrTooBig]), an empty key, or two Puts of one key.
func (t Txn) Check() error {
	if n := len(t.If) + len(t.Put); n > MaxKeys {
		return fmt.Errorf("transaction of %d keys, above %d: %w", n, MaxKeys, ErrTooBig)
	}
	size, seen := 0, map[string]bool{}
	for i, kv := range slices.Concat(t.If, t.Put) {
		switch {
		case kv.Key == "":
			return errors.New("transaction with an empty key")
		case len(kv.Key) > MaxKeyBytes:
			return fmt.Errorf("key of %d bytes, above %d: %w", len(kv.Key), MaxKeyBytes, ErrTooBig)
		case i >= len(t.If) && seen[kv.Key]:
			return fmt.Errorf("transaction that puts %q twice", kv.Key)
		}
		if i >= len(t.If) {
			seen[kv.Key] = true
		}
		size += len(kv.Key) + len(kv.Value)
	}
	if size > MaxBytes {
		return fmt.Errorf("transaction of %d bytes, above %d: %w", size, MaxBytes, ErrTooBig)
	}
	return nil
}

// A Store keeps the journal. Small enough for bbolt and etcd alike. Package
// state/storetest holds what every one of them must do.
type Store interface {
	// Scan walks the keys with a prefix in their order. It is no snapshot: a key
	// is as it is when the walk comes to it. Commits may be made meanwhile, even
	// from within the walk. The values are the caller's own.
	Scan(ctx context.Context, prefix string) iter.Seq2[KV, error]

	// Commit does all of the transaction or nothing. What it wrote is durable when
	// it returns. ErrConflict: an If did not hold. ErrLost: the lock was lost.
	// ErrTooBig, ErrReadOnly, ErrClosed: nothing was done. After any other error
	// it is unknown what a later reader will find.
	Commit(context.Context, Txn) error

	// Lock takes the lock for a holder, as it is told to whoever comes second, and
	// keeps it until ctx ends or the store is closed. The context that it returns
	// ends when the lock is lost, given up or closed. ErrLocked: another has it.
	Lock(ctx context.Context, holder string) (context.Context, error)

	// Close gives up the lock and ends the use of the store.
	Close() error
}
