//go:build integration

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// many is more lines than any run has.
const many = 1 << 30

// A chaos is one migration of the bindSite, by the real binary, which is killed,
// frozen, interrupted and told to go back at random. All that is random is drawn
// before it begins, so that a seed gives the same faults again; which event each
// fault hits is up to the machine.
type chaos struct {
	*testing.T
	*bindSite
	bin    string
	tracks []track
	before map[string][]string
	after  map[string]string // a foreign edit: domain -> the state that it replaced
	asked  map[string]int    // rollbacks asked for, by domain
	again  map[string]int    // retries asked for, by domain
	events []told            // the journal as it was seen last
	begun  bool              // an engine was seen at work
}

// A round is one life of the engine.
type round struct {
	idle     string // asked before it starts: rollback, retry, or nothing
	cut      int    // a rollback without an engine is killed after so many lines; 0 = never
	events   int    // so many are waited for,
	during   string // then this happens,
	pause    time.Duration
	target   int           // to this wave or domain, if it needs one,
	more     int           // then so many events are waited for,
	end      string        // and then it ends by this
	patience time.Duration // but nothing is waited for longer
}

func (r round) String() string {
	return fmt.Sprintf("idle %q (cut %d), %d events or %v, %q %v of %d, %d more, %s", r.idle, r.cut, r.events, r.patience, r.during, r.pause, r.target, r.more, r.end)
}

func drawRounds(r *rand.Rand, n int) []round {
	var during, idle []string
	var out []round
	for len(during) < n {
		during = append(during, "", "", "stop", "stop", "stop", "rival", "rollback", "rollback", "retry", "retry", "secondary", "secondary")
		idle = append(idle, "", "", "", "", "", "", "", "rollback", "rollback", "retry", "retry", "retry")
	}
	during, idle = during[:n], idle[:n]
	r.Shuffle(n, func(i, j int) { during[i], during[j] = during[j], during[i] })
	r.Shuffle(n, func(i, j int) { idle[i], idle[j] = idle[j], idle[i] })
	edit := r.IntN(max(n/2, 1))
	for i := range n {
		x := round{
			idle: idle[i], cut: r.IntN(2) * (1 + r.IntN(12)), events: 1 + r.IntN(25), during: during[i], target: r.IntN(1 << 16), more: r.IntN(20),
			pause: time.Duration(200+r.IntN(2800)) * time.Millisecond, patience: time.Duration(50+r.IntN(3000)) * time.Millisecond,
			end: []string{"kill", "kill", "term"}[r.IntN(3)],
		}
		if i == edit {
			x.during = "edit"
		}
		out = append(out, x)
	}
	return out
}

