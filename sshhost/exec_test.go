//go:build integration

package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"mxcutover/lab/site"
)

// run runs a command that says little.
func run(ctx context.Context, h *Host, command, say string) (string, error) {
	var out bytes.Buffer
	err := h.Run(ctx, command, func(in io.WriteCloser, from io.Reader) error {
		if _, err := io.WriteString(in, say); err != nil {
			return err
		}
		in.Close()
		_, err := io.Copy(&out, from)
		return err
	})
	return out.String(), err
}

func TestIntegrationRun(t *testing.T) {
	_, set := sshd(t, site.SSHDOptions{})
	h := open(t, set)
	if out, err := run(t.Context(), h, "cat; printf . >&2", "a\x00b\n"); err != nil || out != "a\x00b\n" {
		t.Errorf("%q, %v", out, err)
	}
	_, err := run(t.Context(), h, "yes word | head -c 100000 >&2; exit 7", "")
	var exit *ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 7 || len(exit.Words) != maxWords {
		t.Errorf("%d bytes of words: %.80v", len(exit.Words), err)
	}
	// How a command ended that was killed is not known, nor one that was not waited for.
	if _, err = run(t.Context(), h, "kill -9 $$", ""); err == nil || errors.As(err, &exit) {
		t.Errorf("killed: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err = run(ctx, h, "sleep 60", ""); err == nil || errors.As(err, &exit) || time.Since(begun) > 10*time.Second {
		t.Errorf("not waited for: %v after %s", err, time.Since(begun))
	}
	if out, err := run(t.Context(), h, "echo again", ""); err != nil || out != "again\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// A host behind another one is reached through it, and each shows its own key.
func TestIntegrationJump(t *testing.T) {
	_, first := sshd(t, site.SSHDOptions{})
	_, second := sshd(t, site.SSHDOptions{})
	second.Via = open(t, first).Dial
	if out, err := run(t.Context(), open(t, second), "echo there", ""); err != nil || out != "there\n" {
		t.Errorf("%q, %v", out, err)
	}
	for name, change := range map[string]func(f, s *Settings){
		"the first one's key":  func(f, _ *Settings) { f.KnownHosts = second.KnownHosts },
		"the second one's key": func(_, s *Settings) { s.KnownHosts = first.KnownHosts },
	} {
		f, s := first, second
		change(&f, &s)
		s.Via = open(t, f).Dial
		if _, err := run(t.Context(), open(t, s), "echo there", ""); !errors.Is(err, ErrHost) || !strings.Contains(err.Error(), "not in") {
			t.Errorf("%s is not known: %v", name, err)
		}
	}
}

// What known_hosts may say of a host: a hashed name, an authority, a revoked key.
func TestIntegrationKnownHosts(t *testing.T) {
	s, set := sshd(t, site.SSHDOptions{})
	address := net.JoinHostPort(set.Host, fmt.Sprint(set.Port))
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.Host))
	if err != nil {
		t.Fatal(err)
	}
	host := knownhosts.Normalize(address)
	plain := knownhosts.Line([]string{address}, key)
	hashed := strings.Replace(plain, host, knownhosts.HashHostname(host), 1)
	for name, c := range map[string]struct {
		text string
		want string // in the error; "" = none
	}{
		"hashed":  {hashed, ""},
		"revoked": {plain + "\n@revoked * " + strings.SplitN(plain, " ", 2)[1], "revoked"},
		"nobody":  {"", "not in"},
	} {
		set.KnownHosts = filepath.Join(t.TempDir(), "known")
		write(t, set.KnownHosts, c.text+"\n")
		_, err := run(t.Context(), open(t, set), "true", "")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A host whose key an authority has signed is believed for the authority's sake, also
// when its key alone is in no file; and not when the certificate is for another host.
func TestIntegrationCertAuthority(t *testing.T) {
	dir := t.TempDir()
	ca := newKey(t, filepath.Join(dir, "ca"), "")
	for principal, good := range map[string]bool{"127.0.0.1": true, "elsewhere.example": false} {
		t.Run(principal, func(t *testing.T) {
			cert := filepath.Join(t.TempDir(), "host2")
			for _, args := range [][]string{
				{"-q", "-t", "ed25519", "-N", "", "-f", cert},
				{"-q", "-s", filepath.Join(dir, "ca"), "-I", "host", "-h", "-n", principal, cert + ".pub"},
			} {
				if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			_, set := sshd(t, site.SSHDOptions{Config: "HostKey " + cert + "\nHostCertificate " + cert + "-cert.pub"})
			set.KnownHosts = filepath.Join(t.TempDir(), "known")
			write(t, set.KnownHosts, "@cert-authority "+knownhosts.Line([]string{net.JoinHostPort(set.Host, fmt.Sprint(set.Port))}, ca.PublicKey())+"\n")
			_, err := run(t.Context(), open(t, set), "true", "")
			if (err == nil) != good {
				t.Errorf("%v", err)
			}
		})
	}
}
