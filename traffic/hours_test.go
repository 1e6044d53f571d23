package traffic

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestHours counts what both formats tell: straight, by the gateway, and refused;
// not for other domains, not probes, not what users submit.
func TestHours(t *testing.T) {
	t.Parallel()
	gateway := netip.MustParseAddr("192.0.2.20")
	for format, log := range map[string]string{
		"exim": `2026-11-20 12:00:00 +0000 1xWH1C-000653-15 <= a@sender.example H=x [192.0.2.68] P=esmtp S=443
2026-11-20 12:00:01 +0000 1xWH1C-000653-15 => anna <Anna@Choir.test> R=local T=mailbox
2026-11-20 12:00:01 +0000 1xWH1C-000653-15 => info <info@choir.test> R=local T=mailbox
2026-11-20 12:59:59 +0000 H=x [192.0.2.68] F=<a@sender.example> rejected RCPT <x@choir.test>: Unknown user
2026-11-20 13:00:00 +0000 1xWH1C-000653-16 <= a@sender.example H=gw [192.0.2.20] P=esmtp S=443
2026-11-20 13:00:00 +0000 1xWH1C-000653-16 => anna <anna@choir.test> R=local T=mailbox
2026-11-20 13:00:02 +0000 1xWH1C-000653-17 <= probe@p.example H=x [192.0.2.68] P=esmtp S=443
2026-11-20 13:00:02 +0000 1xWH1C-000653-17 => anna <anna@choir.test> R=local T=mailbox
2026-11-20 13:00:03 +0000 1xWH1C-000653-18 <= a@sender.example H=x [192.0.2.68] P=esmtp S=443
2026-11-20 13:00:03 +0000 1xWH1C-000653-18 => o <o@other.test> R=local T=mailbox
2026-11-20 15:30:00 +0000 1xWH1C-000653-19 <= u@choir.test H=x [192.0.2.68] P=esmtpsa A=plain:u S=443
2026-11-20 15:30:00 +0000 1xWH1C-000653-19 => anna <anna@choir.test> R=local T=mailbox
`,
		"postfix": `Nov 20 12:00:00 old postfix/smtpd[1]: 336379D28CC: client=unknown[192.0.2.68]
Nov 20 12:00:00 old postfix/qmgr[2]: 336379D28CC: from=<a@sender.example>, size=421, nrcpt=2 (queue active)
Nov 20 12:00:01 old postfix/local[3]: 336379D28CC: to=<anna@choir.test>, relay=local, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (ok)
Nov 20 12:00:01 old postfix/local[3]: 336379D28CC: to=<info@choir.test>, relay=local, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (ok)
Nov 20 12:59:59 old postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.68]: 550 5.1.1 <x@choir.test>: Recipient address rejected: User unknown; from=<a@sender.example> to=<x@choir.test> proto=ESMTP helo=<x>
Nov 20 13:00:00 old postfix/smtpd[1]: 436379D28CC: client=gw[192.0.2.20]
Nov 20 13:00:00 old postfix/qmgr[2]: 436379D28CC: from=<a@sender.example>, size=421, nrcpt=1 (queue active)
Nov 20 13:00:00 old postfix/local[3]: 436379D28CC: to=<anna@choir.test>, relay=local, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (ok)
Nov 20 15:30:00 old postfix/qmgr[2]: 436379D28CC: removed
`,
	} {
		h := &Hours{
			Wanted: func(d []byte) bool { return string(d) == "choir.test" }, Skip: func(r *Record) bool { return strings.HasPrefix(string(r.Sender), "probe@") },
			Gateway: func(a netip.Addr) bool { return a == gateway }, Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		}
		l, err := NewLog(Options{Format: format, Now: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)}, h.Add)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Read(strings.NewReader(log)); err != nil {
			t.Fatal(err)
		}
		noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		if got, want := h.List(), []Hour{{At: noon, Straight: 1, Refused: 1}, {At: noon.Add(time.Hour), Passed: 1}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", format, got, want)
		}
		if !h.First.Equal(noon) || h.Last.Before(noon.Add(time.Hour)) {
			t.Errorf("%s: from %s to %s", format, h.First, h.Last)
		}
	}
}

// TestHoursAreBounded leaves out what a log of invented times would add.
func TestHoursAreBounded(t *testing.T) {
	t.Parallel()
	h := &Hours{}
	for i := range maxHours + 10 {
		r := Record{At: time.Unix(int64(i)*3600, 1), Event: Delivered, Domain: true, Recipient: []byte("a@b.test")}
		h.Add(&r)
	}
	if len(h.List()) != maxHours || h.Left != 10 {
		t.Errorf("%d hours, %d left out", len(h.List()), h.Left)
	}
}
