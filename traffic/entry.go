package traffic

import (
	"bytes"
	"net/netip"
	"time"
)

// A kind is what a line tells.
type kind uint8

const (
	idle      kind = iota // nothing of interest
	arrival               // a message was taken over, all in one line
	client                // a message begins: its peer
	submitted             // a message begins: a local program's
	named                 // a message's Message-ID
	queued                // a message is in the queue: its sender and size
	outcome               // what became of a message for a recipient
	refused               // a recipient, or a message, was refused
	internal              // that message in next is the server's own
	expanded              // recipients of a message were put in for original
	proxied               // that message in next came through a filter before the queue
	done                  // a message is gone from the queue
)

// An entry is what one line tells. Its texts are parts of the line.
type entry struct {
	kind       kind
	event      Event // of an outcome or refusal
	at         time.Time
	host       []byte // that wrote the line, if it says so
	queue      []byte
	next       []byte                    // another message's id, in this log perhaps
	reply      []byte                    // of the server that a message was delivered to, for
	nextIn     func(reply []byte) []byte // that finds such an id in it, if it is wanted: queued as, forwarded as; nil = there is none
	sender     []byte                    // nil = not told
	recipient  []byte
	recipients []byte // several, with sep between them
	sep        byte   // 0 = white space
	original   []byte // for whom a recipient was put in, as an alias
	lasting    bool   // the queue id is never used again
	size       int64
	peer       []byte // an address
	behalf     []byte // the address of the client for which the peer, a filter, speaks
	user       []byte // as which it authenticated
	port       uint16 // of this server, where the peer came; 0 = not told
	messageID  []byte
	status     []byte
	key        uint64     // of host and queue, see join
	from       netip.Addr // peer or behalf, as the join has read it
	handed     bool       // the peer is on this machine, and may be a filter
	auth       bool       // authenticated
	own        bool       // the server's own message
	server     server     // that wrote the line to syslog
}

// addr reads an address; not valid if it is none.
func addr(b []byte) netip.Addr {
	if len(b) == 0 || len(b) > 64 {
		return netip.Addr{}
	}
	if a, ok := addr4(b); ok {
		return a
	}
	b = bytes.TrimPrefix(b, []byte("IPv6:"))
	a, err := netip.ParseAddr(string(b))
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("").Unmap()
}

// addr4 reads "192.0.2.1", as nearly all addresses are.
func addr4(b []byte) (netip.Addr, bool) {
	var out [4]byte
	n, part, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case digit(c) && digits < 3 && (digits == 0 || n > 0): // no zero before others
			n, digits = n*10+int(c-'0'), digits+1
		case c == '.' && digits > 0 && n < 256 && part < 3:
			out[part], n, digits, part = byte(n), 0, 0, part+1
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 || n > 255 {
		return netip.Addr{}, false
	}
	out[3] = byte(n)
	return netip.AddrFrom4(out), true
}

// nextAddress takes an address from a list of them, with sep between them, or, if that
// is 0, white space. Its local part may be quoted, and have that in it.
func nextAddress(b []byte, sep byte) (address, rest []byte) {
	if sep == 0 {
		return eximAddress(bytes.TrimLeft(b, " "))
	}
	for len(b) > 0 && (b[0] == sep || b[0] == ' ') {
		b = b[1:]
	}
	n := quoted(b)
	if len(b) > 0 && b[0] == '<' {
		n = 1 + quoted(b[1:])
	}
	if i := bytes.IndexByte(b[n:], sep); i >= 0 {
		n += i
	} else {
		n = len(b)
	}
	address, rest = b[:n:n], b[n:]
	if n > 1 && address[0] == '<' && address[n-1] == '>' {
		address = address[1 : n-1]
	}
	return address, rest
}

// between gives what stands in b after one text and before the next one of
// another, and what follows that.
func between(b []byte, after, before string) (text, rest []byte, ok bool) {
	i := index(b, after)
	if i < 0 {
		return nil, nil, false
	}
	b = b[i+len(after):]
	j := index(b, before)
	if j < 0 {
		return nil, nil, false
	}
	return b[:j:j], b[j+len(before):], true
}

// next is where a byte stands next, from a place on; -1 = nowhere.
func next(b []byte, from int, c byte) int {
	i := bytes.IndexByte(b[from:], c)
	if i < 0 {
		return -1
	}
	return from + i
}

// last is where a byte stands last; -1 = nowhere. It is for bytes that are rare: it looks
// from the front, which is far faster.
func last(b []byte, c byte) int {
	at := -1
	for i := next(b, 0, c); i >= 0; i = next(b, i+1, c) {
		at = i
	}
	return at
}

func index(b []byte, s string) int { return bytes.Index(b, []byte(s)) }

func begins(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// given is the id that stands in a reply behind a mark, the last one.
func given(reply []byte, marks ...string) []byte {
	for _, mark := range marks {
		if i := bytes.LastIndex(reply, []byte(mark)); i >= 0 {
			id, _, _ := bytes.Cut(reply[i+len(mark):], []byte{' '})
			return id
		}
	}
	return nil
}

// short bounds a reply.
func short(b []byte) []byte { return b[:min(len(b), maxStatus)] }

// portNumber reads a port; 0 if it is none.
func portNumber(b []byte) uint16 {
	i := 0
	for i < len(b) && digit(b[i]) {
		i++
	}
	n, ok := number(b[:i])
	if !ok || n > 65535 {
		return 0
	}
	return uint16(n)
}

// size reads a number of bytes.
func size(b []byte) (n int64) {
	for i, c := range b {
		if !digit(c) || i > 17 {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// alphanumeric tells whether b is ASCII letters and digits alone.
func alphanumeric(b []byte) bool {
	for _, c := range b {
		if !word[c] {
			return false
		}
	}
	return len(b) > 0
}

// word are ASCII letters and digits.
var word = func() (is [256]bool) {
	for c := range is {
		is[c] = digit(byte(c)) || c|0x20 >= 'a' && c|0x20 <= 'z'
	}
	return is
}()

// colon is where ": " stands; -1 = nowhere.
func colon(b []byte) int {
	for i := next(b, 0, ':'); i >= 0; i = next(b, i+1, ':') {
		if i+1 < len(b) && b[i+1] == ' ' {
			return i
		}
	}
	return -1
}
