package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// errNotArrived means that every place was asked, and the probe was at none.
var errNotArrived = errors.New("it did not arrive")

// Bounds of looking for probes.
const (
	lookAgain = 200 * time.Millisecond // between two looks at one place
	leftover  = 24 * time.Hour         // so old, a probe of ours is one that a crashed run left behind
	lookBack  = 48 * time.Hour         // a probe arrived no earlier, by any clock that is not hopeless
	maxHeader = 256 << 10              // bytes of one message's header
)

// An outcome is what became of a probe.
type outcome struct {
	where  string     // "IMAP", "Maildir", "log"
	header string     // of the message that arrived; "" if only the old server's log told
	hops   []hop      // its way
	onTo   netip.Addr // the machine to which the old server's log says that it went on,
	to     string     // and for whom
	failed string     // it was accepted, and refused for good later: what was said
	waits  string     // it was put off, or is in a queue: what was said; not final
	handed string     // the gateway gave it away, says its log: to whom; not final
	at     time.Time  // when it was seen, by our clock
}

// A place is where arrivals are seen. Each is used by one goroutine.
type place interface {
	fmt.Stringer

	// look asks once, and tells arrivals what it saw.
	look(ctx context.Context, a *arrivals) error

	// rest may wait until there is something new, or ctx ends, after a look that
	// went well.
	rest(ctx context.Context)

	// mark remembers how things are before a probe is sent.
	mark()

	close()
}

// An opener makes a place for one watch.
type opener struct {
	open  func() place
	extra bool // no arrival is seen there: it may fail
}

// arrivals watch all places for all probes that are under way. Each place has one
// connection and one goroutine for all of them, while anybody waits.
type arrivals struct {
	places []opener
	from   string // the sender of the probes, whose leftovers are ours
	now    func() time.Time

	mu      sync.Mutex
	waiting map[string]*wait     // by token
	left    map[string]time.Time // tokens that nobody waits for any more, since when: copies may be there still, or come
	watch   *watch               // nil = nobody waits
	swept   map[string]time.Time
}

// A watch lasts while anybody waits.
type watch struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	state  []placeState
}

// A placeState is how the last look went.
type placeState struct {
	name string
	err  error
	good int // looks that succeeded
}

// A wait is one probe's.
type wait struct {
	probe probe
	all   *arrivals
	got   chan outcome // one
	put   outcome      // what is known while nothing is final
	held  held         // where it is at the gateway
	gone  bool         // it was deleted
}

// expect begins to wait for a probe that is sent next. Leave must follow.
func (a *arrivals) expect(p probe) *wait {
	w := &wait{probe: p, all: a, got: make(chan outcome, 1)}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watch == nil && len(a.places) > 0 {
		a.begin()
	}
	a.waiting[p.token] = w
	return w
}

// begin starts one goroutine for each place; leave waits for them.
func (a *arrivals) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	a.watch = &watch{cancel: cancel, state: make([]placeState, len(a.places))}
	for i, p := range a.places {
		at, state := p.open(), &a.watch.state[i]
		state.name = at.String()
		at.mark()
		a.watch.all.Go(func() {
			defer at.close()
			a.follow(ctx, at, state)
		})
	}
}

// follow looks at one place again and again until ctx ends.
func (a *arrivals) follow(ctx context.Context, at place, state *placeState) {
	for again := time.NewTimer(0); ; again.Reset(lookAgain) {
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
		err := at.look(ctx, a)
		if ctx.Err() != nil {
			continue
		}
		a.mu.Lock()
		if state.err = err; err == nil {
			state.good++
		}
		a.mu.Unlock()
		if err == nil {
			at.rest(ctx)
		}
	}
}

// leave ends a wait. The last who leaves ends the watch.
func (w *wait) leave() {
	a := w.all
	a.mu.Lock()
	delete(a.waiting, w.probe.token)
	if !w.gone {
		a.remember(w.probe.token)
	}
	over := a.watch
	if len(a.waiting) > 0 {
		over = nil
	} else {
		a.watch = nil
	}
	a.mu.Unlock()
	if over != nil {
		over.cancel()
		over.all.Wait()
	}
}

