package site

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// SSHDOptions shape an SSH server.
type SSHDOptions struct {
	Dir     string         // its folder; "" = a temporary one
	Addr    netip.AddrPort // where it listens
	Key     string         // a public key, in one line, that may log in as who runs the test
	Options string         // put before that key in authorized_keys, as "restrict"; "" = none
	Config  string         // more lines of sshd_config
}

// SSHD is an OpenSSH server.
type SSHD struct {
	process
	Addr netip.AddrPort
	Host string // its public host key, in one line
}

// StartSSHD starts sshd, which lets in one key and nobody else.
func StartSSHD(ctx context.Context, o SSHDOptions) (*SSHD, error) {
	s := &SSHD{process: process{name: "sshd", install: "openssh-server", logs: []string{"sshd.log"}}, Addr: o.Addr}
	return s, s.started(s.start(ctx, o))
}

func (s *SSHD) start(ctx context.Context, o SSHDOptions) error {
	dir, err := s.folder(o.Dir)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 { // what sshd of a system that never started it lacks
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	if err := s.run(ctx, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "host")); err != nil {
		return err
	}
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		return err
	}
	s.Host = strings.TrimSpace(string(host))
	conf := fmt.Sprintf(`ListenAddress %s
HostKey %s/host
AuthorizedKeysFile %[2]s/keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
%s
`, o.Addr, dir, o.Config)
	if err := s.write(map[string]string{"conf": conf, "keys": strings.TrimSpace(o.Options+" "+o.Key) + "\n"}); err != nil {
		return err
	}
	// sshd wants to be started by its whole path.
	if err := s.launch(find("sshd"), "-D", "-e", "-f", filepath.Join(dir, "conf")); err != nil {
		return err
	}
	return s.await(ctx, "no connection", func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", o.Addr.String())
		if err == nil {
			c.Close()
		}
		return err
	})
}
