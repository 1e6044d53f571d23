package state

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A checkpoint is the fold as an orderly end left it: rows for those who only
// look, and the rest for the next engine. It is disposable: one that is missing,
// torn, or of another journal is passed over, and the events are folded instead.
// There is one at most.
//
//	checkpoint/head          JSON: which end of the journal, how many pages, their hash
//	checkpoint/<page>        compressed rows, in the plan's order
//	checkpoint/more/<page>   see checkpoint_full.go
const (
	checkpointPrefix = "checkpoint/"
	checkpointHead   = checkpointPrefix + "head"
	checkpointPage   = 512 << 10 // bytes
)

// checkpointMeta is the head of a checkpoint. It is written last.
type checkpointMeta struct {
	V      int    `json:"v"`
	End    string `json:"end"` // of the journal, as meta/head has it
	Pages  int    `json:"pages"`
	Hash   string `json:"hash"`   // SHA-256 of the pages, in hexadecimal
	Status []byte `json:"status"` // JSON, without domains

	Rest      *rest  `json:"rest"`
	MorePages int    `json:"more_pages"`
	MoreHash  string `json:"more_hash"` // SHA-256 of those pages, in hexadecimal
	Roll      []byte `json:"roll"`      // over the hashes of all values that it stands for
}

// rows are the pages of rows, joined.
func (m checkpointMeta) rows(ctx context.Context, s Store) ([]byte, error) {
	var packed []byte
	pages := 0
	for kv, err := range s.Scan(ctx, checkpointPrefix+"0") {
		if err != nil {
			return nil, err
		}
		packed = append(packed, kv.Value...)
		pages++
	}
	if sum := sha256.Sum256(packed); pages != m.Pages || hex.EncodeToString(sum[:]) != m.Hash {
		return nil, errNoFit
	}
	return packed, nil
}

func pageKey(n int) string { return fmt.Sprintf("%s%08x", checkpointPrefix, n) }

