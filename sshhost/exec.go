package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxWords bounds what is kept of a command's standard error, in bytes.
const maxWords = 4096

// An ExitError says how a command at the host ended, if not with 0.
type ExitError struct {
	Status int    // 1 to 255
	Words  string // what it said on standard error, at most 4 KiB
	host   string
}

func (e *ExitError) Error() string {
	words := strings.TrimSpace(e.Words)
	if words == "" {
		words = "without a word"
	}
	return fmt.Sprintf("at %s: %.500s (exit status %d)", e.host, words, e.Status)
}

// ExitStatus is how the command ended: then all of it is known.
func (e *ExitError) ExitStatus() int { return e.Status }

// Run runs a command line, which the host's shell reads, and talks to it: talk gets
// its standard input, to be closed when all is said, and its standard output. It
// comes back when the command has ended, or ctx, which closes both. An [ExitError] is
// how it ended; with any other error that is not known, nor what was done.
func (h *Host) Run(ctx context.Context, command string, talk func(in io.WriteCloser, out io.Reader) error) error {
	select {
	case h.channels <- struct{}{}:
		defer func() { <-h.channels }()
	case <-ctx.Done():
		return h.trouble("%d connections are open already", maxChannels)
	}
	l, err := h.line(ctx)
	if err != nil {
		return err
	}
	defer l.leave()
	// A host that has gone silent answers nothing: then the line is ended, since a
	// channel has no deadlines.
	stop := context.AfterFunc(ctx, func() {
		if !l.alive(aliveTime) {
			l.close()
		}
	})
	defer stop()
	s, err := l.client.NewSession()
	if err != nil {
		l.close()
		return h.trouble("no session: %v", err)
	}
	end := context.AfterFunc(ctx, func() { s.Close() })
	defer end()
	defer s.Close()
	words := &head{}
	s.Stderr = words
	in, err := s.StdinPipe()
	if err != nil {
		return h.trouble("%v", err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return h.trouble("%v", err)
	}
	if err := s.Start(command); err != nil {
		return h.trouble("it does not run commands: %v", err)
	}
	said := talk(in, out)
	in.Close()
	if said != nil && ctx.Err() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(out, 1<<20)) // so that its end is seen
	}
	ended := s.Wait()
	var exit *ssh.ExitError
	switch {
	case ended == nil:
		return said
	case errors.As(ended, &exit) && exit.Signal() == "":
		return &ExitError{Status: exit.ExitStatus(), Words: words.String(), host: h.String()}
	case ctx.Err() != nil:
		return h.trouble("given up: %v", ctx.Err())
	}
	return h.trouble("how the command ended is not known: %v", ended)
}

// head keeps the beginning of what is written to it.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	_, _ = h.Buffer.Write(p[:min(len(p), maxWords-h.Len())]) // never fails
	return len(p), nil
}
