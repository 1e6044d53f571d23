package lab

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Facts are what one must know of a world to work in it.
type Facts struct {
	Block    netip.Prefix
	DNSPort  uint16
	SMTPPort uint16

	Parent   netip.Addr // serves the root, test, and the reverse zone
	NS1, NS2 netip.Addr // the primary, which takes updates, and its secondary
	Resolver netip.Addr
	Anchor   string   // DS record of the root zone
	Zones    []string // of the domains, at NS1 and NS2; without the final dot, sorted
	Key      Key      // for updates and zone transfers

	Old      Host
	Gateways []Host // by preference
	Sender   netip.Addr
	Spammer  netip.Addr
	Vantage  netip.Addr // a source address outside the site

	IMAP      netip.AddrPort // without TLS
	User      string
	Password  string
	CA        string // the authority of the mail servers' certificates, in PEM
	ProbeFrom string // a sender whose domain exists
	Firewall  string // path of its unix socket
	Domains   []Domain
}

// A Host is a mail server by name and address.
type Host struct {
	Name string // without the final dot
	Addr netip.Addr
}

// String leaves out the secrets.
func (f Facts) String() string {
	return fmt.Sprintf("lab %s, dns port %d, smtp port %d", f.Block, f.DNSPort, f.SMTPPort)
}

// Facts tells addresses, ports and secrets.
func (w *World) Facts() Facts {
	b := w.block
	return Facts{
		Block: b.prefix, DNSPort: b.dns, SMTPPort: b.smtp,
		Parent: b.addr(octetParent), NS1: b.addr(octetNS1), NS2: b.addr(octetNS2), Resolver: b.addr(octetResolver),
		Anchor: w.anchor, Zones: w.zones(), Key: w.key,
		Old:      Host{oldHost, b.addr(octetOld)},
		Gateways: []Host{{gateway1, b.addr(octetGateway1)}, {gateway2, b.addr(octetGateway2)}},
		Sender:   b.addr(octetSender), Spammer: b.addr(octetSpammer), Vantage: b.addr(octetVantage),
		IMAP: netip.AddrPortFrom(b.addr(octetOld), port(b.imap.Addr())), User: probeLocal, Password: w.password, CA: w.authority.pem(),
		ProbeFrom: probeLocal + "@" + probeZone, Firewall: w.socket, Domains: slices.Clone(w.options.Domains),
	}
}

// zones are those of the domains; the world's own are somebody else's.
func (w *World) zones() []string {
	out := map[string]bool{}
	for _, d := range w.options.Domains {
		out[strings.TrimSuffix(d.Zone, ".")] = true
	}
	return slices.Sorted(maps.Keys(out))
}

// Drain stops the honest sender's writing and waits until everything that it
// wrote is delivered or refused for good, or ctx ends. Resume goes on.
func (w *World) Drain(ctx context.Context) error {
	w.sender.hush(true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if a := w.Accounts(); a.Waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lab: %d messages still wait: %w", w.Accounts().Waiting, ctx.Err())
		case <-tick.C:
		}
	}
}

// Resume lets the honest sender write again after Drain.
func (w *World) Resume() { w.sender.hush(false) }
