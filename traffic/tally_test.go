package traffic

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// samples are lines of the logs of one format.
func samples(t testing.TB, name string) (out [][]byte) {
	t.Helper()
	logs, err := filepath.Glob("testdata/" + name + "*.log")
	if err != nil || len(logs) == 0 {
		t.Fatal("no logs", err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
		out = append(out, bytes.Split(text, []byte{'\n'})...)
	}
	return out
}

// read hands the records of a log of testdata on.
func read(t *testing.T, name string, emit func(*Record)) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".log")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLog(Options{Now: now}, emit)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Read(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func TestTallyOfRealLogs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]Counts{
		// What the clients of these runs did, by hand: see testdata/README.md.
		"exim-16-pid":   {"choir.example": {Accepted: 4, Delivered: 4, Rejected: 1, Postponed: 1}, "bakery.example": {Accepted: 3, Delivered: 3}, "slow.example": {Accepted: 1, Deferred: 1}, "bounce.example": {Accepted: 1, Bounced: 1}},
		"exim-23":       {"choir.example": {Accepted: 4, Delivered: 4, Rejected: 1, Postponed: 1}, "*.example": {Accepted: 9, Delivered: 7, Deferred: 1, Bounced: 1, Rejected: 2, Postponed: 1}},
		"postfix-short": {"choir.example": {Accepted: 4, Delivered: 4, Rejected: 2, Postponed: 1}, "slow.example": {Accepted: 1, Deferred: 1}, "bounce.example": {Accepted: 1, Deferred: 1, Bounced: 1}},
		"postfix-long":  {"choir.example": {Accepted: 1, Delivered: 1, Rejected: 1}, "bakery.example": {Accepted: 1, Delivered: 1}, "bounce.example": {Accepted: 1, Bounced: 1}, "sender.example": {}},
	} {
		var tally Tally
		read(t, name, tally.Add)
		for domain, c := range want {
			if got := tally.Between(domain, time.Time{}, time.Time{}); got != c {
				t.Errorf("%s, %s: %+v, want %+v", name, domain, got, c)
			}
		}
	}
}

func record(at time.Time, e Event, to string) *Record {
	return &Record{At: at, Event: e, Origin: Outside, Queue: []byte("q"), Recipient: []byte(to), First: true}
}

