package traffic

import "bytes"

// eximFields are where the fields of an arrival stand.
type eximFields struct {
	end     int  // before what is the sender's own text: Message-ID and subject
	named   bool // the Message-ID's field is at the end
	subject int  // where ` T="` stands; -1 = nowhere
	local   int  // where " I=[" stands; the same
}

// eximFieldsOf finds the fields by the "=" that each has, in one pass. The Message-ID
// comes after the protocol, and outside of quotes, in which names of certificates stand.
func eximFieldsOf(b []byte) eximFields {
	f := eximFields{end: len(b), subject: -1, local: -1}
	protocol, quotes := false, 0 // to where they go
	for i := next(b, 0, '='); i >= 0; i = next(b, i+1, '=') {
		value := b[i+1:]
		switch eximField(b, i) {
		case 'T':
			if begins(value, `"`) {
				f.end, f.subject = i-2, i-2
				return f
			}
		case 'I':
			if begins(value, "[") && f.local < 0 {
				f.local = i - 2
			}
		case 'P':
			if !protocol {
				protocol, quotes = true, 0
			}
		}
		switch {
		case i < quotes:
		case i-3 >= quotes && string(b[i-3:i]) == " id" && (protocol || !eximProtocol(value)):
			f.end, f.named = i-3, true
			if j := eximSubject(value); j >= 0 {
				f.subject = i + 1 + j
			}
			return f
		case begins(value, `"`):
			quotes = i + 1 + quoted(value)
		}
	}
	return f
}

// eximField is the letter of the field whose "=" stands there; 0 = it is none of one letter.
func eximField(b []byte, i int) byte {
	if i > 1 && b[i-2] == ' ' {
		return b[i-1]
	}
	return 0
}

// eximSubject is where a subject's field stands; -1 = there is none.
func eximSubject(b []byte) int {
	for i := next(b, 0, '"'); i >= 0; i = next(b, i+1, '"') {
		if i >= 3 && string(b[i-3:i]) == " T=" {
			return i - 3
		}
	}
	return -1
}

// eximProtocol tells whether a protocol's field is yet to come.
func eximProtocol(b []byte) bool {
	if i := eximSubject(b); i >= 0 {
		b = b[:i]
	}
	return index(b, " P=") >= 0
}

// eximPeer is the address in "H=name (helo) [address]:port", the last one before
// the fields that follow: a greeting may have brackets of its own.
func eximPeer(b []byte) []byte {
	host := -1
	for i := next(b, 0, '='); i >= 0; i = next(b, i+1, '=') {
		field := eximField(b, i)
		switch {
		case host < 0 && i > 0 && b[i-1] == 'H':
			host = i - 1
		case host >= 0 && (field == 'P' || field == 'X' || field == 'I' && begins(b[i+1:], "[")):
			return bracketed(b[host : i-2])
		}
	}
	if host < 0 {
		return nil
	}
	return bracketed(b[host:])
}

// bracketed is what stands in the last brackets.
func bracketed(b []byte) []byte {
	from, to := bytes.LastIndexByte(b, '['), bytes.LastIndexByte(b, ']')
	if from < 0 || to < from {
		return nil
	}
	return b[from+1 : to]
}

// port is the port in "I=[address]:port", which +incoming_interface logs.
func (f *eximFields) port(b []byte) uint16 {
	if f.local < 0 {
		return 0
	}
	_, b, ok := between(b[f.local:], " I=[", "]:")
	if !ok {
		return 0
	}
	return portNumber(b)
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
