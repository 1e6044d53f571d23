//go:build integration

package firewall

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hindered is local in a file system of its own, in which something was done before.
func (h *hosts) hindered(t *testing.T, dir, before string) *NFT {
	t.Helper()
	d, err := openLocal(Settings{
		Command:  []string{"ip", "netns", "exec", h.old.Name, "env", "TMPDIR=" + dir, "dir=" + dir, "unshare", "-m", "sh", "-c", before + "; exec \"$@\"", "sh"},
		BootFile: h.boot, Unit: filepath.Join(filepath.Dir(h.boot), "isolate.service"), Window: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*NFT)
}

// The ports are opened though the old server's disk is full, or lets nothing be removed.
// Then it is told that the next boot closes them again, until a lift comes through.
func TestIntegrationLiftOnABadDisk(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	full := h.hindered(t, t.TempDir(), `mount -t tmpfs -o size=4k none "$dir" && ! head -c 100000 /dev/zero 2>/dev/null >"$dir/full"`)
	fixed := h.hindered(t, filepath.Dir(h.boot), `mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir"`)
	for name, d := range map[string]*NFT{"full": full, "read-only": fixed} {
		r := rulesFor()
		if err := h.driver.Apply(t.Context(), r, until(time.Minute)); err != nil {
			t.Fatal(name, err)
		}
		if err := h.driver.Apply(t.Context(), r, time.Time{}); err != nil {
			t.Fatal(name, err)
		}
		if err := h.driver.Keep(t.Context(), r); err != nil {
			t.Fatal(name, err)
		}
		h.closed(t, h.outside, "192.0.2.1:25")
		err := d.Apply(t.Context(), Rules{}, time.Time{})
		h.open(t, h.outside, "192.0.2.1:25")
		_, there := os.Stat(h.boot)
		switch {
		case d == full && (err != nil || !os.IsNotExist(there)):
			t.Errorf("full: %v, boot file: %v", err, there)
		case d == fixed && (err == nil || !strings.Contains(err.Error(), "the ports are open now") || there != nil):
			t.Errorf("read-only: %v, boot file: %v", err, there)
		}
		if err := h.driver.Apply(t.Context(), Rules{}, time.Time{}); err != nil {
			t.Error(name, err)
		}
		if _, err := os.Stat(h.boot); !os.IsNotExist(err) {
			t.Error(name, "the boot file is left:", err)
		}
	}
}

// The rules can be read, renewed, confirmed and lifted while the sets of refused sources
// hold very many, as after a flood.
func TestIntegrationLongSets(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	r := rulesFor()
	if err := h.driver.Apply(t.Context(), r, until(10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	const many = 10_000
	var b strings.Builder
	for v, source := range map[string]func(i int) string{
		"4": func(i int) string { return fmt.Sprintf("203.%d.%d.113", i>>8, i&255) },
		"6": func(i int) string { return fmt.Sprintf("2001:db8:aaaa:bbbb:cccc:dddd:eeee:%x", i) },
	} {
		for i := range many {
			switch {
			case i%500 > 0:
				b.WriteString(", ")
			case i > 0:
				b.WriteString(" }\n")
				fallthrough
			default:
				fmt.Fprintf(&b, "add element inet mxcutover blocked%s { ", v)
			}
			fmt.Fprintf(&b, "%s . 465 counter packets 1000000 bytes 60000000", source(i))
		}
		b.WriteString(" }\n")
	}
	if err := h.old.Rules(b.String()); err != nil {
		t.Fatalf("%.500s", err)
	}
	if seen, err := h.driver.Seen(t.Context()); err != nil || len(seen) != 2*many {
		t.Errorf("%d seen, %v", len(seen), err)
	}
	for _, step := range []struct {
		r     Rules
		until time.Time
	}{{r, until(10 * time.Minute)}, {r, time.Time{}}, {}} {
		if err := h.driver.Apply(t.Context(), step.r, step.until); err != nil {
			t.Error(err)
		}
		if have, _, err := h.driver.Loaded(t.Context()); err != nil || len(have.Ports) != len(step.r.Ports) {
			t.Errorf("%+v, %v", have, err)
		}
	}
}

// Who confirms while somebody else lifts leaves nothing behind that the next boot would
// load.
func TestIntegrationKeptOfNothing(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.local(t)
	_, err := d.ask(t.Context(), "boot", best.bootText(rulesFor()))
	if err == nil || !strings.Contains(err.Error(), "nothing is closed any more") {
		t.Error(err)
	}
	if _, err := os.Stat(h.boot); !os.IsNotExist(err) {
		t.Error("the boot file is there:", err)
	}
}
