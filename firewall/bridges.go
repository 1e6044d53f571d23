package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// A Bridge is a network within the machine, as containers and virtual machines have:
// what comes from there does not come by the loopback interface.
type Bridge struct {
	Name    string
	Network netip.Prefix
}

// A Bridger is a driver that knows the machine's own networks.
type Bridger interface {
	Bridges(ctx context.Context) ([]Bridge, error)
}

// maxBridges are more than any machine has.
const maxBridges = 4096

// Bridges is of [Bridger]. The one that leads to the world is none of them, nor are
// link-local addresses.
func (n *NFT) Bridges(ctx context.Context) ([]Bridge, error) {
	out, err := n.ask(ctx, "bridges", "")
	if err != nil {
		return nil, err
	}
	return parseBridges(out)
}

// parseBridges reads lines of a name and an address with its network, and "end".
func parseBridges(out string) (all []Bridge, err error) {
	text, whole := strings.CutSuffix(out, "end\n")
	if !whole {
		return nil, fmt.Errorf("the machine's own networks: the answer was cut off")
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 2 {
			return nil, fmt.Errorf("the machine's own networks: %.80q", line)
		}
		p, err := netip.ParsePrefix(f[1])
		if err != nil {
			return nil, fmt.Errorf("the machine's own networks: %.80q", line)
		}
		if p = p.Masked(); !p.Addr().IsLinkLocalUnicast() {
			all = append(all, Bridge{f[0], p})
		}
		if len(all) > maxBridges {
			return nil, fmt.Errorf("the machine has more than %d networks of its own", maxBridges)
		}
	}
	return all, nil
}
