package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mxcutover/rrset"
)

// A fileBed is a folder with a master file, and a reload that notes its calls.
type fileBed struct{ dir, path string }

func newFileBed(t *testing.T, text string) fileBed {
	t.Helper()
	b := fileBed{dir: t.TempDir()}
	b.path = filepath.Join(b.dir, "db.example.test")
	b.write(t, "db.example.test", text)
	b.write(t, "reload", "printf '%s %s\\n' \"$1\" \"$2\" >>reloads\n")
	return b
}

func (b fileBed) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// text is a file's; "" if there is none.
func (b fileBed) text(name string) string {
	text, _ := os.ReadFile(filepath.Join(b.dir, name))
	return string(text)
}

func (b fileBed) script(name string) command {
	return command{"/bin/sh", filepath.Join(b.dir, name), "{zone}", "{file}"}
}

func (b fileBed) open(t *testing.T, change ...func(*zonefileSettings)) Provider {
	t.Helper()
	p, err := Open("zonefile", func(into any) error {
		s := into.(*zonefileSettings)
		s.File, s.Reload, s.Serial = filepath.Join(b.dir, "db.{zone}"), b.script("reload"), serialCounter
		for _, f := range change {
			f(s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b fileBed) leftovers(t *testing.T) (out []string) {
	t.Helper()
	for _, name := range must(filepath.Glob(filepath.Join(b.dir, ".*"))) {
		if strings.HasSuffix(name, "-new") {
			out = append(out, name)
		}
	}
	return out
}

const fileText1 = fileHead + "m MX 10 old.example.net. ; mail\nw A 127.0.0.1\n"

func toGateway(name string) rrset.Change {
	return rrset.Change{Zone: siteZone, Before: mx(name, 3600, oldMX), After: mx(name, 300, gwMX)}
}

func TestZonefileReplace(t *testing.T) {
	t.Parallel()
	b := newFileBed(t, fileText1)
	link := filepath.Join(b.dir, "db.linked.test")
	if err := os.Symlink("db.example.test", link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(b.path, time.Now().Add(time.Hour), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	was := must(os.Stat(b.path))
	p := b.open(t, func(s *zonefileSettings) { s.Files = map[string]string{"example.test": link} })
	r, err := Replace(t.Context(), p, toGateway("m"))
	if err != nil || !r.Written || !r.Got.Equal(mx("m", 300, gwMX)) || r.Clamped {
		t.Fatalf("%+v, %v", r, err)
	}
	want := strings.NewReplacer("ns h 7", "ns h 8", "m MX 10 old", "m 300 MX 10 gw").Replace(fileText1)
	if got := b.text("db.example.test"); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if got := b.text("reloads"); got != "example.test "+b.path+"\n" {
		t.Errorf("reloads: %q", got)
	}
	if to, err := os.Readlink(link); err != nil || to != "db.example.test" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if is := must(os.Stat(b.path)); is.Mode() != was.Mode() || !is.ModTime().After(was.ModTime()) {
		t.Errorf("mode %v, time %v; was %v, %v", is.Mode(), is.ModTime(), was.Mode(), was.ModTime())
	}
	if r, err = Replace(t.Context(), p, toGateway("m")); err != nil || r.Written || len(b.leftovers(t)) > 0 {
		t.Errorf("again: %+v, %v; left %v", r, err, b.leftovers(t))
	}
}

// Somebody else saves the file after we have read it, and before ours is in place.
func TestZonefileForeignEdit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit string
		err  error
		want string
	}{
		"of another record": {"echo 'x A 127.0.0.9' >>db.example.test", nil, "x A 127.0.0.9"},
		"of the same":       {"sed -i 's/old.example/other.example/' db.example.test", ErrDrifted, "other.example"},
		"that is broken":    {"echo 'x (' >>db.example.test", nil, "x ("},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFileBed(t, fileText1)
			b.write(t, "check", "[ -e edited ] || { touch edited; "+c.edit+"; }\n")
			_, err := Replace(t.Context(), b.open(t, func(s *zonefileSettings) { s.Check = b.script("check") }), toGateway("m"))
			text := b.text("db.example.test")
			switch {
			case name == "that is broken":
				if err == nil || strings.Contains(text, "gw.example") {
					t.Errorf("%v\n%s", err, text)
				}
			case !errors.Is(err, c.err) || (err == nil) != strings.Contains(text, "gw.example"):
				t.Errorf("%v, want %v\n%s", err, c.err, text)
			}
			if !strings.Contains(text, c.want) || len(b.leftovers(t)) > 0 {
				t.Errorf("left %v, and the file is\n%s", b.leftovers(t), text)
			}
		})
	}
}

func TestZonefileRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		make  func(t *testing.T, b fileBed)
		set   func(b fileBed, s *zonefileSettings)
		says  string
		works bool
	}{
		"signed":        {text: fileText1 + "m RRSIG MX 8 3 3600 20260101000000 20250101000000 1 example.test. AA==\n", says: "signs: true"},
		"signed anew":   {text: fileText1 + "m NSEC w MX\n", set: func(_ fileBed, s *zonefileSettings) { s.Signs = true }, works: true},
		"a journal":     {make: func(t *testing.T, b fileBed) { b.write(t, "db.example.test.jnl", "x") }, says: "kind rfc2136"},
		"its journal":   {make: func(t *testing.T, b fileBed) { b.write(t, "db.example.test.jnl", "x") }, set: func(_ fileBed, s *zonefileSettings) { s.Journal = true }, works: true},
		"hard links":    {make: func(t *testing.T, b fileBed) { _ = os.Link(b.path, b.path+"2") }, says: "2 names"},
		"no file":       {make: func(_ *testing.T, b fileBed) { os.Remove(b.path) }, says: "is not there"},
		"a folder":      {make: func(_ *testing.T, b fileBed) { os.Remove(b.path); _ = os.Mkdir(b.path, 0o700) }, says: "no regular file"},
		"no SOA":        {text: "$TTL 1h\nm MX 10 old.example.net.\n", says: "0 SOA records"},
		"refused text":  {make: func(t *testing.T, b fileBed) { b.write(t, "check", "echo not good >&2; exit 1\n") }, set: func(b fileBed, s *zonefileSettings) { s.Check = b.script("check") }, says: "not good"},
		"no such check": {set: func(b fileBed, s *zonefileSettings) { s.Check = command{filepath.Join(b.dir, "none")} }, says: "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.text == "" {
				c.text = fileText1
			}
			b := newFileBed(t, c.text)
			if c.make != nil {
				c.make(t, b)
			}
			_, err := Replace(t.Context(), b.open(t, func(s *zonefileSettings) {
				if c.set != nil {
					c.set(b, s)
				}
			}), toGateway("m"))
			if c.works {
				if err != nil || !strings.Contains(b.text("db.example.test"), "gw.example") {
					t.Errorf("%v\n%s", err, b.text("db.example.test"))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrInDoubt) || errors.Is(err, ErrLied) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if strings.Contains(b.text("db.example.test"), "gw.example") || b.text("reloads") != "" || len(b.leftovers(t)) > 0 {
				t.Errorf("something was written: %q, %v", b.text("reloads"), b.leftovers(t))
			}
		})
	}
}

