package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// Options of a server.
type Options struct {
	Engine  Engine
	Plan    plan.Plan
	Status  func() *state.Status
	Version string
	Control func(context.Context, state.Decision) error // journals who decides; nil = nobody notes it
	Backup  func(context.Context, io.Writer) error      // copies the journal; nil = it is not offered
}

type server struct {
	Options
	reins
	ctx context.Context // ends streams
}

// Sockets are listened at, and answer once they are served.
type Sockets struct {
	dir            string
	watch, control net.Listener
}

// Listen takes the sockets in a directory, which it makes with mode 0750. The
// caller holds the migration's lock, so a socket that is left over is removed,
// unless somebody answers on it.
func Listen(dir string) (*Sockets, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if err := os.Chmod(dir, 0o750); err != nil { //nolint:gosec // the group may watch
		return nil, fmt.Errorf("control: %w", err)
	}
	watch, err := listen(watchSocket(dir))
	if err != nil {
		return nil, err
	}
	control, err := listen(controlSocket(dir))
	if err != nil {
		return nil, errors.Join(err, watch.Close())
	}
	return &Sockets{dir: dir, watch: watch, control: control}, nil
}

// Serve answers until the context ends, and closes the sockets.
func (k *Sockets) Serve(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{Options: o, ctx: ctx}
	var wg sync.WaitGroup
	ended := make(chan error, 2)
	for l, mux := range map[net.Listener]http.Handler{k.watch: s.routes(false), k.control: s.routes(true)} {
		h := &http.Server{
			Handler: mux, ReadHeaderTimeout: slow, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			BaseContext: func(net.Listener) context.Context { return ctx }, ConnContext: withPeer,
		}
		wg.Go(func() { ended <- h.Serve(&bounded{Listener: l, slots: make(chan struct{}, maxConns)}) })
		wg.Go(func() {
			<-ctx.Done()
			grace, stop := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
			defer stop()
			if h.Shutdown(grace) != nil {
				_ = h.Close() // it had its time
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
		cancel()
	}
	wg.Wait()
	_ = os.Remove(k.dir) // not empty, or not ours: it does no harm
	return err
}

func listen(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil { //nolint:noctx // a local socket answers at once
		c.Close()
		return nil, fmt.Errorf("control: somebody listens at %s already", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control: %w", err)
	}
	l, err := net.Listen("unix", path) //nolint:noctx // a local socket
	if err != nil {
		return nil, fmt.Errorf("control: %w; a socket's path has 108 bytes at most, so the journal's may be too long", err)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the directory decides who comes in
		return nil, errors.Join(fmt.Errorf("control: %w", err), l.Close())
	}
	return l, nil
}

func (s *server) routes(control bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.Status()) })
	mux.HandleFunc("GET /v1/plan", func(w http.ResponseWriter, _ *http.Request) {
		_ = s.Plan.Write(w) // a reader that went away asks again
	})
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("GET /metrics", s.metrics)
	if control {
		mux.HandleFunc("POST /v1/decisions", s.decide)
		mux.HandleFunc("POST /v1/control", s.take)
		mux.HandleFunc("GET /v1/backup", s.backup)
	}
	return mux
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // a reader that went away asks again
}

// decide takes a decision. Who made it is what the kernel says.
func (s *server) decide(w http.ResponseWriter, r *http.Request) {
	var d state.Decision
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		answer(w, http.StatusBadRequest, refusal{"no decision: " + err.Error()})
		return
	}
	uid, by, err := peerOf(r.Context())
	if err != nil {
		answer(w, http.StatusForbidden, refusal{err.Error()})
		return
	}
	d.By, d.UID = by, &uid
	switch held, err := s.mayDecide(r, d); {
	case held != nil:
		answer(w, http.StatusConflict, held.refusal())
		return
	case err != nil:
		answer(w, http.StatusInternalServerError, refusal{err.Error()})
		return
	}
	switch err := s.Engine.Do(r.Context(), d); {
	case errors.Is(err, state.ErrRefused):
		answer(w, http.StatusConflict, refusal{err.Error()})
	case err != nil:
		answer(w, http.StatusInternalServerError, refusal{err.Error()})
	default:
		answer(w, http.StatusOK, struct{}{})
	}
}

// events streams events. Each write has a deadline, so that a slow watcher is
// dropped and never waited for.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(cmp.Or(r.URL.Query().Get("since"), "0"), 10, 64)
	if err != nil {
		answer(w, http.StatusBadRequest, refusal{"since: a sequence number was expected"})
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := stream{w: w, c: http.NewResponseController(w)}
	if out.send(first{V: state.Version, Migration: s.Plan.Migration}) != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	last := s.Status().Seq
	if r.URL.Query().Get("follow") != "1" {
		s.history(ctx, &out, since, last)
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { out.keepAlive(ctx, cancel) })
	for ev, err := range s.Engine.Follow(ctx, since) {
		if err != nil || out.send(ev) != nil {
			return
		}
	}
}

func (s *server) history(ctx context.Context, out *stream, since, last uint64) {
	if since >= last {
		return
	}
	for ev, err := range s.Engine.Follow(ctx, since) {
		if err != nil || out.send(ev) != nil || ev.Seq >= last {
			return
		}
	}
}

// stream writes lines to one watcher.
type stream struct {
	mu sync.Mutex
	w  http.ResponseWriter
	c  *http.ResponseController
}

func (o *stream) send(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return o.write(append(line, '\n'))
}

func (o *stream) write(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.c.SetWriteDeadline(time.Now().Add(slow)); err != nil {
		return err
	}
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.c.Flush()
}

// keepAlive sends a blank line now and then, so that a dead line is noticed.
func (o *stream) keepAlive(ctx context.Context, cancel func()) {
	t := time.NewTicker(alive)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if o.write([]byte("\n")) != nil {
				cancel()
				return
			}
		}
	}
}

// metrics are the same numbers as run --metrics has, for whoever may watch.
func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = report.MetricsOf(s.Status(), s.Version, time.Now()).Write(w) // a reader that went away asks again
}
