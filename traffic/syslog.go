package traffic

import (
	"bytes"
	"strings"
	"time"
)

// A header is the beginning of a line of syslog.
type header struct {
	at      time.Time
	host    []byte
	program []byte // without the process's number
	message []byte
}

// parseSyslog reads the lines of all servers that write to syslog; see mailer.
func parseSyslog(line []byte, c *clock, e *entry) bool {
	h, ok := syslog(line, c)
	return ok && mailer(&h, c, e)
}

// A server is one that writes to syslog; they are bits of a set.
type server uint8

// The servers.
const (
	eximServer server = 1 << iota
	postfixServer
	sendmailServer
)

// String has their names, with "+" between them.
func (s server) String() string {
	var names []string
	for i, name := range [...]string{"exim", "postfix", "sendmail"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// mailer reads what one of the servers says, by its program's name. Lines of other
// programs are none of a mail log.
func mailer(h *header, c *clock, e *entry) bool {
	e.at, e.host = h.at, h.host
	switch {
	case postfixProgram(h.program):
		e.server = postfixServer
		postfix(h, e)
	case sendmailProgram(h.program):
		e.server = sendmailServer
		sendmail(h.message, e)
	case begins(h.program, "exim"):
		e.server = eximServer
		eximSyslog(h.message, c, e)
	default:
		return false
	}
	return true
}

// only is parseSyslog for one of the servers.
func only(s server) func([]byte, *clock, *entry) bool {
	return func(line []byte, c *clock, e *entry) bool { return parseSyslog(line, c, e) && e.server == s }
}

// syslog takes a line apart, in the traditional form (RFC 3164 section 4.1), with the
// time of RFC 3339, or in the form of RFC 5424 section 6; each may have a priority:
//
//	Nov 25 17:41:00 gw postfix/qmgr[22459]: 336379D28CC: removed
//	2026-11-25T17:41:00.123456+01:00 gw postfix/qmgr[22459]: 336379D28CC: removed
//	<22>1 2026-11-25T17:41:00.123456+01:00 gw postfix/qmgr 22459 - [x@32473 y="z"] 336379D28CC: removed
//
// Solaris has "[ID 801593 mail.info] " before the message.
func syslog(line []byte, c *clock) (h header, ok bool) {
	if n := priority(line); n > 0 {
		if line = line[n:]; begins(line, "1 ") {
			return syslog5424(line[2:], c)
		}
	}
	var rest []byte
	if len(line) > 0 && digit(line[0]) {
		h.at, rest, ok = stamp3339(line, c)
	} else {
		h.at, rest, ok = stamp3164(line, c)
	}
	if !ok {
		return h, false
	}
	if h.host, rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
		return h, false
	}
	i := colon(rest)
	if i < 0 || len(h.host) > 255 {
		return h, false
	}
	h.program, h.message = rest[:i], rest[i+2:]
	if begins(h.message, "[ID ") {
		if _, after, ok := bytes.Cut(h.message, []byte("] ")); ok {
			h.message = after
		}
	}
	if j := bytes.IndexByte(h.program, '['); j >= 0 {
		h.program = h.program[:j]
	}
	return h, len(h.program) > 0 && bytes.IndexByte(h.program, ' ') < 0
}

// priority is how long the "<22>" is with which a line begins; 0 = with none.
func priority(line []byte) int {
	if len(line) < 3 || line[0] != '<' {
		return 0
	}
	i := 1
	for i < min(len(line), 4) && digit(line[i]) {
		i++
	}
	if i == 1 || i >= len(line) || line[i] != '>' {
		return 0
	}
	return i + 1
}

// syslog5424 reads what follows the version. A line without a time is of no use.
func syslog5424(line []byte, c *clock) (h header, ok bool) {
	var rest []byte
	if h.at, rest, ok = stamp3339(line, c); !ok {
		return h, false
	}
	var words [4][]byte // host, program, process, kind of message
	for i := range words {
		if words[i], rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return h, false
		}
	}
	n := structured(rest)
	if n == 0 || n >= len(rest) || rest[n] != ' ' || len(words[0]) > 255 {
		return h, false
	}
	h.host, h.program = words[0], words[1]
	h.message = bytes.TrimPrefix(rest[n+1:], []byte("\xef\xbb\xbf"))
	return h, true
}

// structured is how long the structured data is with which a text begins; 0 = it
// begins with none.
func structured(b []byte) int {
	if len(b) > 0 && b[0] == '-' {
		return 1
	}
	i := 0
	for i < len(b) && b[i] == '[' {
		inside := false
		for i++; i < len(b) && (inside || b[i] != ']'); i++ {
			switch {
			case b[i] == '"':
				inside = !inside
			case b[i] == '\\' && inside:
				i++
			}
		}
		if i >= len(b) {
			return 0
		}
		i++
	}
	return i
}

// stamp3339 reads "2026-11-25T17:41:00.123456+01:00 ", or with Z.
func stamp3339(line []byte, c *clock) (at time.Time, rest []byte, ok bool) {
	at, n, ok := time3339(line, c)
	if !ok || n >= len(line) || line[n] != ' ' {
		return at, nil, false
	}
	return at, line[n+1:], true
}

// time3339 reads a time of RFC 3339, and tells how long its text is.
func time3339(line []byte, c *clock) (at time.Time, n int, ok bool) {
	if len(line) < 20 || line[10] != 'T' {
		return at, 0, false
	}
	i := 19
	parts, n := fraction(line[i:])
	i += n
	var zone time.Duration
	switch off, n := offset(line[i:]); {
	case n > 0:
		zone, i = off, i+n
	case i < len(line) && line[i] == 'Z':
		i++
	default:
		return at, 0, false
	}
	hour, ok := c.keep(line[:13], func(b []byte) (time.Time, bool) { return day(b, time.UTC) })
	within, also := sixty(line[13:])
	if !ok || !also {
		return at, 0, false
	}
	return hour.Add(within + parts - zone), i, true
}

// stamp3164 reads "Nov  5 17:41:00 ". The year is the one that makes it no later
// than a day from now: clocks and zones differ by that at most.
func stamp3164(line []byte, c *clock) (at time.Time, rest []byte, ok bool) {
	if len(line) < 16 || line[3] != ' ' || line[6] != ' ' || line[15] != ' ' {
		return at, nil, false
	}
	if at, ok = c.again(line[:15], false); ok {
		return at, line[16:], true
	}
	hour, ok := c.keep(line[:9], c.yearless)
	within, also := sixty(line[9:])
	if !ok || !also {
		return at, nil, false
	}
	return c.second(line[:15], false, hour.Add(within)), line[16:], true
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

func (c *clock) yearless(b []byte) (time.Time, bool) {
	m := bytes.Index([]byte(months), b[:3])
	text := b[4:6]
	if text[0] == ' ' {
		text = text[1:]
	}
	d, ok := number(text)
	h, also := number(b[7:9])
	if m < 0 || m%3 != 0 || !ok || !also || d < 1 || d > 31 || h > 23 {
		return time.Time{}, false
	}
	limit := c.now.Add(24 * time.Hour)
	for year := limit.In(c.zone).Year(); ; year-- {
		t := time.Date(year, time.Month(m/3+1), d, h, 0, 0, 0, c.zone)
		switch there := inMonth(year, m/3+1, d); {
		case there && !t.After(limit):
			return t, true
		case year < limit.Year()-8: // 29 February comes once in eight years at least
			return time.Time{}, false
		}
	}
}
