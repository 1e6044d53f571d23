// Package control is the engine's API: HTTP/1.1 over two unix sockets, one to
// watch and one to control, in a directory that only the group may enter.
//
// The engine calls [Listen] and [Sockets.Serve]; commands and the screen call [Dial] and get a
// [Client], which is an Engine like the one served. The caller's uid, as the
// kernel tells it, is journaled with each Decision. There is no TCP.
//
//	GET  /v1/status
//	GET  /v1/plan                        the plan file
//	GET  /v1/events?since=N&follow=1     JSON Lines; the first line tells the version
//	POST /v1/decisions                   on the control socket only
//	POST /v1/control                     decide alone, for as long as the connection lives
//	GET  /v1/backup                      the journal's file; on the control socket only
//	GET  /metrics                        as run --metrics
package control

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"time"

	"mxcutover/state"
)

// An Engine takes decisions and tells events.
type Engine interface {
	Do(context.Context, state.Decision) error
	Follow(ctx context.Context, since uint64) iter.Seq2[state.Event, error]
}

var (
	// ErrNoEngine means that no engine listens.
	ErrNoEngine = errors.New("no engine runs")
	// ErrSilent means that an engine is there and does not answer: it may have
	// been stopped (SIGSTOP), or its disk may hang.
	ErrSilent = errors.New("the engine is there and does not answer; it may be stopped (SIGSTOP) or wait for its disk: look at its process, and let it go on (SIGCONT) or end it (SIGKILL is safe), then try again")
	// ErrVersion means that engine and command are of releases that do not speak
	// to each other.
	ErrVersion = errors.New("the engine is of another version")
)

// Bounds of the API.
const (
	maxBody     = 64 << 10
	maxConns    = 64
	maxLine     = 4 << 20
	maxAnswer   = 1 << 30
	slow        = 10 * time.Second       // a watcher that takes no event for so long is dropped
	patience    = 10 * time.Second       // for an answer to begin
	lastAnswers = 500 * time.Millisecond // for answers under way when the server ends
	alive       = 15 * time.Second       // a blank line is sent this often
	silence     = 2*alive + patience     // a follower that gets nothing for so long gives up
)

func watchSocket(dir string) string   { return filepath.Join(dir, "watch.sock") }
func controlSocket(dir string) string { return filepath.Join(dir, "control.sock") }

// first is the first line of an event stream.
type first struct {
	V         int    `json:"v"`
	Migration string `json:"migration"`
}

// refusal is the body of an answer that is no success.
type refusal struct {
	Error string `json:"error"`
}
