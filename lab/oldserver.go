package lab

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

// An OldServer is the central mail server: it takes mail for every domain of
// the site from everybody whom the firewall lets in.
type OldServer struct {
	site     *directory
	habits   Habits
	wall     *wall
	ledger   *ledger
	mailbox  *mailbox
	gateways []netip.Addr
	port     uint16
	now      func() time.Time
	busy     atomic.Bool
	doubts   atomic.Bool
	limit    atomic.Int64 // messages from one address; 0 = any number

	mu     sync.Mutex
	taken  map[netip.Addr]int64 // while there is a limit
	last   uint64
	stats  OldStats
	recent []Message
	lost   map[string]bool // names that it does not know though it should
}

// OldStats count what came to the old server.
type OldStats struct {
	Direct   uint64 // connections let in that are not the gateway's
	Gateway  uint64 // connections of the gateway
	Refused  uint64 // connections that the firewall refused
	Messages uint64 // messages taken, from anywhere
	Sources  map[netip.Addr]SourceCount
}

// A SourceCount counts the connections of one source address.
type SourceCount struct {
	Connections uint64 // let in
	Refused     uint64
	Last        time.Time
}

// A Message is one that the old server took.
type Message struct {
	Peer netip.Addr // who handed it over
	From string
	To   []string
	Data []byte // with this server's Received field first
	At   time.Time
}

// Bounds of what is remembered.
const (
	maxSources = 4096
	maxRecent  = 256
)

// SetBusy makes the old server defer every message (451), as an overloaded one does.
func (s *OldServer) SetBusy(busy bool) { s.busy.Store(busy) }

// SetDoubts makes the old server refuse mail of senders in probe.test, whose SPF
// lets only the vantage send, from everybody else, the gateway too.
func (s *OldServer) SetDoubts(doubts bool) { s.doubts.Store(doubts) }

// SetLimit makes the old server defer (451) what is more than n messages from one
// address, as one may that is made for clients, not for a gateway; 0 = no limit.
func (s *OldServer) SetLimit(n int) {
	s.limit.Store(int64(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = map[netip.Addr]int64{}
}

// overLimit counts a recipient of an address.
func (s *OldServer) overLimit(peer netip.Addr) bool {
	n := s.limit.Load()
	if n == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[peer]++
	return s.taken[peer] > n
}

// Stats gives the counters.
func (s *OldServer) Stats() OldStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Sources = maps.Clone(s.stats.Sources)
	return out
}

// Recent are the last messages that it took, oldest first, at most 256.
func (s *OldServer) Recent() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recent)
}

// refuse resets a connection that the firewall does not let in, or keeps it
// without a word if the action is to drop it.
func (s *OldServer) refuse(c net.Conn) bool {
	from := peer(c)
	refused, silent := s.wall.refuses(from, s.port)
	s.mu.Lock()
	defer s.mu.Unlock()
	count, known := s.stats.Sources[from]
	count.Last = s.now()
	switch {
	case refused:
		count.Refused++
		s.stats.Refused++
	case slices.Contains(s.gateways, from):
		count.Connections++
		s.stats.Gateway++
	default:
		count.Connections++
		s.stats.Direct++
	}
	if known || len(s.stats.Sources) < maxSources {
		s.stats.Sources[from] = count
	}
	if refused && (!silent || !s.wall.swallow(c)) {
		reset(c)
	}
	return refused
}

func (s *OldServer) recipient(in *inbound, to string) error {
	if s.busy.Load() || s.overLimit(in.peer) {
		return errBusy
	}
	if s.forgot(to) {
		return no(550, smtp.EnhancedCode{5, 7, 1}, "Relay not permitted")
	}
	if takes, err := s.habits.takes(s.site, in.from, to); takes || err != nil {
		return err
	}
	if _, from := split(in.from); s.doubts.Load() && from == probeZone && slices.Contains(s.gateways, in.peer) {
		return no(550, smtp.EnhancedCode{5, 7, 23}, "SPF validation failed")
	}
	if s.site.probed(to) {
		return nil
	}
	_, err := s.site.check(to)
	return err
}

// Forget makes the old server refuse a domain, as one that takes for its own what
// has it as MX.
func (s *OldServer) Forget(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = map[string]bool{}
	}
	s.lost[domain] = true
}

func (s *OldServer) forgot(to string) bool {
	_, name := split(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost[name]
}

// message delivers before it is answered for.
func (s *OldServer) message(in *inbound, data []byte) error {
	now := s.now()
	s.mu.Lock()
	s.last++
	id := fmt.Sprintf("%08x", s.last)
	s.mu.Unlock()
	data = append([]byte("Received: "+in.received(oldHost, id, now)+"\r\n"), data...)
	if slices.ContainsFunc(in.to, s.site.probed) {
		if err := s.mailbox.deliver(data); err != nil {
			return no(452, smtp.EnhancedCode{4, 2, 2}, "Mailbox full")
		}
	}
	if n := serialOf(data); n != 0 {
		s.ledger.deliver(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Messages++
	if len(s.recent) == maxRecent {
		s.recent = slices.Delete(s.recent, 0, 1)
	}
	s.recent = append(s.recent, Message{in.peer, in.from, slices.Clone(in.to), data, now})
	return nil
}
