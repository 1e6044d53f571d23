package traffic

import "time"

// A clock reads the times of log lines. It keeps the last hour it has read, since
// the next line is nearly always of the same.
type clock struct {
	now  time.Time
	zone *time.Location
	key  [16]byte  // the text of an hour
	hour time.Time // that it means

	text  [20]byte // of the last second, and
	size  int      // its length; 0 = there is none
	zoned bool     // with a zone behind it
	when  time.Time
}

// at sets about when the next lines were written: their years may be others.
func (c *clock) at(now time.Time) {
	if !now.Equal(c.now) {
		*c = clock{now: now, zone: c.zone}
	}
}

// again gives the time of a second's text, if it is the last one.
func (c *clock) again(text []byte, zoned bool) (time.Time, bool) {
	return c.when, c.zoned == zoned && string(c.text[:c.size]) == string(text)
}

// second remembers what a second's text means, of at most 20 bytes.
func (c *clock) second(text []byte, zoned bool, when time.Time) time.Time {
	c.size, c.zoned, c.when = copy(c.text[:], text), zoned, when
	return when
}

// keep gives the time of an hour's text, at most 16 bytes, asking read only if it is
// another than the last. There, b is that text.
func (c *clock) keep(b []byte, read func(b []byte) (time.Time, bool)) (time.Time, bool) {
	var key [16]byte
	copy(key[:], b)
	if key == c.key && !c.hour.IsZero() {
		return c.hour, true
	}
	t, ok := read(b)
	if ok {
		c.key, c.hour = key, t
	}
	return t, ok
}

// sixty reads ":MM:SS" at the start of b, in seconds; 60 is a leap second.
func sixty(b []byte) (time.Duration, bool) {
	if len(b) < 6 || b[0] != ':' || b[3] != ':' {
		return 0, false
	}
	m, ok := number(b[1:3])
	s, also := number(b[4:6])
	if !ok || !also || m > 59 || s > 60 {
		return 0, false
	}
	return time.Duration(m)*time.Minute + time.Duration(s)*time.Second, true
}

// fraction reads ".123" at the start of b, up to nanoseconds, and tells how long
// the text is; 0 = there is none.
func fraction(b []byte) (time.Duration, int) {
	if len(b) < 2 || (b[0] != '.' && b[0] != ',') {
		return 0, 0
	}
	var d, unit time.Duration = 0, 100 * time.Millisecond
	i := 1
	for ; i < len(b) && digit(b[i]); i++ {
		d += time.Duration(b[i]-'0') * unit
		unit /= 10
	}
	if i == 1 {
		return 0, 0
	}
	return d, i
}

// offset reads "+0100" or "+01:00", and tells how long the text is; 0 = none.
func offset(b []byte) (time.Duration, int) {
	if len(b) < 5 || (b[0] != '+' && b[0] != '-') {
		return 0, 0
	}
	n, at := 5, 3
	if b[3] == ':' {
		n, at = 6, 4
	}
	if len(b) < n {
		return 0, 0
	}
	h, ok := number(b[1:3])
	m, also := number(b[at:n])
	if !ok || !also || h > 15 || m > 59 {
		return 0, 0
	}
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if b[0] == '-' {
		d = -d
	}
	return d, n
}

// day reads "2026-11-25" and a two-digit hour that stands one byte after it.
func day(b []byte, zone *time.Location) (time.Time, bool) {
	if len(b) < 13 || b[4] != '-' || b[7] != '-' {
		return time.Time{}, false
	}
	y, ok1 := number(b[:4])
	m, ok2 := number(b[5:7])
	d, ok3 := number(b[8:10])
	h, ok4 := number(b[11:13])
	if !ok1 || !ok2 || !ok3 || !ok4 || m < 1 || m > 12 || d < 1 || d > 31 || h > 23 {
		return time.Time{}, false
	}
	return time.Date(y, time.Month(m), d, h, 0, 0, 0, zone), inMonth(y, m, d)
}

// inMonth tells whether a month has a day.
func inMonth(y, m, d int) bool {
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Day() == d
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number reads a few digits, and nothing else.
func number(b []byte) (n int, ok bool) {
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(b) > 0 && len(b) < 10
}