// chaosSeed is MXCUTOVER_CHAOS_SEED or, without it, derived from the commit.
func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	if s := os.Getenv("MXCUTOVER_CHAOS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("MXCUTOVER_CHAOS_SEED: %v", err)
		}
		return n
	}
	commit, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil || len(commit) < 15 {
		t.Fatalf("git rev-parse HEAD: %v; outside of a repository set MXCUTOVER_CHAOS_SEED", err)
	}
	n, err := strconv.ParseUint(string(commit[:15]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func chaosRounds(t *testing.T) int {
	t.Helper()
	s := os.Getenv("MXCUTOVER_CHAOS_ROUNDS")
	if s == "" {
		return 12
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("MXCUTOVER_CHAOS_ROUNDS=%s: expected a number from 1", s)
	}
	return n
}

// TestIntegrationChaos ends the real binary by SIGKILL, SIGSTOP and SIGTERM at
// random while it migrates awkward zones on BIND and rolls them back, and
// somebody else edits a record. The oracle is BIND's own journal and log, dig,
// and the text that the commands print.
func TestIntegrationChaos(t *testing.T) {
	seed, n := chaosSeed(t), chaosRounds(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay, as root: MXCUTOVER_CHAOS_SEED=%d MXCUTOVER_CHAOS_ROUNDS=%d go test -tags integration -count=1 -v -run 'TestIntegrationChaos$' ./cmd/mxcutover", seed, n)
		}
	})
	if _, err := exec.LookPath("named-journalprint"); err != nil {
		t.Fatalf("%v; it comes with bind9-utils", err)
	}
	c := &chaos{
		T: t, bindSite: newBindSite(t), bin: buildBinary(t),
		after: map[string]string{}, asked: map[string]int{}, again: map[string]int{},
	}
	t.Cleanup(func() {
		for _, ev := range c.events {
			if t.Failed() {
				t.Logf("%d %s %s%s %s %s %s", ev.Seq, ev.Kind, ev.Wave, ev.Domain, ev.Step, ev.Reason, ev.Err)
			}
		}
	})
	c.before = c.dig(t, c.primary)
	c.tracks = tracksOf(c.before)
	if len(c.tracks) != len(moving()) {
		t.Fatalf("%d of %d domains are in a zone: %v", len(c.tracks), len(moving()), c.tracks)
	}
	// The oracle knows MX alone, so no domain is to need more: companions die and go on
	// in the play of package rollout.
	text, err := os.ReadFile(c.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.config, regexp.MustCompile(`(?m)^outbound:.*\n`).ReplaceAll(text, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, words := c.command("plan", "--no-companions"); code != 0 {
		t.Fatalf("plan: exit code %d: %s", code, words)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for i, r := range drawRounds(random, n) {
		t.Logf("round %d: %v", i, r)
		c.round(r)
		c.look()
	}
	c.forward(random)
	c.backward(random)
	c.verdict()
}

func (c *chaos) start(args ...string) *process {
	return startProcess(c.T, c.dir, c.bin, append([]string{"-c", c.config}, args...)...)
}

func (c *chaos) engine() *process {
	return c.start("run", "--resume-waves", "--progress", "json")
}

func (c *chaos) command(args ...string) (code int, out, words string) {
	return command(c.T, c.dir, c.bin, append([]string{"-c", c.config}, args...)...)
}

// round is one life of the engine, from its start to its end by a fault.
func (c *chaos) round(r round) {
	c.Helper()
	switch {
	case r.idle == "rollback" && c.begun:
		c.rollbackAlone(r)
	case r.idle == "retry" && c.begun:
		c.ask("retry", r.target, nil)
	}
	p := c.engine()
	lives := p.wait(r.events, r.patience)
	if lives {
		c.fault(p, r)
		lives = p.wait(r.more, r.patience)
	}
	end := r.end
	if len(p.events) == 0 {
		end = "kill" // it may not have come as far as to take signals
	}
	switch {
	case !lives:
		if code := p.end(c.T, 10*time.Second); code != 0 {
			c.Errorf("the engine ended by itself with exit code %d: %s", code, strings.Join(p.words, "\n"))
		}
	case end == "kill":
		p.signal(c.T, syscall.SIGKILL)
		p.end(c.T, 10*time.Second)
	default:
		c.terminate(p)
	}
	c.seen(p)
}

// terminate ends an engine in order.
func (c *chaos) terminate(p *process) {
	c.Helper()
	began := time.Now()
	p.signal(c.T, syscall.SIGTERM)
	code := p.end(c.T, 20*time.Second)
	took := time.Since(began)
	c.Logf("SIGTERM: exit code %d after %v", code, took.Round(time.Millisecond))
	if took > 5*time.Second {
		c.Errorf("SIGTERM took %v, at most 2 s were expected and 5 s are too many", took)
	}
	if over := p.events[len(p.events)-1]; code == 0 && over.Kind == "stopped" && over.Reason == "done" {
		return // it was over just then
	}
	if code != codeInterrupted || !p.said("go on with: mxcutover run") {
		c.Errorf("SIGTERM: exit code %d, want 130 and how to go on: %s", code, strings.Join(p.words, "\n"))
	}
}
