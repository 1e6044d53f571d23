//go:build site

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	real "mxcutover/lab/site"
)

// A story is a migration at a whole site, by the real binary, while mail goes on.
type story struct {
	*testing.T
	ctx      context.Context
	w        *real.World
	bin, dir string
	mail     *real.Stream
	spam     *real.SpamRun
	engine   *process
	seen     int                // events of the engine that were looked at
	events   []told             // of all engines
	expected func(ev told) bool // an event of trouble that is part of the story
}

// How much mail there is.
const (
	mailEvery   = 200 * time.Millisecond // one message from everybody else
	spamAtOnce  = 12                     // conversations of the spammer
	spamPause   = 2 * time.Second        // between two of each
	oldAtOnce   = 50                     // conversations that the old server has at once
	measureMail = 150                    // messages before anything begins, and after it is closed
)

// siteZones are the zones that move; with siteHosts they are sixty domains.
func siteZones() (zones []string) {
	for i := range 56 {
		zones = append(zones, fmt.Sprintf("d%02d.test", i+1))
	}
	return zones
}

var (
	siteHosts      = []string{"lists.d05.test", "cs.d05.test", "lists.d06.test", "math.d07.test"}
	siteSigned     = []string{"d10.test", "d11.test", "d12.test", "d13.test"}
	siteSplit      = []string{"d20.test", "d21.test"}
	siteSPF        = []string{"d30.test", "d31.test", "d32.test"}
	siteGreylisted = []string{"d40.test", "lists.d06.test"}
	siteTwoMX      = []string{"d33.test", "d34.test", "d35.test"}
)

// TestSite migrates sixty domains in waves at a whole site under continuous mail, and
// counts every message: undisturbed, and then with faults and a rollback of everything.
func TestSite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a site of network namespaces needs root; run: sudo make site")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bin := buildBinary(t)
	var counted []tableRow
	if os.Getenv("RUN") == "stay" {
		t.Run("stay", func(t *testing.T) { counted = stays(newStory(t.Context(), t, bin, 24*time.Hour)) })
		fmt.Print(table(counted))
		return
	}
	t.Run("undisturbed", func(t *testing.T) { counted = append(counted, undisturbed(newStory(ctx, t, bin, storyTime))...) })
	t.Run("faults", func(t *testing.T) { counted = append(counted, withFaults(newStory(ctx, t, bin, storyTime))...) })
	fmt.Print(table(counted))
}

// storyTime is how long a run may take, also on a busy machine.
const storyTime = 30 * time.Minute

