package sshhost

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"mxcutover/secret"
)

// keys finds what to authenticate with: the one identity that is configured, or else
// those of ssh-agent and of the usual files. Servers end the conversation after six
// (OpenSSH's MaxAuthTries).
type keys struct {
	*Host
	asked bool
	agent net.Conn
	have  []string // which keys were offered
	lack  []string // which could not be, and why
}

const maxKeys = 6

// usual are the files that ssh itself looks at, in ~/.ssh.
var usual = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

func (k *keys) signers() ([]ssh.Signer, error) {
	k.asked = true
	agents := k.fromAgent()
	if !k.settings.Identity.IsZero() {
		s, err := k.identity(agents)
		if err != nil {
			k.lack = append(k.lack, err.Error())
			return nil, nil
		}
		k.have = []string{k.settings.Identity.String()}
		return []ssh.Signer{s}, nil
	}
	out := agents
	for _, s := range agents {
		k.have = append(k.have, "ssh-agent's "+ssh.FingerprintSHA256(s.PublicKey()))
	}
	for _, name := range usual {
		path := filepath.Join(k.home(), ".ssh", name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		s, err := read(secret.Ref{File: path}, secret.Ref{})
		if err != nil {
			k.lack = append(k.lack, err.Error())
			continue
		}
		out, k.have = append(out, s), append(k.have, path)
	}
	return out[:min(len(out), maxKeys)], nil
}

// identity reads the configured key, or takes it from ssh-agent if the file's is
// locked and the agent has it open.
func (k *keys) identity(agents []ssh.Signer) (ssh.Signer, error) {
	s, err := read(k.settings.Identity, k.settings.Passphrase)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		for _, a := range agents {
			if bytes.Equal(a.PublicKey().Marshal(), locked.PublicKey.Marshal()) {
				return a, nil
			}
		}
	}
	return s, err
}

func read(key, passphrase secret.Ref) (ssh.Signer, error) {
	text, err := key.Read()
	if err != nil {
		return nil, err
	}
	text += "\n"
	var s ssh.Signer
	if passphrase.IsZero() {
		s, err = ssh.ParsePrivateKey([]byte(text))
	} else {
		var word string
		if word, err = passphrase.Read(); err != nil {
			return nil, err
		}
		s, err = ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(word))
	}
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("%s needs a passphrase: name it, or open the key with ssh-add: %w", key, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return s, nil
}

// fromAgent are the keys of ssh-agent, if there is one.
func (k *keys) fromAgent() []ssh.Signer {
	socket := k.settings.Agent
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil
	}
	c, err := net.DialTimeout("unix", socket, k.settings.Connect) //nolint:noctx // of this machine, and bounded
	if err != nil {
		k.lack = append(k.lack, "ssh-agent: "+err.Error())
		return nil
	}
	k.agent = c
	_ = c.SetDeadline(time.Now().Add(k.settings.Connect)) // a unix socket has deadlines
	signers, err := agent.NewClient(c).Signers()
	if err != nil {
		k.lack = append(k.lack, "ssh-agent: "+err.Error())
	}
	return signers
}

func (k *keys) close() {
	if k.agent != nil {
		k.agent.Close()
	}
}

// tried says what was offered, and what could not be.
func (k *keys) tried() string {
	out := "no key was there to be offered"
	if len(k.have) > 0 {
		out = "offered: " + strings.Join(k.have, ", ")
	}
	if len(k.lack) > 0 {
		out += "; not offered: " + strings.Join(k.lack, ", ")
	}
	return out + ". Does this work: ssh -p " + fmt.Sprint(k.settings.Port) + " " + k.settings.User + "@" + k.settings.Host + " true"
}
