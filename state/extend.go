package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"mxcutover/plan"
)

// A plan that was begun can get more waves. The plan as it then is lies beside
// the first one, whole, under keys that nothing names until one transaction puts
// both the Extended event and the list that names them: a process that is killed
// before leaves the migration as it was, and after that it is extended.
//
//	extended/<n>/<chunk>   the plan with its n-th extension, from 0, compressed
//	meta/extended          JSON: which of them count, each with its hash
//
// The chain of events begins with the first plan's hash, and holds each Extended
// event; a list that does not fit them is a damage.
const (
	extendedPrefix = "extended/"
	extendedKey    = "meta/extended"
	maxExtensions  = 1 << 12
)

// An extension is where a later plan is kept.
type extension struct {
	Plan   string `json:"plan"` // its ID
	Chunks int    `json:"chunks"`
	Hash   string `json:"hash"` // SHA-256 of the chunks together, in hexadecimal
}

func extensionPrefix(n int) string { return fmt.Sprintf("%s%04x/", extendedPrefix, n) }

func extensionKey(n, chunk int) string { return fmt.Sprintf("%s%08x", extensionPrefix(n), chunk) }

// An Extension is what the Extended event tells.
type Extension struct {
	Plan  string `json:"plan"`  // ID of the plan from now on
	Waves int    `json:"waves"` // how many there were before
}

// an extending request carries the plan that it makes count.
type extending struct {
	plan plan.Plan
	was  []byte // the list before, nil = none
	list []byte
}

// Extend adds the waves that a plan has beyond the migration's own, and makes its
// settings count. It is for the time before an engine begins to walk the plan.
// ErrRefused: something of what was begun would change, the old server may be
// closed, or the migration is over.
func (j *Journal) Extend(ctx context.Context, p plan.Plan) error {
	if j.readOnly {
		return ErrReadOnly
	}
	base := j.Plan()
	if err := p.Extends(base); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var refused error
	j.View(func(s *Status) { refused = s.mayExtend() })
	if refused != nil {
		return refused
	}
	was, list, err := readExtensions(ctx, j.store)
	if err != nil {
		return err
	}
	if len(list) >= maxExtensions {
		return fmt.Errorf("%w: the plan was extended %d times", ErrRefused, len(list))
	}
	x, err := writeExtension(j.held, j.store, p, len(list))
	if err != nil {
		return err
	}
	text, err := json.Marshal(append(list, x))
	if err != nil {
		return err
	}
	return j.ask(ctx, &request{
		events: []Event{{Kind: Extended, Extension: &Extension{Plan: p.ID, Waves: len(base.Waves)}}},
		check:  (*Status).mayExtend,
		extend: &extending{plan: p, was: was, list: text},
		done:   make(chan error, 1),
	})
}

// mayExtend tells whether new domains may come in: not while the server that has
// their mail may be closed, nor when nobody looks after the migration any more.
func (s *Status) mayExtend() error {
	switch i := s.Isolation; {
	case s.Over:
		return fmt.Errorf("%w: the migration is over; begin another one for what is new", ErrRefused)
	case i.Closed, i.State == IsolationArmed, i.State == IsolationProven, i.State == IsolationConfirmed:
		return fmt.Errorf("%w: the old server is closed, or may be, and new domains' mail goes there; open it first: mxcutover isolate lift", ErrRefused)
	}
	return nil
}

// writeExtension stores a plan that nothing names yet, in place of what an Extend
// left that came to no end.
func writeExtension(ctx context.Context, s Store, p plan.Plan, n int) (extension, error) {
	for kv, err := range s.Scan(ctx, extensionPrefix(n)) {
		if err == nil {
			err = s.Commit(ctx, Txn{Put: []KV{{Key: kv.Key}}})
		}
		if err != nil {
			return extension{}, fmt.Errorf("clear an extension that never counted: %w", err)
		}
	}
	packed, err := packPlan(p)
	if err != nil {
		return extension{}, err
	}
	sum := sha256.Sum256(packed)
	x := extension{Plan: p.ID, Hash: hex.EncodeToString(sum[:])}
	for chunk := range slices.Chunk(packed, planChunk) {
		if err := s.Commit(ctx, Txn{Put: []KV{{extensionKey(n, x.Chunks), chunk}}}); err != nil {
			return extension{}, fmt.Errorf("write the plan: %w", err)
		}
		x.Chunks++
	}
	return x, nil
}

