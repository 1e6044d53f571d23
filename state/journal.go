package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"mxcutover/plan"
)

// Errors of a Journal.
var (
	ErrExists  = errors.New("there is a migration already")
	ErrNone    = errors.New("there is no migration")
	ErrVersion = errors.New("made by a newer release")
	ErrBroken  = errors.New("the journal is damaged")
	ErrNoRoom  = errors.New("the disk is full, and nothing was written")
	ErrDead    = errors.New("the journal could not be written, so nothing may go on")
)

// Options of a Journal.
type Options struct {
	Now       func() time.Time // time.Now if nil
	Holder    string           // who writes, as a second opener is told
	Snapshots string           // path of the text file that gets every snapshot; none if empty

	// Salvage opens a damaged journal up to where it breaks, to be read only.
	// Journal.Damage then tells where that is.
	Salvage bool

	// Verify reads every event from the first, whatever checkpoint there is.
	Verify bool
}

// A Journal is the only writer of a migration's facts and keeps their fold. It
// does not own its Store: whoever opened that closes it, after the Journal.
//
// Events go the same way, live and after a restart: encoded, committed, decoded
// again, folded. What Status and followers show is what the store holds. They
// share what events point to; nobody may change it.
type Journal struct {
	store     Store
	opt       Options
	extended  []string // IDs of the plans that it was extended to
	codec     *codec
	snapshots *snapshotFile // nil for none
	readOnly  bool
	damage    error
	held      context.Context // ends when the lock is lost
	release   context.CancelFunc
	stopped   chan struct{} // closed when the committer has ended
	begin     sync.Once
	head      head // the committer's alone
	from      head // of the checkpoint that the fold began with; zero = none
	written   bool // so far without a failure; the committer's alone, until it has ended

	mu      sync.RWMutex // of what follows
	plan    plan.Plan
	status  *Status
	batches []batchRef
	last    uint64        // the last durable event
	grown   chan struct{} // closed, and made anew, when a batch was added
	over    bool          // nothing will be added any more
	fatal   error         // why

	qmu    sync.Mutex // of what follows
	queue  []*request
	wake   chan struct{} // has room for one
	closed error         // why nothing more is taken; nil while open
}

// A batchRef is where one commit's events are.
type batchRef struct {
	first  uint64
	events []Event // of the newest batches only; else read from the store
}

// Create begins a migration: it writes the plan and the Begun event. ErrExists:
// the store has one already, which is left as it is. What an earlier Create
// left half-written is replaced.
func Create(ctx context.Context, s Store, p plan.Plan, opt Options) (*Journal, error) {
	j, err := newJournal(ctx, s, opt)
	if err != nil {
		return nil, err
	}
	if err := j.create(ctx, p); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (j *Journal) create(ctx context.Context, p plan.Plan) error {
	if j.readOnly {
		return ErrReadOnly
	}
	switch m, _, err := readMeta(ctx, j.store); {
	case err == nil:
		return fmt.Errorf("%w: %s, begun on %s", ErrExists, m.Migration, m.Made.Format(time.DateOnly))
	case !errors.Is(err, ErrNone):
		return err
	}
	now := j.opt.Now().UTC()
	m, err := writePlan(ctx, j.store, p)
	if err != nil {
		return err
	}
	m.Made = now.Truncate(time.Second)
	text, err := m.encode()
	if err != nil {
		return err
	}
	b := newBatch(head{sum: sha256.Sum256(text)})
	if err := b.add(now, []Event{{Kind: Begun, Reason: p.ID}}); err != nil {
		return err
	}
	value, _, err := j.codec.seal(b)
	if err != nil {
		return err
	}
	h := head{seq: 1, sum: sha256.Sum256(value)}
	err = j.store.Commit(j.held, Txn{
		If:  []KV{{Key: metaKey}, {Key: headKey}},
		Put: []KV{{metaKey, text}, {eventKey(1), value}, {headKey, h.encode()}},
	})
	if err != nil {
		return fmt.Errorf("begin the migration: %w", err)
	}
	return j.load(ctx)
}

// Open reads a journal: its plan, and all events folded. ErrNone: the store is
// empty. ErrVersion: a newer release wrote it. ErrBroken: it is damaged, and
// the error names the event. If the store can only be read, so can the journal.
func Open(ctx context.Context, s Store, opt Options) (*Journal, error) {
	j, err := newJournal(ctx, s, opt)
	if err != nil {
		return nil, err
	}
	if err := j.load(ctx); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// newJournal takes the store's lock.
func newJournal(ctx context.Context, s Store, opt Options) (*Journal, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	j := &Journal{
		store: s, opt: opt, codec: c, stopped: make(chan struct{}),
		grown: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	// The lock outlives this call, but the call's end ends the waiting for it.
	hold, release := context.WithCancel(context.WithoutCancel(ctx))
	giveUp := context.AfterFunc(ctx, release)
	j.held, err = s.Lock(hold, opt.Holder)
	if !giveUp() {
		release()
		return nil, ctx.Err()
	}
	if errors.Is(err, ErrReadOnly) {
		j.readOnly, j.held, err = true, hold, nil
	}
	if err != nil {
		release()
		return nil, err
	}
	j.release = release
	return j, nil
}

// Plan is the migration's plan: as it was begun, and extended since.
func (j *Journal) Plan() plan.Plan {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.plan
}

// Damage tells where a journal opened to salvage breaks off; nil if it is whole.
func (j *Journal) Damage() error { return j.damage }

// Status is a copy of the fold of all durable events.
func (j *Journal) Status() *Status {
	j.mu.RLock()
	defer j.mu.RUnlock()
	s := j.status.Clone()
	s.Rollback = s.estimate()
	return s
}

// What a rollback may take in the store, in bytes: some, and more for each
// domain, up to where many domains share commits.
const (
	roomForAll    = 1 << 20
	roomForDomain = 2 << 10
	mostRoom      = 64 << 20
)

// KeepRoom makes sure that a whole rollback can be journaled though the disk is
// full, if the store can do that, and tells whether snapshots that did not fit
// would now: no new step begins without. An error that is [NoSpace] tells that it
// could not, and the journal goes on; any other is the journal's end.
func (j *Journal) KeepRoom(ctx context.Context) error {
	if j.readOnly {
		return nil
	}
	if r, ok := j.store.(Reserver); ok {
		j.mu.RLock()
		domains := int64(len(j.status.Domains))
		j.mu.RUnlock()
		if err := r.Reserve(ctx, min(roomForAll+domains*roomForDomain, mostRoom)); err != nil {
			return err
		}
	}
	return j.snapshots.room()
}

// View shows the fold without copying it. The function must neither change it,
// keep it, nor call the Journal.
func (j *Journal) View(f func(*Status)) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	f(j.status)
}

// Close waits for the appends that were begun, ends followers and gives up the
// lock. The store stays open.
func (j *Journal) Close() error {
	j.refuse(ErrClosed)
	j.begin.Do(func() { close(j.stopped) }) // the committer never ran
	<-j.stopped
	if j.written {
		// What is not there is folded from the events: an error does no harm.
		_ = j.checkpoint(context.WithoutCancel(j.held))
	}
	j.end(nil)
	j.release()
	return j.snapshots.Close()
}

// end tells followers that nothing will be added any more.
func (j *Journal) end(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.over {
		j.over, j.fatal = true, why
		close(j.grown)
	}
}
