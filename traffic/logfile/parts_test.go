package logfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"mxcutover/traffic"
)

// serially reads a log as one reader does.
func serially(t interface{ Fatal(...any) }, text []byte) (*traffic.Table, traffic.Stats, int) {
	table := &traffic.Table{Zone: time.UTC}
	l, err := traffic.NewLog(traffic.Options{Zone: time.UTC, Now: noon}, table.Add)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Read(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return table, l.Stats, l.Under()
}

func same(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, text []byte, segment, workers int,
) {
	want, stats, _ := serially(t, text)
	got, err := Read(context.Background(), []string{"-"}, Options{Stdin: bytes.NewReader(text), Zone: time.UTC, Now: noon, Segment: segment, Workers: workers})
	if err != nil && stats.Parsed > 0 {
		t.Fatal(err)
	}
	if got.Stats != stats || !reflect.DeepEqual(got.Ranked(), want.Ranked()) || !got.First().Equal(want.First()) || !got.Last().Equal(want.Last()) {
		t.Fatalf("segments of %d bytes, %d workers:\n%+v %s\nwant\n%+v %s\nof\n%.3000s", segment, workers, got.Stats, shown(got.Table), stats, shown(want), text)
	}
}

func shown(t *traffic.Table) string {
	var b strings.Builder
	for _, d := range t.Ranked() {
		fmt.Fprintf(&b, "\n%+v", *d)
	}
	return b.String()
}

// realLines are lines of the logs of real servers.
func realLines(t testing.TB, name string) (lines []string) {
	t.Helper()
	logs, err := filepath.Glob("../testdata/" + name)
	if err != nil || len(logs) == 0 {
		t.Fatal("no logs", err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.SplitAfter(string(text), "\n")...)
	}
	return lines
}

// However a log is cut and by how many it is read, what comes out is what one reader
// gets: of real logs, and of such whose lines were moved, doubled and dropped.
func TestPartsAreAsTheWhole(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"exim-16.log", "exim-odd.log", "exim-syslog.log", "exim-23.log", "postfix-*.log", "postfix-odd.log", "sendmail-*.log", "mixed.log", "journald.log", "exchange.log"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := realLines(t, name)
			for _, n := range []int{1, 80, 300, 1000, 1 << 20} {
				same(t, []byte(strings.Join(lines, "")), n, 3)
			}
			rapid.Check(t, func(t *rapid.T) {
				from := rapid.IntRange(0, len(lines)-1).Draw(t, "from")
				some := lines[from:min(len(lines), from+rapid.IntRange(1, 40).Draw(t, "lines"))]
				picked := rapid.SliceOfN(rapid.IntRange(0, len(some)-1), 1, 60).Draw(t, "picked")
				var text strings.Builder
				if rapid.Bool().Draw(t, "in order") {
					for range 2 {
						text.WriteString(strings.Join(some, ""))
					}
				}
				for _, i := range picked {
					text.WriteString(some[i])
				}
				same(t, []byte(text.String()), rapid.IntRange(1, 3000).Draw(t, "segment"), rapid.IntRange(1, 4).Draw(t, "workers"))
			})
		})
	}
}

// Few ids, Message-IDs and peers, so that they meet in every way.
func TestPartsOfTangledLogs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		for range rapid.IntRange(1, 60).Draw(t, "lines") {
			id, next, mid := pick("id", "AAAAA1", "AAAAA2", "AAAAA3", "AAAAA4"), pick("next", "AAAAA1", "AAAAA2", "AAAAA3", "AAAAA4"), pick("mid", "m1@x", "m2@x", "m3@x")
			peer := pick("peer", "192.0.2.1", "127.0.0.1", "127.0.0.1")
			to := pick("to", "a@one.example", "b@one.example", "c@two.example")
			b.WriteString("Nov 25 17:41:00 gw postfix/x[1]: " + pick("line",
				id+": client=c["+peer+"]", id+": client=c["+peer+"]", id+": client=c["+peer+"], orig_queue_id="+next,
				id+": message-id=<"+mid+">", id+": message-id=<"+mid+">", id+": from=<s@x>, size=7, nrcpt=1 (queue active)",
				id+": to=<"+to+">, relay=r, dsn=2.0.0, status=sent (250 ok queued as "+next+")", id+": to=<"+to+">, relay=r, dsn=2.0.0, status=sent (250 ok)",
				id+": to=<"+to+">, relay=r, dsn=4.0.0, status=deferred (no)", id+": removed", id+": removed", id+": uid=0 from=<s>",
				id+": sender non-delivery notification: "+next, "NOQUEUE: reject: RCPT from c[192.0.2.1]: 550 5.1.1 no; from=<s@x> to=<"+to+"> proto=ESMTP") + "\n")
		}
		same(t, []byte(b.String()), rapid.IntRange(1, 2000).Draw(t, "segment"), rapid.IntRange(1, 4).Draw(t, "workers"))
	})
}

