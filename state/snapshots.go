package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mxcutover/rrset"
)

// A Snapshot is one record of the text file that is written beside the journal:
// an RRset just before a step. A rollback can be made from that file alone.
type Snapshot struct {
	Seq       uint64        `json:"seq"` // of the event that the journal was about to get
	At        time.Time     `json:"at"`
	Migration string        `json:"migration"`
	Provider  string        `json:"provider,omitempty"`
	Zone      string        `json:"zone,omitempty"`
	Name      string        `json:"name"`
	Type      string        `json:"type"`
	Domain    string        `json:"domain,omitempty"`
	Step      string        `json:"step"`
	Attempt   int           `json:"attempt,omitempty"`
	Set       rrset.Set     `json:"set"`             // as it was
	After     *rrset.Set    `json:"after,omitempty"` // what the step was about to write
	Base      bool          `json:"base,omitempty"`  // Set is somebody else's, taken over by a person's choice: see Intent
	Rest      time.Duration `json:"rest,omitempty"`  // in ns: see Intent
}

// Marks of the text file's lines. A record is a snapshot line with JSON, the
// RRset as lines of a master file (RFC 1035 section 5.1), and a line with the
// SHA-256 of those before it. A torn line says that the record above it was
// never finished, and that its step was not begun.
const (
	markSnapshot = "; snapshot "
	markSum      = "; sha256 "
	markTorn     = "; torn"
)

// maxRecord bounds a record of the text file, in bytes.
const maxRecord = 4 * MaxBytes

// snapshotOf is the snapshot that an event carries, if any.
func snapshotOf(e Event, migration string) (Snapshot, bool) {
	if e.Kind != Intended || e.Intent == nil || e.Intent.Snapshot == nil && e.Intent.Change == nil {
		return Snapshot{}, false
	}
	s := Snapshot{
		Seq: e.Seq, At: e.At, Migration: migration, Provider: e.Intent.Provider,
		Domain: e.Domain, Step: e.Step, Attempt: e.Intent.Attempt, Base: e.Intent.Base, Rest: e.Intent.Rest,
	}
	if c := e.Intent.Change; c != nil {
		s.Zone, s.Set, s.After = c.Zone, c.Before, &c.After
	}
	if e.Intent.Snapshot != nil {
		s.Set = *e.Intent.Snapshot
	}
	s.Name, s.Type = s.Set.Name, s.Set.Type
	return s, true
}

// text is the record, ready to be appended.
func (s Snapshot) text() ([]byte, error) {
	line, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s %s: %w", s.Name, s.Type, err)
	}
	out := append([]byte(markSnapshot), line...)
	out = append(out, '\n')
	out = append(out, s.lines()...)
	return fmt.Appendf(out, "%s%x\n", markSum, sha256.Sum256(out)), nil
}

// lines are for people: the RRset as a master file has it. Control characters,
// which could end a line, are escaped.
func (s Snapshot) lines() string {
	set := s.Set
	set.Data = nil
	for _, d := range s.Set.Data {
		set.Data = append(set.Data, harmless(d))
	}
	set.Name, set.Type = harmless(set.Name), harmless(set.Type)
	return set.String()
}

func harmless(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, `\%03d`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ReadSnapshots reads the text file. It gives every whole record, in the order
// of the file, passes over those that were torn by a crash, and tells of those
// that were damaged otherwise: then both results are set, and the error is
// ErrBroken.
func ReadSnapshots(r io.Reader) ([]Snapshot, error) {
	in := bufio.NewReader(r)
	var p snapshotParser
	for n := 1; len(p.damage) < maxDamage; n++ {
		line, err := readLine(in)
		switch {
		case errors.Is(err, io.EOF):
			p.settle(nil) // a line without its end is torn
			return p.out, errors.Join(p.damage...)
		case errors.Is(err, ErrTooBig):
			err = fmt.Errorf("line %d: %w: %w", n, ErrBroken, err)
		case err != nil:
			err = fmt.Errorf("line %d: %w", n, err)
		}
		if err != nil {
			return p.out, errors.Join(append(p.damage, err)...)
		}
		p.settle(line)
		p.take(n, line)
	}
	return p.out, errors.Join(append(p.damage, errors.New("and perhaps more"))...)
}

// maxDamage bounds how many damaged records are told of.
const maxDamage = 100

// A snapshotParser takes the file's lines one by one.
type snapshotParser struct {
	out    []Snapshot
	damage []error
	fault  error  // of the line before; forgiven if that turns out to be torn
	record []byte // lines since the last mark
	begun  int    // the line on which the record begins; 0 = none
}

// settle decides about the line before, by the one that follows it.
func (p *snapshotParser) settle(line []byte) {
	if p.fault != nil && string(line) != markTorn+"\n" {
		p.damage = append(p.damage, p.fault)
	}
	p.fault = nil
}

func (p *snapshotParser) take(n int, line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte(markSnapshot)):
		if p.begun > 0 {
			p.broken("a record without its hash")
		}
		p.record, p.begun = append([]byte(nil), line...), n
	case string(line) == markTorn+"\n":
		p.record, p.begun = nil, 0
	case p.begun == 0:
		p.begun = n
		p.broken("it belongs to no record")
	case bytes.HasPrefix(line, []byte(markSum)):
		s, err := parseSnapshot(p.record, line)
		if err != nil {
			p.broken(err.Error())
			return
		}
		p.out = append(p.out, s)
		p.record, p.begun = nil, 0
	case len(p.record)+len(line) > maxRecord:
		p.broken("a record without an end")
	default:
		p.record = append(p.record, line...)
	}
}

func (p *snapshotParser) broken(what string) {
	p.fault = fmt.Errorf("line %d: %w: %s", p.begun, ErrBroken, what)
	p.record, p.begun = nil, 0
}

// readLine reads a line with its newline; io.EOF if it has none.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxRecord {
			return nil, fmt.Errorf("line of more than %d bytes: %w", maxRecord, ErrTooBig)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func parseSnapshot(record, sum []byte) (Snapshot, error) {
	if want := fmt.Sprintf("%s%x\n", markSum, sha256.Sum256(record)); string(sum) != want {
		return Snapshot{}, errors.New("its hash differs: it was changed")
	}
	head, lines, _ := bytes.Cut(record[len(markSnapshot):], []byte("\n"))
	var s Snapshot
	if err := json.Unmarshal(head, &s); err != nil {
		return Snapshot{}, err
	}
	if s.Name != s.Set.Name || s.Type != s.Set.Type || string(lines) != s.lines() {
		return Snapshot{}, errors.New("its two spellings differ")
	}
	return s, nil
}
