package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// A finder asks resolvers for init.
type finder struct{ client *resolve.Client }

func (f *finder) Close() {
	if f.client != nil {
		f.client.Close()
	}
}

// look asks the resolvers for one RRset; the first that answers counts.
func (f *finder) look(ctx context.Context, servers []string, name, typ string) (rrset.Set, error) {
	if f.client == nil {
		f.client = resolve.New(resolve.Settings{})
	}
	name, err := rrset.CanonicalName(name)
	if err != nil {
		return rrset.Set{}, err
	}
	err = fmt.Errorf("no resolver is known that could be asked for %s %s", rrset.Bare(name), typ)
	for _, s := range servers {
		at, perr := netip.ParseAddrPort(s)
		if perr != nil {
			a, aerr := netip.ParseAddr(strings.Trim(s, "[]"))
			if aerr != nil {
				continue
			}
			at = netip.AddrPortFrom(a, 53)
		}
		var got resolve.Answer
		if got, err = f.client.Ask(ctx, at, name, typ, true); err == nil {
			return got.Set, nil
		}
	}
	return rrset.Set{}, err
}

// foundResolvers are those of this machine; where a stub on loopback stands before
// them, those that it asks.
func foundResolvers(context.Context, *initiation) ([]string, error) {
	for _, path := range []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		got := nameServers(io.LimitReader(f, 64<<10))
		f.Close()
		if len(got) > 0 {
			return got, nil
		}
	}
	return nil, fmt.Errorf("no resolver stands in /etc/resolv.conf")
}

// nameServers reads resolv.conf(5).
func nameServers(r io.Reader) (out []string) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		if err != nil || a.Zone() != "" || a.Is4In6() || slices.Contains(out, f[1]) || len(out) == 3 {
			continue
		}
		out = append(out, f[1])
	}
	return out
}

// foundOld are the hosts to which the first zone's mail goes now.
func foundOld(ctx context.Context, i *initiation) ([]string, error) {
	zone := i.first("zone")
	if zone == "" {
		return nil, nil
	}
	set, err := i.find.look(ctx, i.draft["resolver"], zone, "MX")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range set.MX() {
		host := rrset.Bare(m.Host)
		if !m.Null() && !slices.ContainsFunc(i.gateways(), func(g rrset.MX) bool { return strings.EqualFold(rrset.Bare(g.Host), host) }) {
			out = append(out, host)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no MX that leads elsewhere than to the gateway", zone)
	}
	return out, nil
}

func foundOldAddresses(ctx context.Context, i *initiation) ([]string, error) {
	return i.addresses(ctx, i.draft["old"])
}

// addresses are those of some hosts, of both families.
func (i *initiation) addresses(ctx context.Context, hosts []string) (out []string, err error) {
	for _, h := range hosts {
		for _, typ := range []string{"A", "AAAA"} {
			set, lerr := i.find.look(ctx, i.draft["resolver"], h, typ)
			if lerr != nil {
				err = lerr
				continue
			}
			for _, a := range set.Data {
				if !slices.Contains(out, a) {
					out = append(out, a)
				}
			}
		}
	}
	if err == nil && len(out) == 0 && len(hosts) > 0 {
		err = fmt.Errorf("%s has no address in DNS", hosts[0])
	}
	return out, err
}

// usualLogs are where mail servers write, by habit of the systems.
var usualLogs = []string{"/var/log/exim4/mainlog", "/var/log/exim/main.log", "/var/log/mail.log", "/var/log/maillog"}

// foundLogs are logs of this machine's mail server, if this machine is the old server.
func foundLogs(_ context.Context, i *initiation) ([]string, error) {
	here, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	old := slices.ContainsFunc(here, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && slices.Contains(i.draft["old-address"], p.Addr().Unmap().String())
	})
	var out []string
	for _, path := range usualLogs {
		if info, err := os.Stat(path); old && err == nil && info.Mode().IsRegular() {
			out = append(out, path)
		}
	}
	return out, nil
}

// foundTimeZone is this machine's, by $TZ, /etc/timezone or /etc/localtime.
func foundTimeZone(context.Context, *initiation) ([]string, error) {
	names := []string{os.Getenv("TZ")}
	if b, err := os.ReadFile("/etc/timezone"); err == nil {
		names = append(names, strings.TrimSpace(string(b)))
	}
	if to, err := filepath.EvalSymlinks("/etc/localtime"); err == nil {
		_, name, _ := strings.Cut(to, "/zoneinfo/")
		names = append(names, name)
	}
	for _, n := range names {
		if _, err := time.LoadLocation(n); err == nil && n != "" && n != "Local" {
			return []string{n}, nil
		}
	}
	return nil, nil
}

// gateways are the MX records that were said: HOST, or PREFERENCE:HOST.
func (i *initiation) gateways() (out []rrset.MX) {
	for n, g := range i.draft["gateway"] {
		m := rrset.MX{Preference: uint16(min(10*(n+1), 60000)), Host: g} //nolint:gosec // it is below 65536
		if before, host, ok := strings.Cut(g, ":"); ok {
			if x, err := strconv.ParseUint(before, 10, 16); err == nil {
				m.Preference, m.Host = uint16(x), host
			}
		}
		out = append(out, m)
	}
	return out
}
