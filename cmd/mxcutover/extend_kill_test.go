package main

import (
	"math/rand/v2"
	"os"
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
	a := newAlone(t, lab.Options{Domains: []lab.Domain{{Name: "choir.test"}, {Name: "museum.test", Messages: 5}}, Lag: 100 * time.Millisecond, TTL: 2 * time.Second}, true)
	text, err := os.ReadFile(a.cfg)
	if err != nil {
		t.Fatal(err)
	}
	zones := func(list string) {
		t.Helper()
		all := "zones: [choir.test, museum.test]"
		if !strings.Contains(string(text), all) {
			t.Fatalf("no %q in\n%s", all, text)
		}
		if err := os.WriteFile(a.cfg, []byte(strings.Replace(string(text), all, "zones: ["+list+"]", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more := filepath.Join(filepath.Dir(a.plan), "more.jsonl")
	zones("choir.test")
	a.do("plan", "--out", a.plan)
	if _, err := a.runUntilNewStep(a.plan, map[string]bool{}); err != nil {
		t.Fatal(err)
	}
	zones("choir.test, museum.test")
	a.do("plan", "--extend", "--out", more)
	extended := 0
	for range 12 {
		n := a.killAfter(more, time.Duration(rand.IntN(400))*time.Millisecond) //nolint:gosec // no secret
		switch {
		case n == 1 && extended == 0:
		case n == 2:
			extended++
		default:
			t.Fatalf("it has %d domains, after it was seen extended %d times", n, extended)
		}
	}
	for range 4 { // the steps, too
		if _, err := a.runUntilNewStep(more, map[string]bool{}); err != nil {
			t.Fatal(err)
		}
	}
	a.do("run", "--plan", more, "--resume-waves")
	for _, d := range []string{"choir.test", "museum.test"} {
		if out := a.do("status", "--domain", d); !strings.Contains(out, d+" is settled") {
			t.Errorf("the end of %s: %s", d, out)
		}
	}
	if n := strings.Count(a.do("events"), `"kind":"extended"`); n != 1 {
		t.Errorf("the plan was extended %d times", n)
	}
}

// killAfter kills the engine after a while, and tells how many domains it left.
func (a *alone) killAfter(plan string, d time.Duration) int {
	a.Helper()
	c := a.command("run", "--plan", plan, "--progress", "none")
	if err := c.Start(); err != nil {
		a.Fatal(err)
	}
	late := time.AfterFunc(d, func() { _ = c.Process.Kill() })
	defer late.Stop()
	_ = c.Wait() // killed
	var s struct{ Domains []struct{ Domain string } }
	a.json(&s, "status", "-o", "json")
	return len(s.Domains)
}
