package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"mxcutover/plan"
)

const (
	planChunk = 512 << 10 // bytes of a key's value
	maxPlan   = 8 << 30   // bytes of a plan's file
	keptTail  = 64        // newest batches whose events stay in memory
)

// meta says what the store holds. Its presence is what makes a migration exist.
type meta struct {
	V         int       `json:"v"`
	Migration string    `json:"migration"`
	Plan      string    `json:"plan"` // its ID
	Made      time.Time `json:"made"`
	Chunks    int       `json:"chunks"` // of the plan
	Hash      string    `json:"hash"`   // SHA-256 of the chunks together, in hexadecimal
}

func (m meta) encode() ([]byte, error) {
	m.V = Version
	return json.Marshal(m)
}

// readMeta gives the meta record and its hash, where the chain of batches begins.
func readMeta(ctx context.Context, s Store) (meta, head, error) {
	text, err := get(ctx, s, metaKey)
	if err != nil {
		return meta{}, head{}, err
	}
	if text == nil {
		return meta{}, head{}, ErrNone
	}
	var v struct{ V int }
	if err := json.Unmarshal(text, &v); err != nil || v.V < 1 {
		return meta{}, head{}, fmt.Errorf("%w: its first record cannot be read", ErrBroken)
	}
	if v.V > Version {
		return meta{}, head{}, fmt.Errorf("journal of version %d, and this mxcutover reads up to %d: %w", v.V, Version, ErrVersion)
	}
	var m meta
	if err := json.Unmarshal(text, &m); err != nil {
		return meta{}, head{}, fmt.Errorf("%w: its first record: %w", ErrBroken, err)
	}
	return m, head{sum: sha256.Sum256(text)}, nil
}

func get(ctx context.Context, s Store, key string) ([]byte, error) {
	for kv, err := range s.Scan(ctx, key) {
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		if kv.Key == key {
			return kv.Value, nil
		}
	}
	return nil, nil
}

func planKey(n int) string { return fmt.Sprintf("%s%08x", planPrefix, n) }

// writePlan stores the plan, compressed, in as many keys as it takes, and
// reads it back before anything relies on it.
func writePlan(ctx context.Context, s Store, p plan.Plan) (meta, error) {
	packed, err := packPlan(p)
	if err != nil {
		return meta{}, err
	}
	if err := clearPlan(ctx, s); err != nil {
		return meta{}, err
	}
	sum := sha256.Sum256(packed)
	m := meta{Migration: p.Migration, Plan: p.ID, Hash: hex.EncodeToString(sum[:])}
	for chunk := range slices.Chunk(packed, planChunk) {
		if err := s.Commit(ctx, Txn{Put: []KV{{planKey(m.Chunks), chunk}}}); err != nil {
			return meta{}, fmt.Errorf("write the plan: %w", err)
		}
		m.Chunks++
	}
	return m, nil
}

// clearPlan removes what a Create left that came to no end.
func clearPlan(ctx context.Context, s Store) error {
	for kv, err := range s.Scan(ctx, planPrefix) {
		if err == nil {
			err = s.Commit(ctx, Txn{Put: []KV{{Key: kv.Key}}})
		}
		if err != nil {
			return fmt.Errorf("clear a plan that was never begun: %w", err)
		}
	}
	return nil
}

func readPlan(packed []byte) (plan.Plan, error) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(32<<20))
	if err != nil {
		return plan.Plan{}, err
	}
	defer z.Close()
	return plan.Read(io.LimitReader(z, maxPlan))
}

func (j *Journal) loadPlan(ctx context.Context, m meta) error {
	var packed []byte
	n := 0
	for kv, err := range j.store.Scan(ctx, planPrefix) {
		if err != nil {
			return fmt.Errorf("read the plan: %w", err)
		}
		packed = append(packed, kv.Value...)
		n++
	}
	if sum := sha256.Sum256(packed); n != m.Chunks || hex.EncodeToString(sum[:]) != m.Hash {
		return fmt.Errorf("%w: its plan was changed", ErrBroken)
	}
	p, err := readPlan(packed)
	if err != nil {
		return fmt.Errorf("%w: its plan: %w", ErrBroken, err)
	}
	if p.ID != m.Plan {
		return fmt.Errorf("%w: it holds plan %.12s, and was begun with %.12s", ErrBroken, p.ID, m.Plan)
	}
	j.plan = p
	return j.loadExtensions(ctx)
}

