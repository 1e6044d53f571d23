package traffic

import (
	"bytes"
	"time"
)

// Exim's main log (chapter "Log files" of its specification). Used are: the time,
// with or without milliseconds and zone; the process's number is skipped; message
// ids of 16 characters and, since Exim 4.97, of 23; of each message
//
//	2026-11-25 18:42:57.423 +0100 [23492] 1xWH1F-00066u-1L <= a@sender.example H=(client.example) [192.0.2.68] P=esmtp S=445 id=7@client.example for info@choir.example
//	2026-11-25 18:42:57 1xWH1F-00066u-1L => info@choir.example <list@choir.example> R=all T=smtp H=gw [192.0.2.3] C="250 2.0.0 Ok"
//	2026-11-25 18:42:57 1xWH1F-00066u-1L == info@slow.example R=dead T=smtp defer (111): Connection refused
//	2026-11-25 18:42:57 1xWH1F-00066u-1L ** info@bounce.example R=b T=s H=b [192.0.2.4]: SMTP error from remote mail server: 550 no
//	2026-11-25 18:42:57 1xWH1F-00066u-1L Completed
//
// (-> is another recipient of the delivery before it, >> one that was passed through
// at once), and what was refused, with a message id only after DATA:
//
//	2026-11-25 18:42:55 H=(client.example) [192.0.2.68] F=<a@sender.example> rejected RCPT <nobody@choir.example>: Unknown user
//	2026-11-25 18:42:55 H=(client.example) [192.0.2.68] F=<a@sender.example> temporarily rejected RCPT <info@choir.example>: greylisted
//
// The same text behind a syslog header, of a program exim, is understood too; see
// eximSyslog.
func parseExim(line []byte, c *clock, e *entry) bool {
	rest, ok := eximStamp(line, c, e)
	if !ok {
		return only(eximServer)(line, c, e)
	}
	eximText(rest, e)
	return true
}

