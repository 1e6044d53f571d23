package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrRules means that rules would lock out the wrong people.
var ErrRules = errors.New("these rules are refused")

// sshPort is never closed: it is the administrator's way in.
const sshPort = 22

// Check refuses rules that would lock out administrators or the gateway. Rules
// that lift everything are always fine.
func (r Rules) Check() error {
	if len(r.Ports) == 0 {
		return nil
	}
	for _, p := range r.Ports {
		switch p {
		case 0:
			return fmt.Errorf("%w: port 0 is none", ErrRules)
		case sshPort:
			return fmt.Errorf("%w: port %d is the administrators' way in", ErrRules, sshPort)
		}
	}
	if !r.Closes(r.Lasting) {
		return fmt.Errorf("%w: ports %v are to be closed for good, and not all of them to be closed", ErrRules, r.Lasting)
	}
	if len(r.Trust) == 0 {
		return fmt.Errorf("%w: no trusted network, so the gateway would be cut off", ErrRules)
	}
	for _, t := range r.Trust {
		if !t.IsValid() {
			return fmt.Errorf("%w: a trusted network is not valid", ErrRules)
		}
	}
	if r.Action == Redirect {
		return fmt.Errorf("%w: redirect at the old server itself needs source NAT, and then the gateway sees every sender as the old server, which it trusts: an open relay; it takes the router in the path: isolate.driver: script", ErrRules)
	}
	if r.Action != "" && r.Action != Reject && r.Action != Drop {
		return fmt.Errorf("%w: action %q; reject or drop was expected", ErrRules, r.Action)
	}
	return nil
}

// staged are the ports that are not closed for good.
func (r Rules) staged() []uint16 {
	return slices.DeleteFunc(slices.Clone(r.Ports), func(p uint16) bool { return slices.Contains(r.Lasting, p) })
}

// canonical sorts ports and networks, unmaps IPv4, and leaves out networks that
// lie within another.
func (r Rules) canonical() Rules {
	out := Rules{Ports: slices.Clone(r.Ports), Lasting: slices.Clone(r.Lasting), Action: r.Action}
	if out.Action == "" {
		out.Action = Reject
	}
	slices.Sort(out.Ports)
	out.Ports = slices.Compact(out.Ports)
	slices.Sort(out.Lasting)
	out.Lasting = slices.Compact(out.Lasting)
	var all []netip.Prefix
	for _, p := range r.Trust {
		all = append(all, unmap(p).Masked())
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
	for _, p := range all {
		if !slices.ContainsFunc(out.Trust, func(o netip.Prefix) bool { return o.Overlaps(p) }) {
			out.Trust = append(out.Trust, p)
		}
	}
	slices.SortFunc(out.Trust, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}
