package site

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// UnboundOptions say whom a caching resolver asks.
type UnboundOptions struct {
	Dir   string
	Addr  netip.AddrPort
	Stubs map[string][]netip.AddrPort // zone -> its authoritative servers
}

// Unbound is a running caching resolver.
type Unbound struct {
	UnboundOptions
	cmd    *exec.Cmd
	exited chan struct{}
}

// StartUnbound starts unbound and waits until it answers.
func StartUnbound(ctx context.Context, o UnboundOptions) (*Unbound, error) {
	conf := filepath.Join(o.Dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(o.conf()), 0o600); err != nil {
		return nil, fmt.Errorf("unbound: %w", err)
	}
	u := &Unbound{UnboundOptions: o, exited: make(chan struct{})}
	log, err := os.Create(filepath.Join(o.Dir, "unbound.log"))
	if err != nil {
		return nil, fmt.Errorf("unbound: %w", err)
	}
	defer log.Close()
	u.cmd = exec.Command(program("unbound"), "-d", "-d", "-p", "-c", conf) //nolint:noctx // ended by Stop
	u.cmd.Stdout, u.cmd.Stderr = log, log
	if err := u.cmd.Start(); err != nil {
		return nil, fmt.Errorf("unbound: %w; install unbound", err)
	}
	go func() {
		defer close(u.exited)
		_ = u.cmd.Wait() // how it ended is seen in its log
	}()
	if err := u.ready(ctx); err != nil {
		text, _ := os.ReadFile(filepath.Join(o.Dir, "unbound.log")) // what there is of it
		return nil, errors.Join(fmt.Errorf("unbound: %w\n%s", err, text), u.Stop())
	}
	return u, nil
}

func (o UnboundOptions) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  interface: %s@%d
  port: %d
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  do-ip6: no
  do-not-query-localhost: no
  outgoing-interface: %s
  module-config: "iterator"
  num-threads: 1
  infra-cache-min-rtt: 50
  infra-host-ttl: 1
`, o.Addr.Addr(), o.Addr.Port(), o.Addr.Port(), o.Dir, o.Addr.Addr())
	b.WriteString("  local-zone: \"test.\" nodefault\n") // empty by default (RFC 6761)
	for zone, servers := range o.Stubs {
		fmt.Fprintf(&b, "stub-zone:\n  name: \"%s\"\n  stub-first: no\n", dns.Fqdn(zone))
		for _, s := range servers {
			fmt.Fprintf(&b, "  stub-addr: %s@%d\n", s.Addr(), s.Port())
		}
	}
	b.WriteString("remote-control:\n  control-enable: no\n")
	return b.String()
}

func (u *Unbound) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for zone := range u.Stubs {
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
		for {
			r, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, u.Addr.String())
			if err == nil && r.Rcode == dns.RcodeSuccess && len(r.Answer) > 0 {
				break
			}
			select {
			case <-u.exited:
				return errors.New("it ended at once")
			case <-ctx.Done():
				return fmt.Errorf("zone %s: %w", zone, errors.Join(err, ctx.Err()))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// Stop ends unbound, by pid, and waits.
func (u *Unbound) Stop() error {
	if u.cmd.Process != nil {
		_ = u.cmd.Process.Signal(syscall.SIGTERM) // gone already is as well
	}
	select {
	case <-u.exited:
	case <-time.After(10 * time.Second):
		_ = u.cmd.Process.Kill() // gone already is as well
		<-u.exited
	}
	return nil
}
