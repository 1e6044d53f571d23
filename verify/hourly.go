package verify

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"mxcutover/plan"
)

// hourly counts what each server is asked in an hour. Addresses made up by chance look
// like a harvest, and a server may well shut out who asks for many.
type hourly struct {
	mu   sync.Mutex
	by   map[netip.Addr][]time.Time // the newest last; turns to come, too
	held map[turn]time.Time         // turns that were given and not used yet
}

// A turn is a domain's, at one address of a server.
type turn struct {
	addr   netip.Addr
	domain string
}

// next is when one more may be asked for, after all that have their turn already.
// h.mu is held.
func (h *hourly) next(addr netip.Addr, limit int, now time.Time) time.Time {
	had := h.by[addr]
	for len(had) > 0 && !now.Before(had[0].Add(time.Hour)) {
		had = had[1:]
	}
	if h.by == nil {
		h.by, h.held = map[netip.Addr][]time.Time{}, map[turn]time.Time{}
	}
	h.by[addr] = had
	at := now
	if n := len(had); n > 0 {
		at = latest(at, had[n-1])
	}
	if len(had) >= limit {
		at = latest(at, had[len(had)-limit].Add(time.Hour))
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// take counts one more if that keeps within a limit, or the domain has its turn; and
// else it tells when it will.
func (h *hourly) take(x turn, limit int, now time.Time) (next time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, has := h.held[x]; has && !at.After(now) {
		delete(h.held, x)
		if now.Before(at.Add(time.Hour)) {
			return now, true
		}
	}
	if next = h.next(x.addr, limit, now); next.After(now) {
		return next, false
	}
	h.by[x.addr] = append(h.by[x.addr], now)
	return now, true
}

// book gives a domain its turn at some addresses, all at one time. One that has not
// used its turn keeps it.
func (h *hourly) book(domain string, addrs []netip.Addr, limit int, now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := now
	var missing []turn
	for _, a := range addrs {
		x := turn{a, domain}
		if has, ok := h.held[x]; ok && now.Before(has.Add(time.Hour)) {
			at = latest(at, has)
			continue
		}
		missing = append(missing, x)
		at = latest(at, h.next(a, limit, now))
	}
	if len(h.held) >= maxKept {
		for x, t := range h.held {
			if !now.Before(t.Add(time.Hour)) {
				delete(h.held, x)
			}
		}
	}
	for _, x := range missing {
		h.by[x.addr] = append(h.by[x.addr], at)
		h.held[x] = at
	}
	return at
}

// draw waits for its turn to ask for an address made up by chance, as long as a
// probe may take.
func (c *Checker) draw(ctx context.Context, addr netip.Addr, domain string) error {
	deadline := c.Now().Add(c.Arrival)
	for {
		next, ok := c.random.take(turn{addr, domain}, c.RandomPerHour, c.Now())
		if ok {
			return nil
		}
		if d, has := ctx.Deadline(); next.After(deadline) || has && next.After(d) {
			return fmt.Errorf("%d addresses made up by chance were asked for within the hour (probe.random_per_hour); the next one may be at %s", c.RandomPerHour, next.UTC().Format(time.RFC3339))
		}
		t := time.NewTimer(next.Sub(c.Now()))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// Turn gives a domain its turn to have addresses made up by chance asked for, and tells
// when that is, and, if it is not now, why. Who waits for it before a run needs not
// wait within, while what other checks found grows old. It is kept for an hour.
func (c *Checker) Turn(ctx context.Context, cut plan.Cutover) (at time.Time, why string) {
	now := c.Now()
	ends, err := c.endpoints(ctx, cut)
	if err != nil { // the checks tell it
		return now, ""
	}
	var addrs []netip.Addr
	for _, e := range ends {
		addrs = append(addrs, e.addr)
	}
	if at = c.random.book(cut.Domain, addrs, c.RandomPerHour, now); at.After(now) {
		why = fmt.Sprintf("it waits for its turn, at %s: the gateway is asked for %d addresses made up by chance in an hour (probe.random_per_hour). Raise that if the gateway's administrator agrees, or move fewer domains at once (waves.max)", at.UTC().Format(time.RFC3339), c.RandomPerHour)
	}
	return at, why
}

// Estimate is for how long a run at many domains waits, at the least, until the last of
// them has its turn; and how many of them the busiest of the gateway's hosts is asked
// about.
func (c *Checker) Estimate(cuts []plan.Cutover) (wait time.Duration, most int) {
	by := map[string]int{}
	for _, cut := range cuts {
		hosts := cut.After().MX()
		if len(hosts) == 0 {
			hosts = c.Planned
		}
		seen := map[string]bool{}
		for _, m := range hosts {
			if !seen[m.Host] {
				seen[m.Host] = true
				by[m.Host]++
				most = max(most, by[m.Host])
			}
		}
	}
	return time.Duration(max(most-1, 0)/c.RandomPerHour) * time.Hour, most
}
