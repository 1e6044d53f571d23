package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what one server is asked at once.
const (
	firstWindow = 16
	maxWindow   = sockets * perSocket
	burst       = 50      // questions that may come at once within the rate
	maxPaces    = 1 << 14 // servers that are remembered
)

// A pace is how fast one server is asked: so many questions a second, and so
// many at once. As in RFC 5681 the window grows by one with each answer up to
// where it was once too large, from there by one with each window of answers, and
// is halved when an answer does not come, at most once in a while: what was on
// its way then says the same.
type pace struct {
	limiter *rate.Limiter // nil = no limit

	mu      sync.Mutex
	window  float64
	steady  float64 // from here on it grows slowly
	open    int
	waiting []chan struct{}
	halved  time.Time
	used    time.Time
}

// paceOf is a server's pace.
func (c *Client) paceOf(a netip.Addr) *pace {
	if p, ok := c.paces.Load(a); ok {
		return p.(*pace)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paced++; c.paced > maxPaces {
		c.paced = c.forgetPaces()
	}
	p := &pace{window: firstWindow, steady: maxWindow}
	if c.Rate > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(c.Rate), burst)
	}
	was, _ := c.paces.LoadOrStore(a, p)
	return was.(*pace)
}

// forgetPaces forgets servers that were not asked for a while, and says how many
// are left.
func (c *Client) forgetPaces() (left int) {
	c.paces.Range(func(a, v any) bool {
		p := v.(*pace)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open == 0 && len(p.waiting) == 0 && time.Since(p.used) > time.Minute {
			c.paces.Delete(a)
		} else {
			left++
		}
		return true
	})
	return left
}

// enter waits until the server may be asked one question more.
func (p *pace) enter(ctx context.Context) error {
	if p.limiter != nil {
		if err := p.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	p.mu.Lock()
	if p.open < int(p.window) && len(p.waiting) == 0 {
		p.open++
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{}, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, turn); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else { // it was just let in
		p.open--
		p.next()
	}
	return ctx.Err()
}

// leave makes room; answered: the server had something to say.
func (p *pace) leave(answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	if answered {
		grow := 1.0
		if p.window >= p.steady {
			grow = 1 / p.window
		}
		p.window = min(p.window+grow, maxWindow)
	}
	p.next()
}

// next lets in who waits, as many as there is room for; mu is held.
func (p *pace) next() {
	for len(p.waiting) > 0 && p.open < int(p.window) {
		p.waiting[0] <- struct{}{}
		p.waiting = p.waiting[1:]
		p.open++
	}
	if p.open == 0 {
		p.used = time.Now()
	}
}

// lost halves the window: an answer did not come in time.
func (p *pace) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.halved) >= retransmit {
		p.halved = now
		p.window = max(1, p.window/2)
		p.steady = p.window
	}
}
