package firewall

import (
	"fmt"
	"net/netip"
	"slices"
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
	return best.first(r, within), nil
}

// renew extends the deadline. It begins with delete element: a port that has
// lapsed makes it fail, and wants a fresh arm with fresh proof.
func renew(r Rules, within time.Duration, epoch uint64) string {
	r = r.canonical()
	return fmt.Sprintf("delete element %s armed { %s }\n", tableName, elements(r.staged(), nil, 0)) +
		fmt.Sprintf("delete chain %s epoch_%d\nadd chain %s epoch_%d\n", tableName, epoch, tableName, epoch+1) +
		fmt.Sprintf("add element %s armed { %s }\n", tableName, elements(r.staged(), nil, within))
}

// lift is the text that removes the table, whether or not it is there.
func lift() string {
	return fmt.Sprintf("table %s\ndelete table %s\n", tableName, tableName)
}

func network(b *strings.Builder, name, typ string, all []netip.Prefix, is func(netip.Addr) bool) {
	fmt.Fprintf(b, "\tset %s {\n\t\ttype %s; flags interval;\n", name, typ)
	if members := sources(all, is); members != "" {
		fmt.Fprintf(b, "\t\telements = { %s }\n", members)
	}
	b.WriteString("\t}\n")
}

// sources are the networks of one family.
func sources(all []netip.Prefix, is func(netip.Addr) bool) string {
	var members []string
	for _, p := range all {
		if is(p.Addr()) {
			members = append(members, p.String())
		}
	}
	return strings.Join(members, ", ")
}

func elements(ports, lasting []uint16, within time.Duration) string {
	var out []string
	for _, p := range ports {
		e := fmt.Sprint(p)
		if within > 0 && !slices.Contains(lasting, p) {
			e += fmt.Sprintf(" timeout %dms", within.Milliseconds())
		}
		out = append(out, e)
	}
	return strings.Join(out, ", ")
}
