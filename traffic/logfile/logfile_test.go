package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// message is one message in Exim's log, from its arrival to its end.
func message(at time.Time, id int, to string) string {
	t := at.Format(time.DateTime)
	q := fmt.Sprintf("1x%04d-%06d-0a", id%10000, id)
	return fmt.Sprintf("%s %s <= a@sender.example H=c [192.0.2.68] P=esmtp S=1000 id=%d@c for %s\n%s %s => %s R=all T=smtp H=gw [192.0.2.3] C=\"250 Ok\"\n%s %s Completed\n", t, q, id, to, t, q, to, t, q)
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t *testing.T, text string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll([]byte(text), nil)
}

// packed asks a program of the machine; nil = it is not there.
func packed(t *testing.T, text string, program ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(program[0]); err != nil {
		return nil
	}
	c := exec.CommandContext(t.Context(), program[0], program[1:]...)
	c.Stdin = strings.NewReader(text)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilesOfEveryKind(t *testing.T) {
	t.Parallel()
	text := message(noon, 1, "x@choir.example")
	for kind, data := range map[string][]byte{
		"": []byte(text), "gzip": gzipped(t, text), "zstd": zstded(t, text), "xz": packed(t, text, "xz", "-c"), "bzip2": packed(t, text, "bzip2", "-c"),
	} {
		if data == nil {
			t.Logf("%s: no such program here", kind)
			continue
		}
		path := filepath.Join(t.TempDir(), "mainlog.gz") // whatever its name says
		write(t, path, append(bytes.Clone(data), data...))
		got, err := Read(t.Context(), []string{path}, Options{Zone: time.UTC})
		if err != nil || got.Files[0].Err != nil || got.Files[0].Kind != kind || got.Files[0].Format != "exim" || got.Lines != 6 || got.Get("choir.example").Messages != 2 {
			t.Errorf("%s: %+v, %v", kind, got.Files, err)
		}
	}
}

// What a file that was cut off held counts, but for the line in which it ends.
func TestCutOffFiles(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 2000 {
		text.WriteString(message(noon, i, fmt.Sprintf("x@%d.example", i*7919)))
	}
	for kind, data := range map[string][]byte{"gzip": gzipped(t, text.String()), "xz": packed(t, text.String(), "xz", "-c"), "bzip2": packed(t, text.String(), "bzip2", "-1", "-c"), "zstd": packed(t, text.String(), "zstd", "-c")} {
		if data == nil {
			t.Logf("%s: no such program here", kind)
			continue
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "cut.log"), data[:len(data)*3/4])
		write(t, filepath.Join(dir, "whole.log"), []byte(message(noon, 1, "x@choir.example")))
		got, err := Read(t.Context(), []string{dir}, Options{Zone: time.UTC})
		if err != nil || got.Get("choir.example").Messages != 1 {
			t.Fatalf("%s: %+v %v", kind, got, err)
		}
		cut := got.Files[0]
		if !errors.Is(cut.Err, io.ErrUnexpectedEOF) || !strings.Contains(cut.Err.Error(), "cut off") {
			t.Errorf("%s: %v", kind, cut.Err)
		}
		if kind == "gzip" && cut.Lines < 4000 {
			t.Errorf("only %d lines of the first three quarters", cut.Lines)
		}
		for _, d := range got.Ranked() {
			if !strings.HasSuffix(d.Name, ".example") {
				t.Errorf("%s: half a line became %s", kind, d.Name)
			}
		}
	}
}

