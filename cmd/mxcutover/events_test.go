package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// hangsUp is an engine whose event streams are only this text. It counts them.
func hangsUp(t *testing.T, text string) (dir string, streams *atomic.Int64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mxc*.run") //nolint:usetesting // the path of a socket must be short
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

// engineAt is the configuration of a migration whose engine listens in a directory.
func engineAt(dir string) *config.Config {
	cfg := &config.Config{}
	cfg.State.Path = strings.TrimSuffix(dir, ".run") + ".db"
	return cfg
}

// TestFollowingAnEngineThatEnded: what it journaled after the last event that was
// given is given, though no engine comes any more.
func TestFollowingAnEngineThatEnded(t *testing.T) {
	t.Parallel()
	cfg := engineAt(filepath.Join(t.TempDir(), "m.run"))
	set, err := rrset.New("choir.example.", "MX", 3600, "10 mail.old.example.")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(plan.Inventory{Domains: []plan.Domain{{Name: "choir.example.", Zone: "choir.example.", Provider: "campus", MX: set, PointsTo: plan.ToOld, Why: "mail.old.example."}}}, plan.Settings{
		Migration: "m", Made: time.Unix(1772480000, 0), Planned: []rrset.MX{{Preference: 10, Host: "gw1.example."}}, First: 3, Growth: 4, Max: 500, LowTTL: 300,
		Gate: plan.Gate{Approve: plan.Manual, Soak: plan.Duration(30 * time.Minute), Failures: 1, Shared: 3}, Ports: []uint16{25},
	})
	if err != nil {
		t.Fatal(err)
	}
	j, err := createJournal(t.Context(), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := j.Append(t.Context(), state.Event{Kind: state.Started, Engine: &state.Engine{}}); err != nil {
			t.Fatal(err)
		}
	}
	last := j.Status().Seq
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	since := last - 2
	var got []uint64
	err = followOn(ctx, cfg, &since, func(ev state.Event) error {
		if got = append(got, ev.Seq); ev.Seq == last {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) || !slices.Equal(got, []uint64{last - 1, last}) {
		t.Errorf("given were %v, %v; want the last two of %d", got, err, last)
	}
}

// TestFollowingAnotherVersion is told so, and does not ask for ever.
func TestFollowingAnotherVersion(t *testing.T) {
	t.Parallel()
	dir, _ := hangsUp(t, `{"v":99,"migration":"m"}`+"\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var since uint64
	err := followOn(ctx, engineAt(dir), &since, func(state.Event) error { return nil })
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
	err := followOn(ctx, engineAt(dir), &since, func(state.Event) error { return nil })
	if n := streams.Load(); !errors.Is(err, context.DeadlineExceeded) || n > 6 {
		t.Errorf("it asked %d times in 3 s, %v; want 6 times at most", n, err)
	}
}
