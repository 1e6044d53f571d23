package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"mxcutover/state"
)

// Bounds of the notification hook.
const (
	hookTime  = 10 * time.Second
	hookQueue = 256
)

// A Hook runs one command for each event: without a shell, in a clean
// environment, the event as JSON on its standard input. It is bounded in time
// and in how many events wait, and never holds up the engine.
type Hook struct {
	argv   []string
	report func(error)
	queue  chan state.Event
	mu     sync.Mutex
	lost   int
}

// NewHook makes a hook. Without a command it does nothing. report is told what
// went wrong.
func NewHook(argv []string, report func(error)) *Hook {
	return &Hook{argv: argv, report: report, queue: make(chan state.Event, hookQueue)}
}

// Send hands an event over. It never blocks; what finds no room is counted.
func (h *Hook) Send(ev state.Event) {
	if len(h.argv) == 0 {
		return
	}
	select {
	case h.queue <- ev:
	default:
		h.mu.Lock()
		h.lost++
		h.mu.Unlock()
	}
}

// Run runs the command for each event until the context ends, then for those
// that already wait.
func (h *Hook) Run(ctx context.Context) error {
	if len(h.argv) == 0 {
		return nil
	}
	for {
		select {
		case ev := <-h.queue:
			h.one(ctx, ev)
		case <-ctx.Done():
			h.rest(ctx)
			return nil
		}
	}
}

// lastTime bounds telling what waits when the engine ends.
const lastTime = 500 * time.Millisecond

// rest tells what still waits, such as that the engine has stopped.
func (h *Hook) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case ev := <-h.queue:
			h.one(ctx, ev)
		default:
			return
		}
	}
}

func (h *Hook) one(ctx context.Context, ev state.Event) {
	h.mu.Lock()
	lost := h.lost
	h.lost = 0
	h.mu.Unlock()
	if lost > 0 {
		h.report(fmt.Errorf("%s is too slow: %d events were not told", h.argv[0], lost))
	}
	if err := h.call(ctx, ev); err != nil && ctx.Err() == nil {
		h.report(err)
	}
}

func (h *Hook) call(ctx context.Context, ev state.Event) error {
	body, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	c := exec.CommandContext(ctx, h.argv[0], h.argv[1:]...) //nolint:gosec // the administrator's own command
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	c.Stdin = bytes.NewReader(body)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return err
	}
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", h.argv[0], err)
	}
	return nil
}