// Rotated files are one log, in the order of their times, whatever their names say.
func TestRotatedFilesAreOneLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := strings.SplitAfter(message(noon, 1, "x@choir.example"), "\n")
	write(t, filepath.Join(dir, "mainlog"), []byte(m[2]))
	write(t, filepath.Join(dir, "mainlog.1"), []byte(m[1]))
	write(t, filepath.Join(dir, "mainlog.2.gz"), gzipped(t, m[0]))
	for name, at := range map[string]int{"mainlog": 2, "mainlog.1": 1, "mainlog.2.gz": 0} {
		path := filepath.Join(dir, name)
		text := strings.Replace(m[at], "12:00:00", fmt.Sprintf("12:00:0%d", at), 1)
		if strings.HasSuffix(name, ".gz") {
			write(t, path, gzipped(t, text))
		} else {
			write(t, path, []byte(text))
		}
		if err := os.Chtimes(path, noon, noon.Add(-time.Duration(at)*time.Hour)); err != nil { // the newest was written to longest ago
			t.Fatal(err)
		}
	}
	for _, paths := range [][]string{{dir}, {filepath.Join(dir, "main*")}, {filepath.Join(dir, "mainlog"), filepath.Join(dir, "mainlog.1"), filepath.Join(dir, "*")}} {
		got, err := Read(t.Context(), paths, Options{Zone: time.UTC})
		if err != nil || len(got.Files) != 3 || filepath.Base(got.Files[0].Path) != "mainlog.2.gz" || filepath.Base(got.Files[2].Path) != "mainlog" {
			t.Fatalf("%q: %+v, %v", paths, got, err)
		}
		d := got.Get("choir.example")
		if d == nil || d.Messages != 1 || d.Delivered != 1 || d.Bytes != 1000 {
			t.Errorf("%q: %+v", paths, d)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, junk, empty := filepath.Join(dir, "good.log"), filepath.Join(dir, "junk.log"), filepath.Join(dir, "empty.log")
	write(t, good, []byte(message(noon, 1, "x@choir.example")))
	write(t, junk, []byte("one\ntwo\x1b[31m\nthree\n"))
	write(t, empty, nil)
	got, err := Read(t.Context(), []string{good, filepath.Join(dir, "none"), junk, "-", filepath.Join(dir, "*.gz")}, Options{Samples: 2})
	if err != nil || len(got.Files) != 5 || got.Skipped != 3 || got.Lines != 6 {
		t.Fatalf("%+v, %v", got, err)
	}
	faults := 0
	for _, f := range got.Files {
		if f.Err != nil {
			faults++
		}
		if f.Path == junk && (len(f.Samples) != 2 || f.Samples[1] != "two\x1b[31m" || f.Format != "") {
			t.Errorf("%+v", f)
		}
	}
	if faults != 3 {
		t.Errorf("%d faults: %+v", faults, got.Files)
	}
	for want, paths := range map[string][]string{"none of the 3 lines": {junk}, "the logs are empty": {empty}, "no such file": {dir + "/none"}} {
		if _, err := Read(t.Context(), paths, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", paths, err, want)
		}
	}
	if _, err := Read(t.Context(), []string{good}, Options{Format: "exam"}); err == nil || !strings.Contains(err.Error(), "exim") {
		t.Error(err)
	}
	got, err = Read(t.Context(), []string{"-"}, Options{Stdin: strings.NewReader(message(noon, 1, "x@choir.example"))})
	if err != nil || got.Get("choir.example").Messages != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestReadingEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := Read(ctx, []string{"-"}, Options{Stdin: r})
		done <- err
	}()
	if _, err := io.WriteString(w, message(noon, 1, "x@choir.example")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A file that unpacks to more than any log does, or wants more memory, is given up and
// says so.
func TestBombs(t *testing.T) {
	t.Parallel()
	var bomb, wide bytes.Buffer
	for b, n := range map[*bytes.Buffer]int{&bomb: freeOfRatio/(1<<20) + 2, &wide: 1} {
		options := []zstd.EOption{zstd.WithEncoderConcurrency(1)}
		if b == &wide {
			options = append(options, zstd.WithWindowSize(2*maxWindow))
		}
		z, err := zstd.NewWriter(b, options...)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if _, err := z.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				_ = z.Flush()
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for want, b := range map[string]*bytes.Buffer{"more than 1000 times": &bomb, "a window above 128 MiB": &wide} {
		path := filepath.Join(t.TempDir(), "log")
		write(t, path, b.Bytes())
		got, err := Read(t.Context(), []string{path}, Options{})
		if err == nil || got.Files[0].Err == nil || !strings.Contains(got.Files[0].Err.Error(), want) {
			t.Errorf("%d bytes: %+v, %v; want %s", b.Len(), got.Files, err, want)
		}
	}
}