// A reload that failed is owed, and run again by whoever comes next.
func TestZonefileReloadFails(t *testing.T) {
	t.Parallel()
	b := newFileBed(t, fileText1)
	b.write(t, "reload", "echo the server is down >&2; [ -e up ] && echo \"$1\" >>reloads\n")
	p := b.open(t)
	_, err := Replace(t.Context(), p, toGateway("m"))
	if !errors.Is(err, ErrHalf) || !errors.Is(err, ErrTransient) || !strings.Contains(err.Error(), "the server is down") || !strings.Contains(b.text("db.example.test"), "gw.example") {
		t.Fatalf("%v\n%s", err, b.text("db.example.test"))
	}
	if _, err := Replace(t.Context(), p, toGateway("m")); !errors.Is(err, ErrHalf) || !errors.Is(err, ErrTransient) {
		t.Errorf("the second try: %v", err)
	}
	b.write(t, "up", "")
	for range 2 {
		r, err := Replace(t.Context(), b.open(t), toGateway("m"))
		if err != nil || r.Written || b.text("reloads") != "example.test\n" {
			t.Errorf("%+v, %v, reloads %q; want one", r, err, b.text("reloads"))
		}
	}
}

// Programs that know nothing of each other change many records of one file.
func TestZonefileCrowd(t *testing.T) {
	t.Parallel()
	text := fileHead
	for i := range 20 {
		text += fmt.Sprintf("m%d MX 10 old.example.net.\n", i)
	}
	b := newFileBed(t, text)
	var group sync.WaitGroup
	for i := range 20 {
		p := b.open(t)
		group.Go(func() {
			if r, err := Replace(t.Context(), p, toGateway(fmt.Sprintf("m%d", i))); err != nil || !r.Written {
				t.Errorf("m%d: %+v, %v", i, r, err)
			}
		})
	}
	group.Wait()
	if got := b.text("db.example.test"); strings.Count(got, "gw.example") != 20 || !strings.Contains(got, "ns h 27 ") {
		t.Errorf("the file is\n%s", got)
	}
	if n := strings.Count(b.text("reloads"), "\n"); n != 20 {
		t.Errorf("%d reloads", n)
	}
}

