package site

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// NSDOptions say what an NSD serves: master files that nobody changes.
type NSDOptions struct {
	Dir   string            // an empty folder of its own; "" = a temporary one, until Stop
	Addr  netip.AddrPort    // where it listens, UDP and TCP: any address of 127.0.0.0/8
	Zones map[string]string // zone -> master file
}

// NSD is a running nsd.
type NSD struct {
	NSDOptions
	process
}

// StartNSD checks the configuration, starts nsd, and waits until it answers for
// every zone. Errors hold what NSD said.
func StartNSD(ctx context.Context, o NSDOptions) (*NSD, error) {
	n := &NSD{NSDOptions: o, process: process{name: "nsd", install: "nsd", logs: []string{"nsd.out", "nsd.log"}}}
	if err := n.started(n.start(ctx)); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *NSD) start(ctx context.Context) error {
	var err error
	if n.Dir, err = n.folder(n.Dir); err != nil {
		return err
	}
	if err := n.write(files(n.Zones)); err != nil {
		return err
	}
	if err := n.write(map[string]string{"nsd.conf": n.conf()}); err != nil {
		return err
	}
	if err := n.run(ctx, "", "nsd-checkconf", "nsd.conf"); err != nil {
		return err
	}
	if err := n.launch("nsd", "-d", "-c", filepath.Join(n.Dir, "nsd.conf")); err != nil {
		return err
	}
	return n.authoritative(ctx, n.Addr, n.Zones)
}

func (o NSDOptions) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  ip-address: %[1]s@%[2]d
  username: ""
  chroot: ""
  zonesdir: "%[3]s"
  database: ""
  logfile: "%[3]s/nsd.log"
  pidfile: "%[3]s/nsd.pid"
  xfrdfile: "%[3]s/xfrd.state"
  xfrdir: "%[3]s"
  zonelistfile: "%[3]s/zone.list"
  server-count: 1
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
`, o.Addr.Addr(), o.Addr.Port(), o.Dir)
	for _, zone := range slices.Sorted(maps.Keys(o.Zones)) {
		fmt.Fprintf(&b, "zone:\n  name: \"%s\"\n  zonefile: \"%s\"\n", zone, file(zone))
	}
	return b.String()
}

// Serial is a zone's serial as this server answers it.
func (n *NSD) Serial(ctx context.Context, zone string) (uint32, error) {
	return serial(ctx, n.Addr, zone)
}
