package verify

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcutover/plan"
)

// What the gateway's log tells of a probe that is in no mailbox: in its queue it is
// unknown, with the reason; given away or unheard of it failed; bounced, with why.
func TestGatewayLogTells(t *testing.T) {
	t.Parallel()
	const (
		sent     = "Nov 25 18:10:23 gw postfix/smtp[2]: 717B1986CA0: to=<mxprobe@choir.example>, relay=old[192.0.2.10]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 OK)\n"
		deferred = "Nov 25 18:10:22 gw postfix/smtp[2]: 717B1986CA0: to=<mxprobe@choir.example>, relay=none, delay=1, delays=0/0/0/1, dsn=4.4.1, status=deferred (connect to old[192.0.2.10]:25: Connection timed out)\n"
		filtered = "Nov 25 18:10:22 gw postfix/smtp[2]: 717B1986CA0: to=<mxprobe@choir.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4A0B1C2D3E)\n"
	)
	again := strings.NewReplacer("717B1986CA0", "3XyZ1abcdefg")
	for what, c := range map[string]struct {
		lines string
		want  plan.Severity
		says  string
	}{
		"postfix: in its queue":                {postfixCame, plan.Unknown, "in the gateway's queue: nothing was said"},
		"postfix: deferred":                    {postfixCame + deferred, plan.Unknown, "in the gateway's queue: connect to old[192.0.2.10]:25: Connection timed out"},
		"postfix: deferred, then given away":   {postfixCame + deferred + sent, plan.Fail, "gave it to 192.0.2.10"},
		"postfix: bounced":                     {postfixCame + strings.Replace(deferred, "status=deferred (connect to old[192.0.2.10]:25: Connection timed out)", "status=bounced (550 5.7.1 no)", 1), plan.Fail, "failed for good, says the gateway's log: 550 5.7.1 no"},
		"postfix: lost in a filter":            {postfixCame + filtered, plan.Fail, "not in the mailbox"},
		"postfix: back from a filter, waits":   {postfixCame + again.Replace(postfixCame) + filtered + again.Replace(deferred), plan.Unknown, "Connection timed out"},
		"postfix: back from a filter, is gone": {postfixCame + again.Replace(postfixCame) + filtered + again.Replace(sent), plan.Fail, "gave it to 192.0.2.10"},
		"exim: in its queue":                   {eximCame, plan.Unknown, "in the gateway's queue"},
		"exim: deferred":                       {eximCame + "2026-11-25 18:10:51 1xWHSF-0003es-23 == mxprobe@choir.example R=out T=remote_smtp defer (-46) H=old [192.0.2.10]: 451 busy\n", plan.Unknown, "451 busy"},
		"exim: given away":                     {eximCame + "2026-11-25 18:10:51 1xWHSF-0003es-23 => mxprobe@choir.example R=out T=remote_smtp H=old [192.0.2.10] C=\"250 OK\"\n", plan.Fail, "gave it to 192.0.2.10"},
		"of another":                           {"Nov 25 18:10:22 gw postfix/cleanup[1]: 717B1986CA0: message-id=<%s0@probe.example>\n" + deferred, plan.Fail, "not in the mailbox"},
		"nothing":                              {"%.0s", plan.Fail, "not in the mailbox"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := maildirOf(t)
			log, p := filepath.Join(dir, "gateway.log"), testProbe()
			write(t, log, postfixCame[:20]+"\n", time.Hour)
			a := testArrivals(Settings{Maildir: dir, Mail: Mail{Gateway: []string{filepath.Join(dir, "gateway*.log")}}})
			w := a.expect(p)
			defer w.leave()
			appendTo(t, log, strings.ReplaceAll(c.lines, "%s", p.token))
			o, err := w.result(t.Context(), time.Second)
			if o.failed != "" {
				err = errBounced
			}
			f := notThere(o, err)
			if f.Severity != c.want || !strings.Contains(f.Detail, c.says) {
				t.Errorf("%s: %s, want %s: %s", f.Severity, f.Detail, c.want, c.says)
			}
		})
	}
}

// notThere is the finding about a probe that did not arrive.
func notThere(o outcome, err error) plan.Finding {
	return sent{outcome: o, err: err}.missing("choir.example.", endpoint{"gw1.example.", netip.MustParseAddr("192.0.2.20")}, time.Second)
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(f, text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A gateway's log that cannot be read makes nothing of the mailbox uncertain, and what
// arrived counts whatever it says.
func TestGatewayLogIsOnlyAWitness(t *testing.T) {
	t.Parallel()
	dir := maildirOf(t)
	log := filepath.Join(dir, "gateway.log")
	a, p := testArrivals(Settings{Maildir: dir, Mail: Mail{Gateway: []string{log}}}), testProbe()
	w := a.expect(p)
	if o, err := w.result(t.Context(), 400*time.Millisecond); !errors.Is(err, errNotArrived) || o.waits != "" {
		t.Errorf("without the log: %+v, %v", o, err)
	}
	write(t, log, fmt.Sprintf(postfixCame, p.token), 0)
	write(t, filepath.Join(dir, "new", "x"), p.message(), 0)
	if o := got(t, w); o.where != "Maildir" {
		t.Errorf("%+v", o)
	}
	w.leave()
	if a := testArrivals(Settings{Mail: Mail{Gateway: []string{log}}}); len(a.places) != 0 {
		t.Error("a log in which no probe arrives is taken for a place of arrival")
	}
}
