// Package secret reads secrets by reference. Configuration, journals, logs and
// reports hold references only: the name of an environment variable, of a file,
// or of a systemd credential. The value is read when it is used, and never shown.
package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ErrUnset means that a reference leads to nothing, or to something empty. It
// is never taken as an empty secret.
var ErrUnset = errors.New("secret is not set")

// maxSize bounds a secret, in bytes.
const maxSize = 64 << 10

// A Ref names exactly one place that holds a secret.
type Ref struct {
	Env        string `yaml:"env,omitempty" json:"env,omitempty"`               // an environment variable
	File       string `yaml:"file,omitempty" json:"file,omitempty"`             // a file, its owner's alone
	Credential string `yaml:"credential,omitempty" json:"credential,omitempty"` // a name in $CREDENTIALS_DIRECTORY
}

// IsZero tells whether the reference names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// String names the place, never the secret.
func (r Ref) String() string {
	switch {
	case r.Env != "":
		return "environment variable " + r.Env
	case r.File != "":
		return "file " + r.File
	case r.Credential != "":
		return "credential " + r.Credential
	}
	return "no secret"
}

// Check says whether the reference names exactly one place.
func (r Ref) Check() error {
	n := 0
	for _, s := range []string{r.Env, r.File, r.Credential} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("a secret is exactly one of {env: NAME}, {file: PATH}, {credential: NAME}")
	}
	if strings.ContainsRune(r.Credential, '/') {
		return fmt.Errorf("credential %q: a name without a slash was expected", r.Credential)
	}
	return nil
}

// Read gives the secret without its trailing white space.
func (r Ref) Read() (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	var v string
	var err error
	switch {
	case r.Env != "":
		v = os.Getenv(r.Env)
	case r.File != "":
		v, err = readFile(r.File)
	default:
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", fmt.Errorf("%w: %s: CREDENTIALS_DIRECTORY is not set; run under systemd with LoadCredential=%s:PATH", ErrUnset, r, r.Credential)
		}
		v, err = readFile(filepath.Join(dir, r.Credential))
	}
	if err != nil {
		return "", err
	}
	if v = strings.TrimRight(v, " \t\r\n"); v == "" {
		return "", fmt.Errorf("%w: %s", ErrUnset, r)
	}
	return v, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer f.Close()
	if err := checkOwner(f); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return "", fmt.Errorf("secret: read %s: %w", path, err)
	}
	if len(b) > maxSize {
		return "", fmt.Errorf("secret: %s is above %d bytes", path, maxSize)
	}
	return string(b), nil
}
