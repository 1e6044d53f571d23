package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/klauspost/compress/zstd"

	"mxcutover/plan"
)

// A checkpoint also has what the engine needs besides the rows, so that a
// restart folds only the events that came since.
//
//	checkpoint/more/<page>   compressed JSON, one text for each domain
const (
	morePrefix = checkpointPrefix + "more/"
	morePage   = 500 // domains of a page
)

// more is what a row lacks of a domain.
type more struct {
	Steps    map[string]StepRecord `json:"s,omitempty"`
	Findings []plan.Finding        `json:"f,omitempty"`
	Caches   Wait                  `json:"c,omitzero"`
	Doubt    Wait                  `json:"d,omitzero"`
	Doubts   int                   `json:"n,omitempty"`
	Undone   map[string]StepRecord `json:"u,omitempty"`
	Others   Wait                  `json:"o,omitzero"`
	Beside   bool                  `json:"b,omitempty"`
	Stays    bool                  `json:"k,omitempty"`
}

// rest is what the head's JSON of a Status lacks.
type rest struct {
	Running  *Engine               `json:"running,omitempty"`
	Begun    Moment                `json:"begun,omitzero"`
	Steps    map[string]StepRecord `json:"steps,omitempty"` // of isolation
	Findings []plan.Finding        `json:"findings,omitempty"`
}

func restOf(s *Status) rest {
	return rest{Running: s.Running, Begun: s.Begun, Steps: s.Isolation.Steps, Findings: s.Isolation.Findings}
}

// errNoFit means that a checkpoint is of another journal, or torn.
var errNoFit = errors.New("the checkpoint does not fit")

// writeMore writes the pages, and adds them to the hash.
func (j *Journal) writeMore(ctx context.Context, sum hash.Hash) (pages int, err error) {
	for at := 0; at < len(j.status.Domains); at += morePage {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		for i := at; i < min(at+morePage, len(j.status.Domains)); i++ {
			d := &j.status.Domains[i]
			if err := e.Encode(more{Steps: d.Steps, Findings: d.Findings, Caches: d.Caches, Doubt: d.Doubt, Doubts: d.Doubts, Undone: d.Undone, Others: d.Others, Beside: d.Beside, Stays: d.Stays}); err != nil {
				return pages, fmt.Errorf("checkpoint: %w", err)
			}
		}
		packed := j.codec.enc.EncodeAll(text.Bytes(), nil)
		if len(packed) > MaxBytes-MaxKeyBytes {
			return pages, fmt.Errorf("checkpoint: %w", ErrTooBig)
		}
		sum.Write(packed)
		if err := j.store.Commit(ctx, Txn{Put: []KV{{fmt.Sprintf("%s%08x", morePrefix, pages), packed}}}); err != nil {
			return pages, fmt.Errorf("checkpoint: %w", err)
		}
		pages++
	}
	return pages, nil
}

// loadCheckpoint brings the fold to where the last orderly end left it. Any error
// means that there is none that can be used, and the fold is as it was.
func (j *Journal) loadCheckpoint(ctx context.Context) error {
	text, err := get(ctx, j.store, checkpointHead)
	if err != nil {
		return err
	}
	var m checkpointMeta
	if json.Unmarshal(text, &m) != nil || m.V != Version || m.Rest == nil || len(m.Roll) != sha256.Size {
		return errNoFit
	}
	var at head
	var sum []byte
	if n, err := fmt.Sscanf(m.End, "%016x %x", &at.seq, &sum); n != 2 || err != nil || len(sum) != sha256.Size {
		return errNoFit
	}
	at.sum, at.roll = [sha256.Size]byte(sum), [sha256.Size]byte(m.Roll)
	st := NewStatus(j.plan)
	if err := j.fillRows(ctx, m, st); err != nil {
		return err
	}
	if err := j.fillMore(ctx, m, st); err != nil {
		return err
	}
	if err := m.fill(st); err != nil {
		return err
	}
	if st.Seq != at.seq {
		return errNoFit
	}
	j.status, j.from = st, at
	return nil
}

// fill takes the head's part of a Status, and keeps what comes from the plan.
func (m checkpointMeta) fill(st *Status) error {
	var s Status
	if err := json.Unmarshal(m.Status, &s); err != nil {
		return err
	}
	if s.PlanID != st.PlanID || len(s.Waves) != len(st.Waves) {
		return errNoFit
	}
	for i := range s.Waves {
		if s.Waves[i].Name != st.Waves[i].Name {
			return errNoFit
		}
		s.Waves[i].persons = st.Waves[i].persons
	}
	s.Isolation.persons, s.Isolation.stages = st.Isolation.persons, st.Isolation.stages
	s.Isolation.Steps, s.Isolation.Findings = m.Rest.Steps, m.Rest.Findings
	if s.Isolation.Steps == nil {
		s.Isolation.Steps = map[string]StepRecord{}
	}
	s.Running, s.Begun, s.Rollback = m.Rest.Running, m.Rest.Begun, Estimate{}
	s.Domains, s.index, s.waves, s.plan = st.Domains, st.index, st.waves, st.plan
	*st = s
	return nil
}

// fillRows takes the rows, which must be of the plan's domains in their order.
func (j *Journal) fillRows(ctx context.Context, m checkpointMeta, st *Status) error {
	var rows Status
	packed, err := m.rows(ctx, j.store)
	if err != nil {
		return err
	}
	if err := readRows(packed, &rows); err != nil || len(rows.Domains) != len(st.Domains) {
		return errors.Join(errNoFit, err)
	}
	for i := range rows.Domains {
		if rows.Domains[i].Domain != st.Domains[i].Domain {
			return errNoFit
		}
	}
	st.Domains = rows.Domains
	return nil
}

// fillMore takes the rest of each domain, some pages side by side.
func (j *Journal) fillMore(ctx context.Context, m checkpointMeta, st *Status) error {
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRows), zstd.WithDecoderConcurrency(4))
	if err != nil {
		return err
	}
	defer z.Close()
	sum := sha256.New()
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	places := make(chan struct{}, 4)
	pages := 0
	for kv, err := range j.store.Scan(ctx, morePrefix) {
		if err != nil {
			return err
		}
		sum.Write(kv.Value)
		at := pages * morePage
		pages++
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if err := fillPage(z, kv.Value, st, at); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil || pages != m.MorePages || fmt.Sprintf("%x", sum.Sum(nil)) != m.MoreHash {
		return errors.Join(errNoFit, failed)
	}
	return nil
}

func fillPage(z *zstd.Decoder, packed []byte, st *Status, at int) error {
	text, err := z.DecodeAll(packed, nil)
	if err != nil {
		return err
	}
	in := json.NewDecoder(bytes.NewReader(text))
	for i := at; i < min(at+morePage, len(st.Domains)); i++ {
		var x more
		if err := in.Decode(&x); err != nil {
			return err
		}
		if x.Steps == nil {
			x.Steps = map[string]StepRecord{}
		}
		d := &st.Domains[i]
		d.Steps, d.Findings, d.Caches, d.Doubt, d.Doubts, d.Undone = x.Steps, x.Findings, x.Caches, x.Doubt, x.Doubts, x.Undone
		d.Others, d.Beside, d.Stays = x.Others, x.Beside, x.Stays
	}
	return nil
}
