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
//	postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.68]: 550 5.1.1 <nobody@choir.example>: Recipient address rejected: User unknown; from=<a@sender.example> to=<nobody@choir.example> proto=ESMTP helo=<client.example>
//
// A status is sent, deferred, bounced or expired; others are those of probes.
func postfix(h *header, e *entry) {
	id, rest, ok := bytes.Cut(h.message, []byte(": "))
	if !ok || len(id) < 5 || len(id) > 31 || !alphanumeric(id) {
		return // of no message
	}
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

// postfixClient reads "host[ADDRESS], orig_queue_id=..., sasl_username=...".
func postfixClient(b []byte, e *entry) {
	e.kind = client
	e.peer, b, _ = between(b, "[", "]")
	if i := index(b, ", sasl_username="); i >= 0 {
		e.auth = true
		e.user, _, _ = bytes.Cut(b[i+len(", sasl_username="):], []byte(", "))
	}
	if i := index(b, ", orig_queue_id="); i >= 0 { // the filter says which message it hands back
		id, _, _ := bytes.Cut(b[i+len(", orig_queue_id="):], []byte{','})
		if string(id) != "NOQUEUE" {
			e.next = id
		}
	}
}

// postfixPort is the port of a service, by the name that master.cf gives it in the
// log (-o syslog_name=postfix/submission), as Postfix comes with it; 0 = not known.
func postfixPort(program []byte) uint16 {
	switch {
	case index(program, "/submissions/") >= 0, index(program, "/smtps/") >= 0:
		return 465
	case index(program, "/submission/") >= 0:
		return 587
	}
	return 0
}

// postfixQueued reads "from=<SENDER>, size=421, nrcpt=1 (queue active)", and what
// becomes of a message after its last try.
func postfixQueued(b []byte, e *entry) {
	sender, rest, ok := between(b, "from=<", ">, ")
	switch {
	case !ok:
	case begins(rest, "size="):
		e.kind, e.sender, e.size = queued, sender, size(rest[len("size="):])
	case begins(rest, "status=expired"):
		e.kind, e.event, e.sender, e.status = outcome, Bounced, sender, short(rest)
	}
}

func postfixOutcome(b []byte, e *entry) {
	to, rest, ok := between(b, "to=<", ">, ")
	if !ok {
		return
	}
	if begins(rest, "orig_to=<") {
		if to, rest, ok = between(rest, "orig_to=<", ">, "); !ok {
			return
		}
	}
	i := index(rest, ", status=")
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
	e.status = short(reply)
	for _, mark := range [...]string{"queued as ", "forwarded as "} {
		if i := bytes.LastIndex(reply, []byte(mark)); i >= 0 {
			e.next, _, _ = bytes.Cut(reply[i+len(mark):], []byte{' '})
		}
	}
}

// postfixRefused reads "reject: RCPT from HOST[ADDRESS]: REPLY; from=<...> to=<...>".
// postscreen has commas between the last ones.
func postfixRefused(b []byte, e *entry) {
	peer, rest, ok := between(b, "[", "]")
	if !ok {
		return
	}
	// The reply quotes what the client said: the last "; from=<" is Postfix's own.
	i := bytes.LastIndex(rest, []byte("; from=<"))
	if i < 0 {
		return
	}
	reply, tail := rest[:i], rest[i:]
	sender, tail, ok := between(tail, "; from=<", ">")
	to, _, named := between(tail, "to=<", "> proto=")
	if !named {
		to, _, named = between(tail, "to=<", ">")
	}
	to = bytes.TrimSuffix(to, []byte(">,"))
	if j := index(reply, ": "); j >= 0 {
		reply = reply[j+2:]
	}
	if !ok || !named || len(reply) == 0 {
		return
	}
	e.kind, e.event, e.peer, e.sender, e.recipient, e.status = refused, Rejected, peer, sender, to, short(reply)
	if reply[0] == '4' {
		e.event = Deferred
	}
}
