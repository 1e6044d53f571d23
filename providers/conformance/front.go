package conformance

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Answers are a vendor's own error answers, as it documents them.
type Answers struct {
	Busy    func(w http.ResponseWriter, r *http.Request, wait time.Duration) // too many requests
	Broken  func(w http.ResponseWriter, r *http.Request)                     // a failure of the service
	Refused func(w http.ResponseWriter, r *http.Request)                     // a lasting refusal of a write
	Expired func(w http.ResponseWriter, r *http.Request)                     // the credential; may well show it
	// Writes tells whether a request changes something; nil: by its method.
	Writes func(r *http.Request) bool
}

// A Front stands before a fake of an HTTP API and makes it fail. It is a [Faults].
type Front struct {
	URL string

	fake    http.Handler
	one     sync.Mutex // held while the fake carries out a request
	answers Answers
	end     chan struct{}

	mu      sync.Mutex
	faults  []*Fault
	expired bool
	met     int
	busy    time.Time // until when requests were asked to stay away
	early   int       // how many came nevertheless
	serving int       // requests under way
	idle    sync.Cond // serving has become 0
}

// NewFront serves a fake behind a front, until the test ends.
func NewFront(t testing.TB, fake http.Handler, a Answers) *Front {
	t.Helper()
	if a.Writes == nil {
		a.Writes = func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }
	}
	f := &Front{fake: fake, answers: a, end: make(chan struct{})}
	f.idle.L = &f.mu
	s := httptest.NewServer(f)
	f.URL = s.URL
	t.Cleanup(func() {
		close(f.end)
		s.CloseClientConnections()
		s.Close()
	})
	return f
}

// Inject arms a fault.
func (f *Front) Inject(x Fault) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case x.Kind == Expired && f.answers.Expired != nil:
		f.expired = true
		return true
	case x.Kind == Busy && f.answers.Busy == nil, x.Kind == Broken && f.answers.Broken == nil,
		x.Kind == Refused && f.answers.Refused == nil, x.Kind == Expired:
		return false
	}
	f.faults = append(f.faults, &x)
	return true
}

// Met tells how many faults have befallen a request.
func (f *Front) Met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

// Early tells how many requests came before the time that was asked for.
func (f *Front) Early() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.early
}

// Settle waits until no request is under way: what was sent and given up by then
// has been carried out, or never will be.
func (f *Front) Settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.serving > 0 {
		f.idle.Wait()
	}
}

// serve counts a request until the returned function is called.
func (f *Front) serve() func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serving++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.serving--; f.serving == 0 {
			f.idle.Broadcast()
		}
	}
}

// Heal takes all faults away.
func (f *Front) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.expired, f.busy = nil, false, time.Time{}
}

// due is the fault that befalls this request, if any.
func (f *Front) due(r *http.Request) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.busy) {
		f.early++
	}
	if f.expired {
		f.met++
		return Fault{Kind: Expired}, true
	}
	var hit *Fault
	for _, x := range f.faults {
		if x.Nth <= 0 || x.Kind != Busy && !f.answers.Writes(r) {
			continue
		}
		if x.Nth--; x.Nth == 0 && hit == nil {
			hit = x
		}
	}
	if hit == nil {
		return Fault{}, false
	}
	f.met++
	if hit.Kind == Busy {
		f.busy = time.Now().Add(hit.Wait)
	}
	return *hit, true
}

// carryOut lets the fake answer one request at a time: a client that gave a write
// up reads while the write is still carried out, and a fake's tables have no lock.
func (f *Front) carryOut(w http.ResponseWriter, r *http.Request) {
	f.one.Lock()
	defer f.one.Unlock()
	f.fake.ServeHTTP(w, r)
}

// ServeHTTP answers one request, or fails.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer f.serve()()
	x, ok := f.due(r)
	if !ok {
		f.carryOut(w, r)
		return
	}
	switch x.Kind {
	case Between:
		x.Do()
		f.carryOut(w, r)
	case Lost:
		f.carryOut(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case Silent:
		f.carryOut(httptest.NewRecorder(), r)
		select {
		case <-r.Context().Done():
		case <-f.end:
		}
		panic(http.ErrAbortHandler)
	case Broken:
		f.answers.Broken(w, r)
	case Refused:
		f.answers.Refused(w, r)
	case Busy:
		f.answers.Busy(w, r, x.Wait)
	case Expired:
		f.answers.Expired(w, r)
	}
}
