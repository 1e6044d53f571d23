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
	if e.at, ok = c.again(line[:19], zoned); !ok {
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
		e.at = c.second(line[:19], zoned, hour.Add(within))
	}
	if parts != off {
		e.at = e.at.Add(parts - off)
	}
	return line[i+1:], true
}

// eximID is how long the message id is with which a text begins; 0 = with none.
func eximID(b []byte) int {
	switch {
	case len(b) > 16 && b[16] == ' ' && b[6] == '-' && b[13] == '-' && alphanumeric(b[:6]) && alphanumeric(b[7:13]) && alphanumeric(b[14:16]):
		return 16
	case len(b) > 23 && b[23] == ' ' && b[6] == '-' && b[18] == '-' && alphanumeric(b[:6]) && alphanumeric(b[7:18]) && alphanumeric(b[19:23]):
		return 23
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
	f := eximFieldsOf(b)
	if f.named {
		e.messageID, _, _ = bytes.Cut(b[f.end+len(" id="):], []byte{' '})
	}
	fields := b[:f.end]
	e.peer, e.port = eximPeer(fields), f.port(fields)
	// A greeting, and the name in a certificate, are the client's. Exim's own fields follow
	// the brackets and quotes in which they stand.
	eximOwn(fields[1+max(last(fields, '"'), last(fields, ']')):], e)
	if !e.auth {
		e.auth = len(e.peer) == 0 && !e.own && !begins(b, " H=") // a greeting may hide the peer
	}
	if f.subject >= 0 {
		b = b[f.subject+len(" T="):]
		b = b[quoted(b):] // nothing, if the line was cut in there
	}
	if i := lastFor(b); i >= 0 && bytes.IndexByte(b[i:], '"') < 0 {
		e.recipients = b[i+len(" for "):]
	}
}

// lastFor is where " for " stands last; -1 = nowhere. What follows it is short.
func lastFor(b []byte) int {
	for i := len(b) - len(" for "); i >= 0; i-- {
		if b[i] == ' ' && string(b[i:i+len(" for ")]) == " for " {
			return i
		}
	}
	return -1
}

// eximOwn reads the fields that no client has a word in.
func eximOwn(b []byte, e *entry) {
	sized := false
	for i := next(b, 0, '='); i >= 0; i = next(b, i+1, '=') {
		switch field := eximField(b, i); {
		case field == 'A' && !e.auth: // "A=driver:user", as the authenticator has it
			word, _, _ := bytes.Cut(b[i+1:], []byte{' '})
			_, e.user, _ = bytes.Cut(word, []byte{':'})
			e.auth = true
		case field == 'S' && !sized:
			e.size, sized = size(b[i+1:]), true
		}
	}
}

// eximOutcome reads "RECIPIENT <ORIGINAL> R=... T=... : REASON".
func eximOutcome(b []byte, event Event, e *entry) {
	e.kind, e.event = outcome, event
	end := eximNames(b)
	names, rest := b[:end], b[end:]
	if i := bytes.LastIndexByte(names, '<'); i >= 0 && names[len(names)-1] == '>' {
		e.recipient = names[i+1 : len(names)-1 : len(names)-1]
	} else {
		e.recipient, _ = eximAddress(names)
	}
	if event == Delivered {
		e.reply, e.nextIn = rest, eximNext
	} else if i := index(rest, ": "); i >= 0 {
		e.status = short(rest[i+2:])
	}
}

// eximNames is how long what tells of addresses is: to the first field or remark after.
func eximNames(b []byte) int {
	local, end := quoted(b), len(b)
	if i := next(b, local, ' '); i > 0 && b[i-1] != ':' && begins(b[i:], " R=") {
		return i // as nearly always
	}
	for _, mark := range [...]string{" R=", " F=<", " P=<", ": ", " defer (", " routing defer"} {
		if i := index(b[local:end], mark); i >= 0 {
			end = local + i
		}
	}
	return end
}

// eximNext is the message id that the next server gave, if its reply, C="...", says
// so: "250 OK id=..." or "queued as ...".
func eximNext(rest []byte) []byte {
	reply, _, ok := between(rest, ` C="`, `"`)
	if !ok {
		return nil
	}
	return given(reply, " id=", "queued as ")
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
