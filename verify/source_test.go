package verify

import (
	"net/netip"
	"testing"

	"mxcutover/plan"
)

// One vantage is enough where this machine's own address is what the old server sees.
func TestSourceOfOneVantage(t *testing.T) {
	t.Parallel()
	own, other, old := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8"), netip.MustParseAddr("192.0.2.1")
	for _, w := range []struct {
		source
		want plan.Severity
	}{
		{source{seen: own, own: own}, plan.Pass},
		{source{seen: other, own: own}, plan.Unknown}, // we may be behind a NAT ourselves
		{source{seen: own}, plan.Unknown},
	} {
		if f := sources(old, []Vantage{{}}, []source{w.source}); f[0].Severity != w.want {
			t.Errorf("%+v: %+v", w.source, f)
		}
	}
}