// packPlan compresses a plan, and reads it back before anything relies on it.
func packPlan(p plan.Plan) ([]byte, error) {
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.Write(z), z.Close()); err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	if _, err := readPlan(buf.Bytes()); err != nil {
		return nil, fmt.Errorf("the plan could not be read back: %w", err)
	}
	return buf.Bytes(), nil
}

// readExtensions gives the list of extensions that count, and its text.
func readExtensions(ctx context.Context, s Store) (text []byte, list []extension, err error) {
	if text, err = get(ctx, s, extendedKey); err != nil || text == nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
		return nil, nil, fmt.Errorf("%w: the list of its plan's extensions cannot be read", ErrBroken)
	}
	return text, list, nil
}

// loadExtensions reads the plan as it is by its last extension. To verify, each is
// read, and must extend the one before.
func (j *Journal) loadExtensions(ctx context.Context) error {
	_, list, err := readExtensions(ctx, j.store)
	if err != nil {
		return err
	}
	for n, x := range list {
		if n < len(list)-1 && !j.opt.Verify {
			continue
		}
		var packed []byte
		chunks := 0
		for kv, err := range j.store.Scan(ctx, extensionPrefix(n)) {
			if err != nil {
				return fmt.Errorf("read the plan: %w", err)
			}
			packed = append(packed, kv.Value...)
			chunks++
		}
		if sum := sha256.Sum256(packed); chunks != x.Chunks || hex.EncodeToString(sum[:]) != x.Hash {
			return fmt.Errorf("%w: extension %d of its plan was changed", ErrBroken, n+1)
		}
		p, err := readPlan(packed)
		if err == nil && p.ID != x.Plan {
			err = fmt.Errorf("it is plan %.12s, and %.12s was expected", p.ID, x.Plan)
		}
		if err == nil && j.opt.Verify {
			err = p.Extends(j.plan)
		}
		if err != nil {
			return fmt.Errorf("%w: extension %d of its plan: %w", ErrBroken, n+1, err)
		}
		j.plan = p
	}
	for _, x := range list {
		j.extended = append(j.extended, x.Plan)
	}
	return nil
}

// checkExtensions compares the list with what the events tell.
func (j *Journal) checkExtensions() error {
	if !slices.Equal(j.extended, j.status.Extended) {
		return fmt.Errorf("%w: its plan was extended %d times, and %d extensions are there, or others", ErrBroken, len(j.status.Extended), len(j.extended))
	}
	return nil
}

// extend goes over to a plan that has all of the one before, and more. What is
// shared with copies is made anew.
func (s *Status) extend(p plan.Plan) {
	n := NewStatus(p)
	copy(n.Waves, s.Waves)
	copy(n.Domains, s.Domains)
	s.PlanID, s.Waves, s.Domains = n.PlanID, n.Waves, n.Domains
	s.index, s.waves, s.plan = n.index, n.waves, n.plan
}

// applyExtended begins the waves that came in: whatever was decided about all
// before was not about them. When events are folded again, they are there from the
// first event on.
func (s *Status) applyExtended(e Event) {
	if e.Extension == nil {
		return
	}
	s.Extended = append(slices.Clone(s.Extended), e.Extension.Plan)
	from := min(max(e.Extension.Waves, 0), len(s.Waves))
	for i := from; i < len(s.Waves); i++ {
		w := &s.Waves[i]
		*w = WaveStatus{Name: w.Name, State: WaveWaiting, Total: w.Total, persons: w.persons}
	}
	for i := range s.Domains {
		if d := &s.Domains[i]; s.waves[d.Wave] >= from {
			*d = DomainStatus{Domain: d.Domain, Wave: d.Wave, State: Planned, Attempt: 1, Steps: map[string]StepRecord{}}
		}
	}
	s.crashed(false, false)
	s.Isolation.forget()
	s.Isolation.Approved, s.Isolation.Asked = false, nil // that was for all there was then
}
