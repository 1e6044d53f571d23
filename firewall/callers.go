package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// A Witness is a driver that can tell who connects to ports of the machine, as its
// rules would see them, and refuses nobody. What a server writes into a Received line
// need not be what its firewall sees: a proxy before it may tell it more.
type Witness interface {
	// Witness begins anew to note who comes to the ports of rules, and who of their
	// trusted networks comes to any; Dismiss ends that.
	Witness(ctx context.Context, r Rules) error
	Dismiss(ctx context.Context) error
	// Callers counts the packets of each source that were noted so far.
	Callers(ctx context.Context) (map[netip.Addr]uint64, error)
}

// callersTable is there while somebody wants to know who connects, and no longer. It
// refuses nobody, whatever becomes of whom it is for.
const callersTable = "inet mxcutover_callers"

// maxCallers is how many sources have room; who finds none is not noted.
const maxCallers = 65535

// callers is the text that notes who connects, at the place where the rules refuse.
func (d *dialect) callers(r Rules) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%stable %s {\n", dismiss(), callersTable)
	counter, each := " counter;", ""
	if !d.counters {
		counter, each = "", " counter"
	}
	for _, v := range []string{"4", "6"} {
		fmt.Fprintf(&b, "\tset callers%s {\n\t\ttype ipv%s_addr; size %d\n\t\tflags dynamic,timeout; timeout 10m;%s\n\t}\n", v, v, maxCallers, counter)
	}
	match := d.match("{ " + elements(r.Ports, nil, 0) + " }")
	for _, h := range d.hooks() {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority %d; policy accept;\n\t\tiif lo accept\n%s", h, h, priority-1, d.meant(h))
		for _, of := range []struct {
			v, ip string
			is    func(netip.Addr) bool
		}{{"4", "ip", netip.Addr.Is4}, {"6", "ip6", netip.Addr.Is6}} {
			note := fmt.Sprintf("update @callers%s { %s saddr%s }\n", of.v, of.ip, each)
			fmt.Fprintf(&b, "\t\t%smeta nfproto ipv%s %s", match, of.v, note)
			if trust := sources(r.Trust, of.is); trust != "" {
				fmt.Fprintf(&b, "\t\tmeta l4proto tcp %s saddr { %s } %s", of.ip, trust, note)
			}
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func dismiss() string { return fmt.Sprintf("table %s\ndelete table %s\n", callersTable, callersTable) }

// Witness is of [Witness].
func (n *NFT) Witness(ctx context.Context, r Rules) error {
	if err := r.Check(); err != nil {
		return err
	}
	as, err := n.dialect(ctx, r)
	if err != nil {
		return err
	}
	if _, err := n.ask(ctx, "load", as.callers(r.canonical())); err != nil {
		return fmt.Errorf("noting who connects: %w", err)
	}
	return nil
}

// Dismiss is of [Witness].
func (n *NFT) Dismiss(ctx context.Context) error {
	_, err := n.ask(ctx, "load", dismiss())
	return err
}

// Callers is of [Witness].
func (n *NFT) Callers(ctx context.Context) (map[netip.Addr]uint64, error) {
	seen := map[netip.Addr]uint64{}
	for _, verb := range []string{"callers4", "callers6"} {
		out, err := n.ask(ctx, verb, "")
		if err != nil {
			return nil, err
		}
		if isAbsent(out) {
			return nil, fmt.Errorf("%s: the table that notes who connects is gone: does another tool flush all rules?", n.far)
		}
		before := len(seen)
		if err := parseCallers([]byte(out), seen); err != nil {
			return nil, err
		}
		if len(seen)-before >= maxCallers {
			return nil, fmt.Errorf("%s: more than %d sources connect, and not all are noted", n.far, maxCallers-1)
		}
	}
	return seen, nil
}
