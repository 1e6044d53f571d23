package firewall

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// tableName is the one table that is ours. No other is ever touched.
const tableName = "inet mxcutover"

// Render is the nft text that closes the ports on a machine where nothing of
// ours is loaded. within is the kernel's deadline; zero is for ever. It is what
// a person reviews.
func Render(r Rules, within time.Duration) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	return "create table " + tableName + "\n" + table(r.canonical(), within, 1), nil
}

// replace is the text that puts rules in the place of those of an epoch. It
// fails as a whole if that epoch is over, so a late or repeated command does
// nothing.
func replace(r Rules, within time.Duration, epoch uint64) string {
	return fmt.Sprintf("delete chain %s epoch_%d\ndelete table %s\n", tableName, epoch, tableName) +
		table(r.canonical(), within, epoch+1)
}

// renew extends the deadline. It begins with delete element: a port that has
// lapsed makes it fail, and wants a fresh arm with fresh proof.
func renew(r Rules, within time.Duration, epoch uint64) string {
	r = r.canonical()
	return fmt.Sprintf("delete element %s armed { %s }\n", tableName, elements(r.Ports, 0)) +
		fmt.Sprintf("delete chain %s epoch_%d\nadd chain %s epoch_%d\n", tableName, epoch, tableName, epoch+1) +
		fmt.Sprintf("add element %s armed { %s }\n", tableName, elements(r.Ports, within))
}

// confirm makes the closed ports permanent, and cuts established connections.
func confirm(r Rules, epoch uint64) string {
	return renew(r, 0, epoch) +
		fmt.Sprintf("flush chain %s prerouting\n", tableName) +
		fmt.Sprintf("table %s {\n\tchain prerouting {\n%s\t}\n}\n", tableName, rules(0))
}

// lift is the text that removes the table, whether or not it is there.
func lift() string {
	return fmt.Sprintf("table %s\ndelete table %s\n", tableName, tableName)
}

// bootText is what is loaded at boot once confirmed. It holds no sources that
// were seen.
func bootText(r Rules) string {
	return "# mxcutover: the old mail server stays isolated after a reboot.\n# Remove this file with: mxcutover isolate lift\n" +
		lift() + table(r.canonical(), 0, 1)
}

func table(r Rules, within time.Duration, epoch uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s {\n", tableName)
	fmt.Fprintf(&b, "\tchain epoch_%d {\n\t}\n", epoch)
	network(&b, "trust4", "ipv4_addr", r.Trust, netip.Addr.Is4)
	network(&b, "trust6", "ipv6_addr", r.Trust, netip.Addr.Is6)
	b.WriteString("\t# closed ports; the kernel opens each again at its timeout\n")
	fmt.Fprintf(&b, "\tset armed {\n\t\ttype inet_service; flags timeout;\n\t\telements = { %s }\n\t}\n", elements(r.Ports, within))
	for _, v := range []string{"4", "6"} {
		fmt.Fprintf(&b, "\tset blocked%s {\n\t\ttype ipv%s_addr . inet_service; size 65535\n\t\tflags dynamic,timeout; timeout 1d; counter;\n\t}\n", v, v)
	}
	fmt.Fprintf(&b, "\tchain refuse {\n")
	b.WriteString("\t\tmeta nfproto ipv4 update @blocked4 { ip saddr . tcp dport }\n")
	b.WriteString("\t\tmeta nfproto ipv6 update @blocked6 { ip6 saddr . tcp dport }\n")
	if r.Action == Drop {
		b.WriteString("\t\tdrop\n\t}\n")
	} else {
		b.WriteString("\t\treject with tcp reset\n\t}\n")
	}
	b.WriteString("\tchain prerouting {\n\t\ttype filter hook prerouting priority -150; policy accept;\n")
	b.WriteString(rules(within) + "\t}\n}\n")
	return b.String()
}

// rules are the rules of the hook. An armed port refuses new connections only:
// a message whose 250 is on its way is not cut off and sent twice.
func rules(within time.Duration) string {
	flags := ""
	if within > 0 {
		flags = "tcp flags & (fin | syn | rst | ack) == syn "
	}
	return "\t\tiif lo accept comment \"the machine's own mail\"\n" +
		"\t\tfib daddr type != local accept comment \"only what is meant for this machine\"\n" +
		"\t\tip saddr @trust4 accept\n\t\tip6 saddr @trust6 accept\n" +
		"\t\ttcp dport @armed " + flags + "jump refuse\n"
}

func network(b *strings.Builder, name, typ string, all []netip.Prefix, is func(netip.Addr) bool) {
	var members []string
	for _, p := range all {
		if is(p.Addr()) {
			members = append(members, p.String())
		}
	}
	fmt.Fprintf(b, "\tset %s {\n\t\ttype %s; flags interval;\n", name, typ)
	if len(members) > 0 {
		fmt.Fprintf(b, "\t\telements = { %s }\n", strings.Join(members, ", "))
	}
	b.WriteString("\t}\n")
}

func elements(ports []uint16, within time.Duration) string {
	var out []string
	for _, p := range ports {
		e := fmt.Sprint(p)
		if within > 0 {
			e += fmt.Sprintf(" timeout %dms", within.Milliseconds())
		}
		out = append(out, e)
	}
	return strings.Join(out, ", ")
}
