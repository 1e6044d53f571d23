package verify_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/traffic"
	"mxcutover/verify"
)

// An oldLine is two lines of the old server's log: a message, some time ago.
type oldLine struct {
	ago      time.Duration
	from     string // address, and what else the arrival has
	to       string
	rejected bool
}

func logOfOld(now time.Time, lines []oldLine) string {
	var b strings.Builder
	for i, l := range lines {
		stamp := now.Add(-l.ago).Format("2006-01-02 15:04:05 -0700 ")
		if l.rejected {
			fmt.Fprintf(&b, "%sH=x [%s] F=<a@sender.example> rejected RCPT <%s>: Unknown user\n", stamp, l.from, l.to)
			continue
		}
		id := fmt.Sprintf("%06d-00000000000-0000 ", i)
		peer, rest, _ := strings.Cut(l.from, " ")
		fmt.Fprintf(&b, "%s%s<= a@sender.example H=x [%s] P=esmtp S=100 %s\n", stamp, id, peer, rest)
		fmt.Fprintf(&b, "%s%s=> %s R=r T=smtp C=\"250 OK\"\n", stamp, id, l.to)
	}
	return b.String()
}

// TestOldMail asks a log, and live DNS, whether the old server may be closed.
func TestOldMail(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now()
	const day = 24 * time.Hour
	gate := b.facts.Gateways[0].Addr.String()
	well := []oldLine{{ago: 31 * day, from: "203.0.113.1", to: "x@choir.test"}, {ago: 9 * day, from: "203.0.113.1", to: "x@choir.test"}, {ago: time.Minute, from: gate, to: "x@choir.test"}}
	for what, w := range map[string]struct {
		lines []oldLine
		q     func(*verify.Closing)
		set   func(*verify.Settings)
		want  plan.Severity
		says  string
	}{
		"all is well":                {want: plan.Pass, says: "of them not understood"},
		"no log is named":            {set: func(s *verify.Settings) { s.Mail.Old = nil }, want: plan.Unknown, says: "traffic.logs"},
		"no log, and that is agreed": {set: func(s *verify.Settings) { s.Mail.Old = nil }, q: func(q *verify.Closing) { q.Blind = true }, want: plan.Warn, says: "isolate.blind"},
		"no log is there":            {set: func(s *verify.Settings) { s.Mail.Old = []string{"/nowhere"} }, want: plan.Unknown, says: "no log is there"},
		"another program's log":      {set: func(s *verify.Settings) { s.Mail.Old = []string{written(t, "GET /\n")} }, want: plan.Unknown, says: "of a format that is known"},
		"an old log":                 {q: func(q *verify.Closing) { q.LookBack = day }, set: func(s *verify.Settings) { s.Now = func() time.Time { return now.Add(2 * day) } }, want: plan.Unknown, says: "the right one?"},
		"too short a log":            {q: func(q *verify.Closing) { q.LookBack = 40 * day }, want: plan.Unknown, says: "isolate.look_back"},
		"a straggler":                {lines: []oldLine{{ago: time.Hour, from: "203.0.113.9", to: "x@choir.test"}}, want: plan.Fail, says: "203.0.113.9 comes past the gateway"},
		"one that is acknowledged":   {lines: []oldLine{{ago: time.Hour, from: "203.0.113.9", to: "x@choir.test"}}, q: func(q *verify.Closing) { q.Known = []netip.Prefix{netip.MustParsePrefix("203.0.113.8/31")} }, want: plan.Warn, says: "that was agreed to"},
		"one that is trusted": {lines: []oldLine{{ago: time.Hour, from: "203.0.113.9", to: "x@choir.test"}}, q: func(q *verify.Closing) {
			q.Rules.Trust = append(q.Rules.Trust, netip.MustParsePrefix("203.0.113.0/24"))
		}, want: plan.Pass},
		"one that went":              {lines: []oldLine{{ago: 8*day - time.Hour, from: "203.0.113.9", to: "x@choir.test"}}, want: plan.Pass, says: "0 legitimate senders"},
		"one while caches held it":   {lines: []oldLine{{ago: 2 * time.Hour, from: "203.0.113.9", to: "x@choir.test"}}, q: func(q *verify.Closing) { q.LetGo = func(string) time.Time { return now.Add(-time.Hour) } }, want: plan.Pass, says: "0 legitimate"},
		"the gateway is not trusted": {q: func(q *verify.Closing) { q.Rules.Trust = nil }, want: plan.Fail, says: gate + " gw1.gw.test comes past the gateway"},
		"a spammer":                  {lines: []oldLine{{time.Hour, "203.0.113.9", "a@choir.test", true}, {time.Hour, "203.0.113.9", "b@choir.test", true}, {time.Hour, "203.0.113.9", "c@choir.test", true}, {time.Hour, "203.0.113.9", "d@choir.test", true}, {time.Hour, "203.0.113.9", "e@choir.test", true}}, want: plan.Pass, says: "0 legitimate"},
		"a user":                     {lines: []oldLine{{ago: 20 * day, from: "203.0.113.9 A=login:ann", to: "x@far.example"}}, want: plan.Fail, says: "ann submits mail at a port that the log does not tell"},
		"a user is never agreed to":  {lines: []oldLine{{ago: 20 * day, from: "203.0.113.9 A=login:ann", to: "x@far.example"}}, q: func(q *verify.Closing) { q.Known = []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")} }, want: plan.Fail, says: "ann submits"},
		"a user long ago":            {lines: []oldLine{{ago: 30*day + time.Hour, from: "203.0.113.9 A=login:ann", to: "x@far.example"}}, want: plan.Pass, says: "0 other uses"},
		"a name without a plan":      {lines: []oldLine{{ago: 20 * day, from: "203.0.113.9", to: "x@other.test"}}, want: plan.Fail, says: "the plan does not move other.test"},
		"that is abandoned":          {lines: []oldLine{{ago: 20 * day, from: "203.0.113.9", to: "x@other.test"}}, q: func(q *verify.Closing) { q.Without = []string{"other.test"} }, want: plan.Warn, says: "that was agreed to"},
		"a name that leads there":    {lines: []oldLine{{ago: 20 * day, from: gate, to: "x@bare.test"}}, want: plan.Fail, says: "bare.test: had mail at the old server (1, last"},
		"that leads elsewhere":       {lines: []oldLine{{ago: 20 * day, from: gate, to: "x@other.test"}, {ago: day, from: gate, to: "x@[192.0.2.1]"}, {ago: day, from: gate, to: "x@b ad..name"}}, want: plan.Pass, says: "2 names that had mail"},
		"a relay":                    {lines: []oldLine{{ago: 20 * day, from: "203.0.113.9", to: "x@elsewhere.invalid"}}, want: plan.Fail, says: "203.0.113.9 hands over mail for names elsewhere"},
		"no resolver answers":        {lines: []oldLine{{ago: day, from: gate, to: "x@bare.test"}}, set: nobody, want: plan.Unknown, says: "could not be asked about"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := b.checker(t, func(s *verify.Settings) {
				s.Mail = verify.Mail{Old: []string{written(t, logOfOld(now, append(well[:2:2], append(w.lines, well[2])...)))}, Zone: time.UTC}
				s.Now = func() time.Time { return now }
				if w.set != nil {
					w.set(s)
				}
			})
			q := verify.Closing{
				Rules:    traffic.Closed{Ports: []uint16{25}, Trust: []netip.Prefix{netip.MustParsePrefix(gate + "/32")}},
				LookBack: 30 * day, Quiet: 7 * day, LetGo: func(string) time.Time { return time.Time{} },
				Names: traffic.Known{
					Names: map[string]traffic.Name{"choir.test": {Domain: "choir.test.", Standing: traffic.HasMoved, Moved: now.Add(-8 * day)}},
					Zones: map[string]bool{"other.test": true},
				},
			}
			if w.q != nil {
				w.q(&q)
			}
			for range 2 { // what was read once is still known
				found := c.OldMail(t.Context(), q)
				if v := plan.Judge(found); v != w.want || !strings.Contains(words(found), w.says) {
					t.Fatalf("%s, want %s with %q:%s", v, w.want, w.says, words(found))
				}
			}
		})
	}
}

// TestOldMailAfterStragglers reads the log first for the stragglers of a domain, which
// need no plan: what was read then must not hide a name without one.
func TestOldMailAfterStragglers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now()
	const day = 24 * time.Hour
	gate := b.facts.Gateways[0].Addr.String()
	moved := now.Add(-8 * day)
	path := written(t, logOfOld(now, []oldLine{{ago: 31 * day, from: gate, to: "x@choir.test"}, {ago: 20 * day, from: "203.0.113.9", to: "x@other.test"}, {ago: time.Minute, from: gate, to: "x@choir.test"}}))
	c := b.checker(t, func(s *verify.Settings) {
		s.Mail = verify.Mail{Old: []string{path}, Zone: time.UTC, Published: func(domain string) time.Time {
			if domain == "choir.test." {
				return moved
			}
			return time.Time{}
		}}
		s.Now = func() time.Time { return now }
	})
	q := verify.Closing{
		Rules:    traffic.Closed{Ports: []uint16{25}, Trust: []netip.Prefix{netip.MustParsePrefix(gate + "/32")}},
		LookBack: 30 * day, Quiet: 7 * day, LetGo: func(string) time.Time { return time.Time{} },
		Names: traffic.Known{
			Names: map[string]traffic.Name{"choir.test": {Domain: "choir.test.", Standing: traffic.HasMoved, Moved: moved}},
			Zones: map[string]bool{"other.test": true},
		},
	}
	for _, name := range []string{"other.test", "late.other.test"} {
		if found := c.Only(t.Context(), cut(t, "choir.test.", old, gws), "old.stragglers"); plan.Judge(found) == plan.Unknown {
			t.Fatal("the log was not read:", words(found))
		}
		if found := c.OldMail(t.Context(), q); plan.Judge(found) != plan.Fail || !strings.Contains(words(found), "the plan does not move "+name+", and mail for it comes from 203.0.113.9 (1,") {
			t.Errorf("%s is hidden: %s", name, words(found))
		}
		now = now.Add(time.Minute)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(logOfOld(now, []oldLine{{from: "203.0.113.9", to: "x@late.other.test"}})); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldMailCompressed looks back into what rotation has compressed, and trusts
// nothing that cannot be read whole.
func TestOldMailCompressed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now()
	const day = 24 * time.Hour
	gate := b.facts.Gateways[0].Addr.String()
	text := logOfOld(now, []oldLine{{ago: 31 * day, from: gate, to: "x@choir.test"}, {ago: 20 * day, from: "203.0.113.9 A=login:ann", to: "x@far.example"}})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for what, w := range map[string]struct {
		gz   []byte
		want plan.Severity
		says string
	}{
		"whole":   {packed.Bytes(), plan.Fail, "ann submits mail"},
		"cut off": {packed.Bytes()[:packed.Len()-12], plan.Unknown, "could not check: log "},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := written(t, logOfOld(now, []oldLine{{ago: time.Minute, from: gate, to: "x@choir.test"}}))
			if err := os.WriteFile(path+".2.gz", w.gz, 0o600); err != nil {
				t.Fatal(err)
			}
			c := b.checker(t, func(s *verify.Settings) { s.Mail = verify.Mail{Old: []string{path + "*"}, Zone: time.UTC} })
			found := c.OldMail(t.Context(), verify.Closing{
				Rules:    traffic.Closed{Ports: []uint16{25}, Trust: []netip.Prefix{netip.MustParsePrefix(gate + "/32")}},
				LookBack: 30 * day, Quiet: 7 * day, LetGo: func(string) time.Time { return time.Time{} },
				Names: traffic.Known{Names: map[string]traffic.Name{"choir.test": {Domain: "choir.test.", Standing: traffic.Waiting}}},
			})
			var rest []plan.Finding // choir.test waits, and is told as well
			for _, f := range found {
				if f.Target != "choir.test" {
					rest = append(rest, f)
				}
			}
			if v := plan.Judge(rest); v != w.want || !strings.Contains(words(rest), w.says) {
				t.Errorf("%s, want %s with %q:%s", v, w.want, w.says, words(rest))
			}
		})
	}
}

