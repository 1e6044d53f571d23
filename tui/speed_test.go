//go:build bench

package tui

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// A counter counts what a terminal would get.
type counter struct{ bytes, writes atomic.Int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes.Add(int64(len(b)))
	c.writes.Add(1)
	return len(b), nil
}

// A busyEngine tells so many events a second, each of another domain.
type busyEngine struct {
	p       plan.Plan
	history batchMsg
	rate    int
	ready   chan struct{}
}

func (busyEngine) Do(context.Context, state.Decision) error { return nil }

func (b busyEngine) Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error] {
	return func(yield func(state.Event, error) bool) {
		for _, e := range b.history {
			if e.Seq > since && !yield(e, nil) {
				return
			}
		}
		cuts := b.p.Cutovers()
		seq := uint64(len(b.history))
		close(b.ready)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for range b.rate / 10 {
				seq++
				e := state.Event{Seq: seq, At: time.Now(), Domain: cuts[int(seq*7919)%len(cuts)].Domain, Kind: state.Done, Step: "soak"} //nolint:gosec // a place in a list
				if seq%50 == 0 {
					e.Kind, e.Reason = state.Held, "probe failed: 550 5.7.1 Relay not permitted"
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// TestSpeed runs the real screen for ten seconds at each length, with 100 events a
// second and somebody who scrolls ten lines a second, and tells which share of a core
// and how many bytes a second that takes. Both must not grow with the number of domains.
func TestSpeed(t *testing.T) {
	const lasts = 10 * time.Second
	for _, n := range []int{100, 10000, 100000} {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("d%06d.example.", i)
		}
		p := thePlan(t, names...)
		b := busyEngine{p: p, rate: 100, ready: make(chan struct{}), history: batchMsg{{Seq: 1, At: time.Now(), Kind: state.Begun}, {Seq: 2, At: time.Now(), Kind: state.Started}}}
		in, keys := io.Pipe()
		out := &counter{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, Options{Plan: p, Engine: b, In: in, Out: out, Width: 100, Height: 30}) }()
		<-b.ready
		_, _ = keys.Write([]byte("s")) // by urgency, so that rows move
		time.Sleep(2 * time.Second)    // until it has settled
		cpu, bytes, writes := used(t), out.bytes.Load(), out.writes.Load()
		for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			_, _ = keys.Write([]byte("j"))
		}
		cpu, bytes, writes = used(t)-cpu, out.bytes.Load()-bytes, out.writes.Load()-writes
		cancel()
		keys.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		share := float64(cpu) / float64(lasts)
		t.Logf("%7d domains: %4.1f%% of a core, %6d bytes/s, %4.1f writes/s", n, 100*share, bytes*int64(time.Second)/int64(lasts), float64(writes)*float64(time.Second)/float64(lasts))
		if share > 0.05 {
			t.Errorf("%d domains take %.1f%% of a core; at most 5%% was wanted", n, 100*share)
		}
		if frames := float64(writes) / lasts.Seconds(); frames > framesPerSecond+1 {
			t.Errorf("%.1f frames a second were sent; at most %d were wanted", frames, framesPerSecond)
		}
	}
}

// used is how long this process has been on a processor.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
