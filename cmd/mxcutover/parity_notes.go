package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"mxcutover/verify"
)

// parityNotes keep the answers of a parity: a first line that says what was asked
// from whom, then one answer a line, as JSON.
type parityNotes struct {
	path  string
	file  *os.File // nil = nothing is kept
	known verify.Asked
}

// notesHead is the first line.
type notesHead struct {
	Version int    `json:"parity"`
	From    string `json:"from"` // the sender: with another one, answers may be others
}

// errNotes means that answers can no longer be kept.
var errNotes = errors.New("the answers cannot be kept")

// maxNote bounds a line, in bytes.
const maxNote = 64 << 10

// openNotes reads what is known, and opens the file to add to it, for one process alone. A last line that was
// not written whole, as by a crash, is taken away.
func openNotes(path, from string) (*parityNotes, error) {
	n := &parityNotes{path: path, known: verify.Asked{}}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	n.file = file
	var whole int64
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = refusef("%s: another parity works with it", path)
	} else if whole, err = n.read(file, from); err == nil {
		err = file.Truncate(whole)
	}
	if err == nil && whole == 0 {
		err = n.write(notesHead{1, from})
	}
	if err != nil {
		_ = n.close() // the first error counts
		return nil, err
	}
	return n, nil
}

// read takes in whole lines, and tells where they end.
func (n *parityNotes) read(r io.Reader, from string) (whole int64, err error) {
	lines := bufio.NewReaderSize(r, maxNote)
	for i := 1; ; i++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return whole, nil // what is left is no whole line
		case err != nil && i == 1:
			return 0, usagef("%s: no file of answers", n.path)
		case err != nil:
			return 0, fmt.Errorf("%s:%d: %w", n.path, i, err)
		}
		if err := n.line(i, bytes.TrimSpace(line), from); err != nil {
			return 0, err
		}
		whole += int64(len(line))
	}
}

func (n *parityNotes) line(i int, line []byte, from string) error {
	if i == 1 {
		var head notesHead
		if err := json.Unmarshal(line, &head); err != nil || head.Version != 1 {
			return usagef("%s: no file of answers, or one of another mxcutover; name another with --resume", n.path)
		}
		if head.From != from {
			return refusef("%s has answers to the sender %q, and now it is %q: begin anew with another --resume", n.path, head.From, from)
		}
		return nil
	}
	var a verify.Answer
	if err := json.Unmarshal(line, &a); err != nil || a.Server == "" || a.Address == "" {
		return usagef("%s:%d: no answer stands there; take the line away, or begin anew with another --resume", n.path, i)
	}
	n.known.Add(a)
	return nil
}

func (n *parityNotes) add(a verify.Answer) error { return n.write(a) }

// write adds a line, in one piece.
func (n *parityNotes) write(v any) error {
	if n.file == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err == nil {
		_, err = n.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errNotes, n.path, err)
	}
	return nil
}

// close may be called twice.
func (n *parityNotes) close() error {
	if n.file == nil {
		return nil
	}
	// A process that is just being started shares the file for a moment: the lock is let go by name.
	err := errors.Join(n.file.Sync(), syscall.Flock(int(n.file.Fd()), syscall.LOCK_UN), n.file.Close())
	n.file = nil
	return err
}
