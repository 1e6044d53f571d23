package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mxcutover/rrset"
)

// A Result is what came of a Replace that did not fail.
type Result struct {
	Mode    Mode
	Got     rrset.Set // as read from the provider
	Written bool      // false: After was there before
	Clamped bool      // the members are After's, the TTL is the provider's: see Got
}

// lookTime bounds looking at a write that got no answer, also when the caller's
// context is over.
const lookTime = 15 * time.Second

// Replace changes one RRset from Before to After, both with their TTL. It is
// done if After is there already. Errors that callers may tell apart:
// [DriftError], [LieError], [InDoubtError]; [ErrTransient], [ErrCNAME],
// [ErrReadOnly], [ErrHalf]. After a lie every further Replace through the same opened
// provider fails with it; one that may only be late (LieError.Stale) is left to
// the caller, see [Quarantine].
func Replace(ctx context.Context, p Provider, c rrset.Change) (Result, error) {
	if err := quarantined(p); err != nil {
		if found, rerr := Read(ctx, p, c.Zone, c.After.Name, c.After.Type); rerr == nil && found.Equal(c.After) {
			return Result{Mode: ModeOf(p), Got: found}, nil // nothing is written for it
		}
		return Result{}, err
	}
	if err := restorable(p, c.Before); err != nil {
		return Result{}, fmt.Errorf("it could not be put back later: %w", err)
	}
	return replace(ctx, p, c, false)
}

// restorable refuses what we could read, and could not write again as it is.
func restorable(p Provider, before rrset.Set) error {
	if mode := ModeOf(p); mode == Set || mode == Edit {
		_, err := recordsOf(before)
		return err
	}
	return nil
}

// Restore is Replace for taking back what was written: a provider that lied
// before is asked all the same, since the way back must stay open.
func Restore(ctx context.Context, p Provider, c rrset.Change) (Result, error) {
	return replace(ctx, p, c, true)
}

// replace changes an RRset. exact: a person who is asked has to set the TTL, too.
func replace(ctx context.Context, p Provider, c rrset.Change, exact bool) (Result, error) {
	mode, err := writable(p, c)
	if err != nil {
		return Result{}, err
	}
	if l, ok := opened(p).(looker); ok {
		return replaceLooking(ctx, p, l, c)
	}
	at, err := ReadFor(ctx, p, c)
	found := at.Found
	switch {
	case err != nil:
		return Result{}, err
	case mode == Hand && !found.Equal(c.After):
		if a, ok := opened(p).(Asker); ok {
			return asked(ctx, a, c, found, exact)
		}
	case at.Half: // ours, and not finished
	case found.Equal(c.After):
		return published(ctx, p, c, Result{Mode: mode, Got: found})
	case !found.Equal(c.Before):
		return Result{}, &DriftError{Expected: c.Before, Found: found}
	}
	err = write(ctx, p, c)
	var lost *unanswered
	switch {
	case errors.As(err, &lost):
		return look(ctx, p, c, &InDoubtError{Change: c, Fence: lost.fence, Err: lost.err})
	case err != nil:
		return Result{}, err
	}
	return readBack(ctx, p, c)
}

// write changes the RRset in the safest mode that the provider can.
func write(ctx context.Context, p Provider, c rrset.Change) error {
	switch v := opened(p).(type) {
	case Swapper:
		return v.Swap(ctx, c)
	case Setter:
		return v.SetRRset(ctx, c)
	case Editor:
		return edit(ctx, v, c)
	}
	return ErrReadOnly
}

// writable checks everything that can be checked without asking the provider.
func writable(p Provider, c rrset.Change) (Mode, error) {
	if err := errors.Join(c.Check(), canonical(c.Before), canonical(c.After)); err != nil {
		return "", err
	}
	mode := ModeOf(p)
	switch mode {
	case "":
		return "", fmt.Errorf("%s %s: %w", c.After.Name, c.After.Type, ErrReadOnly)
	case Set, Edit:
		if _, err := recordsOf(c.After); err != nil {
			return "", err
		}
		if c.After.Type == "SOA" {
			return "", fmt.Errorf("zone %s: its SOA is the provider's own", c.Zone)
		}
	}
	if v, ok := opened(p).(Checker); ok {
		if err := v.Check(c); err != nil {
			return "", fmt.Errorf("%s %s: %w; nothing was written", c.After.Name, c.After.Type, err)
		}
	}
	return mode, nil
}

// readBack compares what the provider has with what it reported to have done. It
// goes on though the caller gave up: the write was made.
func readBack(ctx context.Context, p Provider, c rrset.Change) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	at, err := ReadFor(ctx, p, c)
	return judge(p, c, at.Found, err)
}

// judge compares what was read back with what was to be.
func judge(p Provider, c rrset.Change, got rrset.Set, err error) (Result, error) {
	switch {
	case err != nil:
		return Result{}, &InDoubtError{Change: c, Err: fmt.Errorf("the write was accepted, and could not be read back: %w", err)}
	case got.SameData(c.After):
		return Result{Mode: ModeOf(p), Got: got, Written: true, Clamped: got.TTL != c.After.TTL}, nil
	}
	lie := &LieError{Change: c, Got: got}
	switch {
	case lie.Stale():
		return Result{}, lie
	case foreign(c, got):
		return Result{}, &DriftError{Expected: c.After, Found: got}
	}
	Quarantine(p, lie)
	return Result{}, lie
}

// foreign tells whether what was read back is another's, written since: it has
// nothing of what was there before, and was to go.
func foreign(c rrset.Change, got rrset.Set) bool {
	for _, d := range got.Data {
		if slices.Contains(c.Before.Data, d) && !slices.Contains(c.After.Data, d) {
			return false
		}
	}
	return !got.Absent()
}

// look settles a write without an answer by reading, or leaves it in doubt. The
// new members with a third TTL are After, clamped; where only the TTL was to
// change that cannot be told from somebody else's edit.
func look(ctx context.Context, p Provider, c rrset.Change, doubt *InDoubtError) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	at, err := ReadFor(ctx, p, c)
	got := at.Found
	switch {
	case err != nil:
		doubt.Err = fmt.Errorf("%w; and looking failed: %w", doubt.Err, err)
	case at.Half:
		doubt.Err = fmt.Errorf("%w; %s is there now, half way", doubt.Err, got.InLineTTL())
	case got.Equal(c.After), got.SameData(c.After) && !c.Before.SameData(c.After):
		return published(ctx, p, c, Result{Mode: ModeOf(p), Got: got, Written: true, Clamped: got.TTL != c.After.TTL})
	}
	return Result{}, doubt
}

// published is the result when it is published, too.
func published(ctx context.Context, p Provider, c rrset.Change, r Result) (Result, error) {
	if err := publish(ctx, opened(p), c); err != nil {
		return Result{}, err
	}
	return r, nil
}

// Published publishes at a [Publisher], and does nothing elsewhere. It is for who
// finds there what a Change was to write, or to take back, and makes none:
// whoever made it may have died before this.
func Published(ctx context.Context, p Provider, c rrset.Change) error {
	return publish(ctx, opened(p), c)
}

// publish publishes at a [Publisher]. It goes on though the caller gave up:
// something was written.
func publish(ctx context.Context, p any, c rrset.Change) error {
	v, ok := p.(Publisher)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	if err := v.Publish(ctx, c.Zone); err != nil {
		return fmt.Errorf("%s %s: %w: what is written could not be published; trying it again publishes it: %w", c.After.Name, c.After.Type, ErrHalf, err)
	}
	return nil
}
