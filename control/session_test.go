package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"mxcutover/state"
)

// notes keep what the engine journals about control.
type notes struct {
	mu    sync.Mutex
	verbs []state.Verb
	grown chan struct{}
}

func (n *notes) control(_ context.Context, d state.Decision) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.verbs = append(n.verbs, d.Verb)
	close(n.grown)
	n.grown = make(chan struct{})
	return nil
}

// until waits until so many were noted.
func (n *notes) until(count int) []state.Verb {
	for {
		n.mu.Lock()
		verbs, grown := n.verbs, n.grown
		n.mu.Unlock()
		if len(verbs) >= count {
			return verbs
		}
		<-grown
	}
}

func TestControlIsHandedOver(t *testing.T) {
	t.Parallel()
	f := &fake{grown: make(chan struct{})}
	n := &notes{grown: make(chan struct{})}
	dir := serveWith(t, f, func(o *Options) { o.Control = n.control })
	dial := func() *Client {
		c, err := Dial(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	approve := state.Decision{Verb: state.Approve, Target: "wave:pilot"}
	first, second, single := dial(), dial(), dial()
	if err := single.Do(t.Context(), approve); err != nil {
		t.Errorf("while nobody has control: %v", err)
	}
	one, err := first.Take(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := first.Do(t.Context(), approve); err != nil {
		t.Errorf("who has control: %v", err)
	}
	if _, err := second.Take(t.Context(), false); !errors.Is(err, state.ErrRefused) || !strings.Contains(err.Error(), "has control since") {
		t.Errorf("a second one: %v", err)
	}
	if err := second.Do(t.Context(), approve); !errors.Is(err, state.ErrRefused) || !strings.Contains(err.Error(), "--take-control") {
		t.Errorf("its decision: %v", err)
	}
	for _, v := range []state.Verb{state.Hold, state.Rollback, state.Lift} {
		if err := second.Do(t.Context(), state.Decision{Verb: v, Target: state.All, Confirm: state.All}); err != nil {
			t.Errorf("%s must never be locked out: %v", v, err)
		}
	}
	two, err := second.Take(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if by := <-one.Lost; !strings.HasPrefix(by, "uid ") {
		t.Errorf("the first is told %q", by)
	}
	if err := first.Do(t.Context(), approve); !errors.Is(err, state.ErrRefused) {
		t.Errorf("an old token: %v", err)
	}
	two.Close() // the connection ends
	if got := n.until(3); got[0] != state.Take || got[1] != state.Take || got[2] != state.Release {
		t.Errorf("journaled: %v", got)
	}
	if err := single.Do(t.Context(), approve); err != nil {
		t.Errorf("once it was given up: %v", err)
	}
	three, err := first.Take(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer three.Close()
	single.TakeControl()
	if err := single.Do(t.Context(), approve); err != nil {
		t.Errorf("a command that takes control: %v", err)
	}
	if by := <-three.Lost; by != "a single command" {
		t.Errorf("the session is told %q", by)
	}
	if got := n.until(5); got[3] != state.Take || got[4] != state.Release {
		t.Errorf("nobody has it now, and that is journaled: %v", got)
	}
}

// TestBackupIsWhole cuts a backup off: the reader must notice.
func TestBackupIsWhole(t *testing.T) {
	t.Parallel()
	f := &fake{grown: make(chan struct{})}
	var fail error
	dir := serveWith(t, f, func(o *Options) {
		o.Backup = func(_ context.Context, w io.Writer) error {
			if _, err := w.Write(bytes.Repeat([]byte("journal"), 10000)); err != nil {
				return err
			}
			return fail
		}
	})
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); err != nil || got.Len() != 70000 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	fail = errors.New("the disk failed")
	if err := c.Backup(t.Context(), &got); err == nil {
		t.Error("a backup that was cut off counts as whole")
	}
}