// eximSyslog reads a message of syslog, with a time of its own or not. Long lines come
// there in pieces, "[1/3] ..." (or with a backslash, where the line was cut at its own
// line breaks): the first is read, the others have only what senders and servers said.
func eximSyslog(b []byte, c *clock, e *entry) {
	pieces := false
	if i := bytes.IndexByte(b, ']'); i > 3 && i < 8 && b[0] == '[' && i+1 < len(b) && b[i+1] == ' ' {
		n := bytes.IndexAny(b[1:i], `/\`)
		if n > 0 {
			if string(b[1:1+n]) != "1" {
				return
			}
			b, pieces = b[i+2:], true
		}
	}
	if inner, ok := eximStamp(b, c, e); ok {
		b = inner
	}
	eximText(b, e)
	if pieces { // the last address may be cut: it is told when it is delivered to
		e.recipients = e.recipients[:max(bytes.LastIndexByte(e.recipients, ' '), 0)]
	}
}

// eximText reads what follows the time.
func eximText(rest []byte, e *entry) {
	if len(rest) > 0 && rest[0] == '[' {
		if i := index(rest, "] "); i > 0 && i < 12 && alphanumeric(rest[1:i]) {
			rest = rest[i+2:]
		}
	}
	if n := eximID(rest); n > 0 {
		e.queue, rest = rest[:n:n], rest[n+1:]
		if eximMessage(rest, e) {
			return
		}
	}
	eximRefused(rest, e)
}

// eximStamp reads the time of a line.
func eximStamp(line []byte, c *clock, e *entry) (rest []byte, ok bool) {
	if len(line) < 20 || line[10] != ' ' {
		return nil, false
	}
	i := 19
	parts, n := fraction(line[i:])
	i += n
	zone, off, zoned := c.zone, time.Duration(0), false
	if i+6 < len(line) && line[i] == ' ' {
		if d, n := offset(line[i+1:]); n == 5 {
			zone, off, zoned, i = time.UTC, d, true, i+1+n
		}
	}
	if i >= len(line) || line[i] != ' ' {
		return nil, false
	}
	key := [14]byte{}
	copy(key[:], line[:13])
	if zoned {
		key[13] = 'Z'
	}
	hour, ok := c.keep(key[:], func(b []byte) (time.Time, bool) { return day(b, zone) })
	within, also := sixty(line[13:])
	if !ok || !also {
		return nil, false
	}
	e.at = hour.Add(within + parts - off)
	return line[i+1:], true
}

// eximID is how long the message id is with which a text begins; 0 = with none.
func eximID(b []byte) int {
	for _, form := range [...][2]int{{13, 16}, {18, 23}} {
		second, n := form[0], form[1]
		if len(b) > n && b[n] == ' ' && b[6] == '-' && b[second] == '-' && alphanumeric(b[:6]) && alphanumeric(b[7:second]) && alphanumeric(b[second+1:n]) {
			return n
		}
	}
	return 0
}

// eximMessage reads what follows a message id.
func eximMessage(b []byte, e *entry) bool {
	if string(b) == "Completed" || begins(b, "Completed ") {
		e.kind = done
		return true
	}
	if len(b) < 4 || b[2] != ' ' {
		return false
	}
	switch string(b[:2]) {
	case "<=":
		eximArrival(b[3:], e)
	case "=>", "->", ">>":
		eximOutcome(b[3:], Delivered, e)
	case "**":
		eximOutcome(b[3:], Bounced, e)
	case "==":
		eximOutcome(b[3:], Deferred, e)
	default:
		return false
	}
	return true
}

// eximArrival reads "SENDER H=... P=... S=... id=... for RECIPIENTS".
func eximArrival(b []byte, e *entry) {
	e.kind = arrival
	e.sender, b = eximAddress(b)
	if string(e.sender) == "<>" {
		e.sender = b[:0:0]
	}
	e.own = len(e.sender) == 0 && begins(b, " R=") // it is about another message
	fields := b                                    // before what is the sender's own text: Message-ID and subject
	if i := index(b, ` T="`); i >= 0 {
		fields = b[:i]
	}
	if i := eximMessageID(fields); i >= 0 {
		e.messageID, _, _ = bytes.Cut(fields[i+4:], []byte{' '})
		fields = fields[:i]
	}
	e.peer = eximPeer(fields)
	e.port = eximPort(fields)
	// A greeting, and the name in a certificate, are the client's. Exim's own fields follow
	// the brackets and quotes in which they stand.
	fields = fields[1+max(bytes.LastIndexByte(fields, '"'), bytes.LastIndexByte(fields, ']')):]
	if i := index(fields, " A="); i >= 0 { // "A=driver:user", as the authenticator has it
		word, _, _ := bytes.Cut(fields[i+3:], []byte{' '})
		_, e.user, _ = bytes.Cut(word, []byte{':'})
		e.auth = true
	} else {
		e.auth = len(e.peer) == 0 && !e.own && !begins(b, " H=") // a greeting may hide the peer
	}
	if i := index(fields, " S="); i >= 0 {
		e.size = size(fields[i+3:])
	}
	if i := index(b, ` T="`); i >= 0 {
		b = b[i+3:]
		b = b[quoted(b):] // nothing, if the line was cut in there
	}
	if i := bytes.LastIndex(b, []byte(" for ")); i >= 0 && bytes.IndexByte(b[i:], '"') < 0 {
		e.recipients = b[i+5:]
	}
}

// eximMessageID is where " id=" stands, after the protocol and outside of quotes, in which
// names of certificates stand; -1 = nowhere.
func eximMessageID(b []byte) int {
	at := max(index(b, " P="), 0)
	for {
		i := index(b[at:], " id=")
		if i < 0 {
			return -1
		}
		q := index(b[at:at+i], `="`)
		if q < 0 {
			return at + i
		}
		at += q + 1
		at += quoted(b[at:])
	}
}

// eximAddress takes an address, whose local part may be quoted, from the front.
func eximAddress(b []byte) (address, rest []byte) {
	i := quoted(b)
	if j := bytes.IndexByte(b[i:], ' '); j >= 0 {
		return b[: i+j : i+j], b[i+j:]
	}
	return b, b[len(b):]
}

// quoted is how long the quoted string is with which a text begins; 0 = with none.
func quoted(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	i := 1
	for ; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(b))
}

