package verify

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// A hop is one Received line (RFC 5321 section 4.4), as far as it can be told.
type hop struct {
	from netip.Addr // the peer's address; invalid if the line does not tell
	by   string     // the host that wrote it
}

// maxHops bounds how many Received lines are looked at.
const maxHops = 100

var (
	literal  = regexp.MustCompile(`\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]`)
	byClause = regexp.MustCompile(`(?i)(?:^|[\s)])by\s+([A-Za-z0-9_.-]{1,255})`)
)

// parseReceived takes the Received lines of a header apart, the newest first, as
// they stand.
func parseReceived(header string) []hop {
	var hops []hop
	for _, line := range unfold(header) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "Received") {
			continue
		}
		if len(hops) == maxHops {
			break
		}
		var h hop
		from := value
		if m := byClause.FindStringSubmatchIndex(value); m != nil {
			h.by, from = strings.ToLower(value[m[2]:m[3]]), value[:m[0]]
		}
		// The peer's address is the last literal of the from clause: the name that
		// the peer gave for itself comes before it, and may be a literal, too.
		if all := literal.FindAllStringSubmatch(from, -1); len(all) > 0 {
			if a, err := netip.ParseAddr(all[len(all)-1][1]); err == nil {
				h.from = a.Unmap()
			}
		}
		hops = append(hops, h)
	}
	return hops
}

// unfold joins folded header lines (RFC 5322 section 2.2.3).
func unfold(header string) []string {
	var lines []string
	for l := range strings.SplitSeq(strings.ReplaceAll(header, "\r\n", "\n"), "\n") {
		if l == "" {
			break
		}
		if (l[0] == ' ' || l[0] == '\t') && len(lines) > 0 {
			lines[len(lines)-1] += " " + strings.TrimSpace(l)
		} else {
			lines = append(lines, l)
		}
	}
	return lines
}

func words(hops []hop) []string {
	var out []string
	for _, h := range hops {
		out = append(out, fmt.Sprintf("%s from %s", h.by, h.from))
	}
	return out
}
