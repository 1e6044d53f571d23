package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a world, quiet unless rates are given, and closes it at the end.
func start(t *testing.T, o Options) *World {
	t.Helper()
	if o.SenderRate == 0 {
		o.SenderRate = -1
	}
	if o.SpamRate == 0 {
		o.SpamRate = -1
	}
	w, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not seen in time: %s", what)
		case <-tick.C:
		}
	}
}

func TestOptionsRefuse(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]Domain{
		"outside test":          {Name: "bakery.example"},
		"the top itself":        {Name: "test"},
		"zone file injection":   {Name: "a\nb.test"},
		"empty label":           {Name: "a..test"},
		"wildcard without star": {Name: "a.test", Kind: Wildcard},
		"star without wildcard": {Name: "*.a.test"},
		"unknown kind":          {Name: "a.test", Kind: "odd"},
		"the world's own":       {Name: "x.gw.test"},
		"zone elsewhere":        {Name: "a.test", Zone: "b.test"},
	} {
		if w, err := Start(t.Context(), Options{Domains: []Domain{d}}); err == nil {
			_ = w.Close()
			t.Errorf("%s: %q was taken", name, d.Name)
		}
	}
	if _, err := Start(t.Context(), Options{Domains: []Domain{{Name: "a.test"}, {Name: "A.test."}}}); err == nil {
		t.Error("a domain twice was taken")
	}
}

func TestWorldsInParallel(t *testing.T) {
	t.Parallel()
	seen := map[netip.Prefix]bool{}
	for range 3 {
		w := start(t, Options{})
		f := w.Facts()
		if seen[f.Block] {
			t.Errorf("two worlds at %s", f.Block)
		}
		seen[f.Block] = true
		if got := mustAsk(t, w, f.NS1, "bakery.test", "A"); got.Rcode != 0 || !got.Authoritative {
			t.Errorf("%s does not answer: %v", f, got)
		}
		f.Key.Secret, f.Password = "", ""
		if s := fmt.Sprint(w.Facts(), w.Facts().Key); strings.Contains(s, w.key.Secret) || strings.Contains(s, w.password) {
			t.Errorf("a secret is shown: %s", s)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made")
	w := start(t, Options{Dir: dir, SenderRate: 100, SpamRate: 100})
	await(t, "mail delivered", func() bool { return w.Accounts().Delivered > 3 })
	if _, err := os.Stat(filepath.Join(dir, "firewall.sock")); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	again, err := takeSame(w.block)
	if err != nil {
		t.Errorf("its addresses are still taken: %v", err)
	}
	again.close()
	if err := w.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	kept := t.TempDir()
	other := start(t, Options{Dir: kept})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(kept); err != nil || len(left) != 0 {
		t.Errorf("left in the caller's directory: %v, %v", left, err)
	}
}

// takeSame opens all the sockets of a block that was closed.
func takeSame(b *block) (*block, error) {
	again := emptyBlock(b.prefix)
	again.dns, again.smtp = b.dns, b.smtp
	return again, again.openAll(context.Background())
}

func TestWriteConfig(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	dir := filepath.Join(t.TempDir(), `a "quoted" place`)
	path, err := w.WriteConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, path)
	f := w.Facts()
	for _, want := range []string{
		"migration: demo\n",
		fmt.Sprintf("old: {hosts: [mail.old.test], addresses: [%s]}\n", f.Old.Addr),
		"records: [{preference: 10, host: gw1.gw.test}, {preference: 20, host: gw2.gw.test}]\n",
		"zones: [bakery.test, choir.test, dental.test, estates.test, garden.test, harbour.test, museum.test, newsletter.test, parked.test, pilots.harbour.test, university.test]\n",
		fmt.Sprintf(`settings: {server: "%s:%d", key_name: mxcutover, key_alg: hmac-sha256, key: {file: "`, f.NS1, f.DNSPort),
		"ttl: {low: 1s, prepare: all, assume: 5s, settle_after: 2s}\n",
		fmt.Sprintf("trust: [%s/32, %s/32]\n", f.Gateways[0].Addr, f.Gateways[1].Addr),
		fmt.Sprintf("ports: {dns: %d, smtp: %d}\n", f.DNSPort, f.SMTPPort),
		`a \"quoted\" place/state/demo.db"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	var tree struct {
		Providers map[string]struct {
			Settings struct{ Key struct{ File string } }
		}
		Isolate struct {
			Socket string
			Ports  []uint16
		}
	}
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Errorf("not YAML: %v", err)
	}
	if tree.Providers["lab"].Settings.Key.File != filepath.Join(dir, "tsig.key") || tree.Isolate.Socket != f.Firewall || tree.Isolate.Ports[0] != f.SMTPPort {
		t.Errorf("read as %+v", tree)
	}
	if strings.Contains(text, f.Key.Secret) || strings.Contains(text, f.Password) {
		t.Error("the configuration holds a secret")
	}
	for name, want := range map[string]string{"tsig.key": f.Key.Secret + "\n", "imap.password": f.Password + "\n"} {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if read(t, file) != want {
			t.Errorf("%s does not hold the secret", name)
		}
	}
	if got := read(t, filepath.Join(dir, "traffic.txt")); !strings.Contains(got, "\nuniversity.test 50000\n") || strings.Count(got, "\n") != 14 {
		t.Errorf("traffic.txt is\n%s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
