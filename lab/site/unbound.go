package site

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// UnboundOptions say whom a caching resolver asks.
type UnboundOptions struct {
	Dir   string
	Addr  netip.AddrPort
	Stubs map[string][]netip.AddrPort // zone -> its authoritative servers

	// Anchor is a DNSKEY or DS record with which it validates; "" = it does not.
	Anchor string
	Broken []string // zones that are known not to validate, and are not waited for

	Also    []netip.Addr     // more addresses where it listens and from which it asks, at the same port
	Open    bool             // whoever comes may ask; else this machine alone
	Forward []netip.AddrPort // resolvers that it asks about all other names; none = nobody
}

// Unbound is a running caching resolver.
type Unbound struct {
	UnboundOptions
	process
}

// StartUnbound starts unbound and waits until it answers.
func StartUnbound(ctx context.Context, o UnboundOptions) (*Unbound, error) {
	u := &Unbound{UnboundOptions: o, process: process{name: "unbound", install: "unbound", logs: []string{"unbound.log"}}}
	if err := u.started(u.start(ctx)); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *Unbound) start(ctx context.Context) error {
	var err error
	if u.Dir, err = u.folder(u.Dir); err != nil {
		return err
	}
	if err := u.write(map[string]string{"unbound.conf": u.conf()}); err != nil {
		return err
	}
	if err := u.launch("unbound", "-d", "-d", "-p", "-c", filepath.Join(u.Dir, "unbound.conf")); err != nil {
		return err
	}
	return u.ready(ctx)
}

func (o UnboundOptions) conf() string {
	modules := "iterator"
	if o.Anchor != "" {
		modules = "validator iterator"
	}
	more, from, six := "", fmt.Sprintf("  outgoing-interface: %s\n", o.Addr.Addr()), "no"
	for _, a := range o.Also {
		more += fmt.Sprintf("  interface: %s@%d\n", a, o.Addr.Port())
		from += fmt.Sprintf("  outgoing-interface: %s\n", a)
		if a.Is6() {
			six = "yes"
		}
	}
	if o.Open {
		more += "  access-control: 0.0.0.0/0 allow\n  access-control: ::0/0 allow\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  interface: %s@%d
  port: %d
  access-control: 127.0.0.0/8 allow
%s  do-daemonize: no
  username: ""
  chroot: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  do-ip6: %s
  do-not-query-localhost: no
%s  module-config: "%s"
  num-threads: 1
  infra-cache-min-rtt: 50
  infra-host-ttl: 1
`, o.Addr.Addr(), o.Addr.Port(), o.Addr.Port(), more, o.Dir, six, from, modules)
	for line := range strings.Lines(o.Anchor) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, ";") {
			fmt.Fprintf(&b, "  trust-anchor: %q\n", line)
		}
	}
	b.WriteString("  local-zone: \"test.\" nodefault\n") // empty by default (RFC 6761)
	for zone := range o.Stubs {
		if strings.HasSuffix(dns.Fqdn(zone), ".arpa.") { // those of networks for examples are, too (RFC 6303)
			fmt.Fprintf(&b, "  local-zone: %q nodefault\n", dns.Fqdn(zone))
		}
	}
	for zone, servers := range o.Stubs {
		fmt.Fprintf(&b, "stub-zone:\n  name: \"%s\"\n  stub-first: no\n", dns.Fqdn(zone))
		for _, s := range servers {
			fmt.Fprintf(&b, "  stub-addr: %s@%d\n", s.Addr(), s.Port())
		}
	}
	if len(o.Forward) > 0 {
		b.WriteString("forward-zone:\n  name: \".\"\n")
		for _, s := range o.Forward {
			fmt.Fprintf(&b, "  forward-addr: %s@%d\n", s.Addr(), s.Port())
		}
	}
	b.WriteString("remote-control:\n  control-enable: no\n")
	return b.String()
}

// ready waits until every zone is resolved.
func (u *Unbound) ready(ctx context.Context) error {
	for zone := range u.Stubs {
		if slices.Contains(u.Broken, zone) {
			continue
		}
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
		err := u.await(ctx, "zone "+zone, func(ctx context.Context) error {
			r, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, u.Addr.String())
			if err == nil && (r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0) {
				err = fmt.Errorf("answered %s", dns.RcodeToString[r.Rcode])
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
