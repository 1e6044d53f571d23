package providers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"mxcutover/rrset"
)

// An edit goes through three series of writes, each a record at a time:
//
//  1. add what only After has;
//  2. give what both have After's TTL;
//  3. delete what only Before has.
//
// So at each moment all of Before or all of After is there. That is also how a
// state half way is known after a crash or an error: every member is of Before
// or After, all of one of them are there, and those of Before have its TTL as
// long as After is not whole. What cannot be told from it:
//
//   - somebody else who adds a member of After, or adds back one of Before;
//   - where After is absent, somebody else who deletes a member of Before, and
//     where Before is absent, one who deletes a member of After;
//   - somebody else who changes the TTL of a member that only After has: a
//     provider may have clamped it.
//
// All of these are then carried on to After, or back to Before, which is what
// either of the two wants. A member of neither is somebody else's, always.
//
// A host with one TTL for the whole RRset ([Sharer]) changes it between the
// additions and the deletions, for all members at once. It clamps none, so that
// each other TTL is somebody else's.

// edit changes the RRset record by record. It looks before each series, so that
// nothing is deleted beside what somebody else wrote meanwhile: then what was
// added here is taken away again.
//
// Where it stops half way, that is published, too: what is kept and what is
// served stay the same. Both are still whole there.
func edit(ctx context.Context, e Editor, c rrset.Change) error {
	w := editing{Editor: e, Change: c}
	err := w.all(ctx)
	if err != nil && !w.written {
		return err
	}
	unpublished := publish(ctx, e, c)
	if err != nil && unpublished != nil {
		return fmt.Errorf("%w; besides, %s", err, unpublished.Error()) // the first is the one to act on
	}
	return cmp.Or(err, unpublished)
}

func (w *editing) all(ctx context.Context) error {
	e, c := w.Editor, w.Change
	for _, series := range []func([]Record) []step{w.additions, w.updates, w.deletions} {
		records, err := e.Records(ctx, c.Zone, c.After.Name, c.After.Type)
		if err != nil {
			return w.half(err)
		}
		records = w.asAsked(records)
		found, mixed, err := setOfRecords(c.After.Name, c.After.Type, records)
		if err != nil {
			return w.half(err)
		}
		if !between(w.Editor, c, records) && (mixed || !found.Equal(c.Before) && !found.Equal(c.After)) {
			return w.yield(ctx, records, found)
		}
		for _, s := range series(records) {
			if err := w.do(ctx, s); err != nil {
				return w.half(err)
			}
		}
	}
	return nil
}

// editing is one edit under way.
type editing struct {
	Editor
	rrset.Change
	written bool
	added   []string // the data of what was added here
	updated []string // the data of what was given After's TTL here
}

// asAsked are the records with After's TTL where this edit gave it: the provider
// may have clamped it.
func (w *editing) asAsked(records []Record) []Record {
	for i, r := range records {
		if slices.Contains(w.updated, r.Data) {
			records[i].TTL = w.After.TTL
		}
	}
	return records
}

// A step is one write of an edit.
type step struct {
	do   func(ctx context.Context, zone string, r Record) error
	r    Record
	done func([]Record) bool // tells of it without an answer
}

func (w *editing) additions(records []Record) (out []step) {
	for _, d := range w.After.Data {
		there := func(rs []Record) bool {
			return slices.ContainsFunc(rs, func(r Record) bool { return r.Data == d })
		}
		if !there(records) {
			r := Record{Name: w.After.Name, Type: w.After.Type, TTL: w.After.TTL, Data: d}
			out = append(out, step{w.AddRecord, r, there})
		}
	}
	return out
}

// updates are of what was there before, so that a TTL that the provider clamps
// is not asked for for ever.
func (w *editing) updates(records []Record) (out []step) {
	all := shared(w.Editor) && !w.After.Absent()
	for _, r := range records {
		ours := slices.Contains(w.After.Data, r.Data) && slices.Contains(w.Before.Data, r.Data)
		if (ours || all) && r.TTL != w.After.TTL {
			was := r
			r.TTL = w.After.TTL
			out = append(out, step{w.UpdateRecord, r, func(rs []Record) bool {
				return slices.ContainsFunc(rs, func(x Record) bool { return x.Data == r.Data && x.TTL == r.TTL }) && !slices.Contains(rs, was)
			}})
			if all {
				break
			}
		}
	}
	return out
}

func (w *editing) deletions(records []Record) (out []step) {
	for _, r := range records {
		if !slices.Contains(w.After.Data, r.Data) {
			out = append(out, w.deletion(r))
		}
	}
	return out
}

func (w *editing) deletion(r Record) step {
	return step{w.DeleteRecord, r, func(rs []Record) bool {
		return !slices.ContainsFunc(rs, func(x Record) bool { return x.ID == r.ID && x.Data == r.Data })
	}}
}

// do makes one write. Where it got no answer it looks whether it was made.
func (w *editing) do(ctx context.Context, s step) error {
	if err := ctx.Err(); err != nil {
		return Transient(err)
	}
	err := s.do(ctx, w.Zone, s.r)
	var lost *unanswered
	if errors.As(err, &lost) {
		w.written = true
		looking, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer cancel()
		if rs, lerr := w.Records(looking, w.Zone, s.r.Name, s.r.Type); lerr == nil && s.done(rs) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	w.written = true
	switch {
	case s.r.ID == "":
		w.added = append(w.added, s.r.Data)
	case s.r.TTL == w.After.TTL:
		w.updated = append(w.updated, s.r.Data)
	}
	return nil
}

// half marks an error after the first write. One without an answer stays what it
// is.
func (w *editing) half(err error) error {
	var lost *unanswered
	if !w.written || errors.As(err, &lost) {
		return err
	}
	return fmt.Errorf("%s %s: %w, and goes on from there when it is tried again: %w", w.After.Name, w.After.Type, ErrHalf, err)
}

// yield takes away what was added here, since somebody else wrote meanwhile, and
// tells the drift.
func (w *editing) yield(ctx context.Context, records []Record, found rrset.Set) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	drift := &DriftError{Expected: w.Before, Found: found}
	for _, r := range records {
		if !slices.Contains(w.added, r.Data) {
			continue
		}
		if err := w.do(ctx, w.deletion(r)); err != nil {
			return fmt.Errorf("%w; what was added beside it could not be taken away: %w", drift, err)
		}
	}
	if len(w.added) > 0 {
		if s, err := readRecords(ctx, w.Editor, w.Zone, found.Name, found.Type); err == nil {
			drift.Found = s
		}
	}
	return drift
}
