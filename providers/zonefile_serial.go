package providers

import (
	"fmt"
	"time"
)

// A serialScheme says how a zone's serial goes on (RFC 1912 section 2.2).
type serialScheme string

const (
	serialAuto    serialScheme = "auto"    // date if it looks like one, else counter
	serialDate    serialScheme = "date"    // YYYYMMDDnn
	serialCounter serialScheme = "counter" // one more
	serialUnix    serialScheme = "unix"    // seconds since 1970
)

// UnmarshalText refuses what is none of them.
func (s *serialScheme) UnmarshalText(text []byte) error {
	switch v := serialScheme(text); v {
	case serialAuto, serialDate, serialCounter, serialUnix:
		*s = v
		return nil
	}
	return fmt.Errorf("%.20q is no serial scheme; the schemes are: auto, date, counter, unix", text)
}

// next is the serial that follows, greater in the arithmetic of RFC 1982 whatever
// the scheme would want: secondaries take no other.
func (s serialScheme) next(old uint32, now time.Time) uint32 {
	if s == serialAuto {
		s = serialCounter
		if looksLikeDate(old, now) {
			s = serialDate
		}
	}
	var want uint32
	switch s {
	case serialDate:
		want = dateSerial(now)
	case serialUnix:
		want = uint32(now.Unix())
	}
	if serialGreater(want, old) && s != serialCounter {
		return want
	}
	if old+1 == 0 {
		return 1 // some servers take 0 for "not loaded"
	}
	return old + 1
}

// dateSerial is today's first.
func dateSerial(now time.Time) uint32 {
	y, m, d := now.Date()
	return uint32(((y*100+int(m))*100 + d) * 100)
}

// looksLikeDate tells whether a serial is a day between 1985 and tomorrow, with
// two digits behind it.
func looksLikeDate(serial uint32, now time.Time) bool {
	day := fmt.Sprintf("%08d", serial/100)
	t, err := time.Parse("20060102", day)
	return err == nil && t.Year() >= 1985 && t.Before(now.AddDate(0, 0, 2))
}

// serialGreater is the comparison of RFC 1982 section 3.2. Two that are half the
// circle apart are not comparable, so that neither is greater.
func serialGreater(a, b uint32) bool { return a != b && a-b < 1<<31 }
