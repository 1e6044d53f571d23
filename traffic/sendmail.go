package traffic

import "bytes"

// Sendmail in syslog (see syslog.go), of programs sendmail, sm-mta and the like. Its
// lines are names with their values, which only addresses, the Message-ID and replies
// of others can pretend to; those are skipped by their own quotes, or stand last. Used
// are:
//
//	sm-mta[1]: 3APHf0x1000123: from=<a@sender.example>, size=421, class=0, nrcpts=2, msgid=<7@client.example>, proto=ESMTP, daemon=MTA, relay=client.example [192.0.2.68]
//	sm-mta[2]: 3APHf0x1000123: to=<info@choir.example>,<b@choir.example>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=120421, relay=mail. [192.0.2.3], dsn=2.0.0, stat=Sent (250 Ok)
//	sm-mta[2]: 3APHf0x1000123: to=x@elsewhere.example, ctladdr=<list@choir.example> (8/0), delay=00:00:01, mailer=esmtp, pri=120421, dsn=4.0.0, stat=Deferred: Connection refused
//	sm-mta[2]: 3APHf0x1000123: 3APHf0x2000123: DSN: User unknown
//	sm-mta[1]: 3APHf0x1000124: <nobody@choir.example>... User unknown
//	sm-mta[1]: 3APHf0x1000124: ruleset=check_rcpt, arg1=<x@far.example>, relay=client.example [192.0.2.68], reject=550 5.7.1 <x@far.example>... Relaying denied
//	sm-mta[1]: 3APHf0x1000125: Milter: to=<info@choir.example>, reject=451 4.7.1 Greylisted
//	sm-mta[1]: 3APHf0x1000126: to=<info@choir.example>, delay=00:00:00, pri=30421, stat=Spam
//
// The last one, without mailer and dsn, is of a message refused after DATA. ctladdr is
// the address on whose behalf a recipient was put in: an alias; of mail that a local
// user submits, that user. A message is over with "done; delay=...", which is
// logged from LogLevel 10 on. proto=ESMTPA and ESMTPSA are of authenticated peers (RFC 3848); as whom, only other lines tell.
func sendmail(b []byte, e *entry) {
	id, rest, ok := bytes.Cut(b, []byte(": "))
	if !ok || len(id) < 5 || len(id) > 31 || !alphanumeric(id) {
		return // of no message
	}
	if string(id) != "NOQUEUE" {
		e.queue = id[:len(id):len(id)]
	}
	switch {
	case begins(rest, "from="):
		sendmailArrival(rest[len("from="):], e)
	case begins(rest, "to="):
		sendmailOutcome(rest[len("to="):], e)
	case begins(rest, "ruleset="):
		sendmailRuleset(rest[len("ruleset="):], e)
	case begins(rest, "Milter: "):
		sendmailMilter(rest[len("Milter: "):], e)
	case begins(rest, "<"):
		to, after := sendmailAddress(rest)
		if begins(after, "... ") {
			sendmailReject(after[len("... "):], e)
			e.event, e.recipient = Rejected, to
		}
	case begins(rest, "done; "):
		e.kind = done
	default:
		sendmailOwn(rest, e)
	}
}

func sendmailProgram(program []byte) bool {
	return begins(program, "sendmail") || begins(program, "sm-")
}

// sendmailAddress takes an address from the front, of a list with commas perhaps.
func sendmailAddress(b []byte) (address, rest []byte) {
	if len(b) == 0 || b[0] != '<' {
		n := quoted(b)
		if i := bytes.IndexByte(b[n:], ','); i >= 0 {
			return b[: n+i : n+i], b[n+i:]
		}
		return b, b[len(b):]
	}
	n := 1 + quoted(b[1:])
	if i := bytes.IndexByte(b[n:], '>'); i >= 0 {
		return b[1 : n+i : n+i], b[n+i+1:]
	}
	return b[1:], b[len(b):]
}

// field is the value of a field, to the comma that ends it.
func sendmailField(b []byte, mark string) []byte {
	i := index(b, mark)
	if i < 0 {
		return nil
	}
	value, _, _ := bytes.Cut(b[i+len(mark):], []byte{','})
	return value
}

// sendmailArrival reads "<SENDER>, size=..., nrcpts=..., msgid=..., proto=..., relay=...".
// The Message-ID is the sender's own text: what is before it is found from the front,
// what follows it from the back.
func sendmailArrival(b []byte, e *entry) {
	sender, rest := sendmailAddress(b)
	front, back := rest, rest
	if i := index(rest, ", msgid="); i >= 0 {
		front, back = rest[:i], rest[i+len(", msgid="):]
	}
	if n := sendmailField(front, ", nrcpts="); len(n) == 0 || string(n) == "0" {
		return // all its recipients were refused
	}
	e.kind, e.sender, e.size = arrival, sender, size(sendmailField(front, ", size="))
	i := bytes.LastIndex(back, []byte(", relay="))
	if i < 0 {
		e.own = len(sender) == 0
		return
	}
	relay := back[i+len(", relay="):]
	e.peer = sendmailPeer(relay)
	if i = bytes.LastIndex(back[:i], []byte(", proto=")); i >= 0 {
		proto := sendmailField(back[i:], ", proto=")
		e.auth = begins(proto, "ESMTP") && bytes.HasSuffix(proto, []byte{'A'})
		back = back[:i]
	}
	if len(front) < len(rest) {
		id, _ := sendmailAddress(back)
		e.messageID = id
	}
	if len(e.peer) == 0 { // a local program's
		e.own = len(sender) == 0
		e.auth = !e.own
	}
}