// newStory starts a site, and mail to it.
func newStory(ctx context.Context, t *testing.T, bin string, within time.Duration) *story {
	t.Helper()
	if ctx.Err() != nil {
		t.Fatal("it was interrupted")
	}
	s := &story{T: t, bin: bin, dir: t.TempDir()}
	// What hangs is ended in time for everything to be taken away.
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeoutCause(ctx, within, fmt.Errorf("the story took more than %v", within))
	t.Cleanup(cancel)
	identity := filepath.Join(s.dir, "identity")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	key, err := os.ReadFile(identity + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	o := real.WorldOptions{
		Zones: siteZones(), Hosts: siteHosts, TwoMX: siteTwoMX, Signed: siteSigned, Split: siteSplit, Greylisted: siteGreylisted,
		Records: map[string]string{}, TTL: 20 * time.Second, SSHKey: strings.TrimSpace(string(key)), Processes: oldAtOnce,
	}
	for _, z := range siteSPF {
		o.Records[z] = "@ IN TXT \"v=spf1 mx -all\"\n"
	}
	begun := time.Now()
	if s.w, err = real.StartWorld(s.ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.keep()
		}
		if err := s.w.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d domains in %d zones; all servers are up after %v", len(s.w.Hosted()), len(o.Zones), time.Since(begun).Round(time.Millisecond))
	s.configure()
	s.mail, s.spam = s.w.Send(s.ctx, mailEvery), s.w.Spam(s.ctx, spamAtOnce, spamPause)
	t.Cleanup(func() { _, _ = s.mail.End(); s.spam.End() }) // ended already is as well
	return s
}

// keep copies the servers' logs to SITE_LOGS, if that is set, for a look at a failure.
func (s *story) keep() {
	to := os.Getenv("SITE_LOGS")
	if to == "" {
		return
	}
	for name, from := range map[string]string{
		"senders": s.w.Elsewhere.Log(), "old": s.w.Postfix.Log(), "gw1": s.w.Exim[0].Log(), "gw2": s.w.Exim[1].Log(), "named": filepath.Join(s.w.BIND.Dir, "named.log"),
		"mxcutover.yaml": s.config(), "plan.jsonl": filepath.Join(s.dir, "plan.jsonl"),
	} {
		if text, err := os.ReadFile(from); err == nil {
			_ = os.WriteFile(filepath.Join(to, strings.ReplaceAll(s.Name(), "/", "-")+"-"+name), text, 0o600)
		}
	}
	var all strings.Builder
	for _, ev := range append(slices.Clone(s.events), s.unseen()...) {
		all.WriteString(ev.raw + "\n")
	}
	_ = os.WriteFile(filepath.Join(to, strings.ReplaceAll(s.Name(), "/", "-")+"-events.jsonl"), []byte(all.String()), 0o600)
}

func (s *story) unseen() []told {
	if s.engine == nil {
		return nil
	}
	return s.engine.events
}

// at are the words before a command at the operator's host.
func (s *story) at(args ...string) []string {
	return append([]string{"netns", "exec", s.w.Operator.Name, s.bin, "-c", s.config()}, args...)
}

// types runs a command as the operator does, and wants an exit code.
func (s *story) types(want int, args ...string) string {
	s.Helper()
	s.alive()
	code, out, words := command(s.T, s.dir, "ip", s.at(args...)...)
	s.Logf("$ mxcutover %s: exit code %d", strings.Join(args, " "), code)
	if code != want {
		s.Fatalf("mxcutover %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, words)
	}
	return out + words
}

// begins starts a long command at the operator's host.
func (s *story) begins(args ...string) *process {
	s.Helper()
	return startProcess(s.T, s.dir, "ip", s.at(args...)...)
}

// run starts the engine.
func (s *story) run(args ...string) {
	s.Helper()
	if s.engine != nil {
		s.events = append(s.events, s.engine.events...)
	}
	s.engine, s.seen = s.begins(append([]string{"run", "--progress", "json"}, args...)...), 0
}

// alive ends the story once it was interrupted, or takes too long.
func (s *story) alive() {
	s.Helper()
	if s.ctx.Err() != nil {
		s.Fatal(context.Cause(s.ctx))
	}
}

// trouble tells whether an event is one that a person would be woken for.
func trouble(ev told) bool {
	return slices.Contains([]string{"held", "drifted", "failed", "in-doubt", "rolling-back", "wave-held", "disk-low"}, ev.Kind)
}

// next is the engine's next event; it fails if there is none within the time.
func (s *story) next(what string, within time.Duration) told {
	s.Helper()
	for deadline := time.Now().Add(within); s.seen >= len(s.engine.events); {
		s.alive()
		if !s.engine.wait(1, 200*time.Millisecond) && s.seen >= len(s.engine.events) {
			s.Fatalf("the engine ended before %s: %s", what, strings.Join(s.engine.words, "\n"))
		}
		if time.Now().After(deadline) {
			s.Fatalf("in vain, for %v: %s; status:\n%s", within, what, s.types(0, "status"))
		}
	}
	ev := s.engine.events[s.seen]
	s.seen++
	switch {
	case trouble(ev) && (s.expected == nil || !s.expected(ev)):
		s.Fatalf("before %s: %s", what, ev.raw)
	case trouble(ev):
		s.Logf("  %s %s %s %s: %.160s%.200s", ev.Kind, ev.Wave, ev.Domain, ev.Step, ev.Reason, ev.Err)
	}
	return ev
}

// until waits for an event.
func (s *story) until(what string, within time.Duration, is func(told) bool) told {
	s.Helper()
	begun := time.Now()
	for {
		if ev := s.next(what, max(within-time.Since(begun), 0)); is(ev) {
			s.Logf("  %s, after %v", what, time.Since(begun).Round(100*time.Millisecond))
			return ev
		}
	}
}

// waits asks until there is no error.
func (s *story) waits(what string, within time.Duration, ask func() error) {
	s.Helper()
	if err := s.asks(within, ask); err != nil {
		s.Fatalf("in vain, for %v: %s: %v", within, what, err)
	}
}

// asks asks until there is no error, or the time is over.
func (s *story) asks(within time.Duration, ask func() error) error {
	s.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		s.alive()
		<-tick.C
	}
}

// messages waits until so many more messages were sent.
func (s *story) messages(n int) {
	s.Helper()
	until := s.mail.Sent() + n
	s.waits(fmt.Sprint(n, " more messages"), 3*time.Duration(n)*mailEvery+time.Minute, func() error {
		if now := s.mail.Sent(); now < until {
			return fmt.Errorf("%d of %d were sent", now, until)
		}
		return nil
	})
}

// A siteStatus is what status -o json says.
type siteStatus struct {
	Over      bool
	Waves     []struct{ Name, State string }
	Domains   []struct{ Domain, Wave, State, Reason string }
	Isolation struct{ State, Reason string }
}

func (s *story) status() (st siteStatus) {
	s.Helper()
	code, out, words := command(s.T, s.dir, "ip", s.at("status", "-o", "json")...)
	if code != 0 {
		s.Fatalf("status: exit code %d: %s", code, words)
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.Fatal(err)
	}
	return st
}
