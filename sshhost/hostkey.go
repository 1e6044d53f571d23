package sshhost

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// known holds host keys to what known_hosts files say.
type known struct {
	host     *Host
	path     string // where a new key belongs
	callback ssh.HostKeyCallback
	refused  error // why the host's key was not accepted
}

// home is where .ssh is.
func (h *Host) home() string {
	if h.settings.Home != "" {
		return h.settings.Home
	}
	home, _ := os.UserHomeDir() // without one there are no files of it
	return home
}

func (h *Host) knownHosts() (*known, error) {
	files := []string{filepath.Join(h.home(), ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
	if h.settings.KnownHosts != "" {
		files = []string{h.settings.KnownHosts}
	}
	k := &known{host: h, path: files[0]}
	there := slices.DeleteFunc(files, func(f string) bool { _, err := os.Stat(f); return errors.Is(err, os.ErrNotExist) })
	var err error
	k.callback, err = knownhosts.New(there...)
	return k, err
}

// algorithms are those of the keys that are known of the host: a server has several
// keys, and shows the one that is asked for. None known: all.
func (k *known) algorithms() []string {
	var unlike *knownhosts.KeyError
	if err := k.callback(k.host.address(), nowhere{}, nobodysKey()); !errors.As(err, &unlike) {
		return nil
	}
	var out []string
	authority := false
	for _, w := range unlike.Want {
		if isAuthority(w) {
			authority = true
			continue
		}
		algos := []string{w.Key.Type()}
		if algos[0] == ssh.KeyAlgoRSA {
			algos = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, a := range algos {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if authority { // its certificate first: the key alone is known to nobody
		out = append([]string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}, out...)
	}
	return out
}

// isAuthority tells whether a line of known_hosts names an authority, whose
// certificates are to be believed, and not a host's own key (sshd(8), SSH_KNOWN_HOSTS
// FILE FORMAT). The library does not tell.
func isAuthority(k knownhosts.KnownKey) bool {
	f, err := os.Open(k.Filename)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if n == k.Line {
			return strings.HasPrefix(strings.TrimSpace(lines.Text()), "@cert-authority")
		}
	}
	return false
}

// nobodysKey is a key that no file has, to be told which ones it has.
func nobodysKey() ssh.PublicKey {
	key, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		panic("sshhost: 32 zero bytes are a key: " + err.Error())
	}
	return key
}

type nowhere struct{}

func (nowhere) Network() string { return "tcp" }
func (nowhere) String() string  { return "0.0.0.0:0" }

// check accepts a key that is known, and else says what to do.
func (k *known) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := k.callback(address, remote, key)
	var unlike *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	host := knownhosts.Normalize(address)
	print := ssh.FingerprintSHA256(key)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		err = fmt.Errorf("its host key %s is revoked in %s:%d", print, revoked.Revoked.Filename, revoked.Revoked.Line)
	case errors.As(err, &unlike) && len(unlike.Want) == 0:
		err = fmt.Errorf("its host key is not in %s, and it shows %s %s. Compare that with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then: %s",
			k.path, key.Type(), print, k.scan(key))
	case errors.As(err, &unlike):
		w := unlike.Want[0]
		err = fmt.Errorf("its host key CHANGED: %s:%d has %s, and it shows %s %s: somebody may be in between. If it was changed on purpose: ssh-keygen -R '%s' -f %s; then: %s",
			w.Filename, w.Line, ssh.FingerprintSHA256(w.Key), key.Type(), print, host, w.Filename, k.scan(key))
	}
	k.refused = err
	return err
}

// scan is the command that adds a host's key.
func (k *known) scan(key ssh.PublicKey) string {
	kind := strings.TrimPrefix(key.Type(), "ssh-")
	if strings.HasPrefix(kind, "ecdsa") {
		kind = "ecdsa"
	}
	return fmt.Sprintf("ssh-keyscan -t %s -p %d %s >> %s", kind, k.host.settings.Port, k.host.settings.Host, k.path)
}
