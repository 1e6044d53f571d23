package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
)

// DecodeBatch reads a batch's value, as Open does.
func DecodeBatch(value []byte) ([]Event, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	defer c.dec.Close()
	s, err := c.decode(value)
	return s.Events, err
}

// EncodeBatch makes the value of a first batch.
func EncodeBatch(events ...Event) ([]byte, error) {
	value, _, err := encode(head{}, events)
	return value, err
}

// NextBatch makes the value that follows what a store holds, and the head after
// it.
func NextBatch(ctx context.Context, s Store, events ...Event) (value, next []byte, err error) {
	_, h, err := readMeta(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	for kv := range s.Scan(ctx, eventPrefix) {
		e, err := DecodeBatch(kv.Value)
		if err != nil {
			return nil, nil, err
		}
		h = head{seq: e[len(e)-1].Seq, sum: sha256.Sum256(kv.Value)}
	}
	return encode(h, events)
}

func encode(after head, events []Event) (value, next []byte, err error) {
	c, err := newCodec()
	if err != nil {
		return nil, nil, err
	}
	b := newBatch(after)
	if err := b.add(events[0].At, events); err != nil {
		return nil, nil, err
	}
	value, _, err = c.seal(b)
	return value, head{seq: b.next - 1, sum: sha256.Sum256(value)}.encode(), err
}

// Queued tells how many appends wait for the committer.
func (j *Journal) Queued() int {
	j.qmu.Lock()
	defer j.qmu.Unlock()
	return len(j.queue)
}

// FromCheckpoint is the event up to which a checkpoint was believed.
func (j *Journal) FromCheckpoint() uint64 { return j.from.seq }

// SnapshotDisk puts a disk between a journal and its snapshots: write is asked
// how many bytes of a text are written before it fails with the error.
func (j *Journal) SnapshotDisk(write func(n int) (int, error)) {
	j.snapshots.mu.Lock()
	defer j.snapshots.mu.Unlock()
	real := j.snapshots.file
	if f, ok := real.(fullable); ok {
		real = f.textFile
	}
	j.snapshots.file = fullable{real, write}
}

type fullable struct {
	textFile
	write func(n int) (int, error)
}

func (f fullable) Write(b []byte) (int, error) {
	n, err := f.write(len(b))
	if m, werr := f.textFile.Write(b[:n]); werr != nil {
		return m, werr
	}
	return n, err
}

// OpenTorn opens a text file, the end of which is torn, on such a disk.
func OpenTorn(path string, write func(n int) (int, error)) (full, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s := &snapshotFile{file: fullable{f, write}}
	err = s.ready()
	return s.full, errors.Join(err, s.Close())
}
