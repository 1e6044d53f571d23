package providers

import (
	"errors"
	"fmt"
	"time"

	"mxcutover/rrset"
)

var (
	// ErrDrifted means that neither Before nor After is there. See [DriftError].
	ErrDrifted = errors.New("somebody else changed it")
	// ErrInDoubt means that a write may or may not have been carried out, or may
	// yet be. See [InDoubtError].
	ErrInDoubt = errors.New("it is not known whether the write was carried out")
	// ErrLied means that a provider reported success and did something else. See
	// [LieError].
	ErrLied = errors.New("the provider reported success and did something else")
	// ErrTransient means that nothing was written (or not all, see [ErrHalf]), and
	// that trying again may help. An [InDoubtError] is never transient.
	ErrTransient = errors.New("trying again may help")
	// ErrCNAME means that a name is an alias, so that it can have no other RRset
	// (RFC 1034 section 3.6.2).
	ErrCNAME = errors.New("the name is an alias (CNAME) and can have no other records")
	// ErrReadOnly means that a provider cannot write.
	ErrReadOnly = errors.New("the provider cannot write")
	// ErrHalf means that a write in mode edit stopped half way: what is there has
	// members of both Before and After, or is whole and not published (see
	// [Publisher]). The same Replace again goes on from there, its inverse takes it
	// back. It may be [ErrTransient] too.
	ErrHalf = errors.New("the write stopped half way")
	// ErrMixed means that the records of one RRset have several TTLs, which is no
	// RRset (RFC 2181 section 5.2) and could not be restored.
	ErrMixed = errors.New("the records of one RRset have several TTLs (RFC 2181 section 5.2); give them one TTL at the provider")
	// ErrCredential means that the provider did not accept the credential, or that
	// it has not the rights.
	ErrCredential = errors.New("the provider did not accept the credential")
	// ErrNoZone means that the provider has no such zone for this credential, or
	// several and cannot tell which.
	ErrNoZone = errors.New("no such zone at the provider")
)

func aliasError(name string) error { return fmt.Errorf("%s: %w", name, ErrCNAME) }

// A DriftError says what was expected and what is there instead. It is an
// [ErrDrifted].
type DriftError struct {
	Expected, Found rrset.Set
}

// Error names both RRsets.
func (e *DriftError) Error() string {
	return fmt.Sprintf("%s %s: %v: expected %s, found %s", e.Expected.Name, e.Expected.Type, ErrDrifted, e.Expected.InLineTTL(), e.Found.InLineTTL())
}

// Is tells that this is an [ErrDrifted].
func (e *DriftError) Is(target error) bool { return target == ErrDrifted }

// A LieError says what a provider did instead of what it reported. It is an
// [ErrLied].
type LieError struct {
	Change rrset.Change
	Got    rrset.Set // as read back
	Served bool      // Got is what its name servers serve, though it says otherwise
}

// Error names what was asked for and what was read back.
func (e *LieError) Error() string {
	done := "has " + e.Got.InLineTTL()
	if e.Got.Equal(e.Change.Before) {
		done = "still has " + e.Got.InLineTTL()
	}
	if e.Served {
		return fmt.Sprintf("%s %s: %v: it says that it has %s, and its name servers serve %s", e.Change.After.Name, e.Change.After.Type, ErrLied, e.Change.After.InLineTTL(), e.Got.InLineTTL())
	}
	return fmt.Sprintf("%s %s: %v: asked for %s, it %s", e.Change.After.Name, e.Change.After.Type, ErrLied, e.Change.After.InLineTTL(), done)
}

// Stale tells whether what was there before was read back: the provider did
// nothing, or its answers lag behind.
func (e *LieError) Stale() bool { return e.Got.Equal(e.Change.Before) }

// Is tells that this is an [ErrLied].
func (e *LieError) Is(target error) bool { return target == ErrLied }

// An InDoubtError is a write whose outcome is not known. It is an [ErrInDoubt]. It
// does not unwrap: what was transient about its cause is not so about it.
type InDoubtError struct {
	Change rrset.Change
	Fence  time.Duration // from now, for which the write may yet be carried out
	Err    error         // why it is not known
}

// Error says why it is not known, and for how long nothing will be.
func (e *InDoubtError) Error() string {
	return fmt.Sprintf("%s %s: %v, and may yet be for %v: %v", e.Change.After.Name, e.Change.After.Type, ErrInDoubt, e.Fence, e.Err)
}

// Is tells that this is an [ErrInDoubt].
func (e *InDoubtError) Is(target error) bool { return target == ErrInDoubt }

// Fence is for how long a write in doubt may yet be carried out; 0 for another
// error.
func Fence(err error) time.Duration {
	var e *InDoubtError
	if errors.As(err, &e) {
		return e.Fence
	}
	return 0
}

// Unanswered is the error of a Swap whose write was sent, and may yet be carried
// out for so long: no answer that can be believed came back.
func Unanswered(fence time.Duration, err error) error { return &unanswered{fence: fence, err: err} }

// Transient is the error of a Swap after which nothing was written, and a repeat
// may help.
func Transient(err error) error { return &transient{err} }

// unanswered is what a provider's Swap returns when the write was sent and no
// answer that can be believed came back.
type unanswered struct {
	fence time.Duration
	err   error
}

func (e *unanswered) Error() string { return "no answer to a write: " + e.err.Error() }
func (e *unanswered) Unwrap() error { return e.err }

// transient wraps an error after which nothing was written.
type transient struct{ err error }

func (e *transient) Error() string        { return e.err.Error() }
func (e *transient) Unwrap() error        { return e.err }
func (e *transient) Is(target error) bool { return target == ErrTransient }
