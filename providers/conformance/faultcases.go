package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mxcutover/providers"
	"mxcutover/rrset"
)

// foreigners are other people's changes.
var foreigners = []Case{
	{Name: "drifted before", run: func(t *trial) error { return t.drifted(t.mx("@", 300, "10 other.example.net.")) }},
	{Name: "TTL edited by somebody else", run: func(t *trial) error { return t.drifted(t.mx("@", 4711, oldMX)) }},
	{Name: "member added by somebody else", run: func(t *trial) error { return t.drifted(t.mx("@", 300, oldMX, "30 other.example.net.")) }},
	{Name: "deleted by somebody else", run: func(t *trial) error { return t.drifted(t.mx("@", 0)) }},
	{Name: "created by somebody else", run: func(t *trial) error {
		there := t.mx("@", 300, oldMX)
		if err := errors.Join(t.neighbours("@", "MX"), t.seed(there)); err != nil {
			return err
		}
		t.drift(t.mx("@", 0), t.mx("@", 300, gwMX), there)
		return nil
	}},
	{Name: "foreign change between read and write", faults: true, run: func(t *trial) error { return t.between(t.mx("@", 300, "10 other.example.net.")) }},
	{Name: "foreign TTL between read and write", faults: true, run: func(t *trial) error { return t.between(t.mx("@", 4711, oldMX)) }},
}

// drifted finds something else than Before.
func (t *trial) drifted(there rrset.Set) error {
	if err := errors.Join(t.neighbours("@", "MX"), t.seed(there)); err != nil {
		return err
	}
	t.drift(t.mx("@", 300, oldMX), t.mx("@", 60, gwMX), there)
	return nil
}

// between lets somebody else write right before our write is carried out.
func (t *trial) between(there rrset.Set) error {
	before := t.mx("@", 300, oldMX)
	if err := errors.Join(t.neighbours("@", "MX"), t.seed(before)); err != nil {
		return err
	}
	var failed error
	if !t.inject(Fault{Kind: Between, Nth: 1, Do: func() { failed = t.bed.Edit(t.ctx, there) }}) {
		return unfit("nobody can write between")
	}
	t.drift(before, t.mx("@", 60, gwMX), there)
	if t.bed.Faults.Met() == 0 {
		t.problem("nothing was written")
	}
	return failed
}

func (t *trial) inject(f Fault) bool { return t.bed.Faults != nil && t.bed.Faults.Inject(f) }

// failures are what a service does wrong.
var failures = []Case{
	{Name: "write that errors half way", faults: true, run: func(t *trial) error { return t.halfway(Broken) }},
	{Name: "write that is refused half way", faults: true, run: func(t *trial) error { return t.halfway(Refused) }},
	{Name: "write applied though it timed out", faults: true, run: func(t *trial) error { return t.unanswered(Silent) }},
	{Name: "write applied though its answer was cut off", faults: true, run: func(t *trial) error { return t.unanswered(Lost) }},
	{Name: "rate limiting", faults: true, run: limited},
	{Name: "expired token", faults: true, run: expired},
	{Name: "cancellation before the write", run: func(t *trial) error {
		before, after := t.mx("@", 300, oldMX), t.mx("@", 300, gwMX)
		if err := errors.Join(t.neighbours("@", "MX"), t.seed(before)); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		if _, err := t.replaceIn(ctx, before, after); err == nil || errors.Is(err, providers.ErrInDoubt) {
			t.problem("error %v; nothing was to be sent", err)
		}
		t.truth(before)
		return t.done(before, after)
	}},
	{Name: "cancellation while the write is under way", faults: true, run: cancelled},
}