func TestTallyByTime(t *testing.T) {
	t.Parallel()
	tally := Tally{Wanted: func(d []byte) bool { return !bytes.HasSuffix(d, []byte("foreign")) }, Skip: func(r *Record) bool { return string(r.Sender) == "probe" }, Known: NewAddresses()}
	tally.Known.Add([]byte("Info@A.test"))
	for i := range 24 * 60 {
		tally.Add(record(now.Add(time.Duration(i)*time.Minute), Delivered, "x@A.Test."))
	}
	tally.Add(record(now, Delivered, "x@foreign"))
	probe := record(now, Delivered, "x@a.test")
	probe.Sender = []byte("probe")
	tally.Add(probe)
	for to, why := range map[string]string{"info@a.test": "550 5.1.1 no", "nobody@a.test": "550 5.1.1 no", "INFO@a.test": "550 5.7.1 blocked by zen.example"} {
		r := record(now.Add(time.Hour), Rejected, to)
		r.Status = []byte(why)
		tally.Add(r)
	}
	if got, want := tally.Between("a.test.", time.Time{}, time.Time{}), (Counts{Accepted: 1440, Delivered: 1440, Rejected: 3, Known: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	half := tally.Between("a.test", now.Add(12*time.Hour), time.Time{})
	if half.Delivered < 720 || half.Delivered > 800 || len(tally.domains["a.test"].spans) > maxSpans {
		t.Errorf("the second half: %+v in %d spans", half, len(tally.domains["a.test"].spans))
	}
	if got := tally.Between("a.test", time.Time{}, now.Add(12*time.Hour)); got.Delivered+half.Delivered < 1440 || got.Delivered > 800 {
		t.Errorf("the first half: %+v", got)
	}
	if got := tally.Total(time.Time{}, time.Time{}); got.Delivered != 1440 || !tally.First.Equal(now) || !tally.Last.Equal(now.Add(1439*time.Minute)) {
		t.Errorf("%+v from %s to %s", got, tally.First, tally.Last)
	}
}

// Names that only spammers use make room for those that have mail.
func TestTallyIsBounded(t *testing.T) {
	t.Parallel()
	var tally Tally
	tally.Add(record(now, Delivered, "x@real.test"))
	for i := range maxDomains + 5000 {
		tally.Add(record(now, Rejected, fmt.Sprintf("x@%d.spam.test", i)))
	}
	tally.Add(record(now, Delivered, "x@late.test"))
	if len(tally.domains) > maxDomains || tally.Left == 0 {
		t.Errorf("%d domains, %d left out", len(tally.domains), tally.Left)
	}
	for _, d := range []string{"real.test", "late.test"} {
		if c := tally.Between(d, time.Time{}, time.Time{}); c.Delivered != 1 {
			t.Errorf("%s: %+v", d, c)
		}
	}
}

// Names that somebody makes up below a domain that takes any take no room without
// bound, and no time, and hide none that matters.
func TestAcceptedNamesAreBounded(t *testing.T) {
	t.Parallel()
	tally := Tally{Always: func(d []byte) bool { return string(d) == "late.test" || string(d) == "quiet.test" }}
	tally.Add(record(now, Rejected, "x@quiet.test"))
	for i := range maxDomains + 5000 { // minutes, if room is looked for each time
		tally.Add(record(now, Delivered, fmt.Sprintf("x@%d.wild.test", i)))
	}
	tally.Add(record(now, Delivered, "x@late.test"))
	if len(tally.domains) > maxDomains+1 || tally.Left != 5001 || tally.Others.Delivered != 5001 {
		t.Errorf("%d domains, %d left out, %+v", len(tally.domains), tally.Left, tally.Others)
	}
	for _, d := range []string{"late.test", "quiet.test", "0.wild.test"} {
		if c := tally.Between(d, time.Time{}, time.Time{}); c.Delivered+c.Rejected != 1 {
			t.Errorf("%s: %+v", d, c)
		}
	}
}

func TestRecipientsAreRanked(t *testing.T) {
	t.Parallel()
	r := Recipients{Wanted: func(d []byte) bool { return string(d) == "a.test" }}
	for to, n := range map[string]int{"Often@a.test": 3, "often@A.TEST": 2, "once@a.test": 1, "x@other.test": 9, "nobody": 4, "@a.test": 1} {
		for range n {
			r.Add(record(now, Delivered, to))
		}
	}
	for range 7 {
		r.Add(record(now, Rejected, "unknown@a.test"))
	}
	again := record(now, Delivered, "once@a.test")
	again.First = false
	for range 9 {
		r.Add(again)
	}
	if got, want := r.Ranked(), []string{"often@a.test", "once@a.test", "unknown@a.test"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range maxRanked + 10 {
		r.Add(record(now, Rejected, fmt.Sprintf("%d@a.test", i)))
	}
	if got := r.Ranked(); len(got) > maxRanked || got[0] != "often@a.test" {
		t.Errorf("%d, first %q", len(got), strings.Join(got[:2], " "))
	}
}

func TestNobody(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		"550 5.1.1 <x@y>: Recipient address rejected: User unknown in relay recipient table": true,
		"Unrouteable address": true, "relay not permitted": true, "554 5.7.1 <x@y>: Relay access denied": true, "Unknown user": true,
		"550 5.7.1 Service unavailable; client [192.0.2.66] blocked using zen.example": false, "this message contains malware": false, "550 5.1.8 sender's domain": false,
	} {
		if Nobody([]byte(status)) != want {
			t.Errorf("%q: %v", status, !want)
		}
	}
}
