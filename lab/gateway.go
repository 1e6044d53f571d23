package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-message/textproto"
	"github.com/emersion/go-smtp"
)

// A Gateway is the new way in: two hosts that accept only valid addresses of
// the domains they relay for, tag spam, and forward everything to the old server.
type Gateway struct {
	site     *directory
	habits   Habits
	now      func() time.Time
	greylist time.Duration
	filter   atomic.Value // a Filter

	mu        sync.Mutex
	forgotten map[string]bool // domains it does not relay for, though it should
	counts    map[string]GatewayCount
	triples   map[triple]time.Time // when a triple was first seen
	queued    map[uint64]*outgoing // what is not forwarded yet
	last      uint64
	log       mainlog
}

// A Filter says what the gateway takes for spam.
type Filter string

// The filters.
const (
	Sane  Filter = ""     // what has the text that every filter knows
	Blind Filter = "none" // nothing
	Mad   Filter = "all"  // everything
)

// SetFilter changes what the gateway takes for spam.
func (g *Gateway) SetFilter(f Filter) { g.filter.Store(f) }

// isSpam is the filter's word on a message.
func (g *Gateway) isSpam(data []byte) bool {
	switch g.filter.Load() {
	case Blind:
		return false
	case Mad:
		return true
	}
	return bytes.Contains(data, []byte(gtube))
}

// A GatewayCount counts for one domain.
type GatewayCount struct {
	Accepted  uint64 // messages taken over
	Forwarded uint64 // messages that the old server took
	Rejected  uint64 // recipients refused for good
	Deferred  uint64 // recipients refused for now
	Bounced   uint64 // messages that the old server refused for good
	Spam      uint64 // of those accepted, the tagged ones
}

// A triple is what greylisting goes by.
type triple struct {
	peer     netip.Addr
	from, to string
}

// Bounds of the gateway.
const (
	maxTriples = 10000
	maxQueued  = 10000
)

// gtube is the text that every spam filter takes for spam.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

func newGateway(o Options, site *directory) *Gateway {
	return &Gateway{
		site: site, habits: o.Gateway, now: o.Now, greylist: o.Greylist, forgotten: map[string]bool{},
		counts: map[string]GatewayCount{}, triples: map[triple]time.Time{}, queued: map[uint64]*outgoing{},
	}
}

// Forget makes the gateway refuse a domain as one it does not relay for, as if
// nobody had told it; a wildcard by its name with "*.".
func (g *Gateway) Forget(domain string) { g.forget(domain, true) }

// Remember undoes Forget.
func (g *Gateway) Remember(domain string) { g.forget(domain, false) }

func (g *Gateway) forget(domain string, yes bool) {
	_, name := split("@" + domain)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgotten[name] = yes
}

// Counts gives the counters by domain name; those of a wildcard under its name.
func (g *Gateway) Counts() map[string]GatewayCount {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.counts)
}

// Queued is how many messages wait to be forwarded.
func (g *Gateway) Queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queued)
}

func (g *Gateway) count(domain string, change func(*GatewayCount)) {
	c := g.counts[domain]
	change(&c)
	g.counts[domain] = c
}

// A host is one of the gateway's servers.
type host struct {
	*Gateway
	name string
	addr netip.Addr
	old  netip.AddrPort
	news chan struct{} // a message was queued here
}

func (h *host) recipient(in *inbound, to string) error {
	dom, err := h.site.check(to)
	if takes, refused := h.habits.takes(h.site, in.from, to); takes {
		return nil
	} else if refused != nil {
		err = refused
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && h.forgotten[dom.Name] {
		err = no(550, smtp.EnhancedCode{5, 7, 1}, "Relay not permitted")
	}
	switch {
	case err != nil:
		h.count(dom.Name, func(c *GatewayCount) { c.Rejected++ })
	case dom.Kind == Greylisted && h.unknown(triple{in.peer, in.from, to}):
		h.count(dom.Name, func(c *GatewayCount) { c.Deferred++ })
		err = no(451, smtp.EnhancedCode{4, 7, 1}, "Greylisted, please try again later")
	case len(h.queued) >= maxQueued:
		err = no(452, smtp.EnhancedCode{4, 3, 1}, "Queue full, please try again later")
	}
	if err != nil {
		h.log.refused(h.now(), in, to, err)
	}
	return err
}

// unknown tells whether a triple has not been seen for long enough yet.
func (g *Gateway) unknown(t triple) bool {
	now := g.now()
	first, ok := g.triples[t]
	if ok {
		return now.Sub(first) < g.greylist
	}
	if len(g.triples) >= maxTriples {
		clear(g.triples) // senders try again; none is refused for good
	}
	g.triples[t] = now
	return true
}

// message queues a message before it is answered for, so that none gets lost
// in between.
func (h *host) message(in *inbound, data []byte) error {
	spam := h.isSpam(data)
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	traced, err := h.trace(in, fmt.Sprintf("%08x", h.last), data, spam, now)
	if err != nil {
		return no(554, smtp.EnhancedCode{5, 6, 0}, "Malformed header")
	}
	h.queued[h.last] = &outgoing{id: h.last, host: h, from: in.from, to: in.to, data: traced, serial: serialOf(data)}
	h.log.accepted(now, in, h.last, len(traced))
	for _, to := range in.to {
		dom, _ := h.site.check(to)
		h.count(dom.Name, func(c *GatewayCount) {
			c.Accepted++
			if spam {
				c.Spam++
			}
		})
	}
	select {
	case h.news <- struct{}{}:
	default:
	}
	return nil
}

// trace adds the gateway's header fields, and takes away a verdict that the
// sender put in.
func (h *host) trace(in *inbound, id string, data []byte, spam bool, now time.Time) ([]byte, error) {
	r := bufio.NewReader(bytes.NewReader(data))
	head, err := textproto.ReadHeader(r)
	if err != nil {
		return nil, err
	}
	flag := "NO"
	if spam {
		flag = "YES"
	}
	head.Del("X-Spam-Flag")
	head.Add("X-Spam-Flag", flag)
	var out bytes.Buffer
	out.WriteString("Received: " + in.received(h.name, id, now) + "\r\n")
	if err := textproto.WriteHeader(&out, head); err != nil {
		return nil, err
	}
	if _, err := r.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// serialOf is the number of the honest sender's message, 0 for any other.
func serialOf(data []byte) uint64 {
	head, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(data)))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(head.Get(serialField), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// serialField numbers the honest sender's messages.
const serialField = "X-Lab-Serial"
