//go:build integration || site

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A told is what the test reads of an event, in a shape of its own.
type told struct {
	Seq                              uint64
	Kind, Domain, Wave, Step, Reason string
	Err                              string
	Decision                         *struct{ Verb, Target string }
	Intent                           *struct{ Snapshot, Change json.RawMessage }
	raw                              string
}

// A process is the real binary, running, and what it says on standard error.
type process struct {
	args   string
	cmd    *exec.Cmd
	lines  chan string // closed when it has ended
	exited chan struct{}
	events []told   // lines that are events
	words  []string // the other lines
}

// startProcess starts the binary. It is killed at the test's end, if it still
// lives.
func startProcess(t *testing.T, dir, bin string, args ...string) *process {
	t.Helper()
	p := &process{
		args: strings.Join(args, " "), cmd: exec.Command(bin, args...),
		lines: make(chan string, 1<<14), exited: make(chan struct{}),
	}
	p.cmd.Dir = dir
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		in := bufio.NewScanner(pipe)
		in.Buffer(nil, 1<<22)
		for in.Scan() {
			p.lines <- in.Text()
		}
		_ = p.cmd.Wait() // how it ended is in its ProcessState
		close(p.lines)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // gone already is as well
		for range p.lines {
		}
		<-p.exited
	})
	return p
}

func (p *process) take(line string) (event bool) {
	ev := told{raw: line}
	if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &ev) == nil {
		p.events = append(p.events, ev)
		return true
	}
	p.words = append(p.words, line)
	return false
}

// wait takes n events, or n lines of a process that tells words only, but waits
// no longer than patience. It tells whether the process lives.
func (p *process) wait(n int, patience time.Duration) (lives bool) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	json := strings.Contains(p.args, "--progress json")
	for n > 0 {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return false
			}
			if p.take(line) || !json {
				n--
			}
		case <-enough.C:
			return true
		}
	}
	return true
}

// signal sends a signal; a process that has just ended needs none.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !strings.Contains(err.Error(), "already finished") {
		t.Fatalf("%v to %s: %v", s, p.args, err)
	}
}

// end waits until the process has ended, and gives its exit code; -1 is a
// signal's. One that does not end in time tells where it hangs.
func (p *process) end(t *testing.T, within time.Duration) int {
	t.Helper()
	late := time.AfterFunc(within, func() { _ = p.cmd.Process.Signal(syscall.SIGQUIT) })
	dead := time.AfterFunc(within+5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer dead.Stop()
	for line := range p.lines {
		p.take(line)
	}
	<-p.exited
	if !late.Stop() {
		t.Fatalf("%s did not end within %v; it was at:\n%s", p.args, within, strings.Join(p.words, "\n"))
	}
	return p.cmd.ProcessState.ExitCode()
}

// said tells whether a line that is no event holds the text.
func (p *process) said(text string) bool {
	return strings.Contains(strings.Join(p.words, "\n"), text)
}

// command runs the binary to its end, which must come within a minute.
func command(t *testing.T, dir, bin string, args ...string) (code int, out, words string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), bin, args...)
	c.Dir = dir
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(e.String(), "SIGQUIT") {
		t.Fatalf("%s did not end within a minute:\n%s", strings.Join(args, " "), e.String())
	}
	return c.ProcessState.ExitCode(), o.String(), e.String()
}
