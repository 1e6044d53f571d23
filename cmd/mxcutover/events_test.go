package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mxcutover/control"
	"mxcutover/state"
)

// hangsUp is an engine whose event streams are only this text. It counts them.
func hangsUp(t *testing.T, text string) (dir string, streams *atomic.Int64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mxc") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	streams = &atomic.Int64{}
	h := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		streams.Add(1)
		fmt.Fprint(w, text)
	})}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		os.RemoveAll(dir)
	})
	return dir, streams
}

// TestFollowingAnotherVersion is told so, and does not ask for ever.
func TestFollowingAnotherVersion(t *testing.T) {
	t.Parallel()
	dir, _ := hangsUp(t, `{"v":99,"migration":"m"}`+"\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var since uint64
	err := followOn(ctx, dir, &since, func(state.Event) error { return nil })
	if !errors.Is(err, control.ErrVersion) {
		t.Errorf("an engine of another version: %v", err)
	}
}

// TestFollowingWhatHangsUp asks ever less often.
func TestFollowingWhatHangsUp(t *testing.T) {
	t.Parallel()
	dir, streams := hangsUp(t, fmt.Sprintf(`{"v":%d,"migration":"m"}`+"\n", state.Version))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var since uint64
	err := followOn(ctx, dir, &since, func(state.Event) error { return nil })
	if n := streams.Load(); !errors.Is(err, context.DeadlineExceeded) || n > 6 {
		t.Errorf("it asked %d times in 3 s, %v; want 6 times at most", n, err)
	}
}
