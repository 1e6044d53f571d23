package verify

import (
	"net/netip"
	"regexp"
	"strings"
)

// A logEvent is what a line of a mail server's log tells of a message.
type logEvent int

// The events.
const (
	logCame      logEvent = iota + 1 // who handed it over
	logNamed                         // its Message-ID
	logDelivered                     // to a mailbox, or to another machine
	logDeferred                      // its delivery is tried again
	logBounced                       // its delivery failed for good
	logFiltered                      // it went to a content filter on the same machine, from which it may come back
	logPutOff                        // a recipient was refused for now: there is no message yet
)

// A logLine is one line, as far as it matters here.
type logLine struct {
	event    logEvent
	id       string     // of the queue; "" at logPutOff
	peer     netip.Addr // logCame
	named    string     // Message-ID without its brackets: logNamed, and Exim's logCame
	from, to string     // logPutOff; of logDelivered, only to
	said     string     // by whom it was deferred or refused
	onTo     netip.Addr // logDelivered: the machine that took it; invalid if it stayed, or the line does not tell
}

var (
	// postfix/smtpd[123]: 4A0B1C2D3E: ...; also postfix-in/submission/smtpd[123]
	postfixLine = regexp.MustCompile(`\bpostfix[\w-]*/(?:[\w-]+/)*([\w-]+)\[\d+\]: ([0-9A-Za-z]{5,24}): (.*)$`)
	postfixPeer = regexp.MustCompile(`^client=[^\[\s]*\[([0-9A-Fa-f:.]+)\]`)
	postfixSent = regexp.MustCompile(`^to=<([^>]*)>,.*?(?:relay=([^,]*),).*? status=([a-z]+) \((.*)\)$`)
	postfixNo   = regexp.MustCompile(`^reject: RCPT from \S+: (4\d\d .*); from=<([^>]*)> to=<([^>]*)>`)

	// 2026-11-25 18:10:51 [pid] 1xWHSF-0003es-23 <= ...; the date may have fractions and a zone
	eximLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?(?: \[\d+\])? (.*)$`)
	eximID   = regexp.MustCompile(`^([0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}) (<=|=>|->|==|\*\*) (.*)$`)
	eximPeer = regexp.MustCompile(`(?:^| )H=(?:[^\s(\[]+ )?(?:\(\S*\) )?\[([0-9A-Fa-f:.]+)\]`)
	eximName = regexp.MustCompile(` id=(\S+)`)
	eximNo   = regexp.MustCompile(`F=<([^>]*)> temporarily rejected RCPT <?([^>\s]*)>?:? ?(.*)$`)
)

// parseLogLine reads a line of Exim's main log or of Postfix's.
func parseLogLine(s string) (logLine, bool) {
	if m := postfixLine.FindStringSubmatch(s); m != nil {
		return parsePostfix(m[1], m[2], m[3])
	}
	if m := eximLine.FindStringSubmatch(s); m != nil {
		return parseExim(m[1])
	}
	return logLine{}, false
}

func parsePostfix(program, id, rest string) (logLine, bool) {
	if id == "NOQUEUE" {
		m := postfixNo.FindStringSubmatch(rest)
		if m == nil {
			return logLine{}, false
		}
		return logLine{event: logPutOff, from: m[2], to: m[3], said: m[1]}, true
	}
	if m := postfixPeer.FindStringSubmatch(rest); m != nil {
		peer, err := netip.ParseAddr(m[1])
		return logLine{event: logCame, id: id, peer: peer.Unmap()}, err == nil
	}
	if named, ok := strings.CutPrefix(rest, "message-id="); ok && program == "cleanup" {
		return logLine{event: logNamed, id: id, named: strings.Trim(named, "<>")}, true
	}
	m := postfixSent.FindStringSubmatch(rest)
	if m == nil {
		return logLine{}, false
	}
	l := logLine{id: id, to: m[1], said: m[4]}
	switch m[3] {
	case "sent":
		if l.event = logDelivered; toFilter(m[2], m[4]) {
			l.event = logFiltered
			return l, true
		}
		if r := literal.FindStringSubmatch(m[2]); r != nil {
			l.onTo = address(r[1])
		}
	case "deferred":
		l.event = logDeferred
	case "bounced":
		l.event = logBounced
	default:
		return logLine{}, false
	}
	return l, true
}

// toFilter tells whether a message only went to a content filter on the same
// machine, from which it comes back under another queue id.
func toFilter(relay, said string) bool {
	return (strings.Contains(relay, "[127.") || strings.Contains(relay, "[::1]")) && strings.Contains(said, "queued as ")
}

func parseExim(rest string) (logLine, bool) {
	if m := eximNo.FindStringSubmatch(rest); m != nil {
		return logLine{event: logPutOff, from: m[1], to: m[2], said: m[3]}, true
	}
	m := eximID.FindStringSubmatch(rest)
	if m == nil {
		return logLine{}, false
	}
	l := logLine{id: m[1], said: m[3]}
	switch m[2] {
	case "<=":
		l.event, l.said = logCame, ""
		if p := eximPeer.FindStringSubmatch(m[3]); p != nil {
			if a, err := netip.ParseAddr(p[1]); err == nil {
				l.peer = a.Unmap()
			}
		}
		if n := eximName.FindStringSubmatch(m[3]); n != nil {
			l.named = strings.Trim(n[1], "<>")
		}
	case "=>", "->":
		l.event, l.to = logDelivered, recipientOf(m[3])
		if p := eximPeer.FindStringSubmatch(m[3]); p != nil {
			if l.onTo = address(p[1]); strings.HasPrefix(p[1], "127.") {
				l.event = logFiltered
			}
		}
	case "==":
		l.event = logDeferred
	case "**":
		l.event = logBounced
	}
	return l, true
}

// address is an address as a log has it; invalid if it is none.
func address(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}

// recipientOf is the address that Exim delivered to: it stands first, or after the
// name of a local mailbox in angle brackets.
func recipientOf(rest string) string {
	before, _, _ := strings.Cut(rest, " R=")
	to, original, _ := strings.Cut(before, " ")
	if !strings.Contains(to, "@") {
		to = strings.Trim(original, "<>")
	}
	return to
}