// result waits until the probe arrived, failed, or patience is at its end: then
// it is [errNotArrived] only if every place was asked with success in the end.
// An outcome that waits may come with that error.
func (w *wait) result(ctx context.Context, patience time.Duration) (outcome, error) {
	a := w.all
	if len(a.places) == 0 {
		return outcome{}, errors.New("probe.arrival is not configured")
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case o := <-w.got:
		return o, nil
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	case <-t.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	put := w.held.with(w.put)
	var errs []error
	for i, s := range a.watch.state {
		switch {
		case a.places[i].extra:
		case s.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", s.name, s.err))
		case s.good == 0:
			errs = append(errs, fmt.Errorf("%s: it did not answer in time", s.name))
		}
	}
	if len(errs) > 0 {
		return put, errors.Join(errs...)
	}
	return put, errNotArrived
}

// maxLeft bounds the tokens that are looked for only to delete their probes.
const maxLeft = 50

// remember looks for a token for an hour more, to delete what comes late.
func (a *arrivals) remember(token string) {
	now := a.now()
	oldest := token
	a.left[token] = now
	for t, since := range a.left {
		if now.Sub(since) > time.Hour {
			delete(a.left, t)
		} else if since.Before(a.left[oldest]) {
			oldest = t
		}
	}
	if len(a.left) > maxLeft {
		delete(a.left, oldest)
	}
}

// deleted forgets tokens whose probes were deleted.
func (a *arrivals) deleted(tokens ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range tokens {
		delete(a.left, t)
		if w := a.waiting[t]; w != nil {
			w.gone = true
		}
	}
}

// tokens are those that are looked for.
func (a *arrivals) tokens() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Collect(maps.Keys(a.waiting))
	return slices.AppendSeq(out, maps.Keys(a.left))
}

// tell tells whoever waits for a token what became of its probe; false if it is
// none of ours. The first word that is final counts.
func (a *arrivals) tell(token string, o outcome) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.waiting[token]
	if w == nil {
		_, ours := a.left[token]
		return ours
	}
	o.at = time.Now()
	if o.waits != "" {
		w.put = o
		return true
	}
	select {
	case w.got <- o:
	default: // it has one already
	}
	return true
}

// refusedTo tells everybody who waits for mail from a sender to a recipient that
// the old server put it off.
func (a *arrivals) refusedTo(from, to string, o outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.waiting {
		if strings.EqualFold(w.probe.from, from) && strings.EqualFold(w.probe.to, to) {
			w.put = o
		}
	}
}

// sweeps tells, once a day for each place, that leftovers should be looked for,
// and of what age they are.
func (a *arrivals) sweeps(name string) (before time.Time, yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if last, ok := a.swept[name]; ok && now.Sub(last) < leftover {
		return time.Time{}, false
	}
	a.swept[name] = now
	return now.Add(-leftover), true
}

// gatewayArrivals tell of probes at the gateway alone, by its logs.
func gatewayArrivals(s Settings) *arrivals {
	a := &arrivals{from: s.From, now: s.Now, waiting: map[string]*wait{}, left: map[string]time.Time{}, swept: map[string]time.Time{}}
	if len(s.Mail.Gateway) > 0 {
		a.places = []opener{{extra: true, open: func() place { return newGatewayLogs(s.Mail.Gateway) }}}
	}
	return a
}

// newArrivals are the places that the settings name.
func newArrivals(s Settings) *arrivals {
	a := &arrivals{from: s.From, now: s.Now, waiting: map[string]*wait{}, left: map[string]time.Time{}, swept: map[string]time.Time{}}
	shared := s.Bounces.Address != "" && s.Bounces.Address == s.IMAP.Address && s.Bounces.User == s.IMAP.User
	if s.IMAP.Address != "" {
		d := &door{}
		a.places = append(a.places, opener{open: func() place { return newMailbox(s.IMAP, true, shared, d) }})
	}
	if s.Maildir != "" {
		a.places = append(a.places, opener{open: func() place { return newMaildir(s.Maildir) }})
	}
	if s.OldLog != "" {
		a.places = append(a.places, opener{open: func() place { return newOldLog(s.OldLog) }})
	}
	if len(a.places) > 0 && len(s.Mail.Gateway) > 0 {
		a.places = append(a.places, opener{extra: true, open: func() place { return newGatewayLogs(s.Mail.Gateway) }})
	}
	if len(a.places) > 0 && s.Bounces.Address != "" && !shared {
		d := &door{}
		a.places = append(a.places, opener{extra: true, open: func() place { return newMailbox(s.Bounces, false, true, d) }})
	}
	return a
}
