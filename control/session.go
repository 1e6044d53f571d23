package control

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"mxcutover/state"
)

// Headers of requests on the control socket.
const (
	tokenHeader = "X-Mxcutover-Control" // the session that decides
	takeHeader  = "X-Mxcutover-Take"    // "1": take control from whoever has it
)

// A holding is one session's control.
type holding struct {
	token, by string
	since     time.Time
	lost      chan string // gets the name of the next holder
}

// reins say who decides. One session does, or anybody while none has them.
type reins struct {
	mu   sync.Mutex
	held *holding
	told sync.Mutex // held while they change hands, until that is journaled: in the same order
}

// grant is the body of the answer that gives control, and then of the line that
// takes it away.
type grant struct {
	Token string `json:"token,omitempty"`
	Lost  string `json:"lost,omitempty"`
}

func (h *holding) refusal() refusal {
	return refusal{fmt.Sprintf("%s has control since %s; take it over with --take-control, or with O on the screen; hold, rollback and lift are taken from anybody",
		h.by, h.since.UTC().Format(time.TimeOnly))}
}

// take gives control to a session, until its connection ends or another takes
// it over.
func (s *server) take(w http.ResponseWriter, r *http.Request) {
	uid, by, err := peerOf(r.Context())
	if err != nil {
		answer(w, http.StatusForbidden, refusal{err.Error()})
		return
	}
	h := &holding{token: rand.Text(), by: by, since: time.Now(), lost: make(chan string, 1)}
	old, err := s.change(r.Context(), h, r.Header.Get(takeHeader) == "1", state.Decision{Verb: state.Take, Target: state.All, By: by, UID: &uid})
	switch {
	case old != nil:
		answer(w, http.StatusConflict, old.refusal())
		return
	case err != nil:
		s.release(h)
		answer(w, http.StatusInternalServerError, refusal{err.Error()})
		return
	}
	out := stream{w: w, c: http.NewResponseController(w)}
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if out.send(grant{Token: h.token}) == nil {
		wg.Go(func() { out.keepAlive(ctx, cancel) })
		select {
		case next := <-h.lost:
			_ = out.send(grant{Lost: next}) // it is lost, told or not
			return
		case <-ctx.Done():
		}
	}
	s.told.Lock()
	defer s.told.Unlock()
	if s.release(h) {
		_ = s.journal(context.WithoutCancel(r.Context()), state.Decision{Verb: state.Release, Target: state.All, By: by, UID: &uid}) // an engine that has ended has no holder either
	}
}

// change seizes the reins for a session, or for nobody, and journals that. It gives
// back who has them, if they were not taken.
func (s *server) change(ctx context.Context, h *holding, force bool, d state.Decision) (*holding, error) {
	s.told.Lock()
	defer s.told.Unlock()
	if old := s.seize(h, force); old != nil {
		return old, nil
	}
	return nil, s.journal(ctx, d)
}

// seize takes the reins, if nobody has them or it is asked to. It gives back who
// has them, if they were not taken.
func (s *server) seize(h *holding, force bool) *holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.held
	if old != nil && !force {
		return old
	}
	s.held = h
	if old != nil {
		by := "a single command"
		if h != nil {
			by = h.by
		}
		old.lost <- by
	}
	return nil
}

// release gives the reins up, and tells whether the session still had them.
func (s *server) release(h *holding) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != h {
		return false
	}
	s.held = nil
	return true
}

// mayDecide tells who stands in the way of a decision; nil = nobody. A single
// command that may take control does, and leaves it to nobody.
func (s *server) mayDecide(r *http.Request, d state.Decision) (*holding, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	switch {
	case held == nil, held.token == r.Header.Get(tokenHeader), d.Verb.Urgent():
		return nil, nil
	case r.Header.Get(takeHeader) == "1":
		return s.change(r.Context(), nil, true, state.Decision{Verb: state.Release, Target: state.All, By: d.By, UID: d.UID})
	}
	return held, nil
}

func (s *server) journal(ctx context.Context, d state.Decision) error {
	if s.Control == nil {
		return nil
	}
	return s.Control(ctx, d)
}

// A Session has control, until it is closed or lost.
type Session struct {
	Lost <-chan string // gets the name of who took it over, and is closed at the end
	end  context.CancelFunc
	done chan struct{}
}

// Close gives control up.
func (s *Session) Close() {
	s.end()
	<-s.done
}

// Take asks for control: if nobody has it or, by force, from whoever does. From
// then on the client's decisions carry it. state.ErrRefused: somebody has it.
func (c *Client) Take(ctx context.Context, force bool) (*Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	header := http.Header{}
	if force {
		header.Set(takeHeader, "1")
	}
	r, err := c.call(ctx, http.MethodPost, "/v1/control", nil, header) //nolint:bodyclose // the session closes it
	if err != nil {
		cancel()
		return nil, err
	}
	lines := bufio.NewScanner(r.Body)
	var g grant
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &g) != nil || g.Token == "" {
		cancel()
		return nil, errors.Join(errors.New("engine: control: it gave none"), r.Body.Close())
	}
	c.token.Store(&g.Token)
	lost := make(chan string, 1)
	s := &Session{Lost: lost, end: cancel, done: make(chan struct{})}
	go func() { // Close waits for it
		defer close(s.done)
		defer close(lost)
		defer r.Body.Close()
		for lines.Scan() {
			var g grant
			if json.Unmarshal(lines.Bytes(), &g) == nil && g.Lost != "" {
				lost <- g.Lost
				return
			}
		}
	}()
	return s, nil
}

// TakeControl lets the client's decisions take control from whoever has it.
func (c *Client) TakeControl() { c.seize = true }
