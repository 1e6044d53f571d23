package traffic

import (
	"bytes"
	"testing"
)

// BenchmarkLog reads the logs of real runs again and again: parse, join and count.
func BenchmarkLog(b *testing.B) {
	for _, name := range []string{"exim-16-pid", "postfix-short", "sendmail-8.17", "journald", "exchange"} {
		b.Run(name, func(b *testing.B) {
			text := bytes.Repeat(samples(b, name)[0], 1000)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var tally Tally
				l, err := NewLog(Options{Now: now}, tally.Add)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Read(bytes.NewReader(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
