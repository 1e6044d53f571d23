// Package sshhost reaches the network as another host sees it, over SSH and with
// nothing installed there: a vantage to probe from.
//
// The way of it: [Open] takes settings and asks nobody yet. [Host.Dial] connects on
// first use, and again after a loss, and opens TCP connections from the host by
// direct-tcpip (RFC 4254 section 7.2), many over one SSH connection. Its errors are
// those of a local connection where the far side gave them (ECONNREFUSED, a time-out);
// when SSH itself is in the way they are [ErrHost], and nothing is known of the far
// side. An SSH connection that nobody uses is closed after a while; [Host.Close] ends
// all at once.
//
// [Host.Run] runs a command there.
//
// Host keys must be in a known_hosts file: none is trusted on first use. Keys come
// from one named place, or from ssh-agent and the usual files. ~/.ssh/config is not
// read: what is to be used stands in the configuration. A host behind another one is
// reached by that one's Dial (Settings.Via), and each of the two shows its own key.
package sshhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"mxcutover/secret"
)

// ErrHost means that the SSH host, or the way to it, is in trouble.
var ErrHost = errors.New("ssh")

// ErrProhibited means that the SSH host forbids what was asked. It is an ErrHost.
var ErrProhibited = fmt.Errorf("%w: prohibited", ErrHost)

// Settings of a Host.
type Settings struct {
	User       string // "" = who runs this program
	Host       string // a name or an address
	Port       uint16 // default 22
	Identity   secret.Ref
	Passphrase secret.Ref    // of Identity, if it has one
	KnownHosts string        // a file; "" = ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
	Agent      string        // ssh-agent's socket; "" = $SSH_AUTH_SOCK
	Home       string        // where .ssh is; "" = the user's own
	Connect    time.Duration // for an SSH connection to come about; default 20s
	Keepalive  time.Duration // between questions whether the host is there; default 15s
	Idle       time.Duration // after which an unused SSH connection is closed; default 1m

	// Via connects to the host, as Host.Dial of another one does; nil = directly.
	Via func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Host is one SSH host. It may be used by many goroutines at once.
type Host struct {
	settings Settings
	turn     chan struct{} // held by who connects
	channels chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	up     *line
	closed bool
	failed error // the last attempt's
	after  time.Time
	wait   time.Duration
}

// Bounds of a host.
const (
	maxChannels = 100 // at once
	firstWait   = 5 * time.Second
	longestWait = 5 * time.Minute
	aliveTime   = 5 * time.Second // for a host to say that it is there
)

// Open checks settings. It connects to nothing.
func Open(s Settings) (*Host, error) {
	if s.Host == "" {
		return nil, errors.New("sshhost: no host")
	}
	if s.User == "" {
		me, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("sshhost: no user is named: %w", err)
		}
		s.User = me.Username
	}
	if s.Port == 0 {
		s.Port = 22
	}
	for d, def := range map[*time.Duration]time.Duration{&s.Connect: 20 * time.Second, &s.Keepalive: 15 * time.Second, &s.Idle: time.Minute} {
		if *d == 0 {
			*d = def
		}
	}
	return &Host{settings: s, turn: make(chan struct{}, 1), channels: make(chan struct{}, maxChannels)}, nil
}

// String is user@host, with the port if it is not 22.
func (h *Host) String() string {
	if h.settings.Port == 22 {
		return h.settings.User + "@" + h.settings.Host
	}
	return h.settings.User + "@" + h.address()
}

// Root tells whether it is root who logs in.
func (h *Host) Root() bool { return h.settings.User == "root" }

func (h *Host) address() string {
	return net.JoinHostPort(h.settings.Host, strconv.Itoa(int(h.settings.Port)))
}

// Dial connects to an address ("tcp" only) from the host. The connection has
// deadlines, as a local one; one that passed ends it.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("sshhost: %s to %s: only tcp goes through an SSH host", network, address)
	}
	select {
	case h.channels <- struct{}{}:
	case <-ctx.Done():
		return nil, h.trouble("%d connections are open already", maxChannels)
	}
	free := func() { <-h.channels }
	l, err := h.line(ctx)
	if err != nil {
		free()
		return nil, err
	}
	ch, err := l.client.DialContext(ctx, network, address)
	if err != nil {
		free()
		l.leave()
		return nil, h.explain(ctx, l, network, address, err)
	}
	return h.pump(l, ch, network, address, func() { l.leave(); free() }), nil
}

// trouble is an ErrHost that says whose.
func (h *Host) trouble(format string, args ...any) error {
	return fmt.Errorf("%w %s: %s", ErrHost, h, fmt.Sprintf(format, args...))
}

// line gives the SSH connection, and takes part in it. It is made, if there is none,
// by one of those that want it.
func (h *Host) line(ctx context.Context) (*line, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, h.trouble("no connection in time")
	}
	h.mu.Lock()
	l, closed, failed, after := h.up, h.closed, h.failed, h.after
	h.mu.Unlock()
	switch {
	case closed:
		return nil, h.trouble("closed")
	case l != nil && l.join():
		return l, nil
	case failed != nil && time.Now().Before(after):
		return nil, fmt.Errorf("%w; tried again after %s", failed, after.UTC().Format(time.RFC3339))
	}
	made, err := h.connect(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil { // the host's own fault: it is not to be hammered at
			h.wait = min(max(firstWait, 2*h.wait), longestWait)
			h.failed, h.after = err, time.Now().Add(h.wait)
		}
		return nil, err
	}
	h.failed, h.wait = nil, 0
	if h.closed {
		made.close()
		return nil, h.trouble("closed")
	}
	h.up = made
	made.join()
	h.running.Go(made.watch)
	return made, nil
}

// connect makes an SSH connection.
func (h *Host) connect(ctx context.Context) (*line, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, h.settings.Connect)
	defer cancel()
	keys := &keys{Host: h}
	defer keys.close()
	known, err := h.knownHosts()
	if err != nil {
		return nil, h.trouble("%v", err)
	}
	dial := h.settings.Via
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", h.address())
	if err != nil {
		return nil, h.trouble("%v", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, h.address(), &ssh.ClientConfig{
		User: h.settings.User, Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(keys.signers)},
		HostKeyCallback: known.check, HostKeyAlgorithms: known.algorithms(),
	})
	switch {
	case known.refused != nil:
		return nil, h.trouble("%v", known.refused)
	case err != nil && outer.Err() != nil:
		return nil, h.trouble("given up: %v", outer.Err())
	case err != nil && ctx.Err() != nil:
		return nil, h.trouble("no SSH in %s", h.settings.Connect)
	case err != nil && keys.asked:
		return nil, h.trouble("%v; %s", err, keys.tried())
	case err != nil:
		return nil, h.trouble("%v", err)
	}
	return newLine(h, ssh.NewClient(c, channels, requests)), nil
}

// Close ends all connections through the host and waits for what runs on them.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	l := h.up
	h.mu.Unlock()
	if l != nil {
		l.close()
	}
	h.running.Wait()
	return nil
}
