package traffic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestLinesAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine+7)
	text := "one\r\n\n" + long + "\n" + long[:MaxLine] + "\nlast"
	want := []string{"one", "", long[:MaxLine], long[:MaxLine], "last"}
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text)), "by halves": iotest.HalfReader(strings.NewReader(text)),
	} {
		var got []string
		l := Lines{Each: func(b []byte) { got = append(got, string(b)) }}
		if err := l.read(r); err != nil || l.Long != 1 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %d lines, %d too long, %v", name, len(got), l.Long, err)
		}
	}
}

// endless is a line that never ends.
type endless int

func (e *endless) Read(p []byte) (int, error) {
	if *e -= endless(len(p)); *e < 0 {
		return 0, io.EOF
	}
	copy(p, bytes.Repeat([]byte{'x'}, len(p)))
	return len(p), nil
}

func TestAnEndlessLineTakesNoRoom(t *testing.T) {
	t.Parallel()
	l, err := NewLog(Options{}, func(*Record) { t.Error("a record") })
	if err != nil {
		t.Fatal(err)
	}
	e := endless(64 << 20)
	if err := l.Read(&e); err != nil || l.Lines != 1 || l.Long != 1 || l.Skipped != 1 || cap(l.lines.part) > 4*MaxLine {
		t.Errorf("%v %+v, room for %d", err, l.Stats, cap(l.lines.part))
	}
	broken := errors.New("broken")
	if err := l.Read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A line that is written in parts is one line; one whose file is gone is dropped.
func TestLogIsWrittenInParts(t *testing.T) {
	t.Parallel()
	n := 0
	l, err := NewLog(Options{Format: "exim"}, func(*Record) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	line := "2026-11-25 18:43:07 1xWH1P-00069C-1h <= a@b.example H=x [192.0.2.1] P=smtp S=305\n"
	for _, part := range []string{line[:30], line[30:], line[:40]} {
		_, _ = io.WriteString(l, part)
	}
	l.Drop()
	_, _ = io.WriteString(l, strings.ReplaceAll(line, "1h", "1i"))
	if n != 2 || l.Skipped != 0 {
		t.Errorf("%d records, %+v", n, l.Stats)
	}
	if _, err := NewLog(Options{Format: "eximm"}, nil); err == nil || !strings.Contains(err.Error(), "exchange, exim, journald, postfix") {
		t.Error(err)
	}
}

func TestYears(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ now, line, want string }{
		{"2026-01-02", "Dec 31 23:00:00 h postfix/x: y", "2025-12-31"},
		{"2026-01-02", "Jan  2 23:00:00 h postfix/x: y", "2026-01-02"},
		{"2025-12-31", "Jan  1 00:30:00 h postfix/x: y", "2026-01-01"},
		{"2026-11-25", "Feb 29 00:30:00 h postfix/x: y", "2024-02-29"},
	} {
		now, err := time.Parse(time.DateOnly, c.now)
		if err != nil {
			t.Fatal(err)
		}
		h, ok := syslog([]byte(c.line), &clock{now: now.Add(12 * time.Hour), zone: time.UTC})
		if got := h.at.Format(time.DateOnly); !ok || got != c.want {
			t.Errorf("%s, read on %s: %s, want %s", c.line, c.now, got, c.want)
		}
	}
}

// However many messages are begun and never ended, few are remembered.
func TestMessagesUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	l, err := NewLog(Options{}, func(*Record) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxOpen {
		fmt.Fprintf(l, "2026-11-25 18:43:07 %06d-%06d-00 <= a@b.example H=x [192.0.2.1] P=smtp S=305 id=%d@x\n", i/1000, i%1000, i)
	}
	if l.Under() > maxOpen || l.Under() < maxOpen/2 || l.join.byID.n > maxOpen {
		t.Errorf("%d messages, %d ids", l.Under(), l.join.byID.n)
	}
	long := strings.Repeat("x", MaxLine-200)
	for _, format := range [...]string{"<= %s@b.example H=x [192.0.2.1] P=smtp", "<= a@b.example H=x [192.0.2.1] P=esmtpa A=plain:%s S=1"} {
		fmt.Fprintf(l, "2026-11-25 18:43:07 999999-999998-00 "+format+"\n", long)
		if m := l.join.find(nil, []byte("999999-999998-00")); m == nil || cap(m.sender)+cap(m.user) > 4*maxText {
			t.Errorf("what is kept of %s: %+v", format, m)
		}
	}
	var all strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&all, " r%d@b.example", i)
	}
	fmt.Fprintf(l, "2026-11-25 18:43:07 999999-999999-00 <= a@b.example H=x [192.0.2.1] P=smtp S=305 for%s\n", all.String())
	if n := len(l.join.find(nil, []byte("999999-999999-00")).to.each); n != maxNamed {
		t.Errorf("%d recipients of one message", n)
	}
}

