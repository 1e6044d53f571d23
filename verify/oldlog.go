package verify

import (
	"net/netip"
	"strings"
)

// maxQueued bounds the messages remembered whose name has not come yet.
const maxQueued = 1 << 16

// An oldLog follows the old server's log: Exim's main log, or Postfix's.
type oldLog struct {
	logTail
	peers map[string]netip.Addr // queue id -> who handed it over; at most maxQueued
	ours  map[string]string     // queue id -> token
	hops  map[string][]hop      // token -> its way through the old server, newest first
}

func newOldLog(path string) *oldLog {
	l := &oldLog{logTail: logTail{path: path}, peers: map[string]netip.Addr{}, ours: map[string]string{}, hops: map[string][]hop{}}
	l.line = l.tell
	return l
}

// String names it for errors.
func (l *oldLog) String() string { return "the old server's log" }

// tell tells arrivals what one line says of their probes.
func (l *oldLog) tell(text string, a *arrivals) {
	e, ok := parseLogLine(text)
	if !ok {
		return
	}
	token := l.ours[e.id]
	switch e.event {
	case logCame:
		l.came(e.id, e.peer)
		l.named(e.id, e.named)
	case logNamed:
		l.named(e.id, e.named)
	case logPutOff:
		a.refusedTo(e.from, e.to, outcome{where: l.String(), waits: "the old server said " + oneLine(e.said) + ": it may wait in the gateway's queue"})
	case logDelivered:
		if token != "" {
			a.tell(token, outcome{where: "log", hops: l.hops[token], onTo: e.onTo, to: e.to})
		}
	case logDeferred:
		if token != "" {
			a.tell(token, outcome{where: l.String(), waits: "the old server has it, and puts its delivery off: " + oneLine(e.said)})
		}
	case logBounced:
		if token != "" {
			a.tell(token, outcome{where: l.String(), failed: oneLine(e.said)})
		}
	}
}

// came remembers who handed a message over; Postfix tells its name only later.
func (l *oldLog) came(id string, peer netip.Addr) {
	if len(l.peers) >= maxQueued {
		clear(l.peers) // the name follows at once; few are between the two
	}
	l.peers[id] = peer
}

// named knows a probe by its Message-ID, and adds to its way.
func (l *oldLog) named(id, name string) {
	token, _, _ := strings.Cut(name, "@")
	if !isToken(token) || l.ours[id] == token {
		return
	}
	if len(l.ours) >= maxQueued { // others' probes, too, go through
		clear(l.ours)
		clear(l.hops)
	}
	l.ours[id] = token
	l.hops[token] = append([]hop{{from: l.peers[id]}}, l.hops[token][:min(len(l.hops[token]), maxHops)]...)
	delete(l.peers, id)
}
