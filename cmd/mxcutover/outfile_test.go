package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWriteWhole: a file is there whole, or as it was; what a killed process left
// beside it does not stay, and a link beside it leads nowhere.
func TestWriteWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, victim := filepath.Join(dir, "x.prom"), filepath.Join(dir, "victim")
	say := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, werr := io.WriteString(w, text)
			return errors.Join(werr, err)
		}
	}
	for _, path := range []string{victim, filepath.Join(dir, ".x.prom.new")} {
		if err := os.WriteFile(path, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeWhole(file, true, say("one", nil)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, ".x.prom.new")); err != nil {
		t.Fatal(err)
	}
	if err := writeWhole(file, true, say("two", nil)); err != nil {
		t.Fatal(err)
	}
	if err := writeWhole(file, true, say("half", errors.New("no space"))); err == nil {
		t.Error("a write that failed is no error")
	}
	for path, want := range map[string]string{file: "two", victim: "left"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("%d files are left: %v", len(list), err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("node_exporter cannot read it: %v, %v", info.Mode(), err)
	}
	if err := writeWhole(filepath.Join(dir, "nowhere", "x"), false, say("x", nil)); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

func TestParseWhen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"": {}, "24h": now.AddDate(0, 0, -1), "2026-03-01": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "2026-03-01T22:00:00Z": time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC),
	} {
		if got, err := parseWhen("--since", in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "-5m", "2026-13-01", "1.3.2026"} {
		if _, err := parseWhen("--since", in, now); codeOf(err) != codeUsage {
			t.Errorf("%q: %v", in, err)
		}
	}
}
