package traffic

import (
	"bytes"
	"time"
)

// A header is the beginning of a line of syslog.
type header struct {
	at      time.Time
	host    []byte
	program []byte // without the process's number
	message []byte
}

// syslog takes a line apart, in the traditional form (RFC 3164 section 4.1) or with
// the time of RFC 3339:
//
//	Nov 25 17:41:00 gw postfix/qmgr[22459]: 336379D28CC: removed
//	2026-11-25T17:41:00.123456+01:00 gw postfix/qmgr[22459]: 336379D28CC: removed
func syslog(line []byte, c *clock) (h header, ok bool) {
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
	i := bytes.Index(rest, []byte(": "))
	if i < 0 || len(h.host) > 255 {
		return h, false
	}
	h.program, h.message = rest[:i], rest[i+2:]
	if j := bytes.IndexByte(h.program, '['); j >= 0 {
		h.program = h.program[:j]
	}
	return h, len(h.program) > 0 && bytes.IndexByte(h.program, ' ') < 0
}

// stamp3339 reads "2026-11-25T17:41:00.123456+01:00 ", or with Z.
func stamp3339(line []byte, c *clock) (at time.Time, rest []byte, ok bool) {
	if len(line) < 21 || line[10] != 'T' {
		return at, nil, false
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
		return at, nil, false
	}
	hour, ok := c.keep(line[:13], func(b []byte) (time.Time, bool) { return day(b, time.UTC) })
	within, also := sixty(line[13:])
	if !ok || !also || i >= len(line) || line[i] != ' ' {
		return at, nil, false
	}
	return hour.Add(within + parts - zone), line[i+1:], true
}

// stamp3164 reads "Nov  5 17:41:00 ". The year is the one that makes it no later
// than a day from now: clocks and zones differ by that at most.
func stamp3164(line []byte, c *clock) (at time.Time, rest []byte, ok bool) {
	if len(line) < 16 || line[3] != ' ' || line[6] != ' ' || line[15] != ' ' {
		return at, nil, false
	}
	hour, ok := c.keep(line[:9], c.yearless)
	within, also := sixty(line[9:])
	if !ok || !also {
		return at, nil, false
	}
	return hour.Add(within), line[16:], true
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
		if t.Day() == d && !t.After(limit) || year < limit.Year()-8 { // 29 February comes once in eight years at least
			return t, true
		}
	}
}