// Two messages of one Message-ID, and a filter that hands the first one back: which one
// that is must not depend on where the log was cut.
func TestPartsWithOneMessageID(t *testing.T) {
	t.Parallel()
	const (
		first  = "XXXXX1: client=c[192.0.2.1]\nXXXXX1: message-id=<m@x>\n"
		second = "MMMMM1: client=c[192.0.2.2]\nMMMMM1: message-id=<m@x>\n"
		back   = "YYYYY1: client=c[127.0.0.1]\nYYYYY1: message-id=<m@x>\n"
		end    = ": to=<a@one.example>, relay=r, dsn=2.0.0, status=sent (250 ok)\n"
	)
	for _, text := range []string{first + second + "XXXXX1" + end + back + "YYYYY1" + end, first + second + back + "MMMMM1" + end + "YYYYY1" + end, first + "XXXXX1" + end + second + back + "YYYYY1" + end, "XXXXX1: uid=0 from=<s>\nXXXXX1: client=c[192.0.2.1]\nXXXXX1: removed\nXXXXX1" + end} {
		text = "Nov 25 17:41:00 gw postfix/x[1]: " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\nNov 25 17:41:00 gw postfix/x[1]: ") + "\n"
		for n := 1; n <= len(text); n++ {
			same(t, []byte(text), n, 2)
		}
	}
}

// Half a line, where a file is cut off, names nobody.
func TestHalfALine(t *testing.T) {
	t.Parallel()
	one := message(noon, 1, "x@choir.example")
	half, _, _ := strings.Cut(message(noon, 2, "x@half.example"), "example\n")
	for _, n := range []int{7, 100, 1 << 20} {
		in := io.MultiReader(strings.NewReader(one+half), iotest.ErrReader(io.ErrUnexpectedEOF))
		got, err := Read(t.Context(), []string{"-"}, Options{Stdin: in, Zone: time.UTC, Segment: n})
		if err != nil || got.Lines != 3 || got.Len() != 1 || got.Files[0].Err == nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// The same of Sendmail, whose messages are seldom over, and whose lines have several
// recipients; Postfix's stand among them.
func TestPartsOfTangledSendmail(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		for range rapid.IntRange(1, 60).Draw(t, "lines") {
			id, next, mid := pick("id", "AAAAA1", "AAAAA2", "AAAAA3", "AAAAA4"), pick("next", "AAAAA1", "AAAAA2", "AAAAA3", "AAAAA4"), pick("mid", "m1@x", "m2@x", "m3@x")
			peer := pick("peer", "c [192.0.2.1]", "localhost [127.0.0.1]", "localhost [127.0.0.1]", "root@localhost")
			to := pick("to", "<a@one.example>", "<b@one.example>,<c@two.example>", "x@two.example, ctladdr=<a@one.example> (8/0)", "root, ctladdr=s@x (0/0)")
			arrival := id + ": from=<s@x>, size=7, class=0, nrcpts=1, msgid=<" + mid + ">, proto=ESMTP, daemon=MTA, relay=" + peer
			b.WriteString("Nov 25 17:41:00 gw " + pick("line", "sm-mta[1]: "+arrival, "sm-mta[1]: "+arrival, "sendmail[1]: "+id+": to="+to+", mailer=relay, dsn=2.0.0, stat=Sent ("+next+" Message accepted for delivery)",
				"sm-mta[1]: "+id+": to="+to+", mailer=esmtp, dsn=2.0.0, stat=Sent", "sm-mta[1]: "+id+": to="+to+", mailer=esmtp, dsn=4.0.0, stat=Deferred: no", "sm-mta[1]: "+id+": "+next+": DSN: User unknown",
				"sm-mta[1]: "+id+": "+next+": clone: owner=o", "sm-mta[1]: "+id+": done; delay=1", "sm-mta[1]: "+id+": <a@one.example>... User unknown", "sm-mta[1]: "+id+": to="+to+", delay=0, stat=Spam",
				"postfix/x[1]: "+id+": client=c[127.0.0.1]", "postfix/x[1]: "+id+": message-id=<"+mid+">", "sshd[1]: session opened") + "\n")
		}
		same(t, []byte(b.String()), rapid.IntRange(1, 2000).Draw(t, "segment"), rapid.IntRange(1, 4).Draw(t, "workers"))
	})
}

// Lines that are too long, without an end, with odd ends and none at all.
func TestCuts(t *testing.T) {
	t.Parallel()
	one := message(noon, 1, "x@choir.example")
	long := strings.Repeat("x", 3*traffic.MaxLine)
	for _, text := range []string{
		one + long + "\n" + one, long + "\n" + one, one + long, one + one[:100], one + "\n\r\n\n" + strings.ReplaceAll(one, "\n", "\r\n"),
		one + long[:traffic.MaxLine] + "\n" + one, one + long[:traffic.MaxLine+1] + "\n" + one, one + long[:traffic.MaxLine-1] + "\r\n" + one, "\n\n" + one,
	} {
		for _, n := range []int{1, 7, 100, traffic.MaxLine - 1, traffic.MaxLine, traffic.MaxLine + 1, traffic.MaxLine + 2, 1 << 20} {
			if n < 100 && len(text) > 1000 {
				n += 1000
			}
			same(t, []byte(text), n, 2)
		}
	}
}
