package site

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Network is network namespaces of one test's own, and the wires between them. Needs
// root. Use:
//
//	n, err := site.NewNetwork()
//	defer n.Close()
//	old, err := n.Space("old")
//	far, err := n.Space("far")
//	err = n.Wire(site.End{Space: old, Device: "out", Addrs: ...}, site.End{Space: far, Device: "in", Addrs: ...})
//	err = old.In(func() error { ...; p, err = site.StartPostfix(ctx, o); return err })
type Network struct {
	id     string // begins the names of its namespaces
	dir    string // files of its namespaces' own
	spaces []*Space
}

// A Space is a network namespace, as `ip netns` knows it by its Name: a host of its own.
type Space struct {
	Name  string
	dir   string      // its own files
	binds [][2]string // file or folder of its own -> what it stands for there
}

// networkPrefix begins the name of each namespace; the process that made it follows.
const networkPrefix = "mxs"

// NewNetwork begins a network without any namespace. It takes away what networks of
// processes that are no more have left behind.
func NewNetwork() (*Network, error) {
	sweep()
	var r [3]byte
	_, _ = rand.Read(r[:]) // never fails (crypto/rand)
	dir, err := os.MkdirTemp("", "network-")
	if err != nil {
		return nil, err
	}
	// Servers that give up being root read their files there.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // others must enter
		return nil, err
	}
	return &Network{id: fmt.Sprintf("%s-%d-%s", networkPrefix, os.Getpid(), hex.EncodeToString(r[:])), dir: dir}, nil
}

