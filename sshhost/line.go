package sshhost

import (
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A line is one SSH connection.
type line struct {
	host   *Host
	client *ssh.Client
	gone   chan struct{} // closed when the connection is over

	mu     sync.Mutex
	users  int
	unused time.Time // since when
	over   bool      // nobody may join any more
}

func newLine(h *Host, client *ssh.Client) *line {
	l := &line{host: h, client: client, gone: make(chan struct{}), unused: time.Now()}
	h.running.Go(func() {
		defer close(l.gone)
		_ = client.Wait() // why it ended is seen by its users
		l.end()
	})
	return l
}

// join counts one more user, unless the line is over.
func (l *line) join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.users++
	}
	return !l.over
}

func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 {
		l.unused = time.Now()
	}
}

func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// idle ends a line that nobody has used for a while.
func (l *line) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 && time.Since(l.unused) >= l.host.settings.Idle {
		l.over = true
	}
	return l.over
}

func (l *line) close() {
	l.end()
	_ = l.client.Close() // gone already is as well
}

// watch asks the host from time to time whether it is there, and ends the line when
// it is not, or nobody uses it.
func (l *line) watch() {
	tick := time.NewTicker(min(l.host.settings.Keepalive, l.host.settings.Idle))
	defer tick.Stop()
	for {
		select {
		case <-l.gone:
			return
		case <-tick.C:
		}
		if l.idle() || !l.alive(2*l.host.settings.Keepalive) {
			l.close()
		}
	}
}

// alive tells whether the host still answers.
func (l *line) alive(wait time.Duration) bool {
	answered := make(chan error, 1)
	l.host.running.Go(func() {
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	})
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case err := <-answered:
		return err == nil
	case <-l.gone:
		return false
	case <-t.C:
		l.close()
		return false
	}
}
