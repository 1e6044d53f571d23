package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcutover/firewall"
)

// A wall is the old server's firewall: rules in memory, with a deadline at which
// it opens by its own clock, as the kernel does. It is reached over HTTP on a
// unix socket:
//
//	GET /rules   {"rules": firewall.Rules, "until": RFC 3339, year 1 = for ever}
//	PUT /rules   the same; no ports = lifted, and what was kept is forgotten
//	GET /kept    {"rules": firewall.Rules}: what the next boot would close
//	PUT /kept    the same
//	GET /seen    [{"addr": "source address:closed port", "count": n}]
type wall struct {
	now  func() time.Time
	held limited // connections that get silence

	mu    sync.Mutex
	state ruling
	kept  firewall.Rules
	seen  map[netip.AddrPort]uint64
}

// A ruling is the rules in force and when they lapse.
type ruling struct {
	Rules firewall.Rules `json:"rules"`
	Until time.Time      `json:"until"` // zero = never
}

// A sighting is one line of /seen.
type sighting struct {
	Addr  netip.AddrPort `json:"addr"`
	Count uint64         `json:"count"`
}

// Bounds of the firewall.
const (
	maxSeen   = 65535
	maxBody   = 1 << 20
	maxPorts  = 64
	maxSilent = 2 * time.Minute
)

// newWall is a firewall that is open.
func newWall(now func() time.Time) *wall {
	return &wall{
		now: now, seen: map[netip.AddrPort]uint64{},
		state: ruling{Rules: firewall.Rules{Ports: []uint16{}, Trust: []netip.Prefix{}}},
	}
}

// loaded is what is in force now.
func (w *wall) loaded() ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current()
}

func (w *wall) current() ruling {
	if until := w.state.Until; !until.IsZero() && !w.now().Before(until) {
		w.state.Rules.Ports, w.state.Until = append([]uint16{}, w.state.Rules.Lasting...), time.Time{}
	}
	return w.state
}

// apply puts rules in force.
func (w *wall) apply(r ruling) error {
	for _, p := range r.Rules.Trust {
		if !p.IsValid() {
			return fmt.Errorf("trust: a prefix was expected")
		}
	}
	switch a := r.Rules.Action; {
	case len(r.Rules.Ports) > maxPorts:
		return fmt.Errorf("%d ports: at most %d were expected", len(r.Rules.Ports), maxPorts)
	case a != "" && a != firewall.Reject && a != firewall.Drop:
		return fmt.Errorf("action %q: reject or drop was expected", a)
	case !r.Until.IsZero() && !r.Until.After(w.now()):
		return fmt.Errorf("until %s is past", r.Until.Format(time.RFC3339))
	}
	if r.Rules.Ports == nil {
		r.Rules.Ports = []uint16{}
	}
	if r.Rules.Trust == nil {
		r.Rules.Trust = []netip.Prefix{}
	}
	if r.Until.IsZero() {
		r.Rules.Lasting = r.Rules.Ports
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = r
	if len(r.Rules.Ports) == 0 {
		w.kept = firewall.Rules{}
	}
	return nil
}

// refuses tells whether a new connection is refused, and if so whether in
// silence, and counts it.
func (w *wall) refuses(from netip.Addr, port uint16) (refused, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.current().Rules
	trusted := slices.ContainsFunc(r.Trust, func(p netip.Prefix) bool { return p.Contains(from) })
	if trusted || !slices.Contains(r.Ports, port) {
		return false, false
	}
	at := netip.AddrPortFrom(from, port)
	if w.seen[at] > 0 || len(w.seen) < maxSeen {
		w.seen[at]++
	}
	return true, r.Action == firewall.Drop
}

// swallow keeps a connection without a word; false if there are too many.
func (w *wall) swallow(c net.Conn) bool {
	held := w.held.take(c)
	if held == nil {
		return false
	}
	go func() { // ends when the connection is closed, for which held.wait waits
		defer held.Close()
		_ = held.SetDeadline(time.Now().Add(maxSilent))           // on failure the peer's own patience ends it
		_, _ = io.Copy(io.Discard, io.LimitReader(held, maxBody)) // read and forgotten
	}()
	return true
}

// serve serves a listener until stop is called.
func (w *wall) serve(l *limited) (stop func()) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rules", func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, w.loaded()) })
	mux.HandleFunc("PUT /rules", w.put)
	mux.HandleFunc("GET /kept", func(rw http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		kept := ruling{Rules: w.kept}
		w.mu.Unlock()
		writeJSON(rw, kept)
	})
	mux.HandleFunc("PUT /kept", w.keep)
	mux.HandleFunc("GET /seen", func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, w.sightings()) })
	s := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends by stop
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // what is left is cut off below
		_ = l.Close()       // closed by Shutdown already
		<-ended
		l.wait()
		w.held.cut()
		w.held.wait()
	}
}

func decode(rw http.ResponseWriter, req *http.Request) (r ruling, ok bool) {
	dec := json.NewDecoder(http.MaxBytesReader(rw, req.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return r, false
	}
	return r, true
}

func (w *wall) keep(rw http.ResponseWriter, req *http.Request) {
	if r, ok := decode(rw, req); ok {
		w.mu.Lock()
		w.kept = r.Rules
		w.mu.Unlock()
		writeJSON(rw, r)
	}
}

func (w *wall) put(rw http.ResponseWriter, req *http.Request) {
	r, ok := decode(rw, req)
	if !ok {
		return
	}
	if err := w.apply(r); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(rw, w.loaded())
}

func (w *wall) sightings() []sighting {
	w.mu.Lock()
	seen := maps.Clone(w.seen)
	w.mu.Unlock()
	out := []sighting{}
	for a, n := range seen {
		out = append(out, sighting{a, n})
	}
	slices.SortFunc(out, func(a, b sighting) int {
		return cmp.Or(a.Addr.Addr().Compare(b.Addr.Addr()), cmp.Compare(a.Addr.Port(), b.Addr.Port()))
	})
	return out
}

func writeJSON(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(v) // a client that is gone asks again
}