// checkpoint writes the fold for those who look later. An error leaves the
// journal as it was.
func (j *Journal) checkpoint(ctx context.Context) error {
	j.mu.RLock()
	rows := appendRows(nil, j.status)
	s := *j.status
	s.Rollback = s.estimate()
	j.mu.RUnlock()
	s.Domains = nil
	head, err := json.Marshal(&s)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := dropCheckpoint(ctx, j.store); err != nil {
		return err
	}
	packed := j.codec.enc.EncodeAll(rows, nil)
	sum := sha256.Sum256(packed)
	m := checkpointMeta{V: Version, End: string(j.head.encode()), Hash: hex.EncodeToString(sum[:]), Status: head}
	for page := range slices.Chunk(packed, checkpointPage) {
		if err := j.store.Commit(ctx, Txn{Put: []KV{{pageKey(m.Pages), page}}}); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		m.Pages++
	}
	more := sha256.New()
	if m.MorePages, err = j.writeMore(ctx, more); err != nil {
		return err
	}
	r := restOf(j.status)
	m.Rest, m.MoreHash, m.Roll = &r, hex.EncodeToString(more.Sum(nil)), j.head.roll[:]
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := j.store.Commit(ctx, Txn{If: []KV{{headKey, j.head.encode()}}, Put: []KV{{checkpointHead, text}}}); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// dropCheckpoint removes the one that is there, its head first.
func dropCheckpoint(ctx context.Context, s Store) error {
	keys := []string{checkpointHead}
	for kv, err := range s.Scan(ctx, checkpointPrefix) {
		if err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if kv.Key != checkpointHead {
			keys = append(keys, kv.Key)
		}
	}
	if len(keys) == 1 {
		return nil
	}
	for chunk := range slices.Chunk(keys, MaxKeys/2) {
		var t Txn
		for _, k := range chunk {
			t.Put = append(t.Put, KV{Key: k})
		}
		if err := s.Commit(ctx, t); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return nil
}

// Look reads the status that an orderly end left in a store, without the plan
// and without the steps of the domains. ok is false if there is none that fits
// the journal's end: then Open folds the events.
func Look(ctx context.Context, s Store) (st *Status, ok bool, err error) {
	if _, _, err := readMeta(ctx, s); err != nil {
		return nil, false, err
	}
	end, err := get(ctx, s, headKey)
	if err != nil {
		return nil, false, err
	}
	text, err := get(ctx, s, checkpointHead)
	if err != nil {
		return nil, false, err
	}
	var m checkpointMeta
	if json.Unmarshal(text, &m) != nil || m.V != Version || m.End != string(end) {
		return nil, false, nil //nolint:nilerr // the events tell
	}
	packed, err := m.rows(ctx, s)
	switch {
	case errors.Is(err, errNoFit):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	st = &Status{}
	if json.Unmarshal(m.Status, st) != nil || readRows(packed, st) != nil {
		return nil, false, nil //nolint:nilerr // the events tell
	}
	return st, true, nil
}

// appendRows writes the rows: numbers as varints, texts with their length, what
// recurs as its place in a table that comes first.
func appendRows(b []byte, s *Status) []byte {
	words, place := []string{}, map[string]uint64{}
	word := func(w string) uint64 {
		n, known := place[w]
		if !known {
			n = uint64(len(words))
			place[w] = n
			words = append(words, w)
		}
		return n
	}
	var rows []byte
	for i := range s.Domains {
		d := &s.Domains[i]
		rows = appendText(rows, d.Domain)
		for _, w := range []string{d.Wave, string(d.State), d.Reason, d.Step, string(d.Drift)} {
			rows = binary.AppendUvarint(rows, word(w))
		}
		for _, t := range []time.Time{d.Since, d.Until, d.Gone} {
			rows = binary.AppendVarint(rows, stamp(t))
		}
		flags := uint64(0)
		for n, set := range []bool{d.Paused, d.Failed, d.Back} {
			if set {
				flags |= 1 << n
			}
		}
		rows = binary.AppendUvarint(rows, uint64(d.Attempt)) //nolint:gosec // it counts from one
		rows = binary.AppendUvarint(rows, uint64(d.TTL))
		rows = binary.AppendUvarint(rows, flags)
	}
	b = binary.AppendUvarint(b, uint64(len(words)))
	for _, w := range words {
		b = appendText(b, w)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Domains)))
	return append(b, rows...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// stamp is a time as a number, in ns; 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func unstamp(n int64) (t time.Time) {
	if n != 0 {
		t = time.Unix(0, n).UTC()
	}
	return t
}

// maxRows bounds what is unpacked, in bytes.
const maxRows = 2 << 30

var errRows = errors.New("the rows of a checkpoint are torn")

// readRows reads what appendRows wrote.
func readRows(packed []byte, s *Status) error {
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRows), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	raw, err := z.DecodeAll(packed, nil)
	if err != nil {
		return err
	}
	r := rowReader{left: string(raw)}
	words := make([]string, min(r.uint(), uint64(len(raw))))
	for i := range words {
		words[i] = r.text()
	}
	word := func() string {
		if n := r.uint(); n < uint64(len(words)) {
			return words[n]
		}
		r.torn = true
		return ""
	}
	s.Domains = make([]DomainStatus, 0, min(r.uint(), uint64(len(raw))/8))
	for r.left != "" && !r.torn {
		d := DomainStatus{Domain: r.text()}
		d.Wave, d.State, d.Reason, d.Step, d.Drift = word(), Phase(word()), word(), word(), Drift(word())
		d.Since, d.Until, d.Gone = unstamp(r.int()), unstamp(r.int()), unstamp(r.int())
		d.Attempt, d.TTL = int(r.uint()), uint32(r.uint()) //nolint:gosec // as it was written
		flags := r.uint()
		d.Paused, d.Failed, d.Back = flags&1 != 0, flags&2 != 0, flags&4 != 0
		s.Domains = append(s.Domains, d)
	}
	if r.torn {
		return errRows
	}
	return nil
}

// A rowReader takes values from the front. Its texts are parts of one string.
type rowReader struct {
	left string
	torn bool
}

func (r *rowReader) uint() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		if r.left == "" {
			break
		}
		c := r.left[0]
		r.left = r.left[1:]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.torn, r.left = true, ""
	return 0
}

func (r *rowReader) int() int64 {
	n := r.uint()
	return int64(n>>1) ^ -int64(n&1) //nolint:gosec // zigzag, as encoding/binary has it
}

func (r *rowReader) text() string {
	n := r.uint()
	if n > uint64(len(r.left)) {
		r.torn, r.left = true, ""
		return ""
	}
	t := r.left[:n]
	r.left = r.left[n:]
	return t
}
