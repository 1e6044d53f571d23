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

// edit changes the RRset record by record. It looks before each series, and
// before each deletion, so that nothing is deleted beside what somebody else
// wrote meanwhile, and nothing before all of After is seen: then what was done
// here is taken back.
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
	for _, series := range []func([]Record) []step{w.additions, w.updates} {
		records, err := w.look(ctx)
		if err != nil {
			return err
		}
		for _, s := range series(records) {
			if err := w.do(ctx, s); err != nil {
				return w.half(err)
			}
		}
	}
	for {
		records, err := w.look(ctx)
		if err != nil {
			return err
		}
		steps := w.deletions(records)
		if len(steps) == 0 {
			return nil
		}
		if err := w.do(ctx, steps[0]); err != nil {
			return w.half(err)
		}
		if len(steps) == 1 {
			return nil
		}
	}
}

// look reads the records, which must be a state that this edit goes through.
func (w *editing) look(ctx context.Context) ([]Record, error) {
	raw, err := w.Records(ctx, w.Zone, w.After.Name, w.After.Type)
	if err != nil {
		return nil, w.half(err)
	}
	records := w.asAsked(raw)
	found, mixed, err := setOfRecords(w.After.Name, w.After.Type, records)
	switch {
	case err != nil:
		return nil, w.half(err)
	case !between(w.Editor, w.Change, records) && (mixed || !found.Equal(w.Before) && !found.Equal(w.After)):
		return nil, w.yield(ctx, raw, found)
	case w.began && len(w.additions(records)) > 0: // it may only be late
		return nil, w.half(Transient(fmt.Errorf("what was added is not there: %s is", found.InLineTTL())))
	}
	w.began = true
	return records, nil
}

// editing is one edit under way.
type editing struct {
	Editor
	rrset.Change
	began   bool // additions were made, if any were needed
	written bool
	deleted bool
	added   []string // the data of what was added here
	updated []string // the data of what was given After's TTL here
}

// asAsked are the records with After's TTL where this edit gave it: the provider
// may have clamped it.
func (w *editing) asAsked(records []Record) []Record {
	records = slices.Clone(records)
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
	ttl  bool                // it gives After's TTL
}

func (w *editing) additions(records []Record) (out []step) {
	for _, d := range w.After.Data {
		there := func(rs []Record) bool {
			return slices.ContainsFunc(rs, func(r Record) bool { return r.Data == d })
		}
		if !there(records) {
			r := Record{Name: w.After.Name, Type: w.After.Type, TTL: w.After.TTL, Data: d}
			out = append(out, step{do: w.AddRecord, r: r, done: there})
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
			u := w.update(r, w.After.TTL)
			u.ttl = true
			out = append(out, u)
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
	return step{do: w.DeleteRecord, r: r, done: func(rs []Record) bool {
		return !slices.ContainsFunc(rs, func(x Record) bool { return x.ID == r.ID && x.Data == r.Data })
	}}
}

func (w *editing) update(was Record, ttl uint32) step {
	r := was
	r.TTL = ttl
	return step{do: w.UpdateRecord, r: r, done: func(rs []Record) bool {
		return slices.ContainsFunc(rs, func(x Record) bool { return x.Data == r.Data && x.TTL == r.TTL }) && !slices.Contains(rs, was)
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
	case s.ttl:
		w.updated = append(w.updated, s.r.Data)
	case !slices.Contains(w.After.Data, s.r.Data):
		w.deleted = true
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

// yield takes back what was done here, since somebody else wrote meanwhile, and
// tells the drift.
func (w *editing) yield(ctx context.Context, records []Record, found rrset.Set) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	drift := &DriftError{Expected: w.Before, Found: found}
	back := w.back(records)
	for _, s := range back {
		if err := w.do(ctx, s); err != nil {
			return fmt.Errorf("%w; what was done beside it could not be taken back: %w", drift, err)
		}
	}
	if len(back) > 0 {
		if s, err := readRecords(ctx, w.Editor, w.Zone, found.Name, found.Type); err == nil {
			drift.Found = s
		}
	}
	return drift
}

// back takes away what was added here, and gives back TTLs. What was added stays
// once something was deleted, and if nothing else is left: better somebody's
// gateway than nobody's.
func (w *editing) back(records []Record) (out []step) {
	others := slices.ContainsFunc(records, func(r Record) bool { return !slices.Contains(w.added, r.Data) })
	if w.deleted || !others {
		return nil
	}
	for _, r := range records {
		switch {
		case slices.Contains(w.added, r.Data):
			out = append(out, w.deletion(r))
		case slices.Contains(w.updated, r.Data) && r.TTL == w.After.TTL:
			out = append(out, w.update(r, w.Before.TTL))
		}
	}
	return out
}