func TestZonefileLocked(t *testing.T) {
	t.Parallel()
	b := newFileBed(t, fileText1)
	l, err := lockFile(t.Context(), b.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Replace(ctx, b.open(t), toGateway("m")); !errors.Is(err, ErrTransient) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("%v", err)
	}
	l.release()
	if r, err := Replace(t.Context(), b.open(t), toGateway("m")); err != nil || !r.Written {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestZonefileChild is the process that TestZonefileKilled kills.
func TestZonefileChild(t *testing.T) {
	dir := os.Getenv("MXCUTOVER_TEST_ZONEFILE")
	if dir == "" {
		t.Skip("it is started by TestZonefileKilled")
	}
	b := fileBed{dir, filepath.Join(dir, "db.example.test")}
	r, err := Replace(t.Context(), b.open(t, func(s *zonefileSettings) { s.Check = b.script("check") }), toGateway("m"))
	t.Logf("%+v, %v", r, err)
}

// A process that is killed leaves the old file or the new one, and the next one
// comes to the same end: the record is changed, and the reload was run.
func TestZonefileKilled(t *testing.T) {
	t.Parallel()
	const waits = "echo $$ >here.tmp; mv here.tmp here; while :; do sleep 0.01; done\n"
	for at, written := range map[string]bool{"check": false, "reload": true} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := newFileBed(t, fileText1)
			b.write(t, "check", "")
			calls := b.text("reload")
			b.write(t, at, waits)
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestZonefileChild$", "-test.v") //nolint:gosec // this test itself
			child.Env = append(os.Environ(), "MXCUTOVER_TEST_ZONEFILE="+b.dir)
			var said bytes.Buffer
			child.Stdout, child.Stderr = &said, &said
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			for b.text("here") == "" {
				if child.ProcessState != nil || t.Context().Err() != nil {
					t.Fatalf("it ended: %s", &said)
				}
				time.Sleep(time.Millisecond) // a look at the file, not a pace
			}
			_ = child.Process.Kill()
			_ = child.Wait()
			// What it started is not killed with it.
			pid, err := strconv.Atoi(strings.TrimSpace(b.text("here")))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(b.text("db.example.test"), "gw.example"); got != written {
				t.Fatalf("written: %v\n%s", got, b.text("db.example.test"))
			}
			if owed := must(reloadOwed(b.path)); owed != written {
				t.Errorf("a reload is owed: %v, want %v", owed, written)
			}
			b.write(t, "check", "")
			b.write(t, "reload", calls)
			if r, err := Replace(t.Context(), b.open(t), toGateway("m")); err != nil || r.Written == written {
				t.Fatalf("%+v, %v", r, err)
			}
			if got := b.text("db.example.test"); !strings.Contains(got, "gw.example") || !strings.Contains(got, "ns h 8 ") || len(b.leftovers(t)) > 0 {
				t.Errorf("left %v, and the file is\n%s", b.leftovers(t), got)
			}
			if b.text("reloads") == "" || must(reloadOwed(b.path)) {
				t.Errorf("the reload was not run: %q", b.text("reloads"))
			}
		})
	}
}
