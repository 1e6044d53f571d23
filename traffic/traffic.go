// Package traffic reads the logs of mail servers: what came in, from whom, for
// whom, and what became of it.
//
// It is used where real mail tells more than probes: to see whether a moved
// domain's mail passes the new gateway as it passed the old server (package
// verify), and to learn which addresses are used at all. The way of it: a [Log]
// takes lines, in their order, from one server, however they come to be read; it
// finds their format ([Formats]) and makes [Record]s, which a [Tally] counts by
// recipient domain, and [Recipients] by address. [Stragglers] tells who still comes to
// a server that a domain has left, and [Replay] whom closing it would cut off.
//
// The package does no I/O and has no clock. Everything is bounded: a line to
// 64 KiB, the messages under way to 65,536, the domains counted to 131,072; what
// is over is left out, and counted as left out. Each format has a file of its own,
// with the fields that it uses: exim.go, postfix.go, sendmail.go,
// exchange.go; journald.go and syslog.go are what they are wrapped in.
//
// The lines' parsers keep nothing from one line to the next, so that parts of one
// log can be parsed apart (but Exchange's, whose files have a header); what joins the lines of one message is in join.go.
package traffic

import (
	"net/netip"
	"time"
)

// An Event is what happened to a message or to one of its recipients.
type Event uint8

// The events.
const (
	Accepted  Event = iota + 1 // a message was taken over; with a recipient only if the log names it then
	Delivered                  // passed on, or put into a mailbox, for a recipient
	Deferred                   // for now not: in the queue, or, without a queue id, refused with 4xx at RCPT
	Bounced                    // given up for a recipient that was accepted before
	Rejected                   // refused for good, at RCPT or after DATA
)

func (e Event) String() string {
	return [...]string{"none", "accepted", "delivered", "deferred", "bounced", "rejected"}[e]
}

// An Origin is where a message came from.
type Origin uint8

// The origins.
const (
	Unknown   Origin = iota // the log does not go back so far
	Outside                 // another server, by SMTP
	Submitted               // a user of this server: from a local program, or authenticated
	Internal                // the server itself: a bounce, a forwarding
)

func (o Origin) String() string {
	return [...]string{"unknown", "outside", "submitted", "internal"}[o]
}

// A Record is one event. Its texts are as the log has them, which is foreign, and
// good until the next line is read.
type Record struct {
	At        time.Time
	Event     Event
	Origin    Origin
	Queue     []byte     // the message's id in this log; none for what was refused at RCPT
	Sender    []byte     // of the envelope; nil = not told, empty = the null sender
	Recipient []byte     // as it was addressed, before aliases; none = not told
	Size      int64      // of the message in bytes; 0 = not told
	Peer      netip.Addr // who handed the message over; not valid = not told, or nobody did
	User      []byte     // as which it authenticated; none = not told, or it did not
	Port      uint16     // of this server, where it was handed over; 0 = not told
	Status    []byte     // why it was not delivered: the reply, or the reason, of at most 512 bytes

	First  bool // this message and recipient are told together for the first time
	Domain bool // and no recipient of this domain was told of this message before
	Again  bool // this event of this message and recipient was told before

	domain uint64 // hash of the recipient's, as lowerDomain has it; 0 = not known
}

// maxStatus bounds what is kept of a reply, in bytes.
const maxStatus = 512
