package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"mxcutover/report"
	"mxcutover/state"
)

// Bounds of the metrics server: it answers one small page to whoever reaches it.
const (
	metricsConns = 16
	metricsTime  = 10 * time.Second
)

// A metricsServer answers Prometheus while the engine runs.
type metricsServer struct {
	listener net.Listener
	write    func(*bytes.Buffer) error
}

// listenMetrics takes the address of --metrics: HOST:PORT, :PORT on loopback, or
// unix:PATH.
func listenMetrics(ctx context.Context, addr string) (net.Listener, error) {
	var l net.Listener
	var err error
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		l, err = listenUnix(ctx, path)
	} else {
		host, port, serr := net.SplitHostPort(addr)
		if serr != nil {
			return nil, usagef("--metrics %s: expected HOST:PORT, :PORT or unix:PATH", addr)
		}
		if host == "" {
			host = "127.0.0.1"
		}
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	}
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	return netutil.LimitListener(l, metricsConns), nil
}

// listenUnix replaces a socket that nobody answers at, and nothing else.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&os.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there, and is no socket", path)
	default:
		if c, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("somebody listens at %s already", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// metricsOf writes the numbers of a journal's fold, as it is now.
func metricsOf(j *journal) func(*bytes.Buffer) error {
	return func(b *bytes.Buffer) (err error) {
		j.View(func(s *state.Status) { err = report.MetricsOf(s, version, time.Now()).Write(b) })
		return err
	}
}

// openMetrics takes the address of --metrics, "" for none, before anything begins:
// a run that cannot be watched as it should be does not start.
func (s *streams) openMetrics(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil //nolint:nilnil // none is asked for
	}
	l, err := listenMetrics(ctx, addr)
	if err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		s.say("metrics: http://%s/metrics", a)
		if !a.IP.IsLoopback() {
			s.say("metrics: whoever reaches that address can read them; :PORT is loopback only")
		}
	}
	return l, nil
}

// serveMetrics answers Prometheus until the function that it returns is called.
// What ends the answering before does not end the engine.
func (s *streams) serveMetrics(ctx context.Context, l net.Listener, j *journal) (stop func()) {
	if l == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := (metricsServer{listener: l, write: metricsOf(j)}).serve(ctx); err != nil {
			s.say("metrics: %s", report.Harmless(err.Error()))
		}
	}()
	return func() { cancel(); <-ended }
}

// serve answers until the context ends.
func (m metricsServer) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		if err := m.write(&b); err != nil {
			http.Error(w, "the numbers could not be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(b.Bytes()) // whoever hung up reads no more
	})
	h := &http.Server{
		Handler: mux, ReadTimeout: metricsTime, WriteTimeout: metricsTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	if err := h.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
