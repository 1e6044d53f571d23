package control

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// A Client speaks to the engine that listens in a directory. It is an [Engine].
type Client struct {
	http    *http.Client
	silence time.Duration          // of an engine that is followed, before it counts as silent; 0 = the usual
	token   atomic.Pointer[string] // of the session that has control
	seize   bool                   // decisions take control
}

// Dial finds the engine. [ErrNoEngine]: nobody listens. A user who may only
// watch gets a client whose decisions are refused.
func Dial(dir string) (*Client, error) {
	path := controlSocket(dir)
	c, err := net.Dial("unix", path) //nolint:noctx // a local socket answers at once
	if errors.Is(err, os.ErrPermission) {
		path = watchSocket(dir)
		c, err = net.Dial("unix", path) //nolint:noctx // a local socket answers at once
	}
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNoEngine
	case err != nil:
		return nil, fmt.Errorf("engine at %s: %w", path, err)
	}
	c.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}, nil
}

func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	return c.call(ctx, http.MethodGet, path, nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	ctx, late := context.WithCancelCause(ctx)
	t := time.AfterFunc(patience, func() { late(ErrSilent) })
	defer t.Stop() // the answer has begun; its body has the caller's time
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	maps.Copy(req.Header, header)
	r, err := c.http.Do(req)
	if errors.Is(context.Cause(ctx), ErrSilent) {
		return nil, ErrSilent
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if r.StatusCode == http.StatusOK {
		return r, nil
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(r.Body, maxBody)) // what came of it is said below
	var why refusal
	if json.Unmarshal(b, &why) != nil || why.Error == "" {
		why.Error = r.Status
	}
	if r.StatusCode == http.StatusConflict {
		return nil, &refusedError{why.Error}
	}
	return nil, fmt.Errorf("engine: %s", why.Error)
}

// refusedError is a refusal of the engine, in its words.
type refusedError struct{ words string }

func (r *refusedError) Error() string        { return r.words }
func (r *refusedError) Is(target error) bool { return target == state.ErrRefused }

// Do hands a decision to the engine.
func (c *Client) Do(ctx context.Context, d state.Decision) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	header := http.Header{}
	if t := c.token.Load(); t != nil {
		header.Set(tokenHeader, *t)
	}
	if c.seize {
		header.Set(takeHeader, "1")
	}
	r, err := c.call(ctx, http.MethodPost, "/v1/decisions", bytes.NewReader(b), header)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// Status is how the migration stands.
func (c *Client) Status(ctx context.Context) (*state.Status, error) {
	r, err := c.get(ctx, "/v1/status")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	p, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	s := state.NewStatus(p)
	if err := json.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(s); err != nil {
		return nil, fmt.Errorf("engine: status: %w", err)
	}
	return s, nil
}

// Look is Status without the plan: what is shown of many domains, and no more.
func (c *Client) Look(ctx context.Context) (*state.Status, error) {
	r, err := c.get(ctx, "/v1/status")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	s := &state.Status{}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(s); err != nil {
		return nil, fmt.Errorf("engine: status: %w", err)
	}
	return s, nil
}

// Plan is the plan that was begun.
func (c *Client) Plan(ctx context.Context) (plan.Plan, error) {
	r, err := c.get(ctx, "/v1/plan")
	if err != nil {
		return plan.Plan{}, err
	}
	defer r.Body.Close()
	p, err := plan.Read(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		return plan.Plan{}, fmt.Errorf("engine: plan: %w", err)
	}
	return p, nil
}

// Follow gives the events after a sequence number and those to come. When the
// engine goes away it yields an error and ends, [ErrSilent] if it is there and sends
// not even its blank lines; call it again with the last number that was seen.
func (c *Client) Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error] {
	return func(yield func(state.Event, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		r, err := c.get(ctx, fmt.Sprintf("/v1/events?follow=1&since=%d", since))
		if err != nil {
			yield(state.Event{}, err)
			return
		}
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		if err := greeting(lines); err != nil {
			yield(state.Event{}, err)
			return
		}
		most := cmp.Or(c.silence, silence)
		quiet := time.AfterFunc(most, func() { cancel(ErrSilent) })
		defer quiet.Stop()
		for lines.Scan() {
			quiet.Reset(most)
			if len(lines.Bytes()) == 0 {
				continue // the engine is alive
			}
			var ev state.Event
			if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
				yield(state.Event{}, fmt.Errorf("engine: event: %w", err))
				return
			}
			quiet.Stop() // what is done with it has its own time
			if !yield(ev, nil) {
				return
			}
			quiet.Reset(most)
		}
		switch err := lines.Err(); {
		case errors.Is(context.Cause(ctx), ErrSilent):
			yield(state.Event{}, ErrSilent)
		case ctx.Err() != nil:
			yield(state.Event{}, ctx.Err())
		case err != nil:
			yield(state.Event{}, fmt.Errorf("engine: %w", err))
		default:
			yield(state.Event{}, fmt.Errorf("engine: %w", io.ErrUnexpectedEOF))
		}
	}
}

// greeting reads the first line of a stream.
func greeting(lines *bufio.Scanner) error {
	var f first
	if !lines.Scan() {
		return fmt.Errorf("engine: it said nothing: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
		return fmt.Errorf("engine: its first line: %w", err)
	}
	if f.V != state.Version {
		return fmt.Errorf("%w: it speaks version %d, and we speak %d", ErrVersion, f.V, state.Version)
	}
	return nil
}
