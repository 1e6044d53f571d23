package logfile

import (
	"bytes"
	"testing"
	"time"

	"mxcutover/traffic"
)

// BenchmarkPart reads one part of a log again and again, on one processor: parse, join
// and count.
func BenchmarkPart(b *testing.B) {
	for _, format := range []string{"exim", "postfix"} {
		b.Run(format, func(b *testing.B) {
			var text bytes.Buffer
			if err := makeLog(&text, format, 8<<20, 5000); err != nil {
				b.Fatal(err)
			}
			lines := bytes.Count(text.Bytes(), []byte{'\n'})
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			o := traffic.Options{Format: format, Zone: time.UTC, Now: noon}
			var t traffic.Table
			var p *traffic.Part
			for b.Loop() {
				l, err := traffic.NewLog(o, nil)
				if err != nil {
					b.Fatal(err)
				}
				t.Reset()
				p = l.Part(o, t.Add, p)
				p.Read(text.Bytes())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/line")
		})
	}
}
