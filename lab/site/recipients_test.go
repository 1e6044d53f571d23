//go:build integration

package site

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// snippet is a block of the page on recipients, by the word behind its fence, with
// the prober's domain filled in.
func snippet(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/recipients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "```"+name+"\n")
	text, _, closed := strings.Cut(after, "```\n")
	if !found || !closed {
		t.Fatalf("docs/recipients.md has no block %s", name)
	}
	return strings.NewReplacer("probe.example.edu", "probe.test", `probe\.example\.edu`, `probe\.test`).Replace(text)
}

func anOldServer(t *testing.T) netip.AddrPort {
	t.Helper()
	block, port, err := FreeBlock(octetOldServer)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{block[0], block[1], block[2], octetOldServer}), port)
}

// rewrites holds an old server to the rule: mxprobe at each domain is one mailbox,
// others are as they were.
func rewrites(t *testing.T, addr netip.AddrPort, mail string, log func() string) {
	t.Helper()
	for to, want := range map[string]int{
		"mxprobe@choir.test": 250, "mxprobe@grey.test": 250, Prober: 250,
		"info@choir.test": 250, "mxprobes@choir.test": 550, "x.mxprobe@choir.test": 550, "mxprobe@foreign.test": 554,
	} {
		err := submit(addr, "a@elsewhere.test", to, to, "text")
		if got := code(err); got != want && (want != 554 || got != 550) {
			t.Errorf("%s: %v, want %d", to, err, want)
		}
	}
	m := &Mail{Exim: &Exim{}, Postfix: &Postfix{}, Dovecot: &Dovecot{DovecotOptions: DovecotOptions{Maildir: filepath.Join(mail, Maildir(Prober))}}}
	for _, subject := range []string{"mxprobe@choir.test", "mxprobe@grey.test", Prober} {
		arrived(t, m, subject)
	}
	if t.Failed() {
		t.Log(log())
	}
}

func TestIntegrationRecipientsPostfix(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table := filepath.Join(dir, "mxprobe")
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // Postfix must enter
		t.Fatal(err)
	}
	if err := os.WriteFile(table, []byte(snippet(t, "/etc/postfix/mxprobe")), 0o644); err != nil { //nolint:gosec // Postfix must read
		t.Fatal(err)
	}
	p, err := StartPostfix(t.Context(), PostfixOptions{
		Addr: anOldServer(t), Name: "old.site.test", Domains: []string{"choir.test", "grey.test", "probe.test"}, Recipients: []string{Prober, "info@choir.test"},
		Main: strings.ReplaceAll(snippet(t, "main.cf"), "/etc/postfix/mxprobe", table),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	rewrites(t, p.Addr, p.Mail, p.log)
	out, err := exec.CommandContext(t.Context(), find("postmap"), "-c", p.Dir, "-q", "mxprobe@choir.test", "regexp:"+table).Output()
	if err != nil || strings.TrimSpace(string(out)) != Prober {
		t.Errorf("postmap -q: %q, %v", out, err)
	}
}

func TestIntegrationRecipientsExim(t *testing.T) {
	t.Parallel()
	x, err := StartExim(t.Context(), EximOptions{
		Addr: anOldServer(t), Name: "old.site.test", Domains: []string{"choir.test", "grey.test", "probe.test"}, Recipients: []string{Prober, "info@choir.test"},
		Routers: snippet(t, "routers"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Stop(); err != nil {
			t.Error(err)
		}
	})
	rewrites(t, x.Addr, x.Mail, x.log)
	out, err := exec.CommandContext(t.Context(), x.Program(), x.args("-bt", "mxprobe@choir.test")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), Prober) {
		t.Errorf("exim -bt: %q, %v", out, err)
	}
}
