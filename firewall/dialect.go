package firewall

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"
)

// A dialect is how the rules are written for what a kernel and its nft understand.
// Which one is found by nft -c at the machine, and not guessed from versions.
type dialect struct {
	name     string
	counters bool // sets count (Linux 5.7, nft 0.9.5)
	early    bool // prerouting may reject (Linux 5.9)
}

// priority is that of our chains: before destinations are rewritten (dstnat, -100).
const priority = -150

// dialects are all of them, the best first.
var dialects = []dialect{
	{"prerouting, counters in sets", true, true},
	{"prerouting", false, true},
	{"input and forward, counters in sets", true, false},
	{"input and forward", false, false},
}

// best is the one that is shown where no machine is asked.
var best = &dialects[0]

// trial is a text that leaves nothing behind, whether or not the table is there.
func (d *dialect) trial(r Rules) string { return lift() + d.table(r.canonical(), time.Minute, 1) }

// first closes the ports on a machine where nothing of ours is loaded.
func (d *dialect) first(r Rules, within time.Duration) string {
	return "create table " + tableName + "\n" + d.table(r.canonical(), within, 1)
}

// replace is the text that puts rules in the place of those of an epoch. It
// fails as a whole if that epoch is over, so a late or repeated command does
// nothing.
func (d *dialect) replace(r Rules, within time.Duration, epoch uint64) string {
	return fmt.Sprintf("delete chain %s epoch_%d\ndelete table %s\n", tableName, epoch, tableName) +
		d.table(r.canonical(), within, epoch+1)
}

// confirm makes the closed ports permanent, and cuts established connections.
func (d *dialect) confirm(r Rules, epoch uint64) string {
	b := renew(r, 0, epoch)
	for _, h := range d.hooks() {
		b += fmt.Sprintf("flush chain %s %s\n", tableName, h) +
			fmt.Sprintf("table %s {\n\tchain %s {\n%s\t}\n}\n", tableName, h, d.rules(h, 0))
	}
	return b
}

// bootText is what is loaded at boot once confirmed. It holds no sources that
// were seen.
func (d *dialect) bootText(r Rules) string {
	return "# mxcutover: the old mail server stays isolated after a reboot.\n# Remove this file with: mxcutover isolate lift\n" +
		lift() + d.table(r.canonical(), 0, 1)
}

// unitText is the unit that loads the boot file. It follows nftables.service, which
// flushes all rules as it starts.
func (p place) unitText() string {
	return fmt.Sprintf(`# mxcutover: the old mail server stays isolated after a reboot.
# Remove this file with: mxcutover isolate lift
[Unit]
Description=The old mail server's ports are closed (mxcutover)
ConditionPathExists=%s
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f %s

[Install]
WantedBy=%s
`, p.boot, p.boot, strings.TrimSuffix(path.Base(p.wants), ".wants"))
}

func (d *dialect) table(r Rules, within time.Duration, epoch uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s {\n", tableName)
	fmt.Fprintf(&b, "\tchain epoch_%d {\n\t}\n", epoch)
	network(&b, "trust4", "ipv4_addr", r.Trust, netip.Addr.Is4)
	network(&b, "trust6", "ipv6_addr", r.Trust, netip.Addr.Is6)
	b.WriteString("\t# closed ports; the kernel opens each again at its timeout\n")
	fmt.Fprintf(&b, "\tset armed {\n\t\ttype inet_service; flags timeout;\n\t\telements = { %s }\n\t}\n", elements(r.Ports, r.Lasting, within))
	counter, each := " counter;", ""
	if !d.counters {
		counter, each = "", " counter"
	}
	for _, v := range []string{"4", "6"} {
		fmt.Fprintf(&b, "\tset blocked%s {\n\t\ttype ipv%s_addr . inet_service; size 65535\n\t\tflags dynamic,timeout; timeout 1d;%s\n\t}\n", v, v, counter)
	}
	fmt.Fprintf(&b, "\tchain refuse {\n")
	fmt.Fprintf(&b, "\t\tmeta nfproto ipv4 update @blocked4 { ip saddr . tcp dport%s }\n", each)
	fmt.Fprintf(&b, "\t\tmeta nfproto ipv6 update @blocked6 { ip6 saddr . tcp dport%s }\n", each)
	if r.Action == Drop {
		b.WriteString("\t\tdrop\n\t}\n")
	} else {
		b.WriteString("\t\treject with tcp reset\n\t}\n")
	}
	for _, h := range d.hooks() {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority %d; policy accept;\n%s\t}\n", h, h, priority, d.rules(h, within))
	}
	b.WriteString("}\n")
	return b.String()
}

// hooks are where connections are looked at. Prerouting sees those to a container's
// forwarded port, too, before their destination is rewritten; forward sees them
// afterwards, and then counts them by the container's port.
func (d *dialect) hooks() []string {
	if d.early {
		return []string{"prerouting"}
	}
	return []string{"input", "forward"}
}

// rules are the rules of a hook. An armed port refuses new connections only:
// a message whose 250 is on its way is not cut off and sent twice.
func (d *dialect) rules(hook string, within time.Duration) string {
	flags := ""
	if within > 0 {
		flags = "tcp flags & (fin | syn | rst | ack) == syn "
	}
	return "\t\tiif lo accept comment \"the machine's own mail\"\n" + d.meant(hook) +
		"\t\tip saddr @trust4 accept\n\t\tip6 saddr @trust6 accept\n" +
		"\t\t" + d.match("@armed") + flags + "jump refuse\n"
}

// meant is the rule of a hook that lets through what is not meant for this machine, nor
// for a container of its own.
func (d *dialect) meant(hook string) string {
	switch hook {
	case "input":
		return ""
	case "forward":
		return "\t\tct status & dnat != dnat accept comment \"only what is meant for this machine\"\n"
	}
	return "\t\tfib daddr type != local accept comment \"only what is meant for this machine\"\n"
}

// match is the condition of a connection to some ports, as the sender wrote them.
func (d *dialect) match(ports string) string {
	if d.early {
		return "tcp dport " + ports + " "
	}
	return "meta l4proto tcp ct direction original ct original proto-dst " + ports + " "
}
