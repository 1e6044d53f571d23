package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/traffic"
)

// a diary is a directory of logs, and what a follower has read of them.
type diary struct {
	*testing.T
	dir string
	f   *follower
	got []string // queue ids
}

func newDiary(t *testing.T, globs ...string) *diary {
	t.Helper()
	d := &diary{T: t, dir: t.TempDir()}
	d.f = &follower{zone: time.UTC, emit: func(r *traffic.Record) { d.got = append(d.got, string(r.Queue[:6])) }}
	for _, g := range globs {
		d.f.globs = append(d.f.globs, filepath.Join(d.dir, g))
	}
	t.Cleanup(d.f.close)
	return d
}

// line is a message of Exim's log, by the first part of its id.
func line(id string) string {
	return "2026-11-25 18:43:07 " + id + "-00069C-1h <= a@b.example H=x [192.0.2.1] P=smtp S=305\n"
}

func (d *diary) write(name, text string) {
	d.Helper()
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.Fatal(err)
	}
}

func (d *diary) rename(from, to string) {
	d.Helper()
	if err := os.Rename(filepath.Join(d.dir, from), filepath.Join(d.dir, to)); err != nil {
		d.Fatal(err)
	}
}

// reads polls, and wants to have read just these since the last time.
func (d *diary) reads(want ...string) {
	d.Helper()
	d.got = nil
	if err := d.f.poll(d.Context()); err != nil {
		d.Fatal(err)
	}
	if !slices.Equal(d.got, want) {
		d.Errorf("read %q, want %q", d.got, want)
	}
}

func TestFollowRotation(t *testing.T) {
	t.Parallel()
	for _, globs := range [][]string{{"mainlog"}, {"mainlog*"}} {
		d := newDiary(t, globs...)
		if err := d.f.poll(t.Context()); err == nil || !strings.Contains(err.Error(), "no log is there") {
			t.Errorf("without a file: %v", err)
		}
		d.write("mainlog", line("aaaaa1")+line("aaaaa2")+line("aaaaa3")[:40])
		d.reads("aaaaa1", "aaaaa2")
		d.reads()
		d.write("mainlog", line("aaaaa3")[40:])
		d.reads("aaaaa3")
		// By name: the rest of the old file is read, then the new one.
		d.write("mainlog", line("aaaaa4"))
		d.rename("mainlog", "mainlog.1")
		d.write("mainlog", line("bbbbb1"))
		d.reads("aaaaa4", "bbbbb1")
		d.reads()
		// By copying and truncating, to less than before and to more.
		for _, n := range []int{1, 9} {
			if err := os.Truncate(filepath.Join(d.dir, "mainlog"), 0); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range n {
				want = append(want, fmt.Sprintf("ccccc%d", n-i))
				d.write("mainlog", line(want[i]))
			}
			d.reads(want...)
		}
		d.write("mainlog.2.gz", "compressed")
		d.reads()
		if n := len(d.f.files); n > 2 {
			t.Errorf("%d files are open", n)
		}
	}
}

