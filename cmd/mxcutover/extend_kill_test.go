package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcutover/lab"
)

// TestKillWhileExtending ends the engine with SIGKILL at random moments around the
// extension of its plan: the migration is as it was or wholly extended, never
// anything else, and goes on to its end by the same command (P5).
func TestKillWhileExtending(t *testing.T) {
	t.Parallel()
	w, err := lab.Start(t.Context(), lab.Options{
		Domains: []lab.Domain{{Name: "choir.test"}, {Name: "museum.test", Messages: 5}}, SenderRate: -1, SpamRate: -1, Lag: 100 * time.Millisecond, TTL: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	cfg, err := w.WriteConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	setGateAuto(t, cfg)
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	bin := buildBinary(t)
	zones := func(list string) {
		t.Helper()
		all := "zones: [choir.test, museum.test]"
		if !strings.Contains(string(text), all) {
			t.Fatalf("no %q in\n%s", all, text)
		}
		if err := os.WriteFile(cfg, []byte(strings.Replace(string(text), all, "zones: ["+list+"]", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	do := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(bin, append([]string{"-c", cfg}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	first, more := filepath.Join(dir, "plan.jsonl"), filepath.Join(dir, "more.jsonl")
	zones("choir.test")
	do("plan", "--out", first)
	if _, err := runUntilNewStep(t, bin, cfg, first, map[string]bool{}); err != nil {
		t.Fatal(err)
	}
	zones("choir.test, museum.test")
	do("plan", "--extend", "--out", more)
	extended := 0
	for range 12 {
		n := killAfter(t, bin, cfg, more, time.Duration(rand.IntN(400))*time.Millisecond) //nolint:gosec // no secret
		switch {
		case n == 1 && extended == 0:
		case n == 2:
			extended++
		default:
			t.Fatalf("it has %d domains, after it was seen extended %d times", n, extended)
		}
	}
	for range 4 { // the steps, too
		if _, err := runUntilNewStep(t, bin, cfg, more, map[string]bool{}); err != nil {
			t.Fatal(err)
		}
	}
	do("run", "--plan", more, "--resume-waves")
	for _, d := range []string{"choir.test", "museum.test"} {
		if out := do("status", "--domain", d); !strings.Contains(out, d+" is settled") {
			t.Errorf("the end of %s: %s", d, out)
		}
	}
	if n := strings.Count(do("events"), `"kind":"extended"`); n != 1 {
		t.Errorf("the plan was extended %d times", n)
	}
}

// killAfter kills the engine after a while, and tells how many domains it left.
func killAfter(t *testing.T, bin, cfg, plan string, d time.Duration) int {
	t.Helper()
	c := exec.Command(bin, "-c", cfg, "run", "--plan", plan, "--progress", "none")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(d, func() { _ = c.Process.Kill() })
	defer late.Stop()
	_ = c.Wait() // killed
	out, err := exec.Command(bin, "-c", cfg, "status", "-o", "json").Output()
	var s struct{ Domains []struct{ Domain string } }
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return len(s.Domains)
}