// halfway lets each write of a change fail in turn. Whatever is left is ours: the
// same change again completes it, and its inverse takes it back.
func (t *trial) halfway(kind FaultKind) error {
	before := t.mx("@", 3600, oldMX, old2MX, "30 kept.example.net.")
	after := t.mx("@", 300, gwMX, gw2MX, "30 kept.example.net.")
	if err := t.neighbours("@", "MX"); err != nil {
		return err
	}
	for n := 1; n < 20; n++ {
		for _, back := range []bool{false, true} {
			if err := t.seed(before); err != nil {
				return err
			}
			if !t.inject(Fault{Kind: kind, Nth: n}) {
				return unfit("no write can be made to fail")
			}
			met := t.bed.Faults.Met()
			_, err := t.replace(before, after)
			if t.bed.Faults.Met() == met { // fewer writes than n
				t.bed.Faults.Heal()
				if n == 1 || err != nil {
					t.problem("the write was not met by the fault: %v", err)
				}
				t.truth(after)
				return nil
			}
			t.bed.Faults.Heal()
			if err == nil {
				t.problem("write %d failed, and no error is told", n)
			}
			if err := t.mend(n, before, after, back); err != nil {
				return fmt.Errorf("after write %d failed: %w", n, err)
			}
		}
	}
	return errors.New("there is no end of writes")
}

// mend completes what was left half way, or takes it back.
func (t *trial) mend(n int, before, after rrset.Set, back bool) error {
	c := rrset.Change{Zone: t.bed.Zone, Before: before, After: after}
	at, err := providers.ReadFor(t.ctx, t.p, c)
	if err != nil {
		return err
	}
	there, err := t.bed.Truth(t.ctx, after.Name, after.Type)
	if err != nil {
		return err
	}
	if !at.Found.SameData(there) || !at.Half && !there.Equal(before) && !there.Equal(after) {
		t.problem("after write %d: the zone has %q TTL %d, which is read as %+v", n, there.Data, there.TTL, at)
	}
	want, from := after, before
	if back {
		want, from = at.Back.After, at.Back.Before
	}
	if _, err := t.replace(from, want); err != nil {
		return err
	}
	t.truth(want)
	return nil
}

// unanswered loses the answer to a write that was carried out, to each in turn:
// looking finds it.
func (t *trial) unanswered(kind FaultKind) error {
	before, after := t.mx("@", 300, oldMX, "30 kept.example.net."), t.mx("@", 60, gwMX, gw2MX, "30 kept.example.net.")
	if err := t.neighbours("@", "MX"); err != nil {
		return err
	}
	for n := 1; n < 20; n++ {
		if err := t.seed(before); err != nil {
			return err
		}
		if !t.inject(Fault{Kind: kind, Nth: n}) {
			return unfit("no answer can be lost")
		}
		met := t.bed.Faults.Met()
		r, err := t.replace(before, after)
		t.bed.Faults.Heal()
		switch {
		case err != nil && (!errors.Is(err, providers.ErrInDoubt) || providers.Fence(err) <= 0):
			return fmt.Errorf("after the answer to write %d was lost: %w", n, err)
		case err != nil:
			t.problem("in doubt, though it could be looked: %v", err)
		case !r.Written || !r.Got.Equal(after):
			t.problem("result %+v", r)
		}
		t.truth(after)
		if t.bed.Faults.Met() == met { // fewer writes than n
			if n == 1 {
				t.problem("no answer was lost")
			}
			return nil
		}
	}
	return errors.New("there is no end of writes")
}

// limited answers readings and writes with "too many requests".
func limited(t *trial) error {
	before, after := t.mx("@", 300, oldMX), t.mx("@", 60, gwMX)
	if err := errors.Join(t.neighbours("@", "MX"), t.seed(before)); err != nil {
		return err
	}
	for n := 1; n <= 4; n++ {
		wait := time.Duration(0)
		if n == 1 {
			wait = time.Second
		}
		if !t.inject(Fault{Kind: Busy, Nth: n, Wait: wait}) {
			return unfit("the service has no limits")
		}
	}
	var err error
	for range 5 { // as the rollout repeats what is transient
		if _, err = t.replace(before, after); err == nil || !errors.Is(err, providers.ErrTransient) {
			break
		}
	}
	if f, ok := t.bed.Faults.(*Front); ok && f.Early() > 0 {
		t.problem("%d requests came before the time that was asked for", f.Early())
	}
	if t.bed.Faults.Met() == 0 {
		t.problem("no request was limited")
	}
	if err != nil {
		return err
	}
	t.truth(after)
	return nil
}

