package providers

import (
	"context"
	"errors"

	"mxcutover/rrset"
)

// A looker is a [Swapper] that looks before and after its write in the same
// conversation, which saves questions. Its errors are those of a Swapper.
type looker interface {
	swapAndLook(ctx context.Context, c rrset.Change) (seen, error)
}

// seen is what a looker saw.
type seen struct {
	wrote bool      // false: After was there
	set   rrset.Set // what is there after it
	err   error     // why that could not be read, of what was written
}

// replaceLooking is [Restore] by a looker.
func replaceLooking(ctx context.Context, p Provider, l looker, c rrset.Change) (Result, error) {
	saw, err := l.swapAndLook(ctx, c)
	var lost *unanswered
	switch {
	case errors.As(err, &lost):
		return look(ctx, p, c, &InDoubtError{Change: c, Fence: lost.fence, Err: lost.err})
	case err != nil:
		return Result{}, err
	case !saw.wrote:
		return Result{Mode: Swap, Got: saw.set}, nil
	}
	return judge(p, c, saw.set, saw.err)
}
