package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Keys of the store.
const (
	metaKey     = "meta/journal"
	headKey     = "meta/head" // the last event's number and the last batch's hash
	planPrefix  = "plan/"
	eventPrefix = "event/"
)

// maxBatch bounds a batch's JSON, in bytes. What cannot be compressed still
// fits into a transaction.
const maxBatch = MaxBytes - 8<<10

var errFull = errors.New("the batch is full")

func eventKey(first uint64) string { return fmt.Sprintf("%s%016x", eventPrefix, first) }

// A head is the end of the chain of batches. Before the first batch, its hash
// is that of the meta value, so that the chain is tied to this plan.
type head struct {
	seq  uint64
	sum  [sha256.Size]byte
	roll [sha256.Size]byte // over the hashes of all values so far; not stored with the end
}

// after is the head after one more value.
func (h head) after(events int, sum [sha256.Size]byte) head {
	return head{
		seq: h.seq + uint64(events), sum: sum, //nolint:gosec // a count
		roll: sha256.Sum256(append(h.roll[:], sum[:]...)),
	}
}

func (h head) encode() []byte { return fmt.Appendf(nil, "%016x %x", h.seq, h.sum) }

// sealed is a batch as JSON.
type sealed struct {
	Prev   string  `json:"prev"` // SHA-256 of the value before, in hexadecimal
	Events []Event `json:"events"`
}

// A batch is being filled: the JSON of the events of one commit.
type batch struct {
	after head
	next  uint64
	text  []byte
	empty int // bytes of text without events
	size  int // events
}

func newBatch(after head) *batch {
	text := fmt.Appendf(nil, `{"prev":"%x","events":[`, after.sum)
	return &batch{after: after, next: after.seq + 1, text: text, empty: len(text)}
}

// add numbers and encodes events, all or none. errFull: they fit into the next
// batch only.
func (b *batch) add(now time.Time, events []Event) error {
	var text []byte
	for i, e := range events {
		e.Seq = b.next + uint64(i)
		if e.At.IsZero() {
			e.At = now
		}
		e.At = e.At.UTC()
		enc, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.Kind, err)
		}
		if b.size+i > 0 {
			text = append(text, ',')
		}
		text = append(text, enc...)
	}
	const end = len(`]}`)
	switch {
	case b.empty+len(text)+end > maxBatch:
		return fmt.Errorf("%d events of %d bytes at once, above %d: %w", len(events), len(text), maxBatch, ErrTooBig)
	case len(b.text)+len(text)+end > maxBatch:
		return errFull
	}
	b.text = append(b.text, text...)
	b.next += uint64(len(events))
	b.size += len(events)
	return nil
}

// A codec turns batches into values and back: a version byte, then compressed
// JSON. It may be used from many goroutines, but sealing only from one.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(MaxBytes))
	if err != nil {
		return nil, fmt.Errorf("compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBatch), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("decompressor: %w", err)
	}
	return &codec{enc: enc, dec: dec}, nil
}

// seal gives the value of a batch, and its events as whoever reads that value
// will see them.
func (c *codec) seal(b *batch) ([]byte, []Event, error) {
	b.text = append(b.text, `]}`...)
	var s sealed
	if err := json.Unmarshal(b.text, &s); err != nil {
		return nil, nil, fmt.Errorf("event %d could not be read back: %w", b.after.seq+1, err)
	}
	return c.enc.EncodeAll(b.text, []byte{Version}), s.Events, nil
}

// follows checks that a batch follows the chain's head, and gives the new one.
func (s sealed) follows(value []byte, after head) (head, error) {
	if s.Prev != hex.EncodeToString(after.sum[:]) {
		return head{}, fmt.Errorf("%w: it does not follow what stands before it: one of the two was changed", ErrBroken)
	}
	for i, e := range s.Events {
		if want := after.seq + 1 + uint64(i); e.Seq != want {
			return head{}, fmt.Errorf("%w: event %d stands where %d should", ErrBroken, e.Seq, want)
		}
	}
	return after.after(len(s.Events), sha256.Sum256(value)), nil
}

// decode reads a value, whatever it is.
func (c *codec) decode(value []byte) (sealed, error) {
	switch {
	case len(value) == 0:
		return sealed{}, fmt.Errorf("%w: it is empty", ErrBroken)
	case value[0] > Version:
		return sealed{}, fmt.Errorf("events of version %d, and this mxcutover reads up to %d: %w", value[0], Version, ErrVersion)
	case value[0] == 0:
		return sealed{}, fmt.Errorf("%w: it has no version", ErrBroken)
	}
	text, err := c.dec.DecodeAll(value[1:], nil)
	if err != nil {
		return sealed{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	var s sealed
	if err := json.Unmarshal(text, &s); err != nil {
		return sealed{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if len(s.Events) == 0 {
		return sealed{}, fmt.Errorf("%w: it has no events", ErrBroken)
	}
	return s, nil
}

// checkHead compares the stored end of the chain with the one that was read.
func checkHead(stored []byte, read head) error {
	if bytes.Equal(stored, read.encode()) {
		return nil
	}
	var want head
	var sum []byte
	if n, err := fmt.Sscanf(string(stored), "%016x %x", &want.seq, &sum); n != 2 || err != nil {
		return fmt.Errorf("%w: its end is not marked", ErrBroken)
	}
	if want.seq != read.seq {
		return fmt.Errorf("%w: it ends at event %d, and should end at %d", ErrBroken, read.seq, want.seq)
	}
	return fmt.Errorf("%w: its last events, up to %d, were changed", ErrBroken, read.seq)
}
