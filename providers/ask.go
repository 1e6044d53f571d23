package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcutover/rrset"
)

// An Asker cannot write: it asks somebody to. What comes of it is seen by reading.
type Asker interface {
	// Ask gives an [AskedError], or why nobody can be asked for this.
	Ask(ctx context.Context, c rrset.Change) error
}

// ErrAsked means that a person has to make the change. See [AskedError].
var ErrAsked = errors.New("a person has to make this change")

// An AskedError is a change that somebody has yet to make. It is an [ErrAsked].
// The same Replace again finds it when it is made.
type AskedError struct {
	Change  rrset.Change
	Found   rrset.Set     // what is there
	Contact string        // who makes it
	Within  time.Duration // how long they are given; 0 = not said
}

// Error says in one line what is asked of whom.
func (e *AskedError) Error() string {
	line := fmt.Sprintf("waiting for %s to change %s %s in zone %s from %s to %s", e.Contact, rrset.Bare(e.Change.After.Name), e.Change.After.Type, rrset.Bare(e.Change.Zone), e.Change.Before.InLineTTL(), e.Change.After.InLineTTL())
	if !e.Found.Equal(e.Change.Before) {
		line += "; there is " + e.Found.InLineTTL()
	}
	return line
}

// Is tells that this is an [ErrAsked].
func (e *AskedError) Is(target error) bool { return target == ErrAsked }

// Letter is the change in words for the one who makes it, by a given time, or
// zero.
func (e *AskedError) Letter(until time.Time) string {
	var b strings.Builder
	name, typ := rrset.Bare(e.Change.After.Name), e.Change.After.Type
	fmt.Fprintf(&b, "Please change the %s records of %s in the zone %s", typ, name, rrset.Bare(e.Change.Zone))
	if !until.IsZero() {
		fmt.Fprintf(&b, ", by %s", until.UTC().Format("Monday, 2 January 2006, 15:04 UTC"))
	}
	b.WriteString(".\n\n")
	for _, part := range []struct {
		words string
		set   rrset.Set
	}{{"There is now:", e.Change.Before}, {"There shall be, and no other " + typ + " at this name:", e.Change.After}} {
		fmt.Fprintf(&b, "%s\n", part.words)
		for line := range strings.Lines(part.set.String()) {
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", " "))
		}
		b.WriteString("\n")
	}
	if e.Change.Before.SameData(e.Change.After) {
		fmt.Fprintf(&b, "Only the TTL changes, from %d to %d seconds.\n", e.Change.Before.TTL, e.Change.After.TTL)
	}
	b.WriteString("Leave all other records as they are. This is seen as soon as every name server of the zone has it.\n")
	return b.String()
}

// asked judges what is there while a person makes a change, step by step perhaps.
// exact: another TTL than After's is waited on.
func asked(ctx context.Context, a Asker, c rrset.Change, found rrset.Set, exact bool) (Result, error) {
	switch {
	case found.SameData(c.After) && !found.Equal(c.Before) && !exact:
		return Result{Mode: Hand, Got: found, Written: true, Clamped: true}, nil
	case !onTheWay(c, found):
		return Result{}, &DriftError{Expected: c.Before, Found: found}
	}
	err := a.Ask(ctx, c)
	var e *AskedError
	if errors.As(err, &e) {
		e.Found = found
	}
	return Result{}, err
}

// onTheWay tells whether what is there is Before, or has members of Before and
// After only. Nothing at all is no step on the way of an RRset to another.
func onTheWay(c rrset.Change, found rrset.Set) bool {
	if found.Equal(c.Before) {
		return true
	}
	for _, d := range found.Data {
		if !slices.Contains(c.Before.Data, d) && !slices.Contains(c.After.Data, d) {
			return false
		}
	}
	return !found.Absent()
}