// Rotated files that are there at the start are read first, the oldest before the
// others; a last line without its end is no part of the next file's first.
func TestFollowFromTheStart(t *testing.T) {
	t.Parallel()
	d := newDiary(t, "mail.log*", "*/mail.log")
	if err := os.Mkdir(filepath.Join(d.dir, "gw2"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"mail.log-20261124", "mail.log.1", "mail.log", "gw2/mail.log"} {
		d.write(name, line(fmt.Sprintf("aaaaa%d", i)))
		at := time.Now().Add(time.Duration(i-9) * time.Hour)
		if err := os.Chtimes(filepath.Join(d.dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	d.reads("aaaaa0", "aaaaa1", "aaaaa2", "aaaaa3")
	if len(d.f.logs) != 2 {
		t.Errorf("%d logs, want one a server", len(d.f.logs))
	}
	d.write("gw2/mail.log", strings.Repeat("x", 3*readBytes)+"\n"+line("bbbbb1"))
	d.reads("bbbbb1")
	if s := d.f.stats(); s.Lines != 6 || s.Long != 1 || s.Skipped != 1 {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.write("mail.log", line("bbbbb2"))
	if err := d.f.poll(ctx); err == nil {
		t.Error("it goes on though its time is over")
	}
	d.reads("bbbbb2")
}

func TestPictures(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	m := Mail{Messages: 20, Excess: 0.2, Quiet: 24 * time.Hour}
	usual := traffic.Counts{Accepted: 3000, Delivered: 2990, Bounced: 10, Rejected: 900, Known: 30}
	for name, c := range map[string]struct {
		now   traffic.Counts
		own   traffic.Counts
		lasts time.Duration
		want  string
	}{
		"as before":                            {now: traffic.Counts{Accepted: 100, Delivered: 99, Deferred: 4, Rejected: 30, Known: 1}, own: usual, want: "pass"},
		"few, and well":                        {now: traffic.Counts{Accepted: 2, Delivered: 2}, own: usual, want: "pass"},
		"a flood of guesses":                   {now: traffic.Counts{Accepted: 50, Delivered: 50, Rejected: 100000}, own: usual, want: "pass"},
		"known addresses refused":              {now: traffic.Counts{Accepted: 10, Delivered: 10, Rejected: 40, Known: 40}, own: usual, want: "fail"},
		"all refused":                          {now: traffic.Counts{Rejected: 25, Known: 25}, own: usual, want: "fail"},
		"few refused":                          {now: traffic.Counts{Accepted: 1, Delivered: 1, Rejected: 5, Known: 5}, own: usual, want: "warn"},
		"one refused":                          {now: traffic.Counts{Accepted: 2, Delivered: 2, Rejected: 1, Known: 1}, own: usual, want: "pass"},
		"as many refused as before":            {now: traffic.Counts{Accepted: 60, Delivered: 60, Known: 40, Rejected: 40}, own: traffic.Counts{Accepted: 600, Known: 400}, want: "pass"},
		"bounced behind the gateway":           {now: traffic.Counts{Accepted: 30, Delivered: 10, Bounced: 20}, own: usual, want: "fail"},
		"a few bounced":                        {now: traffic.Counts{Accepted: 30, Delivered: 27, Bounced: 3}, own: usual, want: "pass"},
		"stuck":                                {now: traffic.Counts{Accepted: 30, Delivered: 5, Deferred: 25}, own: usual, want: "warn"},
		"nothing yet":                          {own: usual, lasts: time.Minute, want: "unknown"},
		"nothing, where much is usual":         {own: usual, lasts: 25 * time.Hour, want: "warn"},
		"nothing, as usual":                    {own: traffic.Counts{Accepted: 3, Delivered: 3}, lasts: 25 * time.Hour, want: "pass"},
		"all refused, and no word from before": {now: traffic.Counts{Rejected: 500}, want: "warn"},
	} {
		p := picture{since: now, last: now.Add(time.Hour), lasts: max(c.lasts, time.Hour), now: c.now, own: c.own, all: usual}
		if c.own.Accepted > 0 {
			p.span = 30 * 24 * time.Hour
		} else {
			p.all = traffic.Counts{}
		}
		if c.lasts == time.Minute {
			p.lasts = c.lasts
		}
		if got, words := p.judge(m); string(got) != c.want {
			t.Errorf("%s: %s, want %s: %s", name, got, c.want, words)
		}
	}
	if got, words := (&picture{}).judge(m); got != "unknown" || !strings.Contains(words, "no mail at all") {
		t.Errorf("an empty log: %s, %s", got, words)
	}
}

// A gateway whose log has more names than there is room for has not said that a domain
// has no mail: it is not known.
func TestMailThatMayBeHidden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var b strings.Builder
	for i := range 1<<17 + 10 {
		fmt.Fprintf(&b, "2026-11-25 18:42:57 %06d-000000-00 <= a@s.test H=x [192.0.2.1] P=smtp S=3 for x@%d.wild.test\n", i, i)
	}
	b.WriteString("2026-11-25 18:42:58 zzzzzz-000000-00 <= a@s.test H=x [192.0.2.1] P=smtp S=3 for x@zone.test y@below.zone.test\n")
	path := filepath.Join(dir, "mainlog")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Checker{Settings: Settings{Now: time.Now, Mail: Mail{Gateway: []string{path}, Zone: time.UTC, Domains: []string{"zone.test.", "wild.test."}}}}
	for domain, known := range map[string]bool{"zone.test": true, "7.wild.test": true, "below.zone.test": false, "*.wild.test": true} {
		p, err := c.logs.picture(t.Context(), c, domain, time.Time{})
		if (err == nil) != known || known && p.now.Accepted == 0 {
			t.Errorf("%s: %+v, %v", domain, p.now, err)
		}
	}
}
