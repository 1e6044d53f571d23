//go:build integration

package firewall

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"mxcutover/lab/site"
	"mxcutover/secret"
	"mxcutover/sshhost"
)

// bySSH drives the old server from the gateway, through a real sshd in the old
// server's namespace. wire may put something between.
func (h *hosts) bySSH(t *testing.T, wire func(net.Conn) net.Conn) *NFT {
	t.Helper()
	return h.overSSH(t, "192.0.2.11:2222", "", wire)
}

func (h *hosts) overSSH(t *testing.T, addr, forced string, wire func(net.Conn) net.Conn) *NFT {
	t.Helper()
	return h.by(t, h.sshd(t, addr, forced), wire)
}

// sshd runs in the old server's namespace; how it is reached is told.
func (h *hosts) sshd(t *testing.T, addr, forced string) sshhost.Settings {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id, known := filepath.Join(dir, "id"), filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(id, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	var sshd *site.SSHD
	in(t, h.old, func() {
		sshd, err = site.StartSSHD(t.Context(), site.SSHDOptions{
			Dir: t.TempDir(), Addr: netip.MustParseAddrPort(addr), Options: forced,
			Key: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sshd.Stop(); err != nil {
			t.Error(err)
		}
	})
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(sshd.Host))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(known, []byte(knownhosts.Line([]string{addr}, key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(addr)
	return sshhost.Settings{
		User: "root", Host: at.Addr().String(), Port: at.Port(), Identity: secret.Ref{File: id}, KnownHosts: known, Home: dir, Agent: filepath.Join(dir, "none"),
	}
}

// by drives the old server by SSH from the gateway.
func (h *hosts) by(t *testing.T, set sshhost.Settings, wire func(net.Conn) net.Conn) *NFT {
	t.Helper()
	set.Via = func(_ context.Context, network, address string) (c net.Conn, err error) {
		in(t, h.gateway, func() { c, err = net.DialTimeout(network, address, 3*time.Second) })
		if err == nil && wire != nil {
			c = wire(c)
		}
		return c, err
	}
	far, err := sshhost.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	d, err := openSSH(Settings{Far: far, BootFile: h.boot, Unit: filepath.Join(filepath.Dir(h.boot), "isolate.service"), Window: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*NFT)
}

// The port by which SSH comes is never closed, whichever it is.
func TestIntegrationOwnWayIn(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.bySSH(t, nil)
	r := rulesFor()
	r.Ports = append(r.Ports, 2222)
	if err := d.Apply(t.Context(), r, until(time.Minute)); !errors.Is(err, ErrRules) {
		t.Errorf("the port by which we came was closed: %v", err)
	}
	h.open(t, h.outside, "192.0.2.1:25")
}

// A key with the forced command can do what the driver does, and nothing else.
func TestIntegrationForcedCommand(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	forced, err := ForcedCommand(h.boot, false)
	if err != nil {
		t.Fatal(err)
	}
	d := h.overSSH(t, "192.0.2.11:2222", forced, nil)
	d.command = "cat /etc/shadow" // what is asked for is not what is run
	if err := d.Apply(t.Context(), rulesFor(), until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	if err := d.Apply(t.Context(), Rules{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	h.open(t, h.outside, "192.0.2.1:25")
}

// A cut is a way to the machine that breaks off after so many bytes have been sent.
type cut struct {
	Far
	after int
	sent  int
}

var errCut = errors.New("the line was cut")

func (c *cut) Run(ctx context.Context, command string, talk func(io.WriteCloser, io.Reader) error) error {
	c.sent = 0
	err := c.Far.Run(ctx, command, func(in io.WriteCloser, out io.Reader) error {
		return talk(&cutWriter{in, c}, out)
	})
	if c.sent >= c.after { // what became of it is not heard
		return errCut
	}
	return err
}

type cutWriter struct {
	io.WriteCloser
	c *cut
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.c.after-w.c.sent)
	_, err := w.WriteCloser.Write(p[:n])
	w.c.sent += n
	if n < len(p) || w.c.sent == w.c.after {
		w.Close()
		return n, errCut
	}
	return n, err
}

// A command of which only a part comes does nothing: whatever the part, the table is
// as it was. (Many prefixes of an arm's text are valid nft, and some would delete it.)
func TestIntegrationCutAtEachByte(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.local(t)
	r := rulesFor()
	if err := d.Apply(t.Context(), r, until(time.Hour)); err != nil {
		t.Fatal(err)
	}
	have, err := d.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := list(t, h.old)
	r.Trust = r.Trust[:1]
	text := best.replace(r, time.Hour, have.epoch)
	// The last byte is the end of the line "go SHA256": without it all is known but that.
	whole := len(fmt.Sprintf(protocol+" load %d %064d\n%s", len(text), 0, text)) + len("go \n") + 64
	far := &cut{Far: d.far}
	d.far = far
	for far.after = range whole {
		if _, err := d.ask(t.Context(), "load", text); err == nil {
			t.Fatalf("cut after %d of %d bytes, and it is said to be done", far.after, whole)
		}
		if far.after%50 == 0 || far.after > whole-80 {
			if now := list(t, h.old); now != before {
				t.Fatalf("cut after %d of %d bytes, and the rules are\n%s\nbefore:\n%s", far.after, whole, now, before)
			}
		}
	}
	if now := list(t, h.old); now != before {
		t.Fatalf("the rules are\n%s\nbefore:\n%s", now, before)
	}
	// With the last byte it is done, and though that is not heard it is found out.
	far.after = whole
	if err := d.load(t.Context(), text, have.epoch+1); err != nil {
		t.Error(err)
	}
	far.after = 1 << 20
	if l, err := d.read(t.Context()); err != nil || l.epoch != have.epoch+1 {
		t.Errorf("epoch %d, %v", l.epoch, err)
	}
}

// What was not heard of is looked at: done, or not done and never to come.
func TestIntegrationInDoubt(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.local(t)
	far := &deaf{Far: d.far}
	d.far = far
	far.next = true
	if err := d.Apply(t.Context(), rulesFor(), until(time.Minute)); err != nil {
		t.Errorf("it was armed, which was found out: %v", err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	far.next, far.drop = true, true
	if err := d.Apply(t.Context(), Rules{}, time.Time{}); err == nil || errors.Is(err, ErrInDoubt) {
		t.Errorf("it was not lifted, which was found out: %v", err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
}

// deaf does not hear how the next change ended, or does not let its last word through.
type deaf struct {
	Far
	next, drop bool
}

func (f *deaf) Run(ctx context.Context, command string, talk func(io.WriteCloser, io.Reader) error) error {
	changes := false
	err := f.Far.Run(ctx, command, func(in io.WriteCloser, out io.Reader) error {
		return talk(&spy{in, f, &changes}, out)
	})
	if changes {
		f.next = false
		return errCut
	}
	return err
}

type spy struct {
	io.WriteCloser
	f       *deaf
	changes *bool
}

func (s *spy) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("go ")) && s.f.next {
		*s.changes = true
		if s.f.drop {
			return len(p), nil
		}
	}
	return s.WriteCloser.Write(p)
}

// A last word that comes late is not done.
func TestIntegrationLateWord(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.local(t)
	d.far = &slow{d.far, 4 * time.Second}
	if err := d.Apply(t.Context(), rulesFor(), until(time.Minute)); err == nil || !strings.Contains(err.Error(), "too late") {
		t.Errorf("%v", err)
	}
	h.open(t, h.outside, "192.0.2.1:25")
}

// slow holds the last word back, as a network does that was gone for a while.
type slow struct {
	Far
	by time.Duration
}

func (f *slow) Run(ctx context.Context, command string, talk func(io.WriteCloser, io.Reader) error) error {
	return f.Far.Run(ctx, command, func(in io.WriteCloser, out io.Reader) error {
		return talk(&slowWriter{in, f.by}, out)
	})
}

type slowWriter struct {
	io.WriteCloser
	by time.Duration
}

func (s *slowWriter) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("go ")) {
		<-time.After(s.by)
	}
	return s.WriteCloser.Write(p)
}

// The machine dies between any two lines of the script: port 25 is never closed for
// good unless that was asked for, what is begun can be finished, and lifted.
func TestIntegrationKilledBetweenLines(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	h.open(t, h.outside, "192.0.2.1:25")
	lines := strings.Split(script, "\n")
	for i := range lines {
		if i < 10 || strings.HasPrefix(lines[i], "\t\t") || strings.HasPrefix(lines[i], ")") || strings.HasSuffix(strings.TrimSpace(lines[max(i-1, 0)]), "&&") {
			continue // within a command
		}
		dead := strings.Join(append(append(append([]string{}, lines[:i]...), "kill -9 $$"), lines[i:]...), "\n")
		t.Run(fmt.Sprint("line ", i+1), func(t *testing.T) { h.killed(t, dead) })
	}
}

func (h *hosts) killed(t *testing.T, dead string) {
	d := h.local(t)
	d.as = best
	well := d.command
	mortal := strings.Replace(well, quote(d.place.fill(script, 2*time.Second)), quote(d.place.fill(dead, 2*time.Second)), 1)
	if mortal == well {
		t.Fatal("the script was not found in the command")
	}
	ctx := t.Context()
	d.wait = 200 * time.Millisecond
	try := func(what string, f func() error) { // dying, then well
		d.command = mortal
		_ = f() // it may die before or after what it does
		d.command = well
		if r, until, err := d.Loaded(ctx); err != nil {
			t.Fatalf("%s: %v", what, err)
		} else if len(r.Ports) > 0 && until.IsZero() && what == "arm" {
			t.Fatal("closed for good by arming")
		}
		if err := f(); err != nil {
			t.Fatalf("%s, again: %v", what, err)
		}
	}
	try("arm", func() error { return d.Apply(ctx, rulesFor(), until(time.Minute)) })
	try("confirm", func() error { return d.Apply(ctx, rulesFor(), time.Time{}) })
	try("keep", func() error { return d.Keep(ctx, rulesFor()) })
	if kept, err := d.Kept(ctx, rulesFor()); err != nil || !kept {
		t.Errorf("kept: %v, %v", kept, err)
	}
	try("lift", func() error { return d.Apply(ctx, Rules{}, time.Time{}) })
	left, err := filepath.Glob(filepath.Join(filepath.Dir(h.boot), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if info, err := os.Stat(f); err == nil && !info.IsDir() {
			t.Errorf("%s is left after lift", f)
		}
	}
}
