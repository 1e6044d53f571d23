package traffic

import "bytes"

// Postfix in syslog (see syslog.go), or in its own maillog_file, which has the same
// form. Used are, with queue ids short and long, of programs whatever they are called
// (postfix/smtp, postfix-out/relay/smtp, mx-out/smtp):
//
//	postfix/smtpd[1]: 336379D28CC: client=unknown[192.0.2.68]
//	postfix/cleanup[2]: 336379D28CC: message-id=<7@client.example>
//	postfix/qmgr[3]: 336379D28CC: from=<a@sender.example>, size=421, nrcpt=1 (queue active)
//	postfix/smtp[4]: 336379D28CC: to=<info@choir.example>, relay=mail[192.0.2.3]:25, delay=0.03, delays=0.01/0.02/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)
//	postfix/qmgr[3]: 336379D28CC: removed
//	postfix/pickup[5]: 4jZRmz1MF8z1VcrM: uid=0 from=<root@local.example>
//	postfix/bounce[6]: 2BD5C9D28D1: sender non-delivery notification: 288D89D2752
//	postfix/smtpd[1]: 336379D28CC: client=localhost[127.0.0.1], orig_client=unknown[192.0.2.68]
//	postfix/smtpd[1]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 336379D28CC; from=<a@sender.example> to=<info@choir.example> proto=ESMTP helo=<client.example>
//	postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.68]: 550 5.1.1 <nobody@choir.example>: Recipient address rejected: User unknown; from=<a@sender.example> to=<nobody@choir.example> proto=ESMTP helo=<client.example>
//
// A status is sent, deferred, bounced or expired; others are those of probes.
func postfix(h *header, e *entry) {
	if begins(h.message, "proxy-") {
		postfixProxy(h.message[len("proxy-"):], e)
		return
	}
	i := colon(h.message[:min(len(h.message), 33)])
	if i < 5 || i > 31 || !alphanumeric(h.message[:i]) {
		return // of no message
	}
	id, rest := h.message[:i], h.message[i+2:]
	if string(id) != "NOQUEUE" {
		e.queue = id[:len(id):len(id)]
	}
	switch {
	case begins(rest, "client="):
		postfixClient(rest[len("client="):], e)
		e.port = postfixPort(h.program)
	case begins(rest, "uid="):
		e.kind = submitted
	case begins(rest, "message-id="):
		e.kind, e.messageID = named, bytes.Trim(rest[len("message-id="):], "<>")
	case begins(rest, "from=<"):
		postfixQueued(rest, e)
	case begins(rest, "to=<"):
		postfixOutcome(rest, e)
	case begins(rest, "reject: "), begins(rest, "milter-reject: "):
		postfixRefused(rest, e)
	case string(rest) == "removed":
		e.kind = done
	case begins(rest, "sender non-delivery notification: "), begins(rest, "sender delivery status notification: "), begins(rest, "postmaster non-delivery notification: "):
		_, e.next, _ = bytes.Cut(rest, []byte(": "))
		e.kind = internal
	}
}

// postfixProgram tells a program of Postfix by its name: "postfix/smtp", that of an
// instance, "postfix-out/smtp", or of one with a syslog_name of its own, "mx-out/smtp".
func postfixProgram(program []byte) bool {
	if begins(program, "postfix") {
		return true
	}
	i := bytes.LastIndexByte(program, '/')
	if i <= 0 {
		return false
	}
	switch string(program[i+1:]) {
	case "smtpd", "smtp", "lmtp", "cleanup", "qmgr", "pickup", "local", "virtual", "pipe", "bounce", "error", "discard", "postscreen":
		return true
	}
	return false
}

// postfixClient reads "host[ADDRESS], orig_queue_id=..., orig_client=host[ADDRESS], sasl_username=...".
func postfixClient(b []byte, e *entry) {
	e.kind = client
	e.peer, b, _ = between(b, "[", "]")
	if i := index(b, ", sasl_username="); i >= 0 {
		e.auth = true
		e.user, _, _ = bytes.Cut(b[i+len(", sasl_username="):], []byte(", "))
	}
	if i := index(b, ", sasl_"); i >= 0 { // what follows is the client's
		b = b[:i]
	}
	if _, orig, ok := bytes.Cut(b, []byte(", orig_client=")); ok {
		e.behalf, _, _ = between(orig, "[", "]")
	}
	if i := index(b, ", orig_queue_id="); i >= 0 { // the filter says which message it hands back
		id, _, _ := bytes.Cut(b[i+len(", orig_queue_id="):], []byte{','})
		if string(id) != "NOQUEUE" {
			e.next = id
		}
	}
}

// postfixProxy reads "accept: END-OF-MESSAGE: REPLY; from=<...> to=<...>", or "reject: "
// so: what a filter before the queue (smtpd_proxy_filter) said.
func postfixProxy(b []byte, e *entry) {
	word, rest, ok := bytes.Cut(b, []byte(": "))
	if !ok {
		return
	}
	_, rest, ok = bytes.Cut(rest, []byte(": ")) // at which command
	reply, to, told := postfixTail(rest, e)
	switch {
	case !ok || !told:
	case string(word) == "accept":
		if i := bytes.LastIndex(reply, []byte("queued as ")); i >= 0 {
			e.kind = proxied
			e.next, _, _ = bytes.Cut(reply[i+len("queued as "):], []byte{' '})
		}
	case string(word) == "reject" && len(reply) > 0:
		e.kind, e.event, e.recipient, e.status = refused, Rejected, to, short(reply)
		if reply[0] == '4' {
			e.event = Deferred
		}
	}
}

