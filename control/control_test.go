package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine that keeps its events in memory.
type fake struct {
	mu     sync.Mutex
	events []state.Event
	grown  chan struct{}
	taken  []state.Decision
	refuse bool
}

func (f *fake) Do(_ context.Context, d state.Decision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse {
		return fmt.Errorf("%w: not now", state.ErrRefused)
	}
	f.taken = append(f.taken, d)
	return nil
}

func (f *fake) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.events = append(f.events, state.Event{Seq: uint64(len(f.events) + 1), Kind: state.Observed, Reason: strings.Repeat("x", 200)})
	}
	close(f.grown)
	f.grown = make(chan struct{})
}

func (f *fake) Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error] {
	return func(yield func(state.Event, error) bool) {
		for {
			f.mu.Lock()
			more, grown := f.events[min(since, uint64(len(f.events))):], f.grown
			f.mu.Unlock()
			for _, e := range more {
				if !yield(e, nil) {
					return
				}
				since = e.Seq
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (f *fake) status() *state.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := state.NewStatus(thePlan())
	s.Seq = uint64(len(f.events))
	return s
}

func thePlan() plan.Plan {
	mx, _ := rrset.New("a.example.", "MX", 60, "10 old.example.")
	p, err := plan.Make(plan.Inventory{Domains: []plan.Domain{{Name: "a.example.", Zone: "a.example.", MX: mx, PointsTo: plan.ToOld}}},
		plan.Settings{Migration: "m", Planned: []rrset.MX{{Preference: 10, Host: "gw.example."}}, First: 1, Growth: 1, Max: 1, LowTTL: 60})
	if err != nil {
		panic(err)
	}
	return p
}

// serve starts a server in a directory with a short path, for sockets.
func serve(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{grown: make(chan struct{})}
	return f, serveWith(t, f, func(*Options) {})
}

func serveWith(t *testing.T, f *fake, adjust func(*Options)) (dir string) {
	t.Helper()
	base, err := os.MkdirTemp("", "mxc") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(base, "run")
	o := Options{Engine: f, Plan: thePlan(), Status: f.status, Version: "test"}
	adjust(&o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	sockets, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- sockets.Serve(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		os.RemoveAll(base)
	})
	for {
		if _, err := Dial(dir); err == nil {
			return dir
		}
		select {
		case err := <-ended:
			t.Fatalf("server ended: %v", err)
		default:
		}
	}
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDecisionsAreSignedByTheKernel(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	c := dial(t, dir)
	if err := c.Do(t.Context(), state.Decision{Verb: state.Hold, Target: state.All, By: "somebody else"}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("uid %d", os.Getuid())
	if len(f.taken) != 1 || !strings.HasPrefix(f.taken[0].By, want) {
		t.Errorf("taken %+v, want by %s", f.taken, want)
	}
	f.refuse = true
	if err := c.Do(t.Context(), state.Decision{Verb: state.Hold, Target: state.All}); !errors.Is(err, state.ErrRefused) {
		t.Errorf("a refusal came as %v", err)
	}
}

func TestFollowFromAnyNumber(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	f.add(10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []uint64
	for ev, err := range dial(t, dir).Follow(ctx, 4) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, ev.Seq); len(got) == 6 {
			f.add(5)
		}
		if len(got) == 11 {
			break
		}
	}
	for i, n := range got {
		if n != uint64(i+5) {
			t.Fatalf("events %v, want 5 to 15", got)
		}
	}
}

// TestSilence gives up on an engine that is there and sends nothing, not even blank
// lines, as one that was stopped.
func TestSilence(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	f.add(3)
	c := dial(t, dir)
	c.silence = 300 * time.Millisecond // blank lines come less often
	n := 0
	for _, err := range c.Follow(t.Context(), 0) {
		if err == nil {
			n++
			continue
		}
		if !errors.Is(err, ErrSilent) {
			t.Errorf("%v", err)
		}
	}
	if n != 3 {
		t.Errorf("%d events before", n)
	}
}

func TestStatusAndPlan(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	f.add(3)
	c := dial(t, dir)
	s, err := c.Status(t.Context())
	if err != nil || s.Seq != 3 || s.Domain("a.example.") == nil || s.Wave("pilot") == nil {
		t.Errorf("status %+v, %v", s, err)
	}
	p, err := c.Plan(t.Context())
	if err != nil || p.ID != thePlan().ID {
		t.Errorf("plan %v, %v", p.ID, err)
	}
}

// TestSlowWatcherHoldsUpNobody leaves a watcher that reads nothing, and follows
// all events beside it.
// The socket's numbers are those of run --metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	r, err := dial(t, dir).get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := report.MetricsOf(f.status(), "test", time.Now()).Write(&want); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s\nwant: %s, %v", got, want.Bytes(), err)
	}
}

func TestSlowWatcherHoldsUpNobody(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	slow, err := net.Dial("unix", watchSocket(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "GET /v1/events?follow=1 HTTP/1.1\r\nHost: engine\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	const n = 20000 // far more than a socket's buffer holds
	f.add(n)
	seen := 0
	for ev, err := range dial(t, dir).Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; ev.Seq == n {
			break
		}
	}
	if seen != n {
		t.Errorf("%d events, want %d", seen, n)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	_, dir := serve(t)
	for path, want := range map[string]os.FileMode{dir: 0o750, watchSocket(dir): 0o660, controlSocket(dir): 0o660} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", watchSocket(dir))
	}}}
	r, err := c.Post("http://engine/v1/decisions", "application/json", strings.NewReader(`{"verb":"hold","target":"all"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("a decision at the watching socket: %s", r.Status)
	}
	if _, err := Listen(dir); err == nil {
		t.Error("a second server took a socket that answers")
	}
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	f, dir := serve(t)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", controlSocket(dir))
	}}}
	for _, body := range []string{"", "{", `{"verb":1}`, `{"verb":"hold","nonsense":1}`, `{"verb":"` + strings.Repeat("x", 2*maxBody) + `"}`} {
		r, err := c.Post("http://engine/v1/decisions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var why refusal
		if err := json.NewDecoder(r.Body).Decode(&why); err != nil || r.StatusCode != http.StatusBadRequest || why.Error == "" {
			t.Errorf("%.40q: %s %v %v", body, r.Status, why, err)
		}
		r.Body.Close()
	}
	if len(f.taken) != 0 {
		t.Errorf("taken: %v", f.taken)
	}
}

func TestNoEngine(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "mxc") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if _, err := Dial(dir); !errors.Is(err, ErrNoEngine) {
		t.Errorf("an empty directory: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: controlSocket(dir), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Dial(dir); !errors.Is(err, ErrNoEngine) {
		t.Errorf("a socket that was left over: %v", err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"v":1,"migration":"m"}` + "\n\n" + `{"seq":1,"kind":"held"}` + "\n"))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		c := &Client{http: &http.Client{Transport: canned(b)}}
		for range c.Follow(context.Background(), 0) { // it ends, and does not panic
		}
	})
}