// ip runs ip of iproute2.
func ip(args ...string) error {
	if out, err := exec.Command(find("ip"), args...).CombinedOutput(); err != nil { //nolint:noctx // it ends by itself
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Space adds a namespace. What its loopback device has is its own, too.
func (n *Network) Space(name string) (*Space, error) {
	s := &Space{Name: n.id + "-" + name, dir: filepath.Join(n.dir, name)}
	if err := os.Mkdir(s.dir, 0o755); err != nil { //nolint:gosec // others must enter
		return nil, err
	}
	if err := ip("netns", "add", s.Name); err != nil {
		return nil, err
	}
	n.spaces = append(n.spaces, s)
	if err := ip("-n", s.Name, "link", "set", "lo", "up"); err != nil {
		return nil, err
	}
	// Ten datagrams, as a new namespace has it, are less than Postfix says as it starts:
	// its log would wait for itself.
	return s, s.set("unix/max_dgram_qlen", "512")
}

// set sets one of the namespace's own /proc/sys/net.
func (s *Space) set(name, value string) error {
	return s.In(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

// Forward makes it a router, in both families.
func (s *Space) Forward() error {
	return errors.Join(s.set("ipv4/ip_forward", "1"), s.set("ipv6/conf/all/forwarding", "1"))
}

// An End is one end of a wire: a device in a namespace, with addresses.
type End struct {
	Space  *Space
	Device string
	Addrs  []netip.Prefix
	Via    []netip.Addr // the routers that it reaches by the wire, one of a family: its way to all others
}

// Wire lays a wire between two namespaces. Both ends are up.
func (n *Network) Wire(a, b End) error {
	if err := ip("link", "add", a.Device, "netns", a.Space.Name, "type", "veth", "peer", "name", b.Device, "netns", b.Space.Name); err != nil {
		return err
	}
	for _, e := range []End{a, b} {
		for _, p := range e.Addrs {
			args := []string{"-n", e.Space.Name, "address", "add", p.String(), "dev", e.Device}
			if p.Addr().Is6() {
				args = append(args, "nodad")
			}
			if err := ip(args...); err != nil {
				return err
			}
		}
		if err := ip("-n", e.Space.Name, "link", "set", e.Device, "up"); err != nil {
			return err
		}
	}
	for _, e := range []End{a, b} {
		for _, via := range e.Via {
			to := "0.0.0.0/0"
			if via.Is6() {
				to = "::/0"
			}
			if err := e.Space.Route(netip.MustParsePrefix(to), via); err != nil {
				return err
			}
		}
	}
	return nil
}

// Route sends what is for a network by way of a router.
func (s *Space) Route(to netip.Prefix, via netip.Addr) error {
	family := "-4"
	if via.Is6() {
		family = "-6"
	}
	return ip("-n", s.Name, family, "route", "add", to.String(), "via", via.String())
}

// Cut cuts the namespace off from all others, or lets it be reached again. What was sent
// meanwhile is lost without a word, as on a line that is broken.
func (s *Space) Cut(cut bool) error {
	text := "table inet cut\ndelete table inet cut\n"
	if cut {
		text += `table inet cut {
	chain in { type filter hook prerouting priority -400; iif != lo drop; }
	chain out { type filter hook output priority -400; oif != lo drop; }
	chain through { type filter hook forward priority -400; drop; }
}
`
	}
	return s.Rules(text)
}

// Rules loads text for nft there.
func (s *Space) Rules(text string) error {
	return s.In(func() error {
		c := exec.Command(find("nft"), "-f", "-") //nolint:noctx // it ends by itself
		c.Stdin = strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	})
}

// Resolvers are the name servers that programs there ask, which are started by In.
func (s *Space) Resolvers(addrs ...netip.Addr) error {
	var b strings.Builder
	for _, a := range addrs {
		b.WriteString("nameserver " + a.String() + "\n")
	}
	b.WriteString("options timeout:2 attempts:3\n")
	own := filepath.Join(s.dir, "resolv.conf")
	if err := os.WriteFile(own, []byte(b.String()), 0o644); err != nil { //nolint:gosec // others must read
		return err
	}
	s.binds = append(s.binds, [2]string{own, "/etc/resolv.conf"})
	return nil
}

// Own gives it a folder of its own in place of the machine's, for programs there, which
// are started by In: empty at first. It tells where that is.
func (s *Space) Own(folder string) (own string, err error) {
	own = filepath.Join(s.dir, strings.ReplaceAll(strings.Trim(folder, "/"), "/", "_"))
	if err := os.Mkdir(own, 0o755); err != nil { //nolint:gosec // as the machine's is
		return "", err
	}
	s.binds = append(s.binds, [2]string{own, folder})
	return own, nil
}

// In runs f on a thread that lives in the namespace, and waits. Sockets that are made
// there stay there, and so do programs that f starts. f must run in one goroutine.
func (s *Space) In(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("it was given up") // by runtime.Goexit, as with a test's Fatal
		defer func() { done <- err }()
		// The thread is not unlocked, so it ends with the goroutine.
		runtime.LockOSThread()
		if err = s.enter(); err == nil {
			err = f()
		}
	}()
	return <-done
}

func (s *Space) enter() error {
	fd, err := os.Open(filepath.Join("/run/netns", s.Name))
	if err != nil {
		return fmt.Errorf("enter %s: %w", s.Name, err)
	}
	defer fd.Close()
	if err := unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", s.Name, err)
	}
	if len(s.binds) == 0 {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter %s: %w", s.Name, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("enter %s: %w", s.Name, err)
	}
	for _, b := range s.binds {
		if err := unix.Mount(b[0], b[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("enter %s: %s in place of %s: %w", s.Name, b[0], b[1], err)
		}
	}
	return nil
}

// Close ends what still runs in the namespaces, and takes all away. It may be called
// again.
func (n *Network) Close() error {
	var err error
	for _, s := range n.spaces {
		err = errors.Join(err, remove(s.Name))
	}
	n.spaces = nil
	return errors.Join(err, removeAll(n.dir))
}

// remove ends what runs in a namespace, and deletes it.
func remove(name string) error {
	pids, err := exec.Command(find("ip"), "netns", "pids", name).Output() //nolint:noctx // it ends by itself
	if err != nil {
		return fmt.Errorf("ip netns pids %s: %w", name, err)
	}
	for _, f := range strings.Fields(string(pids)) {
		if pid, err := strconv.Atoi(f); err == nil && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL) // gone already is as well
		}
	}
	return ip("netns", "delete", name)
}

// sweep takes away the namespaces of processes that are no more.
func sweep() {
	left, err := filepath.Glob(filepath.Join("/run/netns", networkPrefix+"-*"))
	if err != nil {
		return
	}
	for _, path := range left {
		name := filepath.Base(path)
		f := strings.Split(name, "-")
		if len(f) < 3 {
			continue
		}
		pid, err := strconv.Atoi(f[1])
		if err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = remove(name) // another process may be doing the same
		}
	}
}

// Output runs a program there to its end, and gives what it prints.
func (s *Space) Output(ctx context.Context, program string, args ...string) (out []byte, err error) {
	err = s.In(func() error {
		out, err = exec.CommandContext(ctx, find(program), args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%s: %w: %s", program, err, exit.Stderr)
		}
		return err
	})
	return out, err
}
