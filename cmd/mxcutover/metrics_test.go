package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// scrapeCmd reads what a metrics socket answers into a file: scrape SOCKET FILE.
func scrapeCmd(ts *testscript.TestScript, _ bool, args []string) {
	socket := ts.MkAbs(args[0])
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	r, err := c.Get("http://mxcutover/metrics")
	ts.Check(err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	ts.Check(err)
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		ts.Fatalf("%s, %s", r.Status, r.Header)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

// TestListenMetrics: an address that is none, a file in the way of a socket and a
// socket at which somebody answers are refused; a socket left by a killed engine is
// replaced; without a host it is loopback.
func TestListenMetrics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"9817": "expected HOST:PORT", "unix:" + file: "no socket", "unix:/nowhere/x": "no such file"} {
		if _, err := listenMetrics(t.Context(), addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file in the way is %q, %v", text, err)
	}
	l, err := listenMetrics(t.Context(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
		t.Errorf("it listens at %s", a)
	}
	path := filepath.Join(dir, "left")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenMetrics(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Errorf("where somebody listens: %v", err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	again, err := listenMetrics(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// TestMetricsServer answers one path with GET, and ends with its context.
func TestMetricsServer(t *testing.T) {
	t.Parallel()
	l, err := listenMetrics(t.Context(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- metricsServer{listener: l, write: func(b *bytes.Buffer) error { b.WriteString("x 1\n"); return nil }}.serve(ctx)
	}()
	base := "http://" + l.Addr().String()
	for _, c := range []struct {
		method, path string
		want         int
	}{{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"POST", "/metrics", 405}, {"GET", "/", 404}} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != c.want {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, r.Status, c.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
