package state

import (
	"context"
	"errors"
	"syscall"
)

// NoSpace tells of a disk, or a user's share of it, that is full.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// A Reserver is a Store that can keep room for commits to come, so that they
// succeed though the disk is full.
type Reserver interface {
	// Reserve makes sure that about so many bytes of values can be committed
	// without the store asking for more disk: it writes real blocks, not holes.
	// While there is enough, it writes nothing.
	//
	// An error that is NoSpace: the store goes on with the room that it has.
	// ErrReadOnly, ErrClosed, and the end of ctx: as of Commit. After any other error
	// the store is dead.
	Reserve(ctx context.Context, bytes int64) error
}
