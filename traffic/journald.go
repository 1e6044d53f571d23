package traffic

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// What "journalctl -o json" writes: one object a line, with what servers say to syslog
// in MESSAGE. Used are MESSAGE, SYSLOG_IDENTIFIER, _HOSTNAME and __REALTIME_TIMESTAMP
// (microseconds since 1970):
//
//	{"__REALTIME_TIMESTAMP":"1795887660123456","_HOSTNAME":"gw","SYSLOG_IDENTIFIER":"postfix/qmgr","MESSAGE":"336379D28CC: removed"}
//
// MESSAGE is a string, or an array of bytes if it is not printable; null, as journalctl
// writes what is long without --all, is not understood, nor is an object that has one
// of these twice.
func parseJournald(line []byte, c *clock, e *entry) bool {
	if len(line) == 0 || line[0] != '{' {
		return false
	}
	var (
		h      header
		micros []byte
		seen   int
		j      = scan{b: line, at: 1}
	)
	for more := j.more('}', true); more; more = j.more('}', false) {
		key, ok := j.text()
		if !ok || !j.take(':') {
			return false
		}
		var to *[]byte
		switch string(key) {
		case "MESSAGE":
			to, seen = &h.message, seen+1
		case "SYSLOG_IDENTIFIER":
			to, seen = &h.program, seen+1
		case "_HOSTNAME":
			to = &h.host
		case "__REALTIME_TIMESTAMP":
			to, seen = &micros, seen+1
		}
		if to == nil {
			if !j.skip(0) {
				return false
			}
			continue
		}
		if *to != nil {
			return false // twice
		}
		if *to, ok = j.bytes(); !ok {
			return false
		}
	}
	if j.bad || seen != 3 || !j.end() || len(h.host) > 255 {
		return false
	}
	us, ok := micro(micros)
	if !ok {
		return false
	}
	h.at = us
	return mailer(&h, c, e)
}

// micro reads microseconds since 1970.
func micro(b []byte) (time.Time, bool) {
	if len(b) == 0 || len(b) > 17 {
		return time.Time{}, false
	}
	var n int64
	for _, d := range b {
		if !digit(d) {
			return time.Time{}, false
		}
		n = n*10 + int64(d-'0')
	}
	return time.UnixMicro(n).UTC(), true
}

// A scan reads JSON (RFC 8259) from the front. What it gives is a part of the text, or,
// if that has escapes, a copy.
type scan struct {
	b   []byte
	at  int
	bad bool
}

// maxNested bounds how deep what is skipped may be nested.
const maxNested = 16

func (s *scan) space() {
	for s.at < len(s.b) && (s.b[s.at] == ' ' || s.b[s.at] == '\t') {
		s.at++
	}
}

// take takes a character, if it is next.
func (s *scan) take(c byte) bool {
	s.space()
	if s.at < len(s.b) && s.b[s.at] == c {
		s.at++
		return true
	}
	return false
}

// end tells whether nothing follows.
func (s *scan) end() bool {
	s.space()
	return s.at == len(s.b)
}

// more tells whether a member follows in an object or array.
func (s *scan) more(end byte, first bool) bool {
	switch {
	case s.bad:
		return false
	case s.take(end):
		return false
	case first || s.take(','):
		return true
	}
	s.bad = true
	return false
}

// text reads a string.
func (s *scan) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	from := s.at
	for ; s.at < len(s.b); s.at++ {
		switch c := s.b[s.at]; {
		case c == '"':
			s.at++
			return s.b[from : s.at-1 : s.at-1], true
		case c == '\\':
			return s.escaped(from)
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// escaped reads the rest of a string that has escapes.
func (s *scan) escaped(from int) ([]byte, bool) {
	out := append(make([]byte, 0, 2*(s.at-from)+64), s.b[from:s.at]...)
	for s.at < len(s.b) {
		c := s.b[s.at]
		s.at++
		switch {
		case c == '"':
			return out, true
		case c < ' ' || c == '\\' && s.at >= len(s.b):
			return nil, false
		case c != '\\':
			out = append(out, c)
			continue
		}
		c = s.b[s.at]
		s.at++
		if c == 'u' {
			r, ok := s.rune()
			if !ok {
				return nil, false
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		i := bytes.IndexByte([]byte(`"\/bfnrt`), c)
		if i < 0 {
			return nil, false
		}
		out = append(out, "\"\\/\b\f\n\r\t"[i])
	}
	return nil, false
}

// rune reads what follows a "\u", with the second half of a pair.
func (s *scan) rune() (rune, bool) {
	r, ok := s.hex()
	if !ok {
		return 0, false
	}
	if utf16.IsSurrogate(r) && s.at+1 < len(s.b) && s.b[s.at] == '\\' && s.b[s.at+1] == 'u' {
		was := s.at
		s.at += 2
		low, ok := s.hex()
		if !ok {
			return 0, false
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, true
		}
		s.at = was
	}
	return r, true // half a pair becomes U+FFFD
}

func (s *scan) hex() (rune, bool) {
	if s.at+4 > len(s.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.b[s.at:s.at+4]), 16, 16)
	s.at += 4
	return rune(n), err == nil
}

// bytes reads a string, or an array of bytes.
func (s *scan) bytes() ([]byte, bool) {
	if !s.take('[') {
		text, ok := s.text()
		return text, ok && text != nil
	}
	out := make([]byte, 0, (len(s.b)-s.at)/4)
	for more := s.more(']', true); more; more = s.more(']', false) {
		s.space()
		from := s.at
		for s.at < len(s.b) && digit(s.b[s.at]) && s.at-from < 4 {
			s.at++
		}
		n, ok := number(s.b[from:s.at])
		if !ok || n > 255 {
			return nil, false
		}
		out = append(out, byte(n))
	}
	return out, !s.bad
}

// skip reads any value.
func (s *scan) skip(depth int) bool {
	s.space()
	if s.at >= len(s.b) || depth > maxNested {
		return false
	}
	switch s.b[s.at] {
	case '"':
		return s.over()
	case '{':
		s.at++
		for more := s.more('}', true); more; more = s.more('}', false) {
			s.space()
			if !s.over() || !s.take(':') || !s.skip(depth+1) {
				return false
			}
		}
		return !s.bad
	case '[':
		s.at++
		for more := s.more(']', true); more; more = s.more(']', false) {
			if !s.skip(depth + 1) {
				return false
			}
		}
		return !s.bad
	}
	from := s.at // a number, or a word
	for s.at < len(s.b) && (s.b[s.at] == '-' || s.b[s.at] == '+' || s.b[s.at] == '.' || alphanumeric(s.b[s.at:s.at+1])) {
		s.at++
	}
	return s.at > from
}

// over skips a string.
func (s *scan) over() bool {
	if !s.take('"') {
		return false
	}
	for ; s.at < len(s.b); s.at++ {
		switch s.b[s.at] {
		case '"':
			s.at++
			return true
		case '\\':
			s.at++
		}
	}
	return false
}
