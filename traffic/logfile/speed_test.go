package logfile

import (
	"bytes"
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
