package verify

import (
	"strings"
	"testing"
)

// ndr is a delivery status notification, with lines of the reader's own for the
// recipient, about a probe with a token.
func ndr(token, fields string) string {
	return strings.ReplaceAll(`Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@gw1.example>
To: <mxprobe@probe.example>
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; gw1.example
Arrival-Date: Mon, 23 Nov 2026 20:00:00 +0000

Final-Recipient: rfc822; mxprobe@choir.example
`+fields+`

--b
Content-Type: text/rfc822-headers

Message-ID: <`+token+`@probe.example>
X-Mxcutover-Probe: `+token+`

--b--
`, "\n", "\r\n")
}

func TestBounces(t *testing.T) {
	t.Parallel()
	p := testProbe()
	for what, w := range map[string]struct{ text, failed, waits string }{
		"failed":           {ndr(p.token, "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user"), "5.1.1 smtp; 550 5.1.1 no such user", ""},
		"in capitals":      {ndr(p.token, "ACTION: Failed\nSTATUS: 5.7.1"), "5.7.1", ""},
		"folded":           {ndr(p.token, "Action: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550\n no\n way"), "5.7.1 smtp; 550 no way", ""},
		"delayed":          {ndr(p.token, "Action: delayed\nStatus: 4.4.1\nDiagnostic-Code: smtp; 451 later"), "", "4.4.1 smtp; 451 later"},
		"two recipients":   {ndr(p.token, "Action: delayed\nStatus: 4.4.1\n\nFinal-Recipient: rfc822; b@c\nAction: failed\nStatus: 5.0.0\n\nAction: delayed\nStatus: 4.0.0"), "5.0.0", ""},
		"delivered":        {ndr(p.token, "Action: delivered\nStatus: 2.0.0"), "", ""},
		"of another":       {ndr(newToken(), "Action: failed\nStatus: 5.1.1"), "", ""},
		"in words":         {"Return-Path: <>\r\nSubject: failure notice\r\n\r\nHi. This is qmail.\r\n5.1.1 <a@b>: sorry\r\n\r\n" + p.message(), "5.1.1 failure notice", ""},
		"of Exim, in QP":   {"From: Mail Delivery System <Mailer-Daemon@x>\r\nSubject: Mail delivery failed\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n550 5.2.1 closed " + p.token[:16] + "=\r\n" + p.token[16:] + "\r\n", "5.2.1 Mail delivery failed", ""},
		"in base64, cut":   {"Return-Path: <>\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!", "", ""},
		"an answer":        {"From: someone@x\r\nSubject: Re: mxcutover probe " + p.token + "\r\n\r\n" + p.token, "", ""},
		"the probe itself": {"Return-Path: <>\r\n" + p.message(), "", ""},
		"cut off":          {ndr(p.token, "Action: failed\nStatus: 5.1.1")[:560], "", ""},
		"nothing":          {"", "", ""},
	} {
		a := testArrivals(Settings{})
		wt := a.expect(p)
		ours := a.bounced(w.text)
		var o outcome
		select {
		case o = <-wt.got:
		default:
			o = wt.put
		}
		wt.leave()
		if o.failed != w.failed || o.waits != w.waits || ours != (w.failed+w.waits != "") {
			t.Errorf("%s: %v, failed %q, waits %q; want %q, %q", what, ours, o.failed, o.waits, w.failed, w.waits)
		}
	}
}

// A bounce of parts within parts, and of very many, is read to a bound.
func TestBounceIsBounded(t *testing.T) {
	t.Parallel()
	p, a := testProbe(), testArrivals(Settings{})
	w := a.expect(p)
	defer w.leave()
	deep := "Return-Path: <>\r\n"
	for range 200 {
		deep += "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	}
	wide := "Return-Path: <>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 10000)
	for _, text := range []string{deep + "\r\n" + p.token, wide + "--b\r\n\r\n" + p.token} {
		if a.bounced(text) {
			t.Error("read beyond its bounds")
		}
	}
}

func FuzzBounce(f *testing.F) {
	token := newToken()
	f.Add(ndr(token, "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no"))
	f.Add("Return-Path: <>\r\nContent-Type: multipart/report; boundary=\"\"\r\n\r\n----\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := parseBounce(text)
		if err == nil && (len(b.said) > maxSaid || strings.ContainsAny(b.said, "\r\n") || len(b.text) > maxBounce+maxParts) {
			t.Errorf("%q of %q", b.said, text)
		}
	})
}
