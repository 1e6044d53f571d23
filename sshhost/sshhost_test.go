package sshhost

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"mxcutover/secret"
)

// say sends words through and wants them back.
func say(t *testing.T, h *Host, to, words string) {
	t.Helper()
	c, err := h.Dial(t.Context(), "tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Error(err)
	}
	got := make([]byte, len(words))
	if _, err = io.WriteString(c, words); err == nil {
		_, err = io.ReadFull(c, got)
	}
	if err != nil || string(got) != words {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDial(t *testing.T) {
	t.Parallel()
	s := serve(t)
	h, to := open(t, s.settings(t)), echo(t)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() { say(t, h, to, "EHLO probe\r\n") })
	}
	all.Wait()
	if n := s.logins.Load(); n != 1 {
		t.Errorf("%d SSH connections, want one", n)
	}
	s.cut()
	for i := 0; ; i++ { // the loss may be seen by the first that dials
		c, err := h.Dial(t.Context(), "tcp", to)
		if err == nil {
			c.Close()
			break
		}
		if !errors.Is(err, ErrHost) || i > 1 {
			t.Fatal(err)
		}
	}
	say(t, h, to, "again\r\n")
	if n := s.logins.Load(); n != 2 {
		t.Errorf("%d SSH connections, want a second one", n)
	}
	if _, err := h.Dial(t.Context(), "udp", to); err == nil {
		t.Error("udp went through")
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	h, to := open(t, serve(t).settings(t)), echo(t)
	c, err := h.Dial(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read that lasts: %v", err)
	}
	if c.RemoteAddr().String() != to {
		t.Errorf("its far end is %s", c.RemoteAddr())
	}
}

// What the far side does must be told from what SSH does: the one is a finding, the
// other tells nothing.
func TestErrors(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var reason ssh.RejectionReason
	var words string
	s.refuse = func(string) (ssh.RejectionReason, string) { return reason, words }
	h := open(t, s.settings(t))
	for _, c := range []struct {
		reason ssh.RejectionReason
		words  string
		is     error
		says   string
	}{
		{ssh.ConnectionFailed, "Connection refused", syscall.ECONNREFUSED, "by way of"},
		{ssh.ConnectionFailed, "open failed: connect failed: Connection timed out", syscall.ETIMEDOUT, ""},
		{ssh.ConnectionFailed, "No route to host", syscall.EHOSTUNREACH, ""},
		{ssh.ConnectionFailed, "Network is unreachable", syscall.ENETUNREACH, ""},
		{ssh.ConnectionFailed, "hm", ErrHost, "does not say why"},
		{ssh.Prohibited, "open failed", ErrProhibited, "AllowTcpForwarding"},
		{ssh.ResourceShortage, "full", ErrHost, "no channel left"},
		{ssh.UnknownChannelType, "what?", ErrHost, "cannot forward"},
	} {
		reason, words = c.reason, c.words
		_, err := h.Dial(t.Context(), "tcp", "192.0.2.1:25")
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v %q: %v", c.reason, c.words, err)
		}
		if errors.Is(err, ErrHost) && (errors.Is(err, syscall.ECONNREFUSED) || isTimeout(err)) {
			t.Errorf("%v: whose fault is it?", err)
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// A far side that says nothing is a time-out only while the SSH host is there.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	s := serve(t)
	release := make(chan struct{})
	s.refuse = func(address string) (ssh.RejectionReason, string) {
		if strings.HasPrefix(address, "192.0.2.1:") {
			<-release
			return ssh.ConnectionFailed, "late"
		}
		return 0, ""
	}
	h := open(t, s.settings(t))
	say(t, h, echo(t), "the line is up")
	dial := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := h.Dial(ctx, "tcp", "192.0.2.1:25")
		return err
	}
	if err := dial(); !isTimeout(err) || errors.Is(err, ErrHost) {
		t.Errorf("a silent far side: %v", err)
	}
	s.frozen.Store(true)
	if err := dial(); isTimeout(err) || !errors.Is(err, ErrHost) {
		t.Errorf("a silent host: %v", err)
	}
	close(release)
}

// A conversation that ends because SSH does must not look like the far side's end.
func TestLossInAConversation(t *testing.T) {
	t.Parallel()
	s := serve(t)
	h, to := open(t, s.settings(t)), echo(t)
	c, err := h.Dial(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrHost) {
		t.Errorf("the line was cut: %v", err)
	}
}

func TestIdleLinesEnd(t *testing.T) {
	t.Parallel()
	s := serve(t)
	set := s.settings(t)
	set.Idle = 20 * time.Millisecond
	h, to := open(t, set), echo(t)
	say(t, h, to, "x")
	h.running.Wait() // all that ran for it has ended by itself
	say(t, h, to, "y")
	if n := s.logins.Load(); n != 2 {
		t.Errorf("%d SSH connections, want 2", n)
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := serve(t)
	other := newKey(t, "", "").PublicKey()
	for name, c := range map[string]struct {
		file string
		says []string
	}{
		"not known":      {"", []string{"is not in", "SHA256:", "ssh-keyscan -t ed25519 -p "}},
		"another's":      {knownhosts.Line([]string{"192.0.2.1"}, s.key.PublicKey()), []string{"is not in"}},
		"changed":        {knownhosts.Line([]string{s.addr}, other), []string{"CHANGED", "ssh-keygen -R '[127.0.0.1]:", "known_hosts:1"}},
		"revoked":        {"@revoked " + knownhosts.Line([]string{"*"}, s.key.PublicKey()), []string{"is revoked in"}},
		"hashed, and ok": {knownhosts.HashHostname(knownhosts.Normalize(s.addr)) + strings.TrimPrefix(knownhosts.Line([]string{"x"}, s.key.PublicKey()), "x"), nil},
		"nonsense":       {"x y z", []string{"known_hosts:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := s.settings(t)
			write(t, set.KnownHosts, c.file+"\n")
			h := open(t, set)
			_, err := h.Dial(t.Context(), "tcp", echo(t))
			if len(c.says) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, w := range c.says {
				if !errors.Is(err, ErrHost) || !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not say %q", err, w)
				}
			}
		})
	}
	set := s.settings(t)
	if err := os.Remove(set.KnownHosts); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, set).Dial(t.Context(), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "is not in "+set.KnownHosts) {
		t.Errorf("no file: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := serve(t)
	to := echo(t)
	usual := func(t *testing.T, set *Settings) {
		set.Identity = secret.Ref{}
		if err := os.Mkdir(filepath.Join(set.Home, ".ssh"), 0o700); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(s.client)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(set.Home, ".ssh", "id_ed25519"), string(text))
	}
	locked := func(t *testing.T, set *Settings) *server {
		mine := serve(t)
		set.Identity = secret.Ref{File: filepath.Join(t.TempDir(), "locked")}
		newKey(t, set.Identity.File, "open sesame")
		return mine
	}
	for name, c := range map[string]struct {
		adjust func(*testing.T, *Settings)
		says   string
	}{
		"the usual file": {usual, ""},
		"another key": {func(t *testing.T, set *Settings) {
			set.Identity = secret.Ref{File: filepath.Join(t.TempDir(), "other")}
			newKey(t, set.Identity.File, "")
		}, "unable to authenticate"},
		"none":        {func(_ *testing.T, set *Settings) { set.Identity = secret.Ref{} }, "no key was there to be offered"},
		"no file":     {func(_ *testing.T, set *Settings) { set.Identity = secret.Ref{File: "/nowhere"} }, "no such file"},
		"locked":      {func(t *testing.T, set *Settings) { locked(t, set) }, "needs a passphrase"},
		"for anybody": {func(t *testing.T, set *Settings) { chmod(t, set.Identity.File) }, "chmod 600"},
		"from an agent": {func(t *testing.T, set *Settings) {
			text, err := os.ReadFile(s.client)
			if err != nil {
				t.Fatal(err)
			}
			set.Identity, set.Agent = secret.Ref{}, agentWith(t, text)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			set := s.settings(t)
			if name == "for anybody" {
				text, err := os.ReadFile(s.client)
				if err != nil {
					t.Fatal(err)
				}
				set.Identity.File = filepath.Join(t.TempDir(), "copy")
				write(t, set.Identity.File, string(text))
			}
			c.adjust(t, &set)
			h := open(t, set)
			_, err := h.Dial(t.Context(), "tcp", to)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (!errors.Is(err, ErrHost) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v does not say %q", err, c.says)
			}
			if _, again := h.Dial(t.Context(), "tcp", to); c.says != "" && (again == nil || !strings.Contains(again.Error(), "tried again after")) {
				t.Errorf("hammered at: %v", again)
			}
		})
	}
}

func chmod(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A key with a passphrase is opened by it.
func TestPassphrase(t *testing.T) {
	t.Setenv("MX_TEST_PASSPHRASE", "open sesame")
	path := filepath.Join(t.TempDir(), "locked")
	want := newKey(t, path, "open sesame")
	got, err := read(secret.Ref{File: path}, secret.Ref{Env: "MX_TEST_PASSPHRASE"})
	if err != nil || string(got.PublicKey().Marshal()) != string(want.PublicKey().Marshal()) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := read(secret.Ref{File: path}, secret.Ref{File: path}); err == nil {
		t.Error("a wrong passphrase opened it")
	}
}

// agentWith runs an ssh-agent that holds a key, and gives its socket.
func agentWith(t *testing.T, text []byte) string {
	t.Helper()
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "mxagent") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_ = agent.ServeAgent(ring, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
		os.RemoveAll(dir)
	})
	return filepath.Join(dir, "s")
}