// postfixPort is the port of a service, by the name that master.cf gives it in the
// log (-o syslog_name=postfix/submission), as Postfix comes with it; 0 = not known.
func postfixPort(program []byte) uint16 {
	name := program[max(bytes.IndexByte(program, '/'), 0):]
	i := bytes.LastIndexByte(name, '/')
	if i <= 0 {
		return 0 // as nearly always: the service has no name of its own
	}
	switch name = name[:i+1]; {
	case index(name, "/submissions/") >= 0, index(name, "/smtps/") >= 0:
		return 465
	case index(name, "/submission/") >= 0:
		return 587
	}
	return 0
}

// postfixQueued reads "from=<SENDER>, size=421, nrcpt=1 (queue active)", and what
// becomes of a message after its last try.
func postfixQueued(b []byte, e *entry) {
	sender, rest, ok := angled(b[len("from=<"):])
	if !ok || !begins(rest, ", ") {
		return
	}
	switch rest = rest[2:]; {
	case begins(rest, "size="):
		e.kind, e.sender, e.size = queued, sender, size(rest[len("size="):])
	case begins(rest, "status=expired"):
		e.kind, e.event, e.sender, e.status = outcome, Bounced, sender, short(rest)
	}
}

func postfixOutcome(b []byte, e *entry) {
	to, rest, ok := angled(b[len("to=<"):])
	if !ok {
		return
	}
	if begins(rest, ", orig_to=<") {
		if to, rest, ok = angled(rest[len(", orig_to=<"):]); !ok {
			return
		}
	}
	i := postfixStatus(rest)
	if i < 0 {
		return
	}
	word, reply, _ := bytes.Cut(rest[i+len(", status="):], []byte(" ("))
	switch string(word) {
	case "sent":
		e.event = Delivered
	case "deferred":
		e.event = Deferred
	case "bounced", "expired":
		e.event = Bounced
	default:
		return
	}
	e.kind, e.recipient = outcome, to
	reply = bytes.TrimSuffix(reply, []byte{')'})
	if e.event == Delivered {
		e.reply, e.nextIn = reply, postfixNext
	} else {
		e.status = short(reply)
	}
}

// postfixStatus is where ", status=" stands; -1 = nowhere. There is hardly a "u" before.
func postfixStatus(b []byte) int {
	for i := next(b, 0, 'u'); i >= 0; i = next(b, i+1, 'u') {
		if i >= len(", stat") && begins(b[i-len(", stat"):], ", status=") {
			return i - len(", stat")
		}
	}
	return -1
}

// postfixNext is the id of the message that a reply says came of one.
func postfixNext(reply []byte) []byte { return given(reply, "forwarded as ", "queued as ") }

// postfixRefused reads "reject: RCPT from HOST[ADDRESS]: REPLY; from=<...> to=<...>".
// postscreen has commas between the last ones.
func postfixRefused(b []byte, e *entry) {
	peer, rest, ok := between(b, "[", "]")
	if !ok {
		return
	}
	reply, to, ok := postfixTail(rest, e)
	if j := index(reply, ": "); j >= 0 {
		reply = reply[j+2:]
	}
	if !ok || len(reply) == 0 {
		return
	}
	e.kind, e.event, e.peer, e.recipient, e.status = refused, Rejected, peer, to, short(reply)
	if reply[0] == '4' {
		e.event = Deferred
	}
}

// maxTails bounds how many places are tried for the end of a reply.
const maxTails = 8

// postfixTail reads "REPLY; from=<SENDER> to=<RECIPIENT> proto=ESMTP helo=<NAME>", the
// sender into e. The reply has what the client said, and so have quoted local parts: it
// is the first place after which the line goes on, to its end, as Postfix writes it.
// There are no quotes after the recipient: Postfix leaves them in no greeting.
func postfixTail(b []byte, e *entry) (reply, to []byte, ok bool) {
	for i, n := 0, 0; n < maxTails; n++ {
		next := index(b[i:], "; from=<")
		if next < 0 {
			return nil, nil, false
		}
		i += next + 1
		sender, rest, ok := angled(b[i+len(" from=<"):])
		rest = bytes.TrimPrefix(rest, []byte{','})
		if !ok || !begins(rest, " to=<") {
			continue
		}
		if to, rest, ok = angled(rest[len(" to=<"):]); !ok || stray(sender) || stray(to) || bytes.IndexByte(rest, '"') >= 0 {
			continue
		}
		if rest = bytes.TrimPrefix(rest, []byte{','}); begins(rest, " proto=") && bytes.Count(rest, []byte{'<'}) <= 1 {
			e.sender = sender
			return b[:i-1], to, true
		}
	}
	return nil, nil, false
}

// stray tells whether there is a quote in an address but around its local part.
func stray(b []byte) bool { return bytes.IndexByte(b[quoted(b):], '"') >= 0 }

// angled takes an address, whose local part may be quoted, and the ">" after it from
// the front.
func angled(b []byte) (address, rest []byte, ok bool) {
	n := quoted(b)
	if n == len(b) { // it has no end: old versions log addresses without quotes
		n = 0
	}
	i := bytes.IndexByte(b[n:], '>')
	if i < 0 {
		return nil, nil, false
	}
	return b[: n+i : n+i], b[n+i+1:], true
}
