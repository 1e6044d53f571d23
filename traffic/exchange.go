package traffic

import "bytes"

// Microsoft Exchange's message tracking logs (MSGTRK*.LOG): CSV in UTF-8, with a header
// that names the columns of the file. Times are UTC. A field may be quoted, and have
// commas, doubled quotes and line breaks in it; a subject has what its sender likes.
// Used are these columns, wherever they stand; the message's id is network-message-id,
// which all of a server's services share, or else internal-message-id:
//
//	#Fields: date-time,client-ip,server-ip,source,event-id,internal-message-id,message-id,network-message-id,recipient-address,recipient-status,total-bytes,related-recipient-address,sender-address,return-path,directionality,original-client-ip
//	2026-11-25T17:41:00.123Z,192.0.2.68,192.0.2.3,SMTP,RECEIVE,4711,<7@client.example>,f3…,info@choir.example;b@choir.example,,421,,a@sender.example,a@sender.example,Incoming,192.0.2.68
//	2026-11-25T17:41:01.000Z,,192.0.2.3,STOREDRIVER,DELIVER,4711,<7@client.example>,f3…,info@choir.example,,421,,a@sender.example,a@sender.example,Incoming,
//
// RECEIVE is a message taken over; DELIVER and SEND are delivered, DEFER, FAIL, DROP and
// BADMAIL what they say; EXPAND, RESOLVE and REDIRECT put recipients in others' place;
// DSN is a notice of the server's own. All other events are of no interest.
//
// Where a column stands, and a record whose quotes are open, are kept from line to
// line: parts of such a file cannot be read apart.
type exchange struct {
	maker   bool // the header says that it is Exchange's
	columns [exchangeColumns]int
	known   bool       // columns are
	open    []byte     // of a record whose end is to come
	state   quoteState // there
	fields  [exchangeColumns][]byte
}

// The columns that are used.
const (
	exTime = iota
	exClient
	exServer
	exSource
	exEvent
	exInternal
	exMessage
	exNetwork
	exRecipients
	exStatus
	exBytes
	exRelated
	exSender
	exReturn
	exDirection
	exOriginal
	exchangeColumns
)

var exchangeNames = [exchangeColumns]string{
	"date-time", "client-ip", "server-ip", "source", "event-id", "internal-message-id", "message-id", "network-message-id", "recipient-address",
	"recipient-status", "total-bytes", "related-recipient-address", "sender-address", "return-path", "directionality", "original-client-ip",
}

// begin forgets what is of another file.
func (x *exchange) begin() { *x = exchange{open: x.open[:0]} }

func (x *exchange) parse(line []byte, c *clock, e *entry) bool {
	if len(x.open) == 0 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		if begins(line, "#") {
			return x.header(line)
		}
		if !x.known {
			return false
		}
		x.state = fieldBegins
	}
	state := x.state.after(line)
	switch {
	case state == inQuotes && len(x.open)+len(line)+1 >= MaxLine:
		x.open = x.open[:0] // above the bound, or cut there: what it had is not known
		return false
	case state == inQuotes:
		x.open, x.state = append(append(x.open, line...), '\n'), state
		return true
	case len(x.open) > 0:
		line = append(x.open, line...)
		x.open = line[:0]
	case len(line) >= MaxLine:
		return false // cut
	}
	x.split(line)
	return x.record(c, e)
}

// header reads a line that begins with "#".
func (x *exchange) header(line []byte) bool {
	if begins(line, "#Software: Microsoft Exchange") {
		x.maker = true
	}
	names, ok := bytes.CutPrefix(line, []byte("#Fields:"))
	if !ok {
		return x.maker || x.known
	}
	x.known = false
	for i := range x.columns {
		x.columns[i] = -1
	}
	for n := 0; len(names) > 0 && n < 256; n++ {
		var name []byte
		name, names, _ = bytes.Cut(names, []byte{','})
		name = bytes.Trim(name, " \"")
		for i, known := range exchangeNames {
			if x.columns[i] < 0 && string(name) == known {
				x.columns[i] = n
			}
		}
	}
	x.known = x.columns[exTime] >= 0 && x.columns[exEvent] >= 0 && x.columns[exRecipients] >= 0 && (x.columns[exInternal] >= 0 || x.columns[exNetwork] >= 0)
	return x.known
}

