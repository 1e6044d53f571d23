package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mxcutover/config"
	"mxcutover/providers"
	"mxcutover/secret"
)

// initArgs are the flags that init needs, but for the provider's.
func initArgs(out string) []string {
	return []string{
		"init", "--out", out, "--resolver", "192.0.2.53", "--zone", "example.org,bücher.example", "--old", "mail.example.org", "--old-address", "192.0.2.1,2001:db8::1",
		"--gateway", "gw1.example.net,10:gw2.example.net", "--from", "probe@probe.example.net", "--migration", "2026",
	}
}

// TestInitOfEachKind: what is written loads, its settings are what the kind wants, its
// secrets are references, and it is never overwritten.
func TestInitOfEachKind(t *testing.T) {
	t.Parallel()
	for _, k := range providers.Kinds() {
		t.Run(k.Kind, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "m.yaml")
			args := append(initArgs(out), "--provider", k.Kind)
			for _, x := range settingsOf(k.Kind) {
				if x.needed && !x.secret {
					args = append(args, "--setting", x.key+"="+strings.Trim(x.value, `"`))
				}
			}
			var told bytes.Buffer
			if code := run(t.Context(), args, strings.NewReader(""), io.Discard, &told); code != codeDone {
				t.Fatalf("exit code %d:\n%s", code, &told)
			}
			cfg, err := config.Load(out)
			if err != nil {
				t.Fatal(err)
			}
			p := cfg.Providers["dns"]
			_, err = providers.Open(p.Kind, p.Settings.Decode)
			var faults config.Faults
			if errors.As(err, &faults) || err != nil && !errors.Is(err, secret.ErrUnset) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the provider: %v", err)
			}
			if cfg.Migration != "2026" || len(cfg.MX.Records) != 2 || cfg.MX.Records[1].Preference != 10 || !slices.Contains(p.Zones, "xn--bcher-kva.example.") {
				t.Errorf("%+v", cfg)
			}
			lines := strings.Split(strings.TrimSpace(told.String()), "\n")
			if last := lines[len(lines)-1]; last != "  mxcutover providers check --config "+out {
				t.Errorf("the last line is %q", last)
			}
			if strings.Contains(k.Example, "{file: ") != strings.Contains(told.String(), "install -m 600 ") {
				t.Errorf("the secret's place:\n%s", &told)
			}
			before, _ := os.ReadFile(out)
			if code := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard); code != codeRefused {
				t.Errorf("again: exit code %d", code)
			}
			if after, _ := os.ReadFile(out); !bytes.Equal(before, after) {
				t.Error("it was overwritten")
			}
			left, err := os.ReadDir(filepath.Dir(out))
			if err != nil || len(left) != 1 {
				t.Errorf("left beside it: %v, %v", left, err)
			}
		})
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		more []string
		want string
	}{
		"kind":       {[]string{"--provider", "bind"}, "no such kind; these are: azure,"},
		"setting":    {[]string{"--provider", "rfc2136", "--setting", "sever=x"}, "no such key"},
		"value":      {[]string{"--provider", "rfc2136", "--setting", "timeout=soon"}, "no duration"},
		"line":       {[]string{"--provider", "rfc2136", "--setting", "server=x\nkind: y"}, "in one line"},
		"secret":     {[]string{"--provider", "desec", "--setting", "token=hunter2"}, "not a reference"},
		"needed":     {[]string{"--provider", "rfc2136"}, "--setting server=VALUE"},
		"gateway":    {[]string{"--provider", "desec", "--gateway", "70000:gw.example"}, "--gateway"},
		"old":        {[]string{"--provider", "desec", "--old", "gw1.example.net"}, "host of the old server"},
		"quotes":     {[]string{"--provider", "desec", "--old", "a\"]\nmigration: x"}, "--old"},
		"time zone":  {[]string{"--provider", "desec", "--time-zone", "Mars/North"}, "no time zone"},
		"two names":  {[]string{"--provider", "desec", "--migration", "a,b"}, "one was expected"},
		"other file": {[]string{"--provider", "desec", "--out", filepath.Join("none", "m.yaml")}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var told bytes.Buffer
			args := append(initArgs(filepath.Join(dir, "m.yaml")), tt.more...)
			for i, a := range args { // the later flag alone counts
				if at := slices.Index(tt.more, a); at >= 0 && at%2 == 0 && i < len(args)-len(tt.more) {
					args = slices.Concat(args[:i], args[i+2:])
					break
				}
			}
			if code := run(t.Context(), args, strings.NewReader(""), io.Discard, &told); code == codeDone || !strings.Contains(told.String(), tt.want) {
				t.Errorf("exit code %d, want %q in:\n%s", code, tt.want, &told)
			}
			if strings.Contains(told.String(), "hunter2") {
				t.Errorf("a secret is shown:\n%s", &told)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestInitInterrupted ends init while it waits for an answer.
func TestInitInterrupted(t *testing.T) {
	t.Parallel()
	in, answers := io.Pipe()
	defer answers.Close()
	asked, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	s := &streams{in: in, out: io.Discard, err: out}
	i := initiation{s: s, draft: draft{"resolver": {"192.0.2.53"}}, find: &finder{}, terminal: true, ask: newAsker(in, out)}
	ended := make(chan error)
	go func() { ended <- i.gather(ctx) }()
	wait := func(text string) {
		got := ""
		for b := make([]byte, 1); !strings.HasSuffix(got, text); got += string(b) {
			if _, err := asked.Read(b); err != nil {
				t.Fatalf("%v after %q", err, got)
			}
		}
	}
	wait("]: ") // the migration's name
	if _, err := io.WriteString(answers, "a/b\n"); err != nil {
		t.Fatal(err)
	}
	wait("no name of a migration; write up to 64 letters, digits, dots and dashes\n")
	wait("]: ")
	cancel()
	go io.Copy(io.Discard, asked)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestWriteNew: a file that came between the look and the writing stays.
func TestWriteNew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "m.yaml")
	if err := os.WriteFile(out, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := writeNew(out, "ours")
	if text, _ := os.ReadFile(out); codeOf(err) != codeRefused || string(text) != "theirs" {
		t.Errorf("%v; the file holds %q", err, text)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestNameServers(t *testing.T) {
	t.Parallel()
	got := nameServers(strings.NewReader("# c\nsearch x\nnameserver 192.0.2.1\nnameserver\nnameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver x\nnameserver 2001:db8::1 \nnameserver ::ffff:192.0.2.9\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"))
	if want := []string{"192.0.2.1", "2001:db8::1", "192.0.2.2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
