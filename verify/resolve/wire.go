package resolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// A query is one question as a message, and where its question section ends.
type query struct {
	packet []byte // the ID is set when it is sent
	end    int    // of the question section
}

// Flags of a question beside its name and type.
type flags struct {
	recurse  bool // RD
	signed   bool // DO: with signatures (RFC 3225)
	checking bool // CD: the resolver shall not judge them (RFC 4035 section 3.2.2)
	plain    bool // without EDNS, for servers that do not know it (RFC 6891 section 7)
}

// Places in a message's header (RFC 1035 section 4.1.1).
const (
	headerSize = 12
	bitQR      = 0x80
	bitTC      = 0x02
	bitRD      = 0x01
	bitAD      = 0x20
	bitCD      = 0x10
)

// pack makes the message of a question.
func pack(name string, qtype uint16, f flags) (query, error) {
	b := make([]byte, headerSize+len(name)+2+4+11)
	b[5] = 1 // one question
	if f.recurse {
		b[2] = bitRD
	}
	switch {
	case f.checking:
		b[3] = bitCD
	case f.recurse:
		b[3] = bitAD // without it a resolver does not say that it has validated (RFC 6840 section 5.7)
	}
	end, err := dns.PackDomainName(name, b, headerSize, nil, false)
	if err != nil {
		return query{}, fmt.Errorf("name %q: %w", name, err)
	}
	binary.BigEndian.PutUint16(b[end:], qtype)
	binary.BigEndian.PutUint16(b[end+2:], dns.ClassINET)
	end += 4
	q := query{b[:end], end}
	if f.plain {
		return q, nil
	}
	b[11] = 1 // OPT in the additional section (RFC 6891 section 6.1.2)
	opt := b[end : end+11]
	binary.BigEndian.PutUint16(opt[1:], dns.TypeOPT)
	binary.BigEndian.PutUint16(opt[3:], udpSize)
	if f.signed {
		opt[7] = 0x80
	}
	q.packet = b[:end+11]
	return q, nil
}

// A flight is one question on its way.
type flight struct {
	query
	ctx    context.Context
	server netip.AddrPort
	pace   *pace
	id     uint16
	looks  int // of the socket at its questions since it was sent
	sent   int // times
	reply  []byte
	landed chan error // nil: the reply is there
}

func newFlight(ctx context.Context, q query, server netip.AddrPort) *flight {
	return &flight{query: q, ctx: ctx, server: server, landed: make(chan error, 1)}
}

// land tells who waits. The first that lands it counts.
func (f *flight) land(err error) {
	select {
	case f.landed <- err:
	default:
	}
}

// errCase means that a reply spells the name with other capitals than the
// question, which has them by chance: either it is forged, or the server spells
// names anew. It is asked again by TCP, which is hard to forge.
var errCase = errors.New("the reply spells the name with other capitals")

// mayRefuse are the response codes of replies that need not repeat the question.
func mayRefuse(rcode byte) bool {
	return rcode == dns.RcodeFormatError || rcode == dns.RcodeServerFailure || rcode == dns.RcodeNotImplemented || rcode == dns.RcodeRefused
}

// answers tells whether a packet with the right ID, from the right source, is the
// reply to this question.
func (q query) answers(p []byte) (bool, error) {
	if len(p) < headerSize || p[2]&bitQR == 0 || p[2]>>3&0xf != dns.OpcodeQuery {
		return false, nil
	}
	if binary.BigEndian.Uint16(p[4:]) == 0 && len(p) <= headerSize+11 && mayRefuse(p[3]&0xf) {
		return true, nil // who did not understand the question cannot repeat it
	}
	if binary.BigEndian.Uint16(p[4:]) != 1 || len(p) < q.end {
		return false, nil
	}
	asked, said := q.packet[headerSize:q.end], p[headerSize:q.end]
	if bytes.Equal(asked, said) {
		return true, nil
	}
	// Lengths of labels and types are no letters, so folding the case of all octets
	// compares them as they are, but for lengths and types between 0x41 and 0x7a:
	// those of the question are what the reply's are compared with, too.
	if len(asked) >= 4 && bytes.Equal(asked[len(asked)-4:], said[len(said)-4:]) && foldEqual(asked[:len(asked)-4], said[:len(said)-4]) {
		return true, errCase
	}
	return false, nil
}

func foldEqual(a, b []byte) bool {
	for i := range a {
		if x, y := a[i], b[i]; x != y && (lower(x) != lower(y)) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// shuffle gives the letters of the name capitals by chance ("0x20"); labels are
// at most 63 octets long, so a length is never a letter.
func (q query) shuffle(random []byte) {
	for i := headerSize; i < q.end-4; i++ {
		if c := lower(q.packet[i]); c >= 'a' && c <= 'z' {
			n := i - headerSize
			if random[n/8%len(random)]>>(n%8)&1 == 1 {
				c -= 'a' - 'A'
			}
			q.packet[i] = c
		}
	}
}