// A quoteState is where in a record of CSV a text ends (RFC 4180 section 2).
type quoteState uint8

const (
	fieldBegins quoteState = iota
	inField                // without quotes
	inQuotes
	quoteSeen // in quotes: their end, or the first of two
)

// after is the state after more text.
func (s quoteState) after(text []byte) quoteState {
	for _, c := range text {
		switch {
		case s == inQuotes:
			if c == '"' {
				s = quoteSeen
			}
		case s == quoteSeen && c == '"':
			s = inQuotes
		case c == ',':
			s = fieldBegins
		case s == fieldBegins && c == '"':
			s = inQuotes
		default:
			s = inField
		}
	}
	return s
}

// split takes a record's fields apart.
func (x *exchange) split(b []byte) {
	x.fields = [exchangeColumns][]byte{}
	for n := 0; n < 256; n++ {
		end, doubled := 0, false
		if len(b) > 0 && b[0] == '"' {
			for end = 1; end < len(b); end++ {
				if b[end] != '"' {
					continue
				}
				if end+1 >= len(b) || b[end+1] != '"' {
					break
				}
				doubled = true
				end++
			}
		}
		last := true
		if i := bytes.IndexByte(b[min(end, len(b)):], ','); i >= 0 {
			end, last = end+i, false
		} else {
			end = len(b)
		}
		for i, at := range x.columns {
			if at == n {
				x.fields[i] = unquoted(b[:end:end], doubled)
			}
		}
		if last {
			return
		}
		b = b[end+1:]
	}
}

func unquoted(b []byte, doubled bool) []byte {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return b
	}
	b = b[1 : len(b)-1]
	if doubled {
		b = bytes.ReplaceAll(b, []byte(`""`), []byte{'"'})
	}
	return b
}

// record reads what a record tells. False: it has no time.
func (x *exchange) record(c *clock, e *entry) bool {
	f := &x.fields
	at, n, ok := time3339(f[exTime], c)
	if !ok || n != len(f[exTime]) {
		return false
	}
	e.at, e.queue, e.lasting = at, f[exNetwork], true
	if len(e.queue) == 0 {
		e.queue, e.lasting = f[exInternal], false
	}
	if len(e.queue) == 0 || len(e.queue) > 64 {
		return true // of no message
	}
	e.recipients, e.sep, e.size = f[exRecipients], ';', size(f[exBytes])
	e.sender = f[exSender]
	if len(f[exReturn]) > 0 {
		e.sender = f[exReturn]
	}
	switch {
	case string(e.sender) == "<>":
		e.sender = e.sender[:0:0]
	case len(e.sender) == 0:
		e.sender = nil
	}
	e.auth = string(f[exDirection]) == "Originating"
	switch string(f[exEvent]) {
	case "RECEIVE":
		x.arrival(e)
	case "DELIVER", "SEND":
		e.kind, e.event = outcome, Delivered
	case "DEFER":
		e.kind, e.event = outcome, Deferred
	case "FAIL", "DROP", "BADMAIL":
		e.kind, e.event = outcome, Bounced
	case "EXPAND", "RESOLVE", "REDIRECT":
		e.kind, e.original = expanded, f[exRelated]
	case "DSN":
		e.kind, e.messageID = named, nil
	}
	if e.kind == outcome && e.event != Delivered {
		e.status = short(f[exStatus])
	}
	return true
}

// arrival reads where a message comes from.
func (x *exchange) arrival(e *entry) {
	f := &x.fields
	e.kind, e.messageID = arrival, bytes.Trim(f[exMessage], "<>")
	switch string(f[exSource]) {
	case "SMTP", "GATEWAY", "":
		e.peer = f[exOriginal]
		if len(e.peer) == 0 && !bytes.Equal(f[exClient], f[exServer]) { // else it is this server's own front end
			e.peer = f[exClient]
		}
	case "STOREDRIVER", "PICKUP", "ADMIN":
		e.auth = true
	default: // DSN, AGENT, MAILBOXRULE, ...
		e.own = true
	}
}
