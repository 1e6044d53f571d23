package verify_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"mxcutover/plan"
	"mxcutover/verify"
)

// matrixMail are the rows of real mail.
func matrixMail() []row {
	passed := func(n int) string { return logOf(n, "=> %s R=r T=smtp C=\"250 OK\"") }
	logs := func(gateway string) func(*testing.T) (*verify.Checker, plan.Cutover) {
		return in(func(t *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Mail.Gateway, s.Mail.Old = []string{written(t, gateway)}, []string{written(t, passed(500))}
			s.Mail.Published = func(string) time.Time { return logTime.Add(-time.Hour) }
		})
	}
	quiet := func(t *testing.T) (*verify.Checker, plan.Cutover) {
		t.Helper()
		c, cut := logs("2026-11-25 12:00:00 Start queue run: pid=1\n")(t)
		c.Mail.Published = func(string) time.Time { return time.Now() }
		return c, cut
	}
	return []row{
		{check: "mail.real", breaks: "its users are unknown at the gateway", when: verify.After, good: logs(passed(40)), broken: logs(passed(5) + refusals(40, "user%d@choir.test", "Unknown user")), says: "40 of 45 messages were refused as nobody's at addresses that had mail before"},
		{check: "mail.real", breaks: "the old server refuses what it forwards", when: verify.After, good: logs(passed(40) + refusals(4000, "guess%d@choir.test", "Unknown user")), broken: logs(logOf(40, "** %s: 550 5.1.1 User unknown")), says: "accepted, then bounced"},
		{check: "mail.real", breaks: "it forwards nothing", when: verify.After, good: logs(passed(3)), broken: logs(logOf(40, "== %s R=r T=smtp defer (111): Connection refused")), want: plan.Warn, says: "not forwarded yet"},
		{check: "mail.real", breaks: "no mail has come", when: verify.After, good: logs(passed(40)), broken: quiet, want: plan.Unknown, says: "no real mail has passed yet"},
		{check: "mail.real", breaks: "its log is another program's", when: verify.After, good: logs(passed(40)), broken: logs("GET / HTTP/1.1\n"), want: plan.Unknown, says: "is of a format that is known"},
		{check: "mail.real", breaks: "its log cannot be read, before", when: verify.Before, good: logs(passed(3)), broken: logs("GET / HTTP/1.1\n"), want: plan.Unknown, says: "is of a format that is known"},
		{check: "mail.real", breaks: "the log is gone", when: verify.After, good: logs(passed(40)), broken: in(func(t *testing.T, _ *bench, s *verify.Settings, _ *plan.Cutover) {
			s.Mail.Gateway = []string{filepath.Join(t.TempDir(), "mainlog*")}
		}), want: plan.Unknown, says: "no log is there"},
	}
}

// logTime is when the logs were written that are made here.
var logTime = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// logOf is a log of messages for users of choir.test, and of what became of each.
func logOf(n int, outcome string) string {
	var b strings.Builder
	for i := range n {
		stamp := logTime.Add(time.Duration(i) * time.Second).Format("2006-01-02 15:04:05 -0700 ")
		id := fmt.Sprintf("%06d-00000000000-0000 ", i)
		b.WriteString(stamp + id + "<= a@sender.example H=x [192.0.2.1] P=esmtp S=100\n")
		b.WriteString(stamp + id + fmt.Sprintf(outcome, fmt.Sprintf("user%d@choir.test", i)) + "\n")
	}
	return b.String()
}

func refusals(n int, to, why string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, logTime.Format("2006-01-02 15:04:05 -0700 ")+"H=x [192.0.2.1] F=<a@sender.example> rejected RCPT <"+to+">: %s\n", i, why)
	}
	return b.String()
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mainlog")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRealMailOfTheLab reads what the lab's gateway logs while mail passes it, and
// while it refuses a domain. Probes are no real mail.
func TestRealMailOfTheLab(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	log := filepath.Join(t.TempDir(), "gateway.log")
	if err := b.world.LogTo(log); err != nil {
		t.Fatal(err)
	}
	choir := cut(t, "choir.test.", old, gws)
	begun := time.Now()
	c := b.checker(t, func(s *verify.Settings) {
		s.Mail = verify.Mail{Gateway: []string{log}, Domains: []string{"choir.test."}, Published: func(string) time.Time { return begun }}
	})
	b.publish(t, "choir.test", "choir.test", gws...)
	judge(t, "a probe", c.Routed(t.Context(), choir), plan.Pass, "arrived")
	judge(t, "only probes", c.Only(t.Context(), choir, "mail.real"), plan.Unknown, "accepted 0, forwarded 0")
	mail(t, b, "info@choir.test")
	eventually(t, "real mail passes", func() bool { return plan.Judge(c.Only(t.Context(), choir, "mail.real")) == plan.Pass })
	b.world.Forget("choir.test")
	mail(t, b, "info@choir.test")
	eventually(t, "what is refused is counted", func() bool {
		return strings.Contains(words(c.RealMail(t.Context(), choir, begun)), "at RCPT it rejected 1")
	})
	without := b.checker(t, nil)
	if found := without.RealMail(t.Context(), choir, begun); found != nil || without.NotAsked()["mail.real"] != "traffic.gateway_logs" {
		t.Errorf("without a log: %v, %v", found, without.NotAsked())
	}
}

// mail sends a message from elsewhere to the first gateway, and does not mind if it is
// refused.
func mail(t *testing.T, b *bench, to string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: b.facts.Sender.AsSlice()}}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(b.facts.Gateways[0].Addr, b.facts.SMTPPort).String())
	if err != nil {
		t.Fatal(err)
	}
	client := smtp.NewClient(conn)
	defer client.Close()
	_ = client.SendMail("someone@elsewhere.test", []string{to}, strings.NewReader("Subject: real\r\n\r\nreal\r\n"))
}