// load reads all, folds it, and starts the committer.
func (j *Journal) load(ctx context.Context) error {
	m, start, err := readMeta(ctx, j.store)
	if err != nil {
		return err
	}
	if err := j.loadPlan(ctx, m); err != nil {
		return err
	}
	j.status = NewStatus(j.plan)
	start.roll = start.sum
	j.head = start
	if !j.opt.Verify && !j.opt.Salvage {
		if err := j.loadCheckpoint(ctx); err != nil {
			j.from = head{} // all events are folded
		}
	}
	err = j.loadEvents(ctx)
	if (errors.Is(err, ErrBroken) || errors.Is(err, ErrVersion)) && j.from.seq > 0 { // all events tell where
		j.status, j.from, j.head, j.batches = NewStatus(j.plan), head{}, start, nil
		err = j.loadEvents(ctx)
	}
	if err == nil {
		err = j.checkExtensions()
	}
	if errors.Is(err, ErrBroken) && j.opt.Salvage {
		j.damage, j.readOnly, err = err, true, nil
	}
	if err != nil || j.readOnly {
		return err
	}
	if j.opt.Snapshots != "" {
		if j.snapshots, err = openSnapshots(j.opt.Snapshots, m.Migration); err != nil {
			return err
		}
	}
	j.begin.Do(func() { go j.commitAll() })
	return nil
}

// decodedAtOnce is how many batches are decoded side by side; they are folded in
// their order.
const decodedAtOnce = 64

func (j *Journal) loadEvents(ctx context.Context) error {
	var page []KV
	for kv, err := range j.store.Scan(ctx, eventPrefix) {
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if first, ok := j.skips(kv.Key); ok {
			j.batches = append(j.batches, batchRef{first: first})
			j.head = j.head.after(0, sha256.Sum256(kv.Value))
			continue
		}
		if err := j.joins(); err != nil {
			return err
		}
		if page = append(page, kv); len(page) == decodedAtOnce {
			if err := j.loadPage(page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	if err := j.joins(); err != nil {
		return err
	}
	if err := j.loadPage(page); err != nil {
		return err
	}
	stored, err := get(ctx, j.store, headKey)
	if err != nil {
		return err
	}
	if err := checkHead(stored, j.head); err != nil {
		return fmt.Errorf("event %d: %w", j.head.seq, err)
	}
	return nil
}

// skips tells whether a batch is in the checkpoint, and its first event.
func (j *Journal) skips(key string) (first uint64, ok bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(key, eventPrefix), 16, 64)
	return n, err == nil && n <= j.from.seq && key == eventKey(n)
}

// joins goes on from the checkpoint's end, if what stands before it is what it was
// made of, byte for byte.
func (j *Journal) joins() error {
	if j.head.seq >= j.from.seq {
		return nil
	}
	if j.head.roll != j.from.roll {
		return fmt.Errorf("%w: it is not what the checkpoint was made of", ErrBroken)
	}
	j.head, j.last = j.from, j.from.seq
	return nil
}

// loadPage decodes some batches, and folds them one after the other.
func (j *Journal) loadPage(page []KV) error {
	opened := make([]sealed, len(page))
	faults := make([]error, len(page))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(page)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(page); i = int(next.Add(1)) - 1 {
				opened[i], faults[i] = j.codec.decode(page[i].Value)
			}
		})
	}
	wg.Wait()
	for i, kv := range page {
		at := j.head.seq + 1
		if kv.Key != eventKey(at) {
			return fmt.Errorf("event %d: %w: it is missing; %.40q comes next", at, ErrBroken, kv.Key)
		}
		if faults[i] != nil {
			return fmt.Errorf("event %d: %w", at, faults[i])
		}
		next, err := opened[i].follows(kv.Value, j.head)
		if err != nil {
			return fmt.Errorf("event %d: %w", at, err)
		}
		for _, e := range opened[i].Events {
			if !e.Kind.Known() && !j.readOnly {
				return fmt.Errorf("event %d is of the kind %.40q, which this mxcutover does not know: %w", e.Seq, e.Kind, ErrVersion)
			}
		}
		j.head = next
		j.fold(opened[i].Events)
	}
	return nil
}

// fold takes a durable batch into the Status. The caller holds the lock, or is
// alone.
func (j *Journal) fold(events []Event) {
	for _, e := range events {
		j.status.Apply(e)
	}
	j.batches = append(j.batches, batchRef{first: events[0].Seq, events: events})
	if n := len(j.batches) - keptTail; n > 0 {
		j.batches[n-1].events = nil
	}
	j.last = events[len(events)-1].Seq
}
