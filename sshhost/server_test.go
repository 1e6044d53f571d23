package sshhost

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"mxcutover/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an SSH server in this process, which forwards, or says that it does not.
type server struct {
	addr    string
	key     ssh.Signer
	client  string // path of a key that it accepts
	refuse  func(address string) (ssh.RejectionReason, string)
	frozen  atomic.Bool // it answers nothing any more
	logins  atomic.Int32
	mu      sync.Mutex
	open    []net.Conn
	running sync.WaitGroup
}

func newKey(t *testing.T, path, passphrase string) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if path != "" {
		block, err := ssh.MarshalPrivateKey(private, "")
		if passphrase != "" {
			block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
		}
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(pem.EncodeToMemory(block)))
	}
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String(), key: newKey(t, "", ""), client: filepath.Join(t.TempDir(), "key")}
	mine := newKey(t, s.client, "").PublicKey().Marshal()
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(mine) {
			return nil, fmt.Errorf("not this key")
		}
		return nil, nil
	}}
	conf.AddHostKey(s.key)
	s.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open = append(s.open, c)
			s.mu.Unlock()
			s.running.Go(func() { s.session(c, conf) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.cut()
		s.running.Wait()
	})
	return s
}

// cut ends all connections, as a crash does.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

func (s *server) session(c net.Conn, conf *ssh.ServerConfig) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	s.logins.Add(1)
	defer conn.Close()
	s.running.Go(func() {
		for r := range requests {
			if r.WantReply && !s.frozen.Load() {
				_ = r.Reply(false, nil)
			}
		}
	})
	for ch := range channels {
		s.running.Go(func() { s.forward(ch) })
	}
}

func (s *server) forward(ch ssh.NewChannel) {
	if s.frozen.Load() {
		return
	}
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(ch.ExtraData(), &to); err != nil || ch.ChannelType() != "direct-tcpip" {
		_ = ch.Reject(ssh.UnknownChannelType, "what?")
		return
	}
	address := net.JoinHostPort(to.Host, fmt.Sprint(to.Port))
	if s.refuse != nil {
		if reason, words := s.refuse(address); reason != 0 {
			_ = ch.Reject(reason, words)
			return
		}
	}
	far, err := net.Dial("tcp", address)
	if err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	defer far.Close()
	near, requests, err := ch.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	s.running.Go(func() {
		_, _ = io.Copy(far, near)
		far.Close()
	})
	_, _ = io.Copy(near, far)
	near.Close()
}

// settings are those with which the server is reached.
func (s *server) settings(t *testing.T) Settings {
	t.Helper()
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	var n uint16
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	write(t, file, knownhosts.Line([]string{s.addr}, s.key.PublicKey())+"\n")
	return Settings{
		User: "probe", Host: host, Port: n, Identity: secret.Ref{File: s.client}, KnownHosts: file,
		Home: t.TempDir(), Agent: filepath.Join(t.TempDir(), "none"), Connect: 5 * time.Second,
	}
}

func open(t *testing.T, s Settings) *Host {
	t.Helper()
	h, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// echo is a TCP server that says what it is told.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			running.Go(func() {
				_, _ = io.Copy(c, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}
