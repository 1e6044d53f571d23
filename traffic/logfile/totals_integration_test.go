//go:build integration

package logfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mxcutover/traffic"
)

// Totals of a log, as reports have them.
type totals struct{ received, delivered, bounced, rejected, postponed int }

func (n totals) plus(o totals) totals {
	return totals{n.received + o.received, n.delivered + o.delivered, n.bounced + o.bounced, n.rejected + o.rejected, n.postponed + o.postponed}
}

// countedAll is a log as reports count it: all mail, whoever sent it, and refusals. What the
// server itself made is received mail to eximstats, and is not to pflogsumm.
func countedAll(t *testing.T, path string, own bool) (n totals) {
	t.Helper()
	messages := map[string]bool{}
	_, err := Read(t.Context(), []string{path}, Options{Zone: time.UTC, Records: func(r *traffic.Record) {
		if r.Event == traffic.Accepted || own && r.Origin == traffic.Internal {
			messages[string(r.Queue)] = true
		}
		switch r.Event {
		case traffic.Delivered:
			n.delivered++
		case traffic.Bounced:
			n.bounced++
		case traffic.Rejected:
			n.rejected++
		case traffic.Deferred:
			if len(r.Queue) == 0 {
				n.postponed++
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	n.received = len(messages)
	return n
}

// reported are numbers in what a report says, each behind or before its mark.
func reported(t *testing.T, program string, args []string, marks ...string) (out []int) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path = filepath.Join("/var/cache/mxcutover/exim/usr/sbin", program)
	}
	text, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v; scripts/servers installs it\n%s", program, err, text)
	}
	for _, mark := range marks {
		n := 0 // of some marks there is no line then
		if found := regexp.MustCompile(`(?m)^ *` + mark).FindSubmatch(text); found != nil {
			if n, err = strconv.Atoi(string(found[1])); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, n)
	}
	if out[0] == 0 {
		t.Fatalf("%s has seen nothing:\n%s", program, text)
	}
	return out
}

// TestIntegrationTotals counts logs of real servers, and made ones, beside eximstats and
// pflogsumm. All differences are those that docs/logs.md explains.
func TestIntegrationTotals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, format := range []string{"exim", "postfix"} {
		f, err := os.Create(filepath.Join(dir, format+"-made.log"))
		if err != nil {
			t.Fatal(err)
		}
		if err := makeLog(f, format, 4<<20, 500); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path, differ := range map[string]totals{
		"../testdata/exim-16.log":              {},
		"../testdata/exim-16-pid.log":          {rejected: 1}, // a server that refused Exim's connection
		"../testdata/exim-all.log":             {},
		filepath.Join(dir, "exim-made.log"):    {},
		"../testdata/postfix-short.log":        {},
		"../testdata/postfix-long.log":         {received: 3, delivered: 3}, // handed to a filter, and handed back
		"../testdata/postfix-real.log":         {},
		filepath.Join(dir, "postfix-made.log"): {},
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			exim := strings.HasPrefix(filepath.Base(path), "exim")
			ours := countedAll(t, path, exim)
			var theirs totals
			if exim {
				n := reported(t, "eximstats", []string{"-nt", "-nr", "-ne", "-h0", path}, `Received +\w+ +(\d+)`, `Delivered +\w+ +\d+ +(\d+)`, `Rejects +(\d+)`, `Temp Rejects +(\d+)`)
				theirs = totals{received: n[0], delivered: n[1], bounced: ours.bounced, rejected: n[2], postponed: n[3]} // it counts messages that bounced
			} else {
				n := reported(t, "pflogsumm", []string{path}, `(\d+) +received`, `(\d+) +delivered`, `(\d+) +bounced`, `(\d+) +rejected`)
				theirs = totals{n[0], n[1], n[2], n[3] - ours.postponed, ours.postponed} // it counts both together
			}
			if ours.plus(differ) != theirs {
				t.Errorf("ours %+v, theirs %+v, of which %+v differ", ours, theirs, differ)
			}
		})
	}
}
