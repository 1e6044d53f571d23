package logfile

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// BenchmarkRead reads 64 MB of a log, by all processors.
func BenchmarkRead(b *testing.B) {
	for _, format := range []string{"exim", "postfix"} {
		b.Run(format, func(b *testing.B) {
			var text bytes.Buffer
			if err := makeLog(&text, format, 64<<20, 5000); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Read(b.Context(), []string{"-"}, Options{Stdin: bytes.NewReader(text.Bytes()), Zone: time.UTC, Now: noon}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMillion reads a log of a million recipient domains and tells what stays in
// memory.
func BenchmarkMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range 1_000_000 {
		_, _ = w.WriteString(message(noon, i, fmt.Sprintf("x@d%d.example", i)))
	}
	if err := w.Flush(); err != nil || f.Close() != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got, err := Read(b.Context(), []string{path}, Options{Zone: time.UTC})
		if err != nil || got.Len() != 1_000_000 {
			b.Fatal(got.Len(), err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/1e6, "MB-of-system")
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-kept")
		runtime.KeepAlive(got)
	}
}
