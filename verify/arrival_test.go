package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testArrivals watch the places of settings.
func testArrivals(s Settings) *arrivals {
	s.From, s.Now = "mxprobe@probe.example", time.Now
	return newArrivals(s)
}

func testProbe() probe {
	return probe{token: newToken(), from: "mxprobe@probe.example", to: "mxprobe@choir.example", domain: "choir.example", at: time.Now()}
}

// got is what became of a probe in ten seconds.
func got(t *testing.T, w *wait) outcome {
	t.Helper()
	o, err := w.result(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func maildirOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, path, text string, age time.Duration) string {
	t.Helper()
	// What is delivered to a Maildir is there all at once.
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.WriteFile(whole, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(whole, at, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(whole, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A Maildir shows a probe in new and in cur. Others' mail stays, and so do probes
// of others and young ones; old ones of ours go.
func TestMaildir(t *testing.T) {
	t.Parallel()
	dir := maildirOf(t)
	p, left, others := testProbe(), testProbe(), testProbe()
	others.from = "mxprobe@elsewhere.example"
	var stay []string
	for i := range 300 {
		stay = append(stay, write(t, filepath.Join(dir, "cur", fmt.Sprintf("%d.M1.host:2,S", i)), "From: a@b\r\n\r\n"+tokenHeader+": "+p.token+"\r\n", time.Duration(i)*time.Hour))
	}
	stay = append(stay,
		write(t, filepath.Join(dir, "cur", "others:2,"), others.message(), 100*time.Hour),
		write(t, filepath.Join(dir, "new", "young"), left.message(), time.Hour),
		write(t, filepath.Join(dir, "new", "words"), strings.ReplaceAll(left.message(), left.token, "no token"), 100*time.Hour))
	leftover := write(t, filepath.Join(dir, "cur", "leftover:2,"), left.message(), 25*time.Hour)
	for _, sub := range []string{"new", "cur"} {
		a := testArrivals(Settings{Maildir: dir})
		w := a.expect(p)
		path := filepath.Join(dir, sub, "arrived")
		begin := filepath.Join(dir, "tmp", "arrived")
		write(t, begin, "Received: from x ([192.0.2.20]) by old.example; Mon, 23 Nov 2026 20:00:00 +0000\r\n"+p.message(), 0)
		if err := os.Rename(begin, path); err != nil {
			t.Fatal(err)
		}
		o := got(t, w)
		if o.where != "Maildir" || len(o.hops) != 1 || o.hops[0].by != "old.example" {
			t.Errorf("%s: %+v", sub, o)
		}
		w.leave()
		if there(path) || there(leftover) {
			t.Errorf("%s: the probe is there: %v, the leftover: %v", sub, there(path), there(leftover))
		}
	}
	for _, path := range stay {
		if !there(path) {
			t.Errorf("%s is gone", path)
		}
	}
}

// A big Maildir that does not change is not listed again and again.
func TestMaildirAtRest(t *testing.T) {
	t.Parallel()
	dir := maildirOf(t)
	m, a := newMaildir(dir), testArrivals(Settings{})
	for name := range m.dirs {
		at := time.Now().Add(-time.Hour)
		write(t, filepath.Join(dir, name, "x"), "From: a@b\r\n\r\n", 0)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.look(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for name, d := range m.dirs {
		d.seen["kept"] = true // a new list would forget it
		if err := m.look(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if !d.seen["kept"] {
			t.Errorf("%s was listed again", name)
		}
	}
}

const (
	postfixCame  = "Nov 25 18:10:22 old postfix/smtpd[11866]: 717B1986CA0: client=gw1.example[192.0.2.20]\nNov 25 18:10:22 old postfix/cleanup[11920]: 717B1986CA0: message-id=<%s@probe.example>\n"
	postfixSentB = "Nov 25 18:10:22 old postfix/virtual[11926]: 717B1986CA0: to=<mxprobe@choir.example>, relay=virtual, delay=0.02, delays=0/0.01/0/0.01, dsn=2.0.0, status=sent (delivered to maildir)\n"
	eximCame     = "2026-11-25 18:10:51 1xWHSF-0003es-23 <= mxprobe@probe.example H=gw1.example (x) [192.0.2.20]:25 I=[192.0.2.10]:25 P=esmtps S=785 id=%s@probe.example\n"
	eximSent     = "2026-11-25 18:10:51 1xWHSF-0003es-23 => mxprobe <mxprobe@choir.example> R=mailbox T=maildir\n"
)

// The old server's log is followed through a rotation, a cut, a line that is
// written in two pieces, and one that is too long.
func TestOldLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	appendTo := func(text string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(strings.Repeat("an old line\n", 1000))
	for what, deliver := range map[string]func(came, done string){
		"at once": func(came, done string) { appendTo(came + done) },
		"in pieces": func(came, done string) {
			for _, piece := range []string{came[:20], came[20:], done[:1], done[1:]} {
				appendTo(piece)
			}
		},
		"after a long line": func(came, done string) { appendTo(strings.Repeat("x", 3*maxLogLine) + "\n" + came + done) },
		"rotated between": func(came, done string) {
			appendTo(came)
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			appendTo(done)
		},
		"cut off": func(came, done string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			appendTo(came + done)
		},
		"made anew": func(came, done string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			appendTo(came + done)
		},
	} {
		for server, lines := range map[string][2]string{"postfix": {postfixCame, postfixSentB}, "exim": {eximCame, eximSent}} {
			a, p := testArrivals(Settings{OldLog: path}), testProbe()
			w := a.expect(p)
			deliver(fmt.Sprintf(lines[0], p.token), lines[1])
			o := got(t, w)
			w.leave()
			if o.where != "log" || len(o.hops) != 1 || o.hops[0].from != netip.MustParseAddr("192.0.2.20") {
				t.Errorf("%s, %s: %+v", server, what, o)
			}
		}
	}
}

// What the log tells of a probe that is not delivered.
func TestOldLogTellsWhy(t *testing.T) {
	t.Parallel()
	for what, w := range map[string]struct{ lines, failed, waits string }{
		"postfix bounced":  {postfixCame + "Nov 25 18:10:22 old postfix/local[1]: 717B1986CA0: to=<a@b>, relay=local, delay=0, delays=0/0/0/0, dsn=5.1.1, status=bounced (unknown user)\n", "unknown user", ""},
		"postfix deferred": {postfixCame + "Nov 25 18:10:22 old postfix/lmtp[1]: 717B1986CA0: to=<a@b>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, status=deferred (connect to x: refused)\n", "", "connect to x: refused"},
		"postfix put off":  {"Nov 25 18:10:22 old postfix/smtpd[1]: NOQUEUE: reject: RCPT from gw1.example[192.0.2.20]: 450 4.7.1 <x>: Client host rejected: too much; from=<mxprobe@probe.example> to=<mxprobe@choir.example> proto=ESMTP helo=<gw1>\n%.0s", "", "too much"},
		"exim bounced":     {eximCame + "2026-11-25 18:10:51 1xWHSF-0003es-23 ** mxprobe@choir.example R=mailbox T=maildir: no such mailbox\n", "no such mailbox", ""},
		"exim deferred":    {eximCame + "2026-11-25 18:10:51 1xWHSF-0003es-23 == mxprobe@choir.example R=mailbox T=maildir defer (-22): mailbox is full\n", "", "mailbox is full"},
		"exim put off":     {"2026-11-25 18:10:51 H=gw1 [192.0.2.20] F=<mxprobe@probe.example> temporarily rejected RCPT <mxprobe@choir.example>: rate limit\n%.0s", "", "rate limit"},
		"of another":       {"2026-11-25 18:10:51 H=gw1 [192.0.2.20] F=<mxprobe@probe.example> temporarily rejected RCPT <other@choir.example>: rate limit\n%.0s", "", ""},
		"only to a filter": {postfixCame + "Nov 25 18:10:22 old postfix/smtp[1]: 717B1986CA0: to=<a@b>, relay=127.0.0.1[127.0.0.1]:10024, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4A0B1C2D3E)\n", "", ""},
	} {
		p := testProbe()
		a := testArrivals(Settings{})
		wt := a.expect(p)
		newOldLog("").lines([]byte(fmt.Sprintf(w.lines, p.token)), a)
		var o outcome
		select {
		case o = <-wt.got:
		default:
			o = wt.put
		}
		wt.leave()
		if !strings.Contains(o.failed, w.failed) || !strings.Contains(o.waits, w.waits) || (o.failed != "") != (w.failed != "") || (o.waits != "") != (w.waits != "") || o.hops != nil {
			t.Errorf("%s: %+v", what, o)
		}
	}
}

// A message that comes back from a content filter under another queue id is
// delivered, and its way has both.
func TestOldLogThroughAFilter(t *testing.T) {
	t.Parallel()
	p, a := testProbe(), testArrivals(Settings{})
	w := a.expect(p)
	defer w.leave()
	again := strings.NewReplacer("717B1986CA0", "3XyZ1abcdefg", "gw1.example[192.0.2.20]", "localhost[127.0.0.1]")
	newOldLog("").lines([]byte(fmt.Sprintf(postfixCame, p.token)+again.Replace(fmt.Sprintf(postfixCame, p.token)+postfixSentB)), a)
	o := <-w.got
	if len(o.hops) != 2 || o.hops[0].from != netip.MustParseAddr("127.0.0.1") || o.hops[1].from != netip.MustParseAddr("192.0.2.20") {
		t.Errorf("%+v", o.hops)
	}
}

// A delivery to another machine says to which, and for whom: it may be the gateway.
func TestOldLogTellsWhere(t *testing.T) {
	t.Parallel()
	gw := netip.MustParseAddr("192.0.2.20")
	for what, w := range map[string]struct {
		line, to string
		onTo     netip.Addr
		on       bool
	}{
		"postfix":           {"Nov 25 18:10:22 old postfix/smtp[1]: 717B1986CA0: to=<mxprobe@choir.example>, relay=gw1.example[192.0.2.20]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4A0B1C2D3E)", "mxprobe@choir.example", gw, true},
		"postfix, here":     {strings.TrimSpace(postfixSentB), "mxprobe@choir.example", netip.Addr{}, false},
		"exim":              {"2026-11-25 18:10:51 1xWHSF-0003es-23 => mxprobe@choir.example R=dnslookup T=remote_smtp H=gw1.example [192.0.2.20] C=\"250 OK\"", "mxprobe@choir.example", gw, true},
		"exim, here":        {strings.TrimSpace(eximSent), "mxprobe@choir.example", netip.Addr{}, false},
		"exim, readdressed": {"2026-11-25 18:10:51 1xWHSF-0003es-23 => box@store.example <mxprobe@choir.example> R=smart T=remote_smtp H=gw1.example [192.0.2.20] C=\"250 OK\"", "box@store.example", gw, false},
	} {
		l, ok := parseLogLine(w.line)
		if !ok || l.event != logDelivered || l.onTo != w.onTo || l.to != w.to {
			t.Errorf("%s: %+v", what, l)
		}
		if wentOn(outcome{onTo: l.onTo, to: l.to}, "mxprobe@choir.example") != w.on {
			t.Errorf("%s: goes on: %v", what, !w.on)
		}
	}
}

// The first of several places counts; one that cannot be asked makes the rest
// inconclusive.
func TestSeveralPlaces(t *testing.T) {
	t.Parallel()
	dir := maildirOf(t)
	a, p := testArrivals(Settings{Maildir: dir, OldLog: filepath.Join(dir, "log")}), testProbe()
	w := a.expect(p)
	write(t, filepath.Join(dir, "new", "x"), p.message(), 0)
	if o := got(t, w); o.where != "Maildir" {
		t.Errorf("%+v", o)
	}
	w.leave()
	w = a.expect(testProbe())
	if _, err := w.result(t.Context(), 300*time.Millisecond); err == nil || errors.Is(err, errNotArrived) || !strings.Contains(err.Error(), "the old server's log: ") {
		t.Errorf("a log that is not there: %v", err)
	}
	w.leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w = a.expect(testProbe())
	defer w.leave()
	if _, err := w.result(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

func FuzzLogLine(f *testing.F) {
	for _, s := range strings.Split(postfixCame+postfixSentB+eximCame+eximSent, "\n") {
		f.Add(s)
	}
	f.Add("Nov 25 18:10:22 old postfix/smtpd[1]: NOQUEUE: reject: RCPT from gw1.example[192.0.2.20]: 450 4.7.1 <x>: no; from=<a@b> to=<c@d> proto=ESMTP helo=<gw1>")
	f.Add("2026-11-25 18:10:51.123 +0100 [77] H=gw1 [192.0.2.20] F=<a@b> temporarily rejected RCPT <c@d>: rate limit")
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := parseLogLine(s)
		if ok && (l.event == 0 || l.event != logPutOff && l.id == "" || l.peer.Is4In6()) {
			t.Errorf("%q is read as %+v", s, l)
		}
		a := testArrivals(Settings{})
		o := newOldLog("")
		o.lines([]byte(s), a)
		o.lines([]byte("\n"), a)
		if len(o.part) > maxLogLine {
			t.Errorf("%d bytes kept", len(o.part))
		}
	})
}