// Sendmail's log does not tell of all names, so it is no proof that a name is unused.
func TestOldMailOfSendmail(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now().UTC()
	var text strings.Builder
	for i, ago := range []time.Duration{31 * 24 * time.Hour, time.Minute} {
		at := now.Add(-ago).Format(time.RFC3339)
		fmt.Fprintf(&text, "%s old sendmail[7]: 4AQ0%04d000007: from=<a@sender.example>, size=100, class=0, nrcpts=1, msgid=<%d@x>, proto=ESMTP, daemon=MTA, relay=x [203.0.113.1]\n", at, i, i)
		fmt.Fprintf(&text, "%s old sendmail[7]: 4AQ0%04d000007: to=root, delay=00:00:01, xdelay=00:00:01, mailer=local, pri=1, dsn=2.0.0, stat=Sent\n", at, i)
	}
	for blind, want := range map[bool]plan.Severity{false: plan.Unknown, true: plan.Warn} {
		c := b.checker(t, func(s *verify.Settings) {
			s.Mail = verify.Mail{Old: []string{written(t, text.String())}, Zone: time.UTC}
		})
		found := c.OldMail(t.Context(), verify.Closing{LookBack: 30 * 24 * time.Hour, Blind: blind, LetGo: func(string) time.Time { return time.Time{} }})
		i := slices.IndexFunc(found, func(f plan.Finding) bool { return strings.Contains(f.Detail, "after aliases") })
		if i < 0 || found[i].Severity != want {
			t.Errorf("blind %v: %s", blind, words(found))
		}
	}
}