type canned []byte

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(c))}, nil
}

func TestHook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	script := filepath.Join(dir, "hook")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n{ env; cat; echo; } >>"+out+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 10)
	h := NewHook([]string{script}, func(err error) { failed <- err })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	h.Send(state.Event{Seq: 7, Kind: state.Held, Domain: "a.example."})
	deadline := time.Now().Add(10 * time.Second)
	for {
		text, _ := os.ReadFile(out)
		if strings.Contains(string(text), `"kind":"held"`) {
			for l := range strings.Lines(string(text)) {
				if name, _, ok := strings.Cut(l, "="); ok && name != "PATH" && name != "LANG" && name != "PWD" && name != "_" && name != "SHLVL" && name != "OLDPWD" {
					t.Errorf("the hook's environment has %s", l)
				}
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the hook was not called")
		}
	}
	h2 := NewHook([]string{"/nonexistent/hook"}, func(err error) { failed <- err })
	go func() { ended <- h2.Run(ctx) }()
	h2.Send(state.Event{Seq: 1})
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "/nonexistent/hook") {
		t.Errorf("a hook that is not there: %v", err)
	}
	for range 2 * hookQueue {
		(&Hook{argv: []string{"x"}, queue: make(chan state.Event)}).Send(state.Event{}) // never blocks
	}
	cancel()
	<-ended
	<-ended
}
