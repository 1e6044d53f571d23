package providers_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mxcutover/providers/conformance"
	"mxcutover/rrset"
)

// accountAt is a fake taken for a real account, by a configuration file.
func accountAt(t *testing.T) (*powerdnsFake, *conformance.Bed, conformance.Account) {
	f, b := powerdnsBed(t)
	config := `migration: m
old: {hosts: [mail.example.org], addresses: [192.0.2.10]}
mx: {records: [{preference: 10, host: gw1.example.org}]}
resolvers: {public: [9.9.9.9]}
probe: {from: probe@sender.example.com, recipients: {postmaster: true}}
providers:
  scratchpad:
    kind: powerdns
    zones: [example.test]
    settings:
`
	for line := range strings.Lines(b.Settings) {
		config += "      " + line
	}
	path := filepath.Join(t.TempDir(), "mxcutover.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return f, b, conformance.Account{Config: path, Provider: "scratchpad", Zone: "Example.test", Log: t.Logf}
}

// Whatever becomes of the run at an account, its zone is afterwards what it was.
func TestAccountIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		f, b, a := accountAt(t)
		if err := b.Edit(t.Context(), rrset.Set{Name: "www.example.test.", Type: "MX", TTL: 60, Data: []string{"10 mine.example.net."}}); err != nil {
			t.Fatal(err)
		}
		before := f.zone.Records()
		if err := a.Run(t.Context(), t); err != nil {
			t.Error(err)
		}
		if after := f.zone.Records(); !slices.Equal(before, after) {
			t.Errorf("the zone is %v, and was %v", after, before)
		}
	})
	t.Run("a leftover", func(t *testing.T) {
		t.Parallel()
		f, b, a := accountAt(t)
		before := f.zone.Records()
		a.Cleanup = "mxcutover-conformance-x.example.test"
		for _, name := range []string{a.Cleanup + ".", "a.b." + a.Cleanup + "."} {
			if err := b.Edit(t.Context(), rrset.Set{Name: name, Type: "MX", TTL: 60, Data: []string{"10 left.example.net."}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Run(t.Context(), t); err != nil || !slices.Equal(before, f.zone.Records()) {
			t.Errorf("%v: %v", err, f.zone.Records())
		}
		a.Cleanup = "www.example.test"
		if err := a.Run(t.Context(), t); err == nil {
			t.Error("another name was cleaned up")
		}
	})
	t.Run("a wildcard", func(t *testing.T) {
		t.Parallel()
		f, b, a := accountAt(t)
		if err := b.Edit(t.Context(), rrset.Set{Name: "*.example.test.", Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}); err != nil {
			t.Fatal(err)
		}
		before := f.zone.Records()
		if err := a.Run(t.Context(), t); err == nil || !strings.Contains(err.Error(), "wildcard") || !slices.Equal(before, f.zone.Records()) {
			t.Errorf("%v: %v", err, f.zone.Records())
		}
	})
	t.Run("a cleaning that fails", func(t *testing.T) {
		t.Parallel()
		_, b, a := accountAt(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a.Cleanup = "mxcutover-conformance-x.example.test"
		if err := b.Edit(t.Context(), rrset.Set{Name: a.Cleanup + ".", Type: "MX", TTL: 60, Data: []string{"10 left.example.net."}}); err != nil {
			t.Fatal(err)
		}
		if err := a.Run(ctx, t); err == nil {
			t.Error("it is not told that something is left")
		}
		a.Provider = "nobody"
		if err := a.Run(t.Context(), t); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", "nobody")) {
			t.Errorf("an unknown provider: %v", err)
		}
	})
}

const accountOfChild = "MXCUTOVER_TEST_ACCOUNT"

// TestAccountChild is the run that TestAccountInterrupted ends.
func TestAccountChild(t *testing.T) {
	config := os.Getenv(accountOfChild)
	if config == "" {
		t.Skip("run by TestAccountInterrupted")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
	defer stop()
	if err := (conformance.Account{Config: config, Provider: "scratchpad", Zone: "example.test", Log: t.Logf}).Run(ctx, t); err != nil {
		t.Fatal(err)
	}
}

// Ctrl-C in the middle of a write: the zone is cleaned up, and the run fails.
func TestAccountInterrupted(t *testing.T) {
	t.Parallel()
	f, b, a := accountAt(t)
	before := f.zone.Records()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAccountChild$", "-test.v")
	child.Env = append(os.Environ(), accountOfChild+"="+a.Config)
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	var dirty bool
	started := make(chan struct{})
	b.Faults.Inject(conformance.Fault{Kind: conformance.Between, Nth: 20, Do: func() {
		dirty = len(f.zone.Records()) > len(before)
		<-started
		if err := child.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}})
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := child.Wait()
	if after := f.zone.Records(); err == nil || !dirty || !slices.Equal(before, after) || !strings.Contains(out.String(), "is clean") {
		t.Errorf("%v, dirty %v; the zone is %v\n%s", err, dirty, after, out.String())
	}
}