// eximPeer is the address in "H=name (helo) [address]:port", the last one before
// the fields that follow: a greeting may have brackets of its own.
func eximPeer(b []byte) []byte {
	i := index(b, "H=")
	if i < 0 {
		return nil
	}
	b = b[i:]
	for _, next := range [...]string{" I=[", " P=", " X="} {
		if i := index(b, next); i >= 0 {
			b = b[:i]
		}
	}
	from, to := bytes.LastIndexByte(b, '['), bytes.LastIndexByte(b, ']')
	if from < 0 || to < from {
		return nil
	}
	return b[from+1 : to]
}

// eximPort is the port in "I=[address]:port", which +incoming_interface logs.
func eximPort(b []byte) uint16 {
	_, b, ok := between(b, " I=[", "]:")
	if !ok {
		return 0
	}
	return portNumber(b)
}

// eximOutcome reads "RECIPIENT <ORIGINAL> R=... T=... : REASON".
func eximOutcome(b []byte, event Event, e *entry) {
	e.kind, e.event = outcome, event
	local, end := quoted(b), len(b)
	for _, mark := range [...]string{" R=", " F=<", " P=<", ": ", " defer (", " routing defer"} {
		if i := index(b[local:end], mark); i >= 0 {
			end = local + i
		}
	}
	names, rest := b[:end], b[end:]
	if i := bytes.LastIndexByte(names, '<'); i >= 0 && names[len(names)-1] == '>' {
		e.recipient = names[i+1 : len(names)-1 : len(names)-1]
	} else {
		e.recipient, _ = eximAddress(names)
	}
	if event == Delivered {
		if reply, _, ok := between(rest, ` C="`, `"`); ok {
			e.status, e.next = short(reply), eximNext(reply)
		}
	} else if i := index(rest, ": "); i >= 0 {
		e.status = short(rest[i+2:])
	}
}

// eximNext is the message id that the next server gave, if it says so: "250 OK
// id=..." or "queued as ...". It counts only if it is in this log.
func eximNext(reply []byte) []byte {
	for _, mark := range [...]string{" id=", "queued as "} {
		if i := bytes.LastIndex(reply, []byte(mark)); i >= 0 {
			id, _, _ := bytes.Cut(reply[i+len(mark):], []byte{' '})
			return id
		}
	}
	return nil
}

// eximRefused reads "H=... [PEER] F=<SENDER> rejected RCPT <RECIPIENT>: REASON".
func eximRefused(b []byte, e *entry) {
	i := index(b, " F=<")
	if i < 0 || index(b, "H=") < 0 {
		return
	}
	local := quoted(b[i+4:])
	sender, rest, ok := between(b[i+4+local:], "", "> ")
	if !ok {
		return
	}
	sender = b[i+4 : i+4+local+len(sender)]
	event := Rejected
	if begins(rest, "temporarily ") {
		event, rest = Deferred, rest[len("temporarily "):]
	}
	switch {
	case begins(rest, "rejected RCPT "):
		rest = rest[len("rejected RCPT "):]
		if to, after, ok := between(rest, "<", ">: "); ok && rest[0] == '<' {
			e.recipient, e.status = to, short(after)
		} else {
			e.recipient, e.status = bytes.Trim(rest, "<>"), nil
		}
	case begins(rest, "rejected after DATA"), begins(rest, "rejected by "), begins(rest, "rejected during "):
		if i := index(rest, ": "); i >= 0 {
			e.status = short(rest[i+2:])
		}
	default:
		return
	}
	e.kind, e.event, e.sender, e.peer = refused, event, sender, eximPeer(b[:i])
}
