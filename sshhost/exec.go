package sshhost

import (
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
	// A channel has no deadlines: a host that has gone silent is given up with its line.
	defer context.AfterFunc(ctx, func() {
		if !l.alive(aliveTime) {
			l.close()
		}
	})()
	s, err := l.client.NewSession()
	if err != nil {
		l.close()
		return h.trouble("no session: %v", err)
	}
	words := &head{}
	s.Stderr = words
	in, err := s.StdinPipe()
	if err != nil {
		return h.trouble("%v", err)
	}
	far, err := s.StdoutPipe()
	if err != nil {
		return h.trouble("%v", err)
	}
	// Whoever waits for the far side does so in goroutines of their own, which end when
	// that ends the channel, or the line is closed.
	out, write := io.Pipe()
	defer context.AfterFunc(ctx, func() {
		out.CloseWithError(ctx.Err())
		s.Close()
	})()
	if err := s.Start(command); err != nil {
		s.Close()
		return h.trouble("it does not run commands: %v", err)
	}
	ended := make(chan error, 1)
	h.running.Go(func() {
		_, err := io.Copy(write, far)
		write.CloseWithError(err) // nil is io.EOF
		_, _ = io.Copy(io.Discard, far)
		ended <- s.Wait()
		s.Close()
	})
	said := talk(in, out)
	in.Close()
	out.Close()
	select {
	case err = <-ended:
	case <-ctx.Done():
		return h.trouble("given up: %v", ctx.Err())
	}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return said
	case errors.As(err, &exit) && exit.Signal() == "":
		return &ExitError{Status: exit.ExitStatus(), Words: words.String(), host: h.String()}
	case ctx.Err() != nil:
		return h.trouble("given up: %v", ctx.Err())
	}
	return h.trouble("how the command ended is not known: %v", err)
}

// Fresh comes to the host anew, by an SSH connection of its own that is closed at
// once: whoever is connected already does not see that nobody else can.
func (h *Host) Fresh(ctx context.Context) error {
	l, err := h.connect(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, l.close)()
	s, err := l.client.NewSession()
	if err == nil {
		s.Close()
	}
	l.close()
	if err != nil {
		return h.trouble("a new connection, but no session: %v", err)
	}
	return nil
}

// head keeps the beginning of what is written to it.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), maxWords-len(h.kept))]...)
	return len(p), nil
}

func (h *head) String() string { return string(h.kept) }
