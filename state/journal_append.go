package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// A request waits for the committer.
type request struct {
	events []Event
	check  func(*Status) error // judged when all before it is folded; nil = none
	extend *extending          // what makes the plan longer; nil = nothing
	done   chan error          // has room for one
}

// Append makes events durable, all of them or none, numbers them, and folds
// them; it returns only then. A zero At becomes now. Appends from many
// goroutines share a commit. If ctx ends first, an error means that nothing was
// or will be appended.
//
// ErrTooBig, ErrReadOnly, ErrClosed and an unknown kind leave the journal as it
// is, and so does ErrNoRoom: there is none for the snapshots of these events. ErrDead: a commit failed, it is unknown what is durable, and the process
// must end; so say all later appends.
func (j *Journal) Append(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	for _, e := range events {
		if !e.Kind.Known() {
			return fmt.Errorf("append: unknown kind of event %q", e.Kind)
		}
	}
	return j.ask(ctx, &request{events: events, done: make(chan error, 1)})
}

// Decide takes a person's decision: it is judged against the Status and made
// durable before any other decision is judged. ErrRefused: it does not fit.
func (j *Journal) Decide(ctx context.Context, d Decision) error {
	return j.ask(ctx, &request{
		events: []Event{{Kind: Decided, Decision: &d}},
		check:  func(s *Status) error { return s.Check(d) },
		done:   make(chan error, 1),
	})
}

func (j *Journal) ask(ctx context.Context, r *request) error {
	if j.readOnly {
		return ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	j.qmu.Lock()
	if err := j.closed; err != nil {
		j.qmu.Unlock()
		return err
	}
	j.queue = append(j.queue, r)
	j.qmu.Unlock()
	j.rouse()
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	if j.withdraw(r) {
		return ctx.Err()
	}
	return <-r.done // it is being committed: only the outcome tells the truth
}

func (j *Journal) rouse() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a request back that the committer has not taken yet.
func (j *Journal) withdraw(r *request) bool {
	j.qmu.Lock()
	defer j.qmu.Unlock()
	n := len(j.queue)
	j.queue = slices.DeleteFunc(j.queue, func(q *request) bool { return q == r })
	return len(j.queue) < n
}

// refuse takes no more requests; those in the queue are still done.
func (j *Journal) refuse(why error) {
	j.qmu.Lock()
	if j.closed == nil {
		j.closed = why
	}
	j.qmu.Unlock()
	j.rouse()
}

// take gives whatever is queued; nothing once the journal is closed and all is
// done.
func (j *Journal) take() []*request {
	for {
		j.qmu.Lock()
		reqs, closed := j.queue, j.closed
		j.queue = nil
		j.qmu.Unlock()
		if len(reqs) > 0 || closed != nil {
			return reqs
		}
		select {
		case <-j.wake:
		case <-j.held.Done():
			j.die(nil, j.lost())
		}
	}
}

// commitAll is the committer: while one commit is synced, the next one's events
// gather in the queue.
func (j *Journal) commitAll() {
	defer close(j.stopped)
	for {
		reqs := j.take()
		if len(reqs) == 0 {
			return
		}
		for len(reqs) > 0 {
			reqs = j.commit(reqs)
		}
	}
}

// commit commits as many requests as one batch can take, and gives the rest. A
// decision begins a batch, so that it is judged by all that came before.
func (j *Journal) commit(reqs []*request) (rest []*request) {
	b := newBatch(j.head)
	var taken []*request
	now := j.opt.Now()
	for i, r := range reqs {
		if r.check != nil && len(taken) > 0 {
			rest = reqs[i:]
			break
		}
		var err error
		if r.check != nil {
			err = r.check(j.status) // only this goroutine changes it
		}
		if err == nil {
			err = b.add(now, r.events)
		}
		if errors.Is(err, errFull) {
			rest = reqs[i:]
			break
		}
		if err != nil {
			r.done <- err
			continue
		}
		taken = append(taken, r)
		if r.extend != nil {
			rest = reqs[i+1:]
			break
		}
	}
	if len(taken) == 0 {
		return rest
	}
	switch err := j.write(b, taken[0].extend); {
	case errors.Is(err, ErrNoRoom):
		return append(j.turnAway(taken, err), rest...)
	case err != nil:
		j.die(append(taken, rest...), err)
		return nil
	}
	for _, r := range taken {
		r.done <- nil
	}
	return rest
}

// turnAway refuses the requests whose snapshots found no room, and gives those
// that need none: what was done must be known.
func (j *Journal) turnAway(reqs []*request, why error) (rest []*request) {
	for _, r := range reqs {
		if slices.ContainsFunc(r.events, func(e Event) bool { _, has := snapshotOf(e, ""); return has }) {
			r.done <- why
		} else {
			rest = append(rest, r)
		}
	}
	return rest
}

// write makes a batch durable and folds it. With an extension, the batch makes it
// count.
func (j *Journal) write(b *batch, x *extending) error {
	value, events, err := j.codec.seal(b)
	if err != nil {
		return err
	}
	if j.held.Err() != nil {
		return j.lost()
	}
	if err := j.snapshots.append(events); err != nil {
		return err
	}
	next := j.head.after(len(events), sha256.Sum256(value))
	txn := Txn{Put: []KV{{eventKey(events[0].Seq), value}, {headKey, next.encode()}}}
	txn.If = []KV{{headKey, j.head.encode()}}
	if x != nil {
		txn.If = append(txn.If, KV{extendedKey, x.was})
		txn.Put = append(txn.Put, KV{extendedKey, x.list})
	}
	if err := j.store.Commit(j.held, txn); err != nil {
		return fmt.Errorf("event %d: %w", events[0].Seq, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.head, j.written = next, true
	if x != nil {
		j.plan = x.plan
		j.status.extend(x.plan)
	}
	j.fold(events)
	close(j.grown)
	j.grown = make(chan struct{})
	return nil
}

func (j *Journal) lost() error {
	if cause := context.Cause(j.held); cause != nil && !errors.Is(cause, ErrLost) {
		return fmt.Errorf("%w: %w", ErrLost, cause)
	}
	return ErrLost
}

// die ends the journal: nothing is known about what a failed commit left.
func (j *Journal) die(reqs []*request, err error) {
	err = fmt.Errorf("%w: %w", ErrDead, err)
	j.written = false
	j.refuse(err)
	j.qmu.Lock()
	reqs = append(reqs, j.queue...)
	j.queue = nil
	j.qmu.Unlock()
	j.end(err)
	for _, r := range reqs {
		r.done <- err
	}
}