// expired asks with a credential that is no longer valid.
func expired(t *trial) error {
	before, after := t.mx("@", 300, oldMX), t.mx("@", 60, gwMX)
	if err := errors.Join(t.neighbours("@", "MX"), t.seed(before)); err != nil {
		return err
	}
	if !t.inject(Fault{Kind: Expired}) {
		return unfit("the credential cannot expire")
	}
	_, err := t.replace(before, after)
	if !errors.Is(err, providers.ErrCredential) || errors.Is(err, providers.ErrInDoubt) {
		t.problem("error %v; ErrCredential was expected", err)
	}
	_, err = providers.Zone(t.ctx, t.p, t.bed.Zone)
	if t.saw(err); !errors.Is(err, providers.ErrCredential) {
		t.problem("error %v of a listing; ErrCredential was expected", err)
	}
	t.bed.Faults.Heal()
	t.truth(before)
	return t.done(before, after)
}

// cancelled gives up while a write is being carried out: what it did is looked at.
func cancelled(t *trial) error {
	before, after := t.mx("@", 300, oldMX), t.mx("@", 60, gwMX)
	if err := errors.Join(t.neighbours("@", "MX"), t.seed(before)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	if !t.inject(Fault{Kind: Between, Nth: 1, Do: cancel}) {
		return unfit("nobody can give up at the right moment")
	}
	r, err := t.replaceIn(ctx, before, after)
	if s, ok := t.bed.Faults.(interface{ Settle() }); ok {
		s.Settle() // the rollout waits until a write can no longer come late
	}
	there, terr := t.bed.Truth(t.ctx, after.Name, after.Type)
	switch {
	case terr != nil:
		return terr
	case err == nil && !there.Equal(r.Got):
		t.problem("told %q, and the zone has %q", r.Got.Data, there.Data)
	case err != nil && !errors.Is(err, providers.ErrInDoubt) && !errors.Is(err, providers.ErrHalf) && !there.Equal(before):
		t.problem("the zone has %q, and the error is %v", there.Data, err)
	}
	if _, err := t.replace(before, after); err != nil {
		return err
	}
	t.truth(after)
	return nil
}

// twins has two zones of one name.
func twins(t *trial) error {
	w := t.bed.Twin
	if w == nil {
		return unfit("there is one zone of a name")
	}
	before, after := t.mx("@", 300, oldMX), t.mx("@", 300, gwMX)
	if err := errors.Join(t.neighbours("@", "MX"), t.seed(before)); err != nil {
		return err
	}
	other, err := w.Other(t.ctx, after.Name, after.Type)
	if err != nil {
		return err
	}
	p := t.p
	defer func() { t.p = p }()
	if w.Ambiguous != "" {
		if t.p, err = Open(t.bed.Kind, w.Ambiguous); err != nil {
			return err
		}
		if _, err := t.replace(before, after); err == nil || errors.Is(err, providers.ErrInDoubt) {
			t.problem("error %v; it cannot be told which zone is meant", err)
		}
		t.truth(before)
		t.close()
	}
	if t.p, err = Open(t.bed.Kind, w.Chosen); err != nil {
		return err
	}
	defer t.close()
	if err := t.done(before, after); err != nil {
		return err
	}
	if now, err := w.Other(t.ctx, after.Name, after.Type); err != nil || !now.Equal(other) {
		t.problem("the other zone was changed to %q: %v", now.Data, err)
	}
	return nil
}

// crowdSize is more than any API sends on one page.
const crowdSize = 500

// crowd has so many names that the last ones are on a later page.
func crowd(t *trial) error {
	if t.bed.Account {
		return unfit("so many records are not written to somebody's account")
	}
	var sets []rrset.Set
	for i := range crowdSize {
		sets = append(sets, t.mx(fmt.Sprintf("h%03d", i), 300, oldMX))
	}
	if err := t.seed(sets...); err != nil {
		return err
	}
	for _, i := range []int{0, crowdSize / 2, crowdSize - 1} {
		n := fmt.Sprintf("h%03d", i)
		if err := t.done(t.mx(n, 300, oldMX), t.mx(n, 300, gwMX)); err != nil {
			return err
		}
	}
	sets, err := providers.Zone(t.ctx, t.p, t.bed.Zone)
	if err != nil {
		return err
	}
	for i := range crowdSize {
		n := t.name(fmt.Sprintf("h%03d", i))
		if !slices.ContainsFunc(sets, func(s rrset.Set) bool { return s.Name == n && s.Type == "MX" && len(s.Data) == 1 }) {
			t.problem("the listing lacks %s", n)
			break
		}
	}
	return nil
}
