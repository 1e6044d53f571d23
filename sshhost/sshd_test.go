//go:build integration

package sshhost

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"mxcutover/lab/site"
	"mxcutover/secret"
)

// sshd starts OpenSSH, and gives the settings with which it is reached.
func sshd(t *testing.T, o site.SSHDOptions) (*site.SSHD, Settings) {
	t.Helper()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Join(t.TempDir(), "id")
	o.Dir, o.Addr = t.TempDir(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	o.Key = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(newKey(t, id, "").PublicKey())))
	s, err := site.StartSSHD(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.Host))
	if err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(t.TempDir(), "known_hosts")
	write(t, known, knownhosts.Line([]string{o.Addr.String()}, key)+"\n")
	return s, Settings{
		Host: "127.0.0.1", Port: port, Identity: secret.Ref{File: id}, KnownHosts: known,
		Home: t.TempDir(), Agent: filepath.Join(t.TempDir(), "none"),
	}
}

// What OpenSSH says of the far side is understood.
func TestIntegrationOpenSSH(t *testing.T) {
	_, set := sshd(t, site.SSHDOptions{})
	h, to := open(t, set), echo(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { say(t, h, to, "EHLO probe\r\n") })
	}
	all.Wait()
	port, err := site.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	closed := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String()
	if _, err := h.Dial(t.Context(), "tcp", closed); !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ErrHost) {
		t.Errorf("a closed port: %v", err)
	}
}

func TestIntegrationOpenSSHForbids(t *testing.T) {
	for name, o := range map[string]site.SSHDOptions{
		"AllowTcpForwarding no": {Config: "AllowTcpForwarding no"},
		"PermitOpen elsewhere":  {Config: "PermitOpen 192.0.2.1:25"},
		"restrict":              {Options: "restrict"},
	} {
		t.Run(name, func(t *testing.T) {
			_, set := sshd(t, o)
			if _, err := open(t, set).Dial(t.Context(), "tcp", echo(t)); !errors.Is(err, ErrProhibited) || !strings.Contains(err.Error(), "AllowTcpForwarding") {
				t.Errorf("%v", err)
			}
		})
	}
	_, set := sshd(t, site.SSHDOptions{Options: "restrict,port-forwarding"})
	say(t, open(t, set), echo(t), "allowed")
}

// A server that dies and comes back is a line lost and made again.
func TestIntegrationOpenSSHDies(t *testing.T) {
	s, set := sshd(t, site.SSHDOptions{})
	h, to := open(t, set), echo(t)
	say(t, h, to, "before")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	up := h.up
	h.mu.Unlock()
	up.close() // sshd's children outlive it, and so does the connection
	if _, err := h.Dial(t.Context(), "tcp", to); !errors.Is(err, ErrHost) || errors.Is(err, syscall.ECONNREFUSED) || isTimeout(err) {
		t.Errorf("the host is down: %v", err)
	}
}
