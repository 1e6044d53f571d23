package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// drivers of the old server's firewall.
var drivers = []string{"local", "ssh", "script", "lab"}

func (k *checker) isolate() {
	i := k.c.Isolate
	if i == nil || k.bad["isolate"] {
		return
	}
	k.driver(i)
	k.closed("isolate.ports", i.Ports, i.Host.Port, nil)
	before := i.Ports
	for n, set := range i.Stages {
		k.closed(item("isolate.stages", n), set, i.Host.Port, before)
		before = slices.Concat(before, set)
	}
	for n, p := range i.Trust {
		if key := item("isolate.trust", n); k.good(key) && p.Bits() == 0 {
			k.fault(key, fmt.Sprintf("%s trusts everybody: nothing would be closed", p), "name the gateway's and the monitoring's networks")
		}
	}
	k.action(i)
	k.waysIn(i)
	k.positive("isolate.confirm_within", i.ConfirmWithin)
	k.positive("isolate.look_back", i.LookBack)
	for n, p := range i.Acknowledged {
		if key := item("isolate.acknowledged", n); k.good(key) && p.Bits() == 0 {
			k.fault(key, fmt.Sprintf("%s acknowledges everybody: nothing would be looked at", p), "name the sources that may be cut off")
		}
	}
}

func (k *checker) driver(i *Isolate) {
	const key = "isolate.driver"
	if !k.good(key) {
		return
	}
	oneOf(k, key, i.Driver, drivers...)
	of := map[string][]string{
		"socket": {"lab"}, "boot_file": {"local", "ssh"},
		"host": {"ssh"}, "identity": {"ssh"}, "passphrase": {"ssh"}, "known_hosts": {"ssh"}, "via": {"ssh"},
		"redirect_to": {"script"}, "ways_in": {"script"},
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if at := "isolate." + name; k.good(at) && !slices.Contains(of[name], i.Driver) && slices.Contains(drivers, i.Driver) {
			k.fault(at, "has no meaning with driver: "+i.Driver, "delete it")
		}
	}
	for driver, needs := range map[string][2]string{"lab": {"socket", "write the path of the lab's socket"}, "ssh": {"host", "write the old server as user@host or user@host:port"}} {
		if at := "isolate." + needs[0]; i.Driver == driver && !k.good(at) && !k.bad[at] {
			k.fault(at, "is missing, and driver: "+driver+" needs it", needs[1])
		}
	}
	if k.good("isolate.passphrase") && i.Identity.IsZero() && !k.bad["isolate.identity"] {
		k.fault("isolate.passphrase", "is that of the identity, which is missing", "name the key's file in identity")
	}
}

// action checks what becomes of a connection to a closed port. Redirect takes the
// router in the path, which a person sets: at the old server itself it needs source NAT.
func (k *checker) action(i *Isolate) {
	const key = "isolate.action"
	oneOf(k, key, i.Action, "reject", "drop", "redirect")
	if i.Action != "redirect" || !k.good(key) || k.bad["isolate.driver"] {
		if k.good("isolate.redirect_to") && i.Action != "redirect" && !k.bad[key] && i.Driver == "script" {
			k.fault("isolate.redirect_to", "has no meaning with action: "+i.Action, "delete it, or write action: redirect")
		}
		return
	}
	if i.Driver != "script" {
		k.fault(key, "redirect at the old server itself needs source NAT, and then the gateway sees every sender as the old server, which it trusts: an open relay", "write reject; or redirect at the router in the path, by hand, with driver: script")
		return
	}
	if len(i.Ports) != 1 || i.Ports[0] != k.c.Ports.SMTP || len(i.Stages) > 0 {
		k.fault(key, fmt.Sprintf("redirect is for port %d alone: that mail is handed to the gateway is proven there, and nowhere else", k.c.Ports.SMTP), "leave out isolate.ports and isolate.stages, or write reject")
	}
	if len(k.c.Traffic.GatewayLogs) == 0 && !k.bad["traffic.gateway_logs"] {
		k.fault(key, "redirect is proven by the gateway's log, which shows whether it sees true source addresses, and traffic.gateway_logs is missing", "name the gateway's logs there, or write reject")
	}
	k.redirectTo(i)
}

// redirectTo checks the gateway's addresses, one of each family that the old server has.
func (k *checker) redirectTo(i *Isolate) {
	const key = "isolate.redirect_to"
	if k.bad[key] || k.bad["old.addresses"] {
		return
	}
	family := map[bool]int{}
	for n, a := range i.RedirectTo {
		if at := item(key, n); k.good(at) {
			if slices.Contains(k.c.Old.Addresses, a) {
				k.fault(at, fmt.Sprintf("%s is an address of the old server (old.addresses)", a), "write an address of the gateway")
			}
			if family[a.Is4()]++; family[a.Is4()] > 1 {
				k.fault(at, fmt.Sprintf("%s is the second of its family", a), "keep one of each")
			}
		}
	}
	for _, a := range k.c.Old.Addresses {
		if a.IsValid() && family[a.Is4()] == 0 {
			at := key
			if !k.good(key) {
				at = "isolate.action"
			}
			k.fault(at, fmt.Sprintf("redirect needs an address of the gateway of the same family as %s", a), "write isolate.redirect_to: [IPV4, \"IPV6\"], of one node of the gateway")
			return
		}
	}
}

// waysIn checks where SSH opens.
func (k *checker) waysIn(i *Isolate) {
	const key = "isolate.ways_in"
	if !k.good(key) {
		return
	}
	for n, s := range i.WaysIn {
		at := item(key, n)
		if s == noWayIn && len(i.WaysIn) == 1 || !k.good(at) {
			continue
		}
		if ap, err := netip.ParseAddrPort(s); err != nil || ap.Port() == 0 {
			k.fault(at, fmt.Sprintf("%.80q is no address and port", s), `write "192.0.2.1:22" or "[2001:db8::1]:22"; or none alone, where SSH opens from no vantage`)
		} else if slices.Contains(slices.Concat(append([][]uint16{i.Ports}, i.Stages...)...), ap.Port()) {
			k.fault(at, fmt.Sprintf("%d is among the ports to be closed", ap.Port()), "delete it in isolate.ports or isolate.stages")
		}
	}
	unique(k, key, i.WaysIn, func(s string) string { return s })
}

// closed checks a set of ports that are to be closed, after those before.
func (k *checker) closed(at string, ports []uint16, own uint16, before []uint16) {
	for n, p := range ports {
		key := item(at, n)
		switch {
		case !k.good(key):
		case p == 0:
			k.fault(key, "is 0; a port from 1 to 65535 was expected", "")
		case p == 22:
			k.fault(key, "22 is SSH, an administrator's way in: it is never closed", "delete it here")
		case p == own:
			k.fault(key, fmt.Sprintf("%d is the port of isolate.host, our own way in: it is never closed", p), "delete it here")
		case slices.Contains(before, p):
			k.fault(key, fmt.Sprintf("%d is closed before already", p), "delete it here")
		}
	}
	unique(k, at, ports, func(p uint16) string { return fmt.Sprint(p) })
}
