//go:build integration

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/lab/site"
)

// hosts are network namespaces: an outsider and two nodes of the gateway, each wired
// to the old server, in both families.
type hosts struct {
	net                   *site.Network
	old, outside, gateway *site.Space
	second                *site.Space // the gateway's other node
	inner                 *site.Space // a container behind the old server's port 465
	driver                Driver
	boot                  string
}

// spacesOf is a network of the test's own, with a namespace of each name.
func spacesOf(t *testing.T, spaces map[string]**site.Space) *site.Network {
	t.Helper()
	n, err := site.NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, at := range spaces {
		if *at, err = n.Space(name); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// wire lays a wire between two hosts, whose addresses are "v4/bits" and "v6/bits".
func wire(t *testing.T, n *site.Network, a, b site.End) {
	t.Helper()
	if err := n.Wire(a, b); err != nil {
		t.Fatal(err)
	}
}

func networks(texts ...string) (out []netip.Prefix) {
	for _, p := range texts {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, a := range texts {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func newHosts(t *testing.T) *hosts {
	t.Helper()
	h := wired(t)
	for _, port := range []string{"25", "22", "587"} {
		h.listen(t, h.old, port)
	}
	h.listen(t, h.outside, "25")
	return h
}

// wired are the hosts without anybody who listens but the container.
func wired(t *testing.T) *hosts {
	t.Helper()
	h := &hosts{boot: filepath.Join(t.TempDir(), "boot.nft")}
	h.net = spacesOf(t, map[string]**site.Space{"old": &h.old, "outside": &h.outside, "gateway": &h.gateway, "second": &h.second, "inner": &h.inner})
	for i, far := range []*site.Space{h.outside, h.gateway, h.second} {
		ends := func(last int) []netip.Prefix {
			return networks(fmt.Sprintf("192.0.2.%d/24", i*10+last), fmt.Sprintf("2001:db8:%d::%d/64", i, last))
		}
		near := fmt.Sprint("to", i)
		wire(t, h.net, site.End{Space: h.old, Device: near, Addrs: ends(1)}, site.End{Space: far, Device: "out", Addrs: ends(2)})
		// All wires are in one network: say which host is behind which.
		ip(t, "-n", h.old.Name, "route", "add", fmt.Sprintf("192.0.2.%d/32", i*10+2), "dev", near)
	}
	h.container(t)
	h.driver = h.local(t)
	return h
}

// container wires the container to the old server, which forwards its port 465 to the
// container's 2465, as container engines do.
func (h *hosts) container(t *testing.T) {
	t.Helper()
	wire(t, h.net, site.End{Space: h.old, Device: "inner", Addrs: networks("172.20.0.1/24", "fd00:20::1/64")},
		site.End{Space: h.inner, Device: "out", Addrs: networks("172.20.0.2/24", "fd00:20::2/64"), Via: addrs("172.20.0.1", "fd00:20::1")})
	if err := h.old.Forward(); err != nil {
		t.Fatal(err)
	}
	ruleset(t, h.old, `table inet containers {
	chain forwarded {
		type nat hook prerouting priority dstnat;
		meta nfproto ipv4 fib daddr type local tcp dport 465 dnat ip to 172.20.0.2:2465
		meta nfproto ipv6 fib daddr type local tcp dport 465 dnat ip6 to [fd00:20::2]:2465
	}
}`)
	h.listen(t, h.inner, "2465")
}

// local drives the old server from within.
func (h *hosts) local(t *testing.T) *NFT {
	t.Helper()
	d, err := openLocal(Settings{
		Command: []string{"ip", "netns", "exec", h.old.Name}, BootFile: h.boot, Unit: filepath.Join(filepath.Dir(h.boot), "isolate.service"), Window: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*NFT)
}

// in runs f within a namespace; sockets made there stay there.
func in(t *testing.T, at *site.Space, f func()) {
	t.Helper()
	if err := at.In(func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// listen accepts connections, greets, and echoes lines.
func (h *hosts) listen(t *testing.T, at *site.Space, port string) {
	t.Helper()
	var l net.Listener
	var err error
	in(t, at, func() { l, err = net.Listen("tcp", "[::]:"+port) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 64)
				for {
					if _, err := c.Write([]byte("220 here\r\n")); err != nil {
						return
					}
					if _, err := c.Read(b); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// greet connects and reads the greeting.
func greet(t *testing.T, at *site.Space, addr string) (c net.Conn, err error) {
	t.Helper()
	in(t, at, func() {
		c, err = net.DialTimeout("tcp", addr, 3*time.Second)
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return c, line(c)
}

func line(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	_, err := c.Read(make([]byte, 64))
	return err
}

func (h *hosts) open(t *testing.T, at *site.Space, addr string) net.Conn {
	t.Helper()
	c, err := greet(t, at, addr)
	for range 3 { // the first packet on a new veth may be lost
		if err == nil {
			break
		}
		c, err = greet(t, at, addr)
	}
	if err != nil {
		t.Errorf("%s -> %s: %v, want a greeting", at.Name, addr, err)
	}
	return c
}

func (h *hosts) closed(t *testing.T, at *site.Space, addr string) {
	t.Helper()
	begun := time.Now()
	_, err := greet(t, at, addr)
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s -> %s: %v, want a reset", at.Name, addr, err)
	}
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("%s -> %s was refused after %v, not at once", at.Name, addr, d)
	}
}

func rulesFor() Rules {
	return Rules{Ports: []uint16{25, 465}, Trust: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.12/32"), netip.MustParsePrefix("2001:db8:1::2/128"),
		netip.MustParsePrefix("192.0.2.22/32"), netip.MustParsePrefix("2001:db8:2::2/128"),
	}}
}

func until(d time.Duration) time.Time { return time.Now().Add(d) }

// TestIntegrationIsolation walks arm, renew, confirm and lift on real packets, from
// the machine itself and by SSH, in each dialect.
func TestIntegrationIsolation(t *testing.T) {
	t.Parallel()
	for i := range dialects {
		t.Run(fmt.Sprint("dialect", i), func(t *testing.T) {
			t.Parallel()
			h := newHosts(t)
			h.driver.(*NFT).as = &dialects[i]
			isolation(t, h)
		})
	}
	t.Run("ssh", func(t *testing.T) {
		t.Parallel()
		h := newHosts(t)
		h.driver = h.bySSH(t, nil)
		isolation(t, h)
		if as := h.driver.(*NFT).as; *as != *best {
			t.Errorf("this kernel was taken to understand %q only", as.name)
		}
	})
}

func isolation(t *testing.T, h *hosts) {
	ctx := t.Context()
	if text, err := h.driver.(*NFT).Text(ctx, rulesFor(), time.Minute); err != nil || text != h.driver.(*NFT).as.first(rulesFor(), time.Minute) {
		t.Errorf("what is shown is not what is loaded here: %v", err)
	}
	before := ruleset(t, h.old, "table inet others { chain c { type filter hook input priority 0; tcp dport 9 counter; }; }")
	outside := h.open(t, h.outside, "192.0.2.1:25")
	h.open(t, h.outside, "[2001:db8:0::1]:25")
	h.open(t, h.outside, "192.0.2.1:465")
	if err := h.driver.Apply(ctx, rulesFor(), until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Run("closed to the world, both families", func(t *testing.T) {
		h.closed(t, h.outside, "192.0.2.1:465")
		h.closed(t, h.outside, "[2001:db8:0::1]:465")
		h.closed(t, h.outside, "192.0.2.1:25")
		h.closed(t, h.outside, "[2001:db8:0::1]:25")
	})
	t.Run("open to the gateway, to itself, and for SSH", func(t *testing.T) {
		h.open(t, h.gateway, "192.0.2.11:25")
		h.open(t, h.gateway, "[2001:db8:1::1]:25")
		h.open(t, h.gateway, "192.0.2.11:465")
		h.open(t, h.gateway, "[2001:db8:1::1]:465")
		h.open(t, h.second, "192.0.2.21:25")
		h.open(t, h.second, "[2001:db8:2::1]:25")
		h.open(t, h.second, "192.0.2.21:465")
		h.open(t, h.second, "[2001:db8:2::1]:465")
		h.open(t, h.old, "[::1]:25")
		h.open(t, h.outside, "[2001:db8:0::1]:587")
		h.open(t, h.old, "127.0.0.1:25")
		h.open(t, h.old, "192.0.2.1:25")
		h.open(t, h.outside, "192.0.2.1:22")
		h.open(t, h.outside, "192.0.2.1:587")
	})
	t.Run("outbound mail is untouched", func(t *testing.T) { h.open(t, h.old, "192.0.2.2:25") })
	t.Run("established goes on while armed", func(t *testing.T) { talk(t, outside, true) })
	t.Run("a repeated command does nothing", func(t *testing.T) { repeated(t, h) })
	if err := h.driver.Apply(ctx, rulesFor(), until(2*time.Minute)); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := h.driver.Apply(ctx, rulesFor(), time.Time{}); err != nil {
		t.Fatalf("confirm: %v", err)
	}
	if kept, err := h.driver.Kept(ctx, rulesFor()); err != nil || kept {
		t.Errorf("kept for the next boot before that was asked for: %v", err)
	}
	for range 2 { // after a crash it is done again
		if err := h.driver.Keep(ctx, rulesFor()); err != nil {
			t.Fatalf("keep: %v", err)
		}
	}
	if kept, err := h.driver.Kept(ctx, rulesFor()); err != nil || !kept {
		t.Errorf("not kept for the next boot: %v", err)
	}
	t.Run("established is cut at confirm", func(t *testing.T) { talk(t, outside, false) })
	h.closed(t, h.outside, "192.0.2.1:25")
	h.closed(t, h.outside, "192.0.2.1:465")
	h.open(t, h.gateway, "192.0.2.11:25")
	h.open(t, h.gateway, "192.0.2.11:465")
	h.open(t, h.second, "[2001:db8:2::1]:25")
	h.closed(t, h.outside, "[2001:db8:0::1]:25")
	t.Run("outbound mail is still untouched", func(t *testing.T) { h.open(t, h.old, "192.0.2.2:25") })
	t.Run("who called is counted", func(t *testing.T) {
		seen, err := h.driver.Seen(ctx)
		if err != nil || seen[netip.MustParseAddrPort("192.0.2.2:25")] == 0 {
			t.Errorf("seen %v, %v", seen, err)
		}
	})
	t.Run("the boot file loads", func(t *testing.T) {
		if out, err := exec.Command("ip", "netns", "exec", h.outside.Name, "nft", "-c", "-f", h.boot).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	for range 2 { // lifting is idempotent
		if err := h.driver.Apply(ctx, Rules{}, time.Time{}); err != nil {
			t.Fatalf("lift: %v", err)
		}
	}
	h.open(t, h.outside, "192.0.2.1:25")
	if _, err := os.Stat(h.boot); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the boot file is still there: %v", err)
	}
	if after := list(t, h.old); after != before {
		t.Errorf("other tables changed:\n%s\nwas:\n%s", after, before)
	}
}

// TestIntegrationKernelOpensByItself shows the dead man's switch: nothing of
// ours is alive when the port opens again, and it cannot be renewed or confirmed.
func TestIntegrationKernelOpensByItself(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	h.open(t, h.outside, "192.0.2.1:25")
	if err := h.driver.Apply(t.Context(), rulesFor(), until(3*time.Second)); err != nil {
		t.Fatal(err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		if _, err := greet(t, h.outside, "192.0.2.1:25"); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the kernel did not open the port again")
		}
	}
	if err := h.driver.Apply(t.Context(), rulesFor(), time.Time{}); err == nil {
		t.Error("a lapsed port was confirmed")
	}
	r, _, err := h.driver.Loaded(t.Context())
	if err != nil || len(r.Ports) != 0 {
		t.Errorf("loaded %v, %v", r, err)
	}
}

// repeated sends the text of a renewal twice: its epoch is over.
func repeated(t *testing.T, h *hosts) {
	l := h.driver.(*NFT)
	have, err := l.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := renew(rulesFor(), time.Minute, have.epoch)
	if err := l.load(t.Context(), text, have.epoch+1); err != nil {
		t.Fatal(err)
	}
	if err := l.load(t.Context(), text, have.epoch+1); err == nil {
		t.Error("a late duplicate was loaded")
	}
}

// talk sends a line over an established connection.
func talk(t *testing.T, c net.Conn, want bool) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	_, err := c.Write([]byte("NOOP\r\n"))
	if err == nil {
		err = line(c)
	}
	if (err == nil) != want {
		t.Errorf("established connection: %v, want alive %v", err, want)
	}
}

// ruleset loads another tool's table and lists all.
func ruleset(t *testing.T, at *site.Space, text string) string {
	t.Helper()
	c := exec.Command("ip", "netns", "exec", at.Name, "nft", "-f", "-")
	c.Stdin = strings.NewReader(text)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return list(t, at)
}

func list(t *testing.T, at *site.Space) string {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", at.Name, "nft", "-s", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// OwnMail sees from within what a rule cuts off there, and NewLogin who comes anew.
func TestIntegrationInside(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.bySSH(t, nil)
	no := h.overSSH(t, "192.0.2.11:2223", "restrict", nil)
	if err := d.Apply(t.Context(), rulesFor(), until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	own := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if at, err := d.OwnMail(t.Context(), own, 25); err != nil || at != "127.0.0.1:25" {
		t.Errorf("its own mail while armed: %q, %v", at, err)
	}
	if _, err := no.OwnMail(t.Context(), own, 25); !errors.Is(err, ErrNoWay) {
		t.Errorf("a key that may not connect from there: %v", err)
	}
	if who, err := d.NewLogin(t.Context()); err != nil || who == "" {
		t.Errorf("a new login while armed: %q, %v", who, err)
	}
	// At port 465 the client speaks first, as TLS has it: it is let in all the same.
	in(t, h.old, func() {
		l, err := net.Listen("tcp", "127.0.0.1:465")
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
	})
	if at, err := d.OwnMail(t.Context(), own, 465); err != nil || at != "127.0.0.1:465" {
		t.Errorf("a port where the client speaks first: %q, %v", at, err)
	}
	if _, err := d.OwnMail(t.Context(), own, 993); err == nil || errors.Is(err, ErrNoWay) {
		t.Errorf("a port at which nobody listens: %v", err)
	}
	ruleset(t, h.old, "table inet zealous { chain c { type filter hook input priority -200; tcp dport { 25, 2222 } ct state new reject with tcp reset; }; }")
	if _, err := d.OwnMail(t.Context(), own, 25); err == nil {
		t.Error("its own mail was cut off, and that was not seen")
	}
	if _, err := d.NewLogin(t.Context()); err == nil {
		t.Error("nobody can come anew, and that was not seen")
	}
}

// TestIntegrationBridges has a network of containers and an uplink on the old server:
// the first alone is its own, and a container there is refused while it is not trusted.
func TestIntegrationBridges(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	d := h.driver.(*NFT)
	if all, err := d.Bridges(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("it has none: %v, %v", all, err)
	}
	for dev, addr := range map[string]string{"br-web": "172.30.0.1/16", "br-up": "198.51.100.2/24"} {
		ip(t, "-n", h.old.Name, "link", "add", dev, "type", "bridge")
		ip(t, "-n", h.old.Name, "addr", "add", addr, "dev", dev)
		ip(t, "-n", h.old.Name, "link", "set", dev, "up")
	}
	ip(t, "-n", h.old.Name, "route", "add", "default", "via", "198.51.100.1", "dev", "br-up")
	all, err := d.Bridges(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != "br-web" || all[0].Network.String() != "172.30.0.0/16" {
		t.Errorf("%v, %v", all, err)
	}
	h.open(t, h.inner, "172.20.0.1:25")
	if err := d.Apply(t.Context(), rulesFor(), until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	h.closed(t, h.inner, "172.20.0.1:25")
	r := rulesFor()
	r.Trust = append(r.Trust, netip.MustParsePrefix("172.20.0.0/24"))
	if err := d.Apply(t.Context(), r, until(time.Minute)); err != nil {
		t.Fatal(err)
	}
	h.open(t, h.inner, "172.20.0.1:25")
}

// TestIntegrationStages arms more ports while one is closed for good: when they lapse,
// that one stays closed, and nothing armed for less opens it.
func TestIntegrationStages(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	ctx := t.Context()
	first := rulesFor()
	first.Ports = []uint16{25}
	more := rulesFor()
	more.Lasting = []uint16{25}
	apply := func(r Rules, until time.Time) {
		t.Helper()
		if err := h.driver.Apply(ctx, r, until); err != nil {
			t.Fatal(err)
		}
	}
	apply(first, until(time.Minute))
	apply(first, time.Time{})
	apply(more, until(3*time.Second))
	h.closed(t, h.outside, "192.0.2.1:465")
	have, at, err := h.driver.Loaded(ctx)
	if err != nil || at.IsZero() || !have.Holds([]uint16{25}) || have.Holds([]uint16{465}) || !have.Closes([]uint16{25, 465}) {
		t.Errorf("loaded %+v until %v, %v", have, at, err)
	}
	wait, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		if _, err := greet(t, h.outside, "192.0.2.1:465"); err == nil {
			break
		}
		if wait.Err() != nil {
			t.Fatal("the kernel did not open the port again")
		}
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	if err := h.driver.Apply(ctx, rulesFor(), until(time.Minute)); !errors.Is(err, ErrRules) {
		t.Errorf("a port that is closed for good was armed for a minute: %v", err)
	}
	if err := h.driver.Apply(ctx, first, until(time.Minute)); err != nil {
		t.Errorf("what is closed for good is not armed again: %v", err)
	}
	h.closed(t, h.outside, "192.0.2.1:25")
	apply(more, until(time.Minute))
	apply(more, until(2*time.Minute))
	apply(more, time.Time{})
	if err := h.driver.Keep(ctx, more.Confirmed()); err != nil {
		t.Fatal(err)
	}
	if kept, err := h.driver.Kept(ctx, first.Confirmed()); err != nil || kept {
		t.Errorf("the next boot is said to close one port only: %v", err)
	}
	h.closed(t, h.outside, "192.0.2.1:465")
	apply(Rules{}, time.Time{})
	h.open(t, h.outside, "192.0.2.1:25")
	h.open(t, h.outside, "192.0.2.1:465")
}
