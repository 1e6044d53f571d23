package state

import "context"

// A Reserver is a Store that can keep room for commits to come, so that they
// succeed though the disk is full.
type Reserver interface {
	// Reserve makes sure that about so many bytes of values can be committed
	// without the store asking for more disk: it writes real blocks, not holes.
	// While there is enough, it writes nothing.
	//
	// An error that is syscall.ENOSPC or syscall.EDQUOT: the disk is full, and the
	// store goes on with what Room tells. ErrReadOnly, ErrClosed, and the end of
	// ctx: as of Commit. After any other error the store is dead.
	Reserve(ctx context.Context, bytes int64) error

	// Room is about how many bytes of values can be committed without the store
	// asking for more disk; 0 if the store can not be written.
	Room() int64
}