// A record of Exchange that never ends takes no room, and is told.
func TestOpenQuotesAreBounded(t *testing.T) {
	t.Parallel()
	n := 0
	l, err := NewLog(Options{Now: now}, func(*Record) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	header, record := "#Fields: date-time,event-id,internal-message-id,recipient-address\n", "2026-11-25T17:42:01Z,DELIVER,%d,x@choir.example\n"
	fmt.Fprintf(l, header+record+"2026-11-25T17:42:01Z,DELIVER,2,\"x\n", 1)
	for range 3 * MaxLine {
		_, _ = io.WriteString(l, "y\n")
	}
	if fmt.Fprintf(l, record, 2); n != 2 {
		t.Error("nothing is read after it")
	}
	x := &exchange{}
	x.parse([]byte(strings.TrimSpace(header)), &l.clock, &entry{})
	for range 3 * MaxLine {
		x.parse([]byte("2026,DELIVER,2,\"x"), &l.clock, &entry{})
	}
	if n != 2 || l.Skipped < 2*MaxLine || cap(x.open) > 4*MaxLine {
		t.Errorf("%d records, %+v, room for %d", n, l.Stats, cap(x.open))
	}
	l.File(now)
	fmt.Fprintf(l, record, 3)
	if n != 2 || l.Format() != "" {
		t.Errorf("the columns of another file: %d records, %s", n, l.Format())
	}
	fmt.Fprintf(l, header+record+"2026-11-25T17:42:01Z,DELIVER,2,\""+strings.Repeat("z", MaxLine)+"\n"+record, 4, 5) // is cut
	if n != 4 {
		t.Errorf("%d records, %+v", n, l.Stats)
	}
}

func FuzzExim(f *testing.F)     { fuzz(f, "exim", "exim", parseExim) }
func FuzzPostfix(f *testing.F)  { fuzz(f, "postfix", "postfix", parseSyslog) }
func FuzzSendmail(f *testing.F) { fuzz(f, "sendmail", "sendmail", parseSyslog) }

// fuzz wants that no line does harm, and that a record's texts are of bounded size.
func fuzz(f *testing.F, logs, name string, parse func([]byte, *clock, *entry) bool) {
	f.Helper()
	for _, line := range samples(f, logs) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := NewLog(Options{Format: name, Now: now}, func(r *Record) {
			if len(r.Status) > maxStatus || len(r.Recipient) > MaxLine || r.Size < 0 || r.Event == 0 || r.First && r.Again {
				t.Errorf("%+v", r)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		tally := Tally{}
		emit := l.emit
		l.emit = func(r *Record) { emit(r); tally.Add(r) }
		for range 2 { // the second time all ids are known
			if err := l.Read(bytes.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
		if l.Parsed+l.Skipped != l.Lines {
			t.Errorf("%+v", l.Stats)
		}
		before := string(text)
		parse(text, &clock{now: now, zone: time.UTC}, &entry{})
		if string(text) != before {
			t.Error("the line was changed")
		}
	})
}
func FuzzSyslog(f *testing.F)   { fuzz(f, "mixed", "syslog", parseSyslog) }
func FuzzJournald(f *testing.F) { fuzz(f, "journald", "journald", parseJournald) }
func FuzzExchange(f *testing.F) { fuzz(f, "exchange", "exchange", (&exchange{}).parse) }
