package lab

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// An outgoing message waits at a host of the gateway until the old server has
// taken it or refused it for good, for every recipient.
type outgoing struct {
	id     uint64
	host   *host
	from   string
	to     []string
	data   []byte
	serial uint64 // of the honest sender; 0 for others
	busy   bool   // being transmitted
	next   time.Time
	wait   time.Duration
}

// How often the gateway tries.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 2 * time.Second
	forwarders  = 4 // at once, for each host
)

// run forwards until ctx ends.
func (h *host) run(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, forwarders)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.news:
		case <-timer.C:
		}
		for m := h.due(); m != nil; m = h.due() {
			select {
			case <-ctx.Done():
				return
			case slots <- struct{}{}:
			}
			under.Go(func() {
				h.forward(ctx, m)
				<-slots
			})
		}
		timer.Reset(firstWait)
	}
}

// due takes the oldest message that may be tried now.
func (h *host) due() *outgoing {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	var best *outgoing
	for _, m := range h.queued {
		if m.host == h && !m.busy && !m.next.After(now) && (best == nil || m.id < best.id) {
			best = m
		}
	}
	if best != nil {
		best.busy = true
	}
	return best
}

// forward tries once, from the host's own address.
func (h *host) forward(ctx context.Context, m *outgoing) {
	refused, err := transmit(ctx, route{h.addr, h.name, h.old}, m.from, m.to, m.data)
	for to, reply := range h.settle(m, refused, err) {
		h.report(ctx, m, to, reply)
	}
}

// settle notes what a try came to, and gives the recipients that were refused for
// good.
func (h *host) settle(m *outgoing, refused map[string]error, err error) (bounced map[string]error) {
	bounced = map[string]error{}
	h.mu.Lock()
	defer h.mu.Unlock()
	left := m.to[:0:0]
	for _, to := range m.to {
		dom, _ := h.site.check(to)
		reply, bad := refused[to]
		if err != nil {
			reply, bad = err, true
		}
		h.log.forwarded(h.now(), m, to, reply)
		switch {
		case bad && !lasting(reply):
			left = append(left, to)
		case bad:
			h.count(dom.Name, func(c *GatewayCount) { c.Bounced++ })
			bounced[to] = reply
		default:
			h.count(dom.Name, func(c *GatewayCount) { c.Forwarded++ })
		}
	}
	if m.to = left; len(left) == 0 {
		delete(h.queued, m.id)
		h.log.line(h.now(), "%s Completed", logID(m.id))
		return bounced
	}
	m.busy = false
	m.wait = min(max(firstWait, 2*m.wait), longestWait)
	m.next = time.Now().Add(m.wait)
	return bounced
}

// waiting are the numbers of the honest sender's messages in the queue.
func (g *Gateway) waiting() []uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []uint64
	for _, m := range g.queued {
		if m.serial != 0 {
			out = append(out, m.serial)
		}
	}
	slices.Sort(out)
	return out
}

var errBusy = no(451, smtp.EnhancedCode{4, 3, 2}, "System not accepting messages now")
