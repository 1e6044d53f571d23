package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"

	"mxcutover/report"
	"mxcutover/state"
)

// A supervisor is told by datagrams how the engine is: sd_notify(3) of systemd, which a
// unit of Type=notify waits for. The zero value is none.
type supervisor struct {
	socket string        // a path, or a name after @
	watch  time.Duration // it ends an engine that says nothing for so long; 0 = it does not
}

// supervisorOf is whom the environment names. A watchdog that is meant for another
// process is none of ours.
func supervisorOf(env func(string) string, pid int) supervisor {
	s := supervisor{socket: env("NOTIFY_SOCKET")}
	us, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if p := env("WATCHDOG_PID"); err == nil && us > 0 && us < int64(1e15) && (p == "" || p == strconv.Itoa(pid)) {
		s.watch = time.Duration(us) * time.Microsecond
	}
	return s
}

// say sends one message. A supervisor that cannot be reached stops no migration: it
// then ends us itself, or nobody waits.
func (s supervisor) say(lines string) {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte(lines))
}

// quietest is between two messages where no watchdog waits for them.
const quietest = time.Minute

// attend tells the supervisor that the engine is ready once it answers and is at work,
// then that it still does, and at the end that it stops. An engine that does not answer is not
// spoken for. What it returns waits until the last is said.
func (s supervisor) attend(ctx context.Context, look func(context.Context) (*state.Status, error)) (finish func()) {
	if s.socket == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		every := quietest
		if s.watch > 0 {
			every = s.watch / 3
		}
		ready := false
		for ctx.Err() == nil {
			st, err := s.answered(ctx, every, look)
			switch {
			case !ready && (err != nil || st.Engine != "running" && !st.Over): // it answers a moment before its first step
				_ = pause(ctx, 50*time.Millisecond) // it is just starting
				continue
			case err == nil && !ready:
				ready = true
				s.say("READY=1\nSTATUS=" + report.Brief(st))
			case err == nil:
				s.say("WATCHDOG=1\nSTATUS=" + report.Brief(st))
			}
			_ = pause(ctx, every) // its end is looked at above
		}
		s.say("STOPPING=1")
	}()
	return func() {
		cancel()
		<-ended
	}
}

// answered looks at the engine as any viewer does, for so long at most.
func (s supervisor) answered(ctx context.Context, most time.Duration, look func(context.Context) (*state.Status, error)) (*state.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return look(ctx)
}

// supervised tells this process's supervisor of the engine.
func supervised(ctx context.Context, look func(context.Context) (*state.Status, error)) (finish func()) {
	return supervisorOf(os.Getenv, os.Getpid()).attend(ctx, look)
}
