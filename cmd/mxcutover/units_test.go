package main

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const unitsFolder = "../../packaging/systemd"

// unitKeys reads a unit's keys; of one that stands twice all values, in order.
func unitKeys(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(unitsFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			out[key] = append(out[key], value)
		}
	}
	return out
}

var services = []string{"mxcutover@.service", "mxcutover-rollback@.service", "mxcutover-verify@.service"}

// TestUnitsRunCommands: what units start are commands with flags that there are.
func TestUnitsRunCommands(t *testing.T) {
	t.Parallel()
	for _, name := range services {
		line := unitKeys(t, name)["ExecStart"][0]
		args := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(line, "/usr/bin/mxcutover "), "%i", "gateway-2026"))
		root := newRoot(&streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
		c, rest, err := root.Find(args)
		if err != nil || c == root {
			t.Errorf("%s: %s: %v", name, line, err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%s: %s: %v", name, line, err)
		}
	}
}

// TestUnitsAreOne: whatever the engine can do, its rollback can: the same user, folders,
// credentials and sandbox; and it is not started again where that helps nobody.
func TestUnitsAreOne(t *testing.T) {
	t.Parallel()
	engine := unitKeys(t, services[0])
	own := []string{
		"Description", "Documentation", "After", "Type", "ExecStart", "Restart", "RestartSec", "RestartPreventExitStatus", "SuccessExitStatus", "WatchdogSec",
		"TimeoutStartSec", "StartLimitIntervalSec", "StartLimitBurst", "WantedBy",
	}
	for _, name := range services[1:] {
		other := unitKeys(t, name)
		for key := range maps.Keys(engine) {
			if !slices.Contains(own, key) && !slices.Equal(engine[key], other[key]) {
				t.Errorf("%s: %s is %q, and the engine's is %q", name, key, other[key], engine[key])
			}
		}
		if other["WantedBy"] != nil || other["Type"][0] != "oneshot" {
			t.Errorf("%s is started by itself", name)
		}
	}
	var codes []string
	for _, code := range []int{codePerson, codeBusy, codeRefused, codeUsage} {
		codes = append(codes, strconv.Itoa(code))
	}
	if got := engine["RestartPreventExitStatus"][0]; got != strings.Join(codes, " ") {
		t.Errorf("not started again at %s, want %s", got, codes)
	}
	if got := engine["SuccessExitStatus"][0]; got != strconv.Itoa(codeInterrupted) {
		t.Errorf("no failure: %s", got)
	}
	if engine["Type"][0] != "notify" || engine["ProtectClock"] != nil || !slices.Contains(engine["SystemCallFilter"], "adjtimex") {
		t.Error("the engine tells when it is ready, and must read the kernel's clock state")
	}
}

// TestUnitsVerify lets systemd read the units.
func TestUnitsVerify(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("could not check: no systemd-analyze here")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "mxcutover")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob(filepath.Join(unitsFolder, "*@.*"))
	if err != nil || len(units) != 4 {
		t.Fatalf("%v, %v", units, err)
	}
	for _, path := range units {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.ReplaceAll(string(text), "/usr/bin/mxcutover", bin))
		for _, instance := range []string{"", "g"} {
			name := strings.Replace(filepath.Base(path), "@.", "@"+instance+".", 1)
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, path := range units {
		c := exec.Command("systemd-analyze", "verify", "--man=no", "./"+strings.Replace(filepath.Base(path), "@.", "@g.", 1))
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}
