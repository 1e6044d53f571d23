package rollout

import (
	"context"
	"fmt"
	"time"

	"mxcutover/plan"
	"mxcutover/providers"
	"mxcutover/rrset"
	"mxcutover/state"
)

// Undo writes the journaled snapshot back. A companion is undone when nothing is
// built upon it any more. Publishing is undone only when the
// old server is proven open (P8), and proven like a cutover. No undo is final
// while a write of ours may yet come late.
func (w write) Undo(ctx context.Context, t Turn, i state.Intent) (Outcome, error) {
	if i.Change == nil || i.Snapshot == nil {
		return Outcome{}, hold(nil, "the journal has no snapshot for %s", t.Step.ID)
	}
	if t.beside() {
		if err := w.letsGo(ctx, t); err != nil {
			return Outcome{}, err
		}
		if stays, err := w.builtUpon(ctx, t); err != nil || stays != nil {
			return Outcome{Findings: stays, Verdict: plan.Pass, Stays: stays != nil}, err
		}
		if stays, err := w.staysFor(ctx, t); err != nil || stays != nil {
			return Outcome{Findings: stays, Verdict: plan.Pass}, err
		}
	}
	r, err := w.restore(ctx, t, i)
	found := r.found
	if err != nil || r.kept {
		out := Outcome{Findings: found, Verdict: plan.Pass}
		if moved := t.Step.Kind == plan.Publish || t.Step.Kind == plan.Settle; r.kept && moved && !r.was.SameData(i.Change.After) {
			out.Caches = max(lastCache(t, i.Change.After), 1) // what was there before theirs
		}
		return out, err
	}
	if r.now, err = w.fence(ctx, t, i, r.now); err != nil {
		return Outcome{Findings: found}, err
	}
	out, err := w.served(ctx, t, r.now)
	out.Got = nil
	if err != nil || out.verdict() != plan.Pass || t.Step.Kind == plan.LowerTTL {
		out.Findings = append(found, out.Findings...)
		return out, err
	}
	if t.beside() {
		out.Caches, out.Findings = w.leaves(ctx, t, r.was), append(found, out.Findings...)
		return out, nil
	}
	gone := lastCache(t, r.was)
	wait, told := state.Wait{From: moment(t.Clock), For: gone}, t.Now().Add(gone).UTC()
	if t.Step.Kind == plan.Publish {
		var proof Outcome
		proof, err = w.proveBack(ctx, t, r.now, gone)
		out.Findings, out.Verdict = append(out.Findings, proof.Findings...), proof.Verdict
		out.Findings = append(out.Findings, plan.Finding{
			Check: "cache.resolver", Target: t.Cutover.Domain, Severity: plan.Pass, At: t.Now(),
			Detail: "the last cache lets the gateway go at " + told.Format(time.RFC3339) + "; the gateway must accept its mail until five days later (RFC 5321 section 4.5.4.1)",
		})
	}
	left, _ := wait.Left(moment(t.Clock))
	out.Caches = max(left, 1)
	out.Findings = append(found, out.Findings...)
	return out, err
}

// lastCache is how long a cache may go on with the gateway's MX, as it was just
// now or, with its original TTL, until not long ago.
func lastCache(t Turn, was rrset.Set) time.Duration {
	gone := time.Duration(was.TTL) * time.Second
	if before := t.Domain.Caches; !before.IsZero() {
		left, sure := before.Left(moment(t.Clock))
		if !sure {
			left = before.For // the machine was started again: nobody knows
		}
		gone = max(gone, left)
	}
	return gone
}

// restored is what came of putting a snapshot back.
type restored struct {
	was   rrset.Set // what caches may have, of ours
	now   rrset.Set // what is there
	kept  bool      // somebody else's, by a person's choice
	found []plan.Finding
}

