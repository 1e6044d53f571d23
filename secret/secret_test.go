package secret

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Ref{File: file}
	if v, err := r.Read(); err != nil || v != "s3cret" {
		t.Errorf("Read = %q, %v", v, err)
	}
	if strings.Contains(r.String(), "s3cret") {
		t.Error("the secret is shown")
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
	if err := os.WriteFile(file, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); !errors.Is(err, ErrUnset) {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := (Ref{File: t.TempDir()}).Read(); err == nil {
		t.Error("a directory was read")
	}
}

func TestReadEnvAndCredential(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MX_TEST_SECRET", "v")
	t.Setenv("MX_TEST_EMPTY", "")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if err := os.WriteFile(filepath.Join(dir, "tsig"), []byte("c"), 0o400); err != nil {
		t.Fatal(err)
	}
	if v, err := (Ref{Env: "MX_TEST_SECRET"}).Read(); err != nil || v != "v" {
		t.Errorf("env: %q, %v", v, err)
	}
	if v, err := (Ref{Credential: "tsig"}).Read(); err != nil || v != "c" {
		t.Errorf("credential: %q, %v", v, err)
	}
	if _, err := (Ref{Env: "MX_TEST_EMPTY"}).Read(); !errors.Is(err, ErrUnset) {
		t.Errorf("an empty variable: %v", err)
	}
	for _, bad := range []Ref{{}, {Env: "A", File: "b"}, {Credential: "../x"}} {
		if _, err := bad.Read(); err == nil {
			t.Errorf("%+v was read", bad)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := (Ref{Credential: "tsig"}).Read(); !errors.Is(err, ErrUnset) {
		t.Errorf("no credentials directory: %v", err)
	}
}
