package providers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		argv command
		says string
	}{
		"good":      {command{"sh", "-c", "exit 0"}, ""},
		"output":    {command{"sh", "-c", "echo a; echo b >&2; exit 3"}, "exit status 3: a b"},
		"long":      {command{"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; exit 1"}, "xxx"},
		"time":      {command{"sh", "-c", "sleep 1000 & echo $! >pid; wait"}, "did not end within"},
		"clean":     {command{"sh", "-c", "env; exit 1"}, "LANG=C.UTF-8"},
		"not there": {command{"none-of-this-name"}, "executable file not found"},
		"value":     {command{"sh", "-c", "echo \"$0\"; exit 1", "{zone}"}, "exit status 1: a b; $(c)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := time.Minute
			if name == "time" {
				limit = 2 * time.Second // the child must have begun
			}
			err := c.argv.run(t.Context(), dir, map[string]string{"{zone}": "a b; $(c)"}, limit)
			if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || len(err.Error()) > 1000) {
				t.Errorf("%.1200v, want %q", err, c.says)
			}
			if name == "time" {
				var pid int
				_, _ = fmt.Sscan(string(must(os.ReadFile(filepath.Join(dir, "pid")))), &pid)
				for end := time.Now().Add(20 * time.Second); pid == 0 || syscall.Kill(pid, 0) == nil && !zombie(pid); {
					if time.Now().After(end) { // it was told to end, and that takes a moment
						t.Fatalf("its child %d lives on", pid)
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for _, argv := range []command{{"x", "-{zone}"}, {"{zone}"}, {""}, {"x", "{other}"}} {
		if err := argv.check("reload", "{zone}", "{file}"); err == nil {
			t.Errorf("%q was taken", argv)
		}
	}
}

// zombie tells whether a process has ended and nobody has asked how.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
