package firewall

import (
	"net/netip"
	"slices"
	"testing"
)

func TestDifference(t *testing.T) {
	t.Parallel()
	a := Rules{Ports: []uint16{25}, Trust: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24"), netip.MustParsePrefix("2001:db8::/32")}}
	b := Rules{Ports: []uint16{465, 25}, Trust: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.1/32")}, Action: Drop}
	for name, c := range map[string]struct {
		have, want Rules
		lines      []string
	}{
		"nothing loaded": {Rules{}, a, []string{"+ closed port 25", "+ trusted network 192.0.2.0/24", "+ trusted network 2001:db8::/32"}},
		"the same":       {a, a, nil},
		"another":        {a, b, []string{"+ closed port 465", "- trusted network 2001:db8::/32", "+ trusted network 198.51.100.1/32", "- action reject", "+ action drop"}},
		"lapsed":         {Rules{Trust: a.Trust}, Rules{}, nil},
	} {
		if got := Difference(c.have, c.want); !slices.Equal(got, c.lines) {
			t.Errorf("%s: %q, want %q", name, got, c.lines)
		}
	}
}
