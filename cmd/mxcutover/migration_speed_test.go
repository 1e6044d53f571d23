//go:build bench

package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/lab"
)

// TestSpeedMigration moves many domains by the real binary in the embedded world, from
// the inventory until each has its original TTL again: how long that takes for a domain,
// apart from caches and soak. MANY_DOMAINS is how many, 10000 unless told, each a zone of
// its own.
func TestSpeedMigration(t *testing.T) {
	n := numberOf(t, "MANY_DOMAINS", 10_000)
	bin, dir := buildBinary(t), t.TempDir()
	o := lab.Options{Dir: dir, TTL: 3 * time.Second, Lag: -1, SpamRate: -1}
	for i := range n {
		o.Domains = append(o.Domains, lab.Domain{Name: fmt.Sprintf("d%d.test", i), Messages: uint64(i % 997)})
	}
	w, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cfg := manyMove(t, w, dir)
	fmt.Printf("%d domains, each a zone of its own\n", n)
	for _, args := range [][]string{{"inventory"}, {"plan"}, {"run", "--exit-when-held"}} {
		measured(t, bin, append([]string{"-c", cfg}, args...)...)
	}
	events, err := exec.CommandContext(t.Context(), bin, "-c", cfg, "events").Output()
	if err != nil {
		t.Fatal(err)
	}
	times := stepTimes(string(events))
	if len(times.of) != n {
		t.Fatalf("the journal tells of %d domains", len(times.of))
	}
	var each []time.Duration
	all := 0 * time.Second
	for _, steps := range times.of {
		sum := 0 * time.Second
		for _, d := range steps {
			sum += d
		}
		each, all = append(each, sum), all+sum
	}
	busy := times.busy()
	fmt.Printf("  apart from TTL and soak: %v each (%v when any step was under way); one domain's steps, among others, %v on average, p95 %v\n",
		(busy / time.Duration(n)).Round(10*time.Microsecond), busy.Round(time.Second), (all / time.Duration(n)).Round(time.Millisecond), quantile(each, 0.95).Round(time.Millisecond))
	for _, k := range slices.Sorted(maps.Keys(times.kinds)) {
		fmt.Printf("  step %-12s %v for one domain\n", k, (times.kinds[k] / time.Duration(n)).Round(time.Millisecond))
	}
	if err := w.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if a := w.Accounts(); a.Accepted == 0 || a.Lost+a.Doubled+a.Bounced > 0 {
		t.Errorf("mail: %+v", a)
	} else {
		fmt.Printf("  mail: %d accepted, %d delivered, %d lost, %d doubled, %d bounced\n", a.Accepted, a.Delivered, a.Lost, a.Doubled, a.Bounced)
	}
}

// manyMove writes the lab's configuration, without a person: each wave follows the one
// before, none is limited by how gently a real gateway is asked for unknown recipients,
// and the old server stays open.
func manyMove(t *testing.T, w *lab.World, dir string) string {
	t.Helper()
	path, err := w.WriteConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	isolate := false
	for line := range strings.Lines(string(text)) {
		if isolate = strings.HasPrefix(line, "isolate:") || isolate && strings.HasPrefix(line, " "); isolate {
			continue
		}
		for old, instead := range map[string]string{"growth: 2,": "growth: 4,", "approve: manual,": "approve: auto,", "  failures: 2\n": "  failures: 3\n  random_per_hour: 100000000\n", "timeout: 10s": "timeout: 60s"} {
			line = strings.ReplaceAll(line, old, instead)
		}
		b.WriteString(line)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"growth: 4", "approve: auto", "random_per_hour"} {
		if !strings.Contains(b.String(), want) {
			t.Fatalf("the lab's configuration is another one:\n%s", text)
		}
	}
	return path
}

// measured runs the binary to its end and prints what that took.
func measured(t *testing.T, bin string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), bin, args...)
	c.Dir = filepath.Dir(args[1]) // the plan is written there
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	c.Stderr = said
	begun := time.Now()
	if err := c.Run(); err != nil {
		words, _ := os.ReadFile(said.Name())
		var troubles []string
		for line := range strings.Lines(string(words)) {
			if strings.Contains(line, "✖") && len(troubles) < 20 {
				troubles = append(troubles, line)
			}
		}
		t.Fatalf("%v: %v\n%s%s", args, err, strings.Join(troubles, ""), words[max(0, len(words)-1000):])
	}
	used := c.ProcessState.SysUsage().(*syscall.Rusage) //nolint:forcetypeassert // so it is on each system that we measure on
	cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	fmt.Printf("  %-30s %6.1f s, of processors %6.1f s, %5d MB resident\n", strings.Join(args[2:], " "), time.Since(begun).Seconds(), cpu.Seconds(), used.Maxrss>>10)
}
