//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	var during, idle, out = []string{}, []string{}, []round{}
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
	if code, _, words := c.command("plan"); code != 0 {
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

// fault is what befalls the engine in the middle.
func (c *chaos) fault(p *process, r round) {
	c.Helper()
	switch r.during {
	case "stop":
		p.signal(c.T, syscall.SIGSTOP)
		p.wait(many, r.pause)
		if r.target%2 == 0 {
			c.rival()
		}
		p.signal(c.T, syscall.SIGCONT)
	case "rival":
		if len(p.events) > 0 {
			c.rival()
		}
	case "secondary":
		if err := c.secondary.Kill(); err != nil {
			c.Fatal(err)
		}
		p.wait(many, r.pause)
		if err := c.secondary.Restart(c.Context()); err != nil {
			c.Fatal(err)
		}
	case "rollback", "retry":
		if len(p.events) > 0 {
			c.ask(r.during, r.target, p)
		}
	case "edit":
		c.edit(r.target)
	}
}

// rival starts a second engine beside one that lives, or is frozen (P9).
func (c *chaos) rival() {
	c.Helper()
	if code, _, words := c.command("run", "--progress", "none"); code != codeBusy {
		c.Errorf("a second engine: exit code %d, want %d: %s", code, codeBusy, words)
	}
}

// target is a wave or a domain, by the flag and the name that a person types,
// and the domains that it has.
func (c *chaos) target(n int) (flag, name string, domains []string) {
	c.Helper()
	waves := map[string][]string{}
	var names []string
	for _, d := range c.status().Domains {
		if waves[d.Wave] == nil {
			names = append(names, d.Wave)
		}
		waves[d.Wave] = append(waves[d.Wave], d.Domain)
	}
	if n%2 == 0 {
		name = names[n/2%len(names)]
		return "--wave", name, waves[name]
	}
	name = c.tracks[n/2%len(c.tracks)].name
	return "--domain", name, []string{name}
}

// stuck is a wave or domain that may be retried, if there is one.
func (c *chaos) stuck(n int) (flag, name string, domains []string) {
	c.Helper()
	all := c.status().Domains
	for i := range all {
		d := all[(n/2+i)%len(all)]
		if d.State != "held" && d.State != "drifted" && d.State != "rolled-back" {
			continue
		}
		if n%2 == 1 {
			return "--domain", d.Domain, []string{d.Domain}
		}
		for _, x := range all {
			if x.Wave == d.Wave {
				domains = append(domains, x.Domain)
			}
		}
		return "--wave", d.Wave, domains
	}
	return c.target(n)
}

// ask asks for a retry or, of a running engine, for a rollback.
func (c *chaos) ask(verb string, target int, p *process) {
	c.Helper()
	find, confirm := c.stuck, []string(nil)
	if verb == "rollback" {
		find = c.target
	}
	flag, name, domains := find(target)
	if verb == "rollback" {
		confirm = []string{"--confirm", name}
	}
	args := append([]string{verb, flag, name}, confirm...)
	code, _, words := c.command(args...)
	if code == codeBusy && p != nil { // it does not listen yet
		p.wait(many, time.Second)
		code, _, words = c.command(args...)
	}
	c.Logf("%s: exit code %d", strings.Join(args, " "), code)
	switch {
	case code == 0:
	case code == codeRefused && verb == "retry":
		return
	default:
		c.Errorf("%s: exit code %d: %s", strings.Join(args, " "), code, words)
	}
	c.count(verb, domains)
}

func (c *chaos) count(verb string, domains []string) {
	for _, d := range domains {
		if verb == "rollback" {
			c.asked[d]++
		} else {
			c.again[d]++
		}
	}
}

// rollbackAlone rolls back without an engine, perhaps killed in the middle.
func (c *chaos) rollbackAlone(r round) {
	c.Helper()
	flag, name, domains := c.target(r.target / 3)
	c.count("rollback", domains)
	p := c.start("rollback", flag, name, "--confirm", name)
	if r.cut > 0 && p.wait(r.cut, r.patience) {
		p.signal(c.T, syscall.SIGKILL)
		p.end(c.T, 10*time.Second)
		c.Logf("rollback %s, without an engine: killed", name)
		c.look()
		return
	}
	code := p.end(c.T, time.Minute)
	c.Logf("rollback %s, without an engine: exit code %d", name, code)
	if code != 0 && (code != codePerson || len(c.after) == 0) {
		c.Errorf("rollback %s: exit code %d: %s", name, code, strings.Join(p.words, "\n"))
	}
	ranks := c.look()
	for _, d := range domains {
		if code == 0 && ranks[d] != 0 && ranks[d] != foreign {
			c.Errorf("rollback %s said that it is done, and %s has rank %d", name, d, ranks[d])
		}
	}
}

// edit changes a domain's MX that is not published yet, as somebody else.
func (c *chaos) edit(target int) {
	c.Helper()
	ranks := c.ranks(c.dig(c.T, c.primary), "the primary")
	domains := c.status().Domains
	slices.Reverse(domains) // a drifted domain stops the waves after its own
	for i := range domains {
		d := domains[(target%2+i)%len(domains)].Domain
		k := c.tracks[slices.IndexFunc(c.tracks, func(k track) bool { return k.name == d })]
		if ranks[d] < 0 || k.states[ranks[d]] == "absent" || ranks[d] > 1 {
			continue
		}
		_, old, _ := strings.Cut(k.states[0], ": ")
		err := c.nsupdate(k, strings.Split(old, ", "), foreignTTL, []string{foreignMX})
		if err != nil {
			c.Logf("somebody else's edit of %s: %v", d, err) // published just now
			continue
		}
		// What it replaced is known to the server alone: the engine went on meanwhile.
		passed := c.passages(c.T, c.tracks)[d]
		c.after[d] = k.states[passed[len(passed)-1].from]
		c.Logf("somebody else edits %s, which was %s", d, c.after[d])
		return
	}
	c.Error("no domain was left to be edited")
}

// nsupdate writes an RRset in the place of another, as somebody else.
func (c *chaos) nsupdate(k track, old []string, ttl string, data []string) error {
	var in strings.Builder
	fmt.Fprintf(&in, "server %s %d\nzone %s\n", c.primary.Addr.Addr(), c.primary.Addr.Port(), k.zone)
	for _, d := range old {
		fmt.Fprintf(&in, "prereq yxrrset %s. MX %s\n", k.name, d)
	}
	fmt.Fprintf(&in, "update delete %s. MX\n", k.name)
	for _, d := range data {
		fmt.Fprintf(&in, "update add %s. %s MX %s\n", k.name, ttl, d)
	}
	in.WriteString("send\n")
	x := exec.CommandContext(c.Context(), "nsupdate", "-y", "hmac-sha256:"+c.primary.Key.Name+":"+c.primary.Key.Secret)
	x.Stdin = strings.NewReader(in.String())
	out, err := x.CombinedOutput()
	if err != nil {
		return fmt.Errorf("nsupdate: %w: %s", err, out)
	}
	return nil
}

// A standing is what the test reads of a status.
type standing struct {
	Over    bool
	Domains []struct{ Domain, Wave, State, Reason string }
}

func (c *chaos) status() (s standing) {
	c.Helper()
	code, out, words := c.command("status", "-o", "json")
	if code != 0 {
		c.Fatalf("status: exit code %d: %s", code, words)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		c.Fatalf("status: %v: %s", err, out)
	}
	return s
}

// seen compares what a process told of the journal with the journal: nothing is
// announced before it is durable.
func (c *chaos) seen(p *process) {
	c.Helper()
	if len(p.events) == 0 {
		return
	}
	c.begun = true
	c.readEvents()
	for _, ev := range p.events {
		if ev.Seq == 0 || ev.Seq > uint64(len(c.events)) {
			c.Errorf("event %d was told of, and the journal ends at %d: %s", ev.Seq, len(c.events), ev.raw)
			continue
		}
		kept := c.events[ev.Seq-1]
		if kept.Kind != ev.Kind || kept.Domain != ev.Domain || kept.Step != ev.Step || kept.Reason != ev.Reason {
			c.Errorf("event %d was told as %s, and the journal has %s", ev.Seq, ev.raw, kept.raw)
		}
	}
}

// readEvents reads the journal: numbers without gaps, and what was there before
// is there unchanged.
func (c *chaos) readEvents() {
	c.Helper()
	code, out, words := c.command("events")
	if code != 0 {
		c.Fatalf("events: exit code %d: %s", code, words)
	}
	var events []told
	for l := range strings.Lines(out) {
		ev := told{raw: strings.TrimSpace(l)}
		if err := json.Unmarshal([]byte(l), &ev); err != nil {
			c.Fatalf("events: %v: %s", err, l)
		}
		events = append(events, ev)
		n := len(events)
		if ev.Seq != uint64(n) {
			c.Fatalf("event %d has the number %d: %s", n, ev.Seq, l)
		}
		if n <= len(c.events) && c.events[n-1].raw != ev.raw {
			c.Fatalf("event %d was %s, and is now %s", n, c.events[n-1].raw, ev.raw)
		}
	}
	if len(events) < len(c.events) {
		c.Fatalf("the journal had %d events, and has %d", len(c.events), len(events))
	}
	c.events = events
}

// look is what must hold whenever no engine runs.
func (c *chaos) look() map[string]int {
	c.Helper()
	if c.begun {
		c.status()
		c.readEvents()
	} else if code, _, words := c.command("status", "-o", "json"); code != 0 && !strings.Contains(words, "no migration was begun") {
		c.Errorf("status before the migration has begun: exit code %d: %s", code, words)
	}
	c.ranks(c.dig(c.T, c.secondary), "the secondary")
	return c.ranks(c.dig(c.T, c.primary), "the primary")
}

// ranks finds each domain's state among those that it may be in.
func (c *chaos) ranks(zones map[string][]string, server string) map[string]int {
	c.Helper()
	out := map[string]int{}
	for _, k := range c.tracks {
		ttl, data := mxOf(zones[k.zone], k.name)
		out[k.name] = k.rank(mxState(ttl, data))
		if _, edited := c.after[k.name]; out[k.name] == unknown || out[k.name] == foreign && !edited {
			c.Errorf("%s serves %s as %q, and it may be %q", server, k.name, mxState(ttl, data), k.states)
		}
	}
	return out
}

// snapshots reads which records the file beside the journal has, by text.
func (c *chaos) snapshots() string {
	c.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "state", "*.snapshots"))
	if err != nil || len(files) != 1 {
		c.Fatalf("the snapshots' file: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		c.Fatal(err)
	}
	return string(text)
}
