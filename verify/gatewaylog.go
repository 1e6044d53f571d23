package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Bounds of what is known of probes at the gateway.
const (
	maxTails = 16 // files followed: those that were written to last
	maxHeld  = 8  // queue ids of one probe
)

// gatewayLogs follow the gateway's logs, Postfix's or Exim's, in which no probe
// arrives: they tell whether one is still in the gateway's queue, was given away, or
// failed for good.
type gatewayLogs struct {
	globs []string
	tails map[string]*gatewayLog // by path
}

// A gatewayLog is one file of them.
type gatewayLog struct {
	logTail
	ours  map[string]string     // queue id -> token; at most maxQueued
	peers map[string]netip.Addr // queue id -> who handed it over; at most maxQueued
}

func newGatewayLogs(globs []string) *gatewayLogs {
	return &gatewayLogs{globs: globs, tails: map[string]*gatewayLog{}}
}

const gatewaysLog = "the gateway's log"

// String names them for errors.
func (g *gatewayLogs) String() string { return gatewaysLog }

func (g *gatewayLogs) mark() {
	_ = g.find() // look finds them, and tells
	for _, l := range g.tails {
		l.mark()
	}
}

func (g *gatewayLogs) close() {
	for _, l := range g.tails {
		l.close()
	}
}

func (g *gatewayLogs) rest(context.Context) {} // lookAgain is short enough

// look reads what was written since. That nothing was is no error: a gateway may have
// nothing to say.
func (g *gatewayLogs) look(ctx context.Context, a *arrivals) error {
	errs := []error{g.find()}
	for _, path := range slices.Sorted(maps.Keys(g.tails)) {
		if err := g.tails[path].look(ctx, a); err != nil && !errors.Is(err, errSilent) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// find begins to follow files that are not followed yet; those that come after mark,
// from their beginning.
func (g *gatewayLogs) find() error {
	type there struct {
		path string
		at   time.Time
	}
	var all []there
	for _, glob := range g.globs {
		paths, err := filepath.Glob(glob)
		if err != nil {
			return err
		}
		for _, p := range paths {
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && !compressed(p) {
				all = append(all, there{p, info.ModTime()})
			}
		}
	}
	slices.SortFunc(all, func(x, y there) int { return cmp.Or(y.at.Compare(x.at), strings.Compare(x.path, y.path)) })
	for _, f := range all[:min(len(all), maxTails)] {
		if g.tails[f.path] == nil && len(g.tails) < 4*maxTails {
			l := &gatewayLog{logTail: logTail{path: f.path}, ours: map[string]string{}, peers: map[string]netip.Addr{}}
			l.line = l.tell
			g.tails[f.path] = l
		}
	}
	if len(g.tails) == 0 {
		return fmt.Errorf("no log is there: %s", strings.Join(g.globs, ", "))
	}
	return nil
}

// tell tells arrivals what one line says of their probes.
func (l *gatewayLog) tell(text string, a *arrivals) {
	e, ok := parseLogLine(text)
	if !ok {
		return
	}
	if e.event == logCame && e.peer.IsValid() && !itself(e.peer) {
		if len(l.peers) >= maxQueued { // of messages whose name comes in a moment
			clear(l.peers)
		}
		l.peers[e.id] = e.peer
	}
	if e.named != "" {
		peer := l.peers[e.id]
		delete(l.peers, e.id)
		if token, _, _ := strings.Cut(e.named, "@"); isToken(token) {
			if len(l.ours) >= maxQueued { // others' probes, too, go through
				clear(l.ours)
			}
			l.ours[e.id] = token
			a.atGateway(token, func(h *held) {
				h.queue(e.id, "nothing was said of it since it came")
				if peer.IsValid() && len(h.came) < maxHeld {
					h.came = append(h.came, peer)
				}
			})
		}
		return
	}
	token := l.ours[e.id]
	if token == "" {
		return
	}
	switch e.event {
	case logDeferred:
		a.atGateway(token, func(h *held) { h.queue(e.id, oneLine(e.said)) })
	case logFiltered:
		a.atGateway(token, func(h *held) { h.left(e.id, "") })
	case logDelivered:
		to := "a place of its own"
		if e.onTo.IsValid() {
			to = e.onTo.String()
		}
		a.atGateway(token, func(h *held) { h.left(e.id, to) })
	case logBounced:
		a.tell(token, outcome{where: gatewaysLog, failed: oneLine(e.said)})
	}
}

// held is where a probe is at the gateway, by its log.
type held struct {
	queued map[string]string // queue id -> why it is there; at most maxHeld
	handed string            // to whom it was given last; "" = to nobody
	came   []netip.Addr      // from whom it came, other machines alone; at most maxHeld
}

func (h *held) queue(id, why string) {
	if h.queued == nil {
		h.queued = map[string]string{}
	}
	if _, is := h.queued[id]; is || len(h.queued) < maxHeld {
		h.queued[id] = why
	}
}

func (h *held) left(id, to string) {
	delete(h.queued, id)
	h.handed = cmp.Or(to, h.handed)
}

// with adds it to what else is known. What the old server says goes first: it is
// further on the way.
func (h *held) with(o outcome) outcome {
	o.handed = h.handed
	if o.waits != "" {
		return o
	}
	for _, id := range slices.Sorted(maps.Keys(h.queued)) {
		o.where, o.waits = gatewaysLog, "it is in the gateway's queue: "+h.queued[id]
	}
	return o
}

// atGateway changes what is known of a probe at the gateway, if anybody waits for it.
func (a *arrivals) atGateway(token string, change func(*held)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.waiting[token]; w != nil {
		change(&w.held)
	}
}
