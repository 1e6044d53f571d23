package site

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// KnotOptions say what a Knot DNS serves.
type KnotOptions struct {
	Dir   string            // an empty folder of its own; "" = a temporary one, until Stop
	Addr  netip.AddrPort    // where it listens, UDP and TCP: any address of 127.0.0.0/8
	Zones map[string]string // zone -> master file
	Key   Key               // may transfer and update; zero = a new one
	Open  bool              // whoever asks from a loopback address may transfer and update, without a key
	Extra []string          // more lines for each zone, as "zonefile-sync: 0"

	Also    []netip.Addr   // more addresses where it listens, at the same port
	Primary netip.AddrPort // set for a secondary: the texts of its zones are not used
}

// Knot is a running knotd.
type Knot struct {
	KnotOptions
	process
}

// StartKnot checks the configuration and the zones, starts knotd, and waits until
// it answers for every zone. Errors hold what Knot said.
func StartKnot(ctx context.Context, o KnotOptions) (*Knot, error) {
	o.Key = o.Key.orNew()
	k := &Knot{KnotOptions: o, process: process{name: "knot", install: "knot", logs: []string{"knot.log"}}}
	if err := k.started(k.start(ctx)); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Knot) start(ctx context.Context) error {
	var err error
	if k.Dir, err = k.folder(k.Dir); err != nil {
		return err
	}
	// It makes no folder for its databases, and then refuses updates with SERVFAIL.
	if err := os.Mkdir(filepath.Join(k.Dir, "db"), 0o700); err != nil {
		return err
	}
	checks := []string{"conf-check"}
	if !k.Primary.IsValid() {
		if err := k.write(files(k.Zones)); err != nil {
			return err
		}
		checks = append(checks, "zone-check")
	}
	if err := k.write(map[string]string{"knot.conf": k.conf()}); err != nil {
		return err
	}
	for _, check := range checks {
		if err := k.run(ctx, "", "knotc", "-c", "knot.conf", check); err != nil {
			return fmt.Errorf("%s: %w", check, err)
		}
	}
	return k.begin(ctx)
}

// conf has paths from its folder, where it is started: a socket's path may have
// 107 octets only (unix(7)). Zone files stay as they are; the journal has what
// changed since.
func (o KnotOptions) conf() string {
	acl := "site"
	if o.Open {
		acl = "site, open"
	}
	listen := []string{fmt.Sprintf("%s@%d", o.Addr.Addr(), o.Addr.Port())}
	for _, a := range o.Also {
		listen = append(listen, fmt.Sprintf("%s@%d", a, o.Addr.Port()))
	}
	remote, primary := "", []string(nil)
	if p := o.Primary; p.IsValid() {
		remote = fmt.Sprintf("remote:\n  - id: primary\n    address: %s@%d\n    key: %q\n", p.Addr(), p.Port(), o.Key.Name)
		acl += ", primary"
		primary = []string{"master: primary"}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `server:
    rundir: "."
    listen: [%s]
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
control:
    listen: "knot.sock"
database:
    storage: "db"
    journal-db-max-size: 64M
log:
  - target: stderr
    any: info
key:
  - id: "%s"
    algorithm: hmac-sha256
    secret: "%s"
%sacl:
  - id: site
    key: "%s"
    action: [transfer, update]
  - id: open
    address: 127.0.0.0/8
    action: [transfer, update]
  - id: primary
    key: "%s"
    action: notify
template:
  - id: default
    storage: "."
    acl: [%s]
    zonefile-sync: -1
zone:
`, strings.Join(listen, ", "), o.Key.Name, o.Key.Secret, remote, o.Key.Name, o.Key.Name, acl)
	for zone := range o.Zones {
		fmt.Fprintf(&b, "  - domain: %q\n", dns.Fqdn(zone))
		for _, line := range slices.Concat([]string{fmt.Sprintf("file: %q", file(zone))}, primary, o.Extra) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	return b.String()
}

// begin starts knotd on what its folder holds, and waits until it answers.
func (k *Knot) begin(ctx context.Context) error {
	if err := k.launch("knotd", "-c", "knot.conf"); err != nil {
		return err
	}
	return k.authoritative(ctx, k.Addr, k.Zones)
}

// Restart starts knotd again after Kill, on the zones and the journal that it
// left, and waits until it answers for every zone.
func (k *Knot) Restart(ctx context.Context) error {
	if err := k.begin(ctx); err != nil {
		return fmt.Errorf("knot: restart: %w%s", err, k.log())
	}
	return nil
}

// Serial is a zone's serial as this server answers it.
func (k *Knot) Serial(ctx context.Context, zone string) (uint32, error) {
	return serial(ctx, k.Addr, zone)
}