// restore puts the snapshot back, unless it is there, or the domain is as it was
// before its first step, or a person chose to keep what somebody else wrote.
// Whatever the step, no MX leads back to the old server before that is proven
// open (P8).
func (w write) restore(ctx context.Context, t Turn, i state.Intent) (r restored, err error) {
	p, err := w.provider(i.Provider)
	if err != nil {
		return r, err
	}
	at, err := providers.ReadFor(ctx, p, rrset.Change{Zone: i.Change.Zone, Before: *i.Snapshot, After: i.Change.After})
	if err != nil {
		return r, fmt.Errorf("read %s at %s: %w", i.Snapshot.Name, i.Provider, err)
	}
	was := at.Found
	if first := original(t); !at.Half && (was.Equal(*i.Snapshot) || first != nil && was.Equal(*first)) {
		r = restored{was: i.Change.After, now: was}
		if w.Hand(i.Provider) {
			r.found = []plan.Finding{hand(t, plan.Pass, "it is as it was; what was asked for and not made is not asked for any more", "")}
		}
		return r, providers.Published(ctx, p, *i.Change)
	}
	r = restored{was: was, now: *i.Snapshot}
	// Whoever makes our changes by hand may give them a TTL of their own: that is asked
	// to be put right, whether this undo has just begun or goes on after a restart.
	byHand := w.Hand(i.Provider) && was.SameData(i.Change.After)
	if !at.Half && !byHand && !ours(was, i.Change.After, t.Domain.Steps[t.Step.ID].Got) {
		switch d := t.Domain.Drift; {
		case d == state.Force:
		case d == state.Adopt, d == state.Skip && t.beside(): // the MX is back, and the domain is not left half-way
			r.kept, r.found = true, []plan.Finding{{
				Check: "ns.sync", Target: t.about(), Severity: plan.Warn, At: t.Now(),
				Detail: "kept as somebody else wrote it: " + was.InLineTTL(), Evidence: was.String(),
			}}
			return r, nil
		default:
			return r, &providers.DriftError{Expected: i.Change.After, Found: was}
		}
	}
	if !t.beside() && !was.SameData(*i.Snapshot) {
		if r.found, err = w.mayLeadBack(ctx); err != nil {
			return r, err
		}
	}
	_, err = w.replace(ctx, t, i.Provider, at.Back, providers.Restore)
	return r, err
}

// mayLeadBack holds unless the old server is proven open.
func (w World) mayLeadBack(ctx context.Context) ([]plan.Finding, error) {
	found := w.Checker.OldOpen(ctx)
	if plan.Judge(found) != plan.Pass {
		return nil, hold(found, "the old server was not proven open, so no MX is pointed back to it: %s", worst(found))
	}
	return found, nil
}

// original is the RRset before its first step that wrote, as far as the journal
// tells.
func original(t Turn) *rrset.Set {
	for _, s := range t.Cutover.Steps {
		if r, begun := t.Domain.Steps[s.ID]; begun && sameSet(s, t.Step) {
			if r.Intent.Base || r.Kept {
				continue // somebody else's record came after
			}
			return r.Intent.Snapshot
		}
	}
	return nil
}

// fence waits until no write of ours can come late any more, and looks again:
// what came late is taken back like what came in time. It tells what is there.
func (w write) fence(ctx context.Context, t Turn, i state.Intent, now rrset.Set) (rrset.Set, error) {
	p, err := w.provider(i.Provider)
	if err != nil {
		return now, err
	}
	left := fenced(t.Domain.DoubtOf(t.Step), providers.Quiet(p), moment(t.Clock))
	if left <= 0 {
		return now, nil
	}
	if err := t.Observe(ctx, t.Now().Add(left)); err != nil {
		return now, err
	}
	if err := sleep(ctx, left); err != nil {
		return now, err
	}
	r, err := w.restore(ctx, t, i)
	return r.now, err
}

// proveBack sends a message by the public way until it arrives by the old path.
// A resolver that still has the gateway's MX has its time. What could not be
// proven does not hold the rollback up, and is told.
func (w write) proveBack(ctx context.Context, t Turn, back rrset.Set, gone time.Duration) (Outcome, error) {
	row := streak{limit: w.Policy.ProbeFailures}
	caches := state.Wait{From: moment(t.Clock), For: gone}
	for {
		found := w.Checker.Returned(ctx, t.Cutover, back)
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
		left, _ := caches.Left(moment(t.Clock))
		verdict := plan.Judge(found)
		switch {
		case verdict == plan.Unknown && left > 0:
		case row.add(verdict) && verdict == plan.Unknown:
			return Outcome{Findings: found, Verdict: plan.Pass}, nil
		case !bad(verdict), verdict == plan.Fail && row.failed >= row.limit:
			return Outcome{Findings: found}, nil
		}
		if err := t.Observe(ctx, t.Now().Add(max(left, 0)), found...); err != nil {
			return Outcome{}, err
		}
		if err := sleep(ctx, min(w.Policy.ProbeEvery, max(left, w.Policy.PollEvery))); err != nil {
			return Outcome{}, err
		}
	}
}

// ours tells whether what is there is what we wrote. wrote is what was read back
// then; after a crash it may be missing, and then only the TTL may be lower.
func ours(now, after rrset.Set, wrote *rrset.Set) bool {
	if wrote != nil {
		return now.Equal(*wrote)
	}
	return now.SameData(after) && now.TTL <= after.TTL
}
