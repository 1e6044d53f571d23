package state

import (
	"context"
	"errors"
	"iter"
)

// Errors of a Store.
var (
	ErrConflict = errors.New("the store does not hold what the transaction expected")
	ErrLost     = errors.New("the lock on the store was lost")
)

// Limits of one transaction, so that bbolt and etcd both can do it.
const (
	MaxKeys  = 100
	MaxBytes = 1 << 20
)

// A KV is a key and its value. A nil Value is an absent key.
type KV struct {
	Key   string
	Value []byte
}

// A Txn is committed whole or not at all: every If must hold (exact value, nil
// = absent), then every Put is done (nil = delete).
type Txn struct{ If, Put []KV }

// A Store keeps the journal. Small enough for bbolt and etcd alike; what a
// commit wrote is durable when Commit returns.
type Store interface {
	Scan(ctx context.Context, prefix string) iter.Seq2[KV, error] // in the order of keys
	Commit(context.Context, Txn) error                            // ErrConflict; ErrLost after the lock is lost
	Lock(ctx context.Context, holder string) (context.Context, error)
	Close() error
}
