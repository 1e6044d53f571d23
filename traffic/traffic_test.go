package traffic

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)

// shown is a record as the golden files have it.
func shown(r *Record) string {
	out := fmt.Sprintf("%s %-9s %-9s %s", r.At.UTC().Format("2006-01-02T15:04:05.000"), r.Event, r.Origin, r.Queue)
	sender := "?"
	if r.Sender != nil {
		sender = "<" + string(r.Sender) + ">"
	}
	out += fmt.Sprintf(" %s -> <%s> %d", sender, r.Recipient, r.Size)
	if r.Peer.IsValid() {
		out += " [" + r.Peer.String() + "]"
	}
	for word, is := range map[string]bool{"first": r.First && !r.Again, "again": r.Again} {
		if is {
			out += " " + word
		}
	}
	if len(r.Status) > 0 {
		out += " | " + string(r.Status)
	}
	return out
}

// readAll reads a log whole.
func readAll(t *testing.T, o Options, text []byte) ([]string, Stats) {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = now
	}
	var out []string
	l, err := NewLog(o, func(r *Record) { out = append(out, shown(r)) })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Read(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return out, l.Stats
}

// TestLogs reads logs that real servers wrote, and odd ones; see testdata/README.md.
func TestLogs(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob("testdata/*.log")
	if err != nil || len(logs) < 7 {
		t.Fatal(logs, err)
	}
	for _, path := range logs {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			zone := time.UTC
			if strings.Contains(path, "exim") {
				zone = berlin
			}
			records, stats := readAll(t, Options{Zone: zone}, text)
			if stats.Parsed+stats.Skipped != stats.Lines || stats.Lines != uint64(bytes.Count(text, []byte("\n"))) {
				t.Errorf("%+v", stats)
			}
			got := strings.Join(records, "\n") + fmt.Sprintf("\nlines %d, skipped %d\n", stats.Lines, stats.Skipped)
			golden := strings.TrimSuffix(path, ".log") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("got\n%s\nwant\n%s\n%v", got, want, err)
			}
		})
	}
}
