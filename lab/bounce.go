package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// bounce is a delivery status notification (RFC 3464) from one host of the gateway
// about one recipient, with the header of the message that failed.
func (h *host) bounce(m *outgoing, to string, reply error, now time.Time) []byte {
	const border = "----=_lab_report"
	head, _, _ := strings.Cut(strings.ReplaceAll(string(m.data), "\r\n", "\n"), "\n\n")
	status, said := "5.0.0", reply.Error()
	var e *smtp.SMTPError
	if errors.As(reply, &e) {
		status = fmt.Sprintf("%d.%d.%d", e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
		said = fmt.Sprintf("%d %s %s", e.Code, status, strings.ReplaceAll(e.Message, "\n", " "))
	}
	lines := []string{
		"From: Mail Delivery System <MAILER-DAEMON@" + h.name + ">",
		"To: <" + m.from + ">",
		"Subject: Undelivered Mail Returned to Sender",
		"Date: " + now.UTC().Format(time.RFC1123Z),
		"Auto-Submitted: auto-replied",
		"MIME-Version: 1.0",
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"" + border + "\"",
		"",
		"--" + border, "Content-Type: text/plain", "",
		"Your message to " + to + " could not be delivered.",
		"--" + border, "Content-Type: message/delivery-status", "",
		"Reporting-MTA: dns; " + h.name, "",
		"Final-Recipient: rfc822; " + to, "Action: failed", "Status: " + status, "Diagnostic-Code: smtp; " + said, "",
		"--" + border, "Content-Type: text/rfc822-headers", "",
		strings.ReplaceAll(head, "\n", "\r\n"), "",
		"--" + border + "--", "",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// report sends a bounce to who sent the message, if the old server has its mailbox;
// all other senders are made up.
func (h *host) report(ctx context.Context, m *outgoing, to string, reply error) {
	if m.from != probeLocal+"@"+probeZone {
		return
	}
	_, _ = transmit(ctx, route{h.addr, h.name, h.old}, "", []string{m.from}, h.bounce(m, to, reply, h.now())) // a bounce that fails is dropped (RFC 5321 section 6.1)
}
