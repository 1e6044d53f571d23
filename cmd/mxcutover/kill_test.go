package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/lab"
	"mxcutover/state"
)

// An alone is a migration in a world of its own, without traffic, that the real program
// runs as a process of its own.
type alone struct {
	*testing.T
	bin, cfg, plan string // files
}

// newAlone starts the world, with its configuration; automatic, each gate opens by
// itself. The plan is yet to be made.
func newAlone(t *testing.T, o lab.Options, automatic bool) *alone {
	t.Helper()
	o.SenderRate, o.SpamRate = -1, -1
	if o.Domains == nil {
		o.Domains = []lab.Domain{{Name: "choir.test"}}
	}
	w := startLab(t, o)
	dir := t.TempDir()
	cfg, err := w.WriteConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if automatic {
		setGateAuto(t, cfg)
	}
	return &alone{T: t, bin: buildBinary(t), cfg: cfg, plan: filepath.Join(dir, "plan.jsonl")}
}

// command is the program with its configuration.
func (a *alone) command(args ...string) *exec.Cmd {
	return exec.Command(a.bin, append([]string{"-c", a.cfg}, args...)...)
}

// do runs the program, which must come to a good end, and gives what it prints.
func (a *alone) do(args ...string) string {
	a.Helper()
	out, err := a.command(args...).CombinedOutput()
	if err != nil {
		a.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// json runs the program, and decodes what it prints on standard output.
func (a *alone) json(into any, args ...string) {
	a.Helper()
	out, err := a.command(args...).Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		a.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// TestKillInEachStep ends the engine with SIGKILL as each step of a domain
// begins, then starts it again: the end is the same (P5). The oracle is the
// journal of writes that the name server keeps: each record changed once.
func TestKillInEachStep(t *testing.T) {
	t.Parallel()
	a := newAlone(t, lab.Options{Lag: 500 * time.Millisecond, TTL: 2 * time.Second}, true)
	next := buildVersion(t, "next")
	a.do("plan", "--out", a.plan)
	seen := map[string]bool{}
	for range 40 {
		a.bin, next = next, a.bin // another version goes on, and then the first again
		step, err := a.runUntilNewStep(a.plan, seen)
		if err != nil {
			t.Fatal(err)
		}
		if step == "" {
			break
		}
		t.Log("killed as it began", step)
	}
	for _, step := range []string{"preflight", "lower-ttl", "await-ttl", "publish", "propagate", "probe", "soak", "settle", "observe", "arm", "prove", "confirm"} {
		if !seen[step] {
			t.Errorf("the engine was not killed in %s", step)
		}
	}
	var s struct {
		Over    bool
		Domains []struct{ State string }
	}
	if a.json(&s, "status", "-o", "json"); !s.Over || s.Domains[0].State != "settled" {
		t.Errorf("the end is %+v", s)
	}
	if out := a.do("inventory"); !strings.Contains(out, "choir.test  new       2    ") {
		t.Errorf("the record is not as planned, with its original TTL:\n%s", out)
	}
}

func buildBinary(t *testing.T) string { return buildVersion(t, "this") }

func buildVersion(t *testing.T, version string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "mxcutover")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version="+version, "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return bin
}

// runUntilNewStep runs the engine and kills it when a step begins that it was
// not killed in yet. No step: the engine came to its end.
func (a *alone) runUntilNewStep(plan string, seen map[string]bool) (string, error) {
	a.Helper()
	c := a.command("run", "--plan", plan, "--progress", "json", "--resume-waves")
	pipe, err := c.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", err
	}
	defer func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	var words bytes.Buffer
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		var ev state.Event
		if json.Unmarshal(lines.Bytes(), &ev) != nil {
			words.Write(append(lines.Bytes(), '\n'))
			continue
		}
		if ev.Kind == state.Intended && !seen[ev.Step] {
			seen[ev.Step] = true
			err := c.Process.Kill()
			_ = c.Wait() // killed
			return ev.Step, err
		}
		if ev.Kind == state.Held || ev.Kind == state.Drifted || ev.Kind == state.Failed {
			return "", errors.New("it is held: " + ev.Reason)
		}
	}
	if err := c.Wait(); err != nil {
		return "", errors.New(words.String() + err.Error())
	}
	return "", nil
}

// TestSignals ends the engine by each signal that asks it to end: it does so
// within two seconds, says how to go on, and the next one does. A second signal
// ends it at once.
func TestSignals(t *testing.T) {
	t.Parallel()
	a := newAlone(t, lab.Options{TTL: time.Hour}, false)
	a.do("plan", "--out", a.plan)
	for _, sigs := range [][]os.Signal{{syscall.SIGHUP}, {syscall.SIGTERM}, {os.Interrupt}, {os.Interrupt, os.Interrupt}} {
		took, words := a.signalled(sigs)
		if took > 2*time.Second {
			t.Errorf("%v: it ended after %v", sigs, took)
		}
		if len(sigs) == 1 && !strings.Contains(words, "go on with: mxcutover run") {
			t.Errorf("%v: it does not say how to go on: %s", sigs, words)
		}
		if out, err := a.command("state", "check").CombinedOutput(); err != nil {
			t.Errorf("%v: the journal afterwards: %v\n%s", sigs, err, out)
		}
	}
}

// signalled runs the engine until it waits for caches, sends signals, and tells
// how long it took to end and what it said then.
func (a *alone) signalled(sigs []os.Signal) (took time.Duration, words string) {
	a.Helper()
	c := a.command("run", "--plan", a.plan, "--progress", "json")
	pipe, err := c.StderrPipe()
	if err != nil {
		a.Fatal(err)
	}
	if err := c.Start(); err != nil {
		a.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	var begun time.Time
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		var ev state.Event
		if json.Unmarshal(lines.Bytes(), &ev) != nil {
			words += lines.Text() + "\n"
			continue
		}
		if begun.IsZero() && (ev.Kind == state.Started || ev.Step == "await-ttl") {
			begun = time.Now()
			for _, s := range sigs {
				if err := c.Process.Signal(s); err != nil {
					a.Fatal(err)
				}
			}
		}
	}
	_ = c.Wait() // its code is told by the signal
	return time.Since(begun), words
}

// TestNobodyReads closes the pipe that the engine tells its progress to: it goes
// on, and ends in order when it is told to.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	a := newAlone(t, lab.Options{TTL: time.Second, Lag: -1}, false)
	a.do("plan", "--out", a.plan)
	c := a.command("run", "--plan", a.plan)
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	if _, err := bufio.NewReader(pipe).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := a.command("watch", "--until", "wave:pilot=live", "--timeout", "50s").CombinedOutput(); err != nil {
		t.Errorf("it did not go on: %v\n%s", err, out)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); c.ProcessState.ExitCode() != codeInterrupted {
		t.Errorf("it ended with %v, want exit code %d", err, codeInterrupted)
	}
	if out, err := a.command("events").Output(); err != nil || !bytes.Contains(out, []byte(`"kind":"stopped"`)) {
		t.Errorf("it did not end in order: %v", err)
	}
}

// TestInterruptedDemoLeavesNothing ends a demo by Ctrl-C in the middle.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	c := exec.Command(buildBinary(t), "demo")
	c.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "TTL lowered") {
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	for lines.Scan() { // until it has ended
	}
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != codeInterrupted {
		t.Errorf("it ended with %v, want exit code %d", err, codeInterrupted)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