// sendmailPeer is the address in "user@host [ADDRESS] (may be forged)".
func sendmailPeer(b []byte) []byte {
	from, to := bytes.LastIndexByte(b, '['), bytes.LastIndexByte(b, ']')
	if from < 0 || to < from {
		return nil
	}
	return b[from+1 : to]
}

// sendmailOutcome reads "RECIPIENTS, ctladdr=..., mailer=..., dsn=..., stat=...".
func sendmailOutcome(b []byte, e *entry) {
	rest := b
	for {
		_, rest = sendmailAddress(rest)
		if len(rest) < 2 || rest[0] != ',' || rest[1] == ' ' {
			break
		}
		rest = rest[1:]
	}
	to := b[:len(b)-len(rest)]
	if begins(rest, ", ctladdr=") {
		e.original, rest = sendmailAddress(rest[len(", ctladdr="):])
		e.original, _, _ = bytes.Cut(e.original, []byte(" (")) // root (0/0)
	}
	i := index(rest, ", stat=")
	if i < 0 || len(to) == 0 {
		return
	}
	front := rest[:i]
	if j := index(front, ", reply="); j >= 0 { // the next server's text: what follows it is found from the back
		front, i = front[:j], bytes.LastIndex(rest, []byte(", stat="))
	}
	stat := rest[i+len(", stat="):]
	dsn := sendmailField(front, ", dsn=")
	e.kind, e.recipients, e.sep, e.status = outcome, to, ',', short(stat)
	switch {
	case begins(stat, "queued"), begins(stat, "quarantined"), len(dsn) == 0 && begins(stat, "Deferred"), begins(dsn, "4"):
		e.event = Deferred
	case begins(dsn, "2"), len(dsn) == 0 && begins(stat, "Sent"):
		e.event, e.status = Delivered, nil
		if begins(stat, "Sent (") {
			e.reply, e.nextIn = bytes.TrimSuffix(stat[len("Sent ("):], []byte{')'}), sendmailNext
		}
	case len(dsn) == 0 && index(front, ", mailer=") < 0:
		e.kind, e.event, e.original = refused, Rejected, nil
		e.recipient, _ = nextAddress(to, ',')
	default:
		e.event = Bounced
	}
}

// sendmailNext is the message id that the next server gave, which may be this one:
// "3APHf0x1000127 Message accepted for delivery", or as others say it.
func sendmailNext(reply []byte) []byte {
	if i := index(reply, " Message accepted"); i >= 0 {
		return reply[bytes.LastIndexByte(reply[:i], ' ')+1 : i]
	}
	return given(reply, " id=", "queued as ")
}

// sendmailRuleset reads "check_rcpt, arg1=<RECIPIENT>, relay=..., reject=REPLY".
func sendmailRuleset(b []byte, e *entry) {
	set, rest, ok := bytes.Cut(b, []byte(", arg1="))
	if !ok {
		return
	}
	arg, rest := sendmailAddress(rest)
	i := index(rest, ", reject=")
	if i < 0 {
		return // discarded, or put into quarantine
	}
	if j := index(rest[:i], ", relay="); j >= 0 {
		e.peer = sendmailPeer(rest[j:i])
	}
	switch string(set) {
	case "check_rcpt":
		e.recipient = arg
	case "check_mail":
		e.sender = arg
	}
	sendmailReject(rest[i+len(", reject="):], e)
}

// sendmailMilter reads "to=<RECIPIENT>, reject=REPLY". What a milter refuses after
// DATA is told for each recipient by other lines.
func sendmailMilter(b []byte, e *entry) {
	word, rest, ok := bytes.Cut(b, []byte{'='})
	if !ok || string(word) != "to" && string(word) != "from" {
		return
	}
	address, rest := sendmailAddress(rest)
	if !begins(rest, ", reject=") {
		return
	}
	if string(word) == "to" {
		e.recipient = address
	} else {
		e.sender = address
	}
	sendmailReject(rest[len(", reject="):], e)
}

func sendmailReject(reply []byte, e *entry) {
	e.kind, e.event, e.status = refused, Rejected, short(reply)
	if begins(reply, "4") {
		e.event = Deferred
	}
}

// sendmailOwn reads "ID: DSN: REASON": that message is the server's own. "ID: clone:
// owner=..." is a part of the same message, for a list with an owner.
func sendmailOwn(b []byte, e *entry) {
	id, rest, ok := bytes.Cut(b, []byte(": "))
	if !ok || len(id) < 5 || len(id) > 31 || !alphanumeric(id) {
		return
	}
	if begins(rest, "clone: ") {
		e.kind, e.next, e.queue = client, e.queue, id
		return
	}
	for _, mark := range [...]string{"DSN: ", "return to sender: ", "sender notify: ", "postmaster notify: ", "return receipt: "} {
		if begins(rest, mark) {
			e.kind, e.queue = named, id
			return
		}
	}
}