// A filter that does not say for whom it speaks hides from whom mail comes, and not
// for which names.
func TestOldMailBehindAFilter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now().UTC()
	var text strings.Builder
	for i, ago := range []time.Duration{31 * 24 * time.Hour, time.Minute} {
		at := now.Add(-ago).Format(time.RFC3339)
		fmt.Fprintf(&text, "%s old postfix/smtpd[1]: AAAAA%d: client=localhost[127.0.0.1]\n", at, i)
		fmt.Fprintf(&text, "%s old postfix/smtpd[2]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as AAAAA%d; from=<a@sender.example> to=<x@bare.test> proto=ESMTP helo=<x>\n", at, i)
		fmt.Fprintf(&text, "%s old postfix/virtual[3]: AAAAA%d: to=<x@bare.test>, relay=virtual, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (delivered to maildir)\n", at, i)
	}
	for blind, want := range map[bool]plan.Severity{false: plan.Unknown, true: plan.Warn} {
		c := b.checker(t, func(s *verify.Settings) {
			s.Mail = verify.Mail{Old: []string{written(t, text.String())}, Zone: time.UTC}
		})
		found := c.OldMail(t.Context(), verify.Closing{LookBack: 30 * 24 * time.Hour, Blind: blind, LetGo: func(string) time.Time { return time.Time{} }})
		i := slices.IndexFunc(found, func(f plan.Finding) bool { return strings.Contains(f.Detail, "from where its mail comes") })
		if i < 0 || found[i].Severity != want {
			t.Errorf("blind %v: %s", blind, words(found))
		}
		if !strings.Contains(words(found), "bare.test: had mail at the old server (2, last") {
			t.Errorf("a name that leads there: %s", words(found))
		}
	}
}
