package verify_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"mxcutover/lab"
	"mxcutover/plan"
	"mxcutover/verify"
)

// lost is the Dial of a vantage that cannot be reached.
func lost(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("the line is down")
}

// refusing is the Dial of a vantage where every connection is refused.
func refusing(_ context.Context, network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// through is the Dial of a vantage that sees another world's servers at the
// addresses of this one.
func through(d *net.Dialer, here, there lab.Facts) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		a, b := ap.Addr().As4(), there.Block.Addr().As4()
		b[3] = a[3]
		port := ap.Port()
		if port == here.SMTPPort {
			port = there.SMTPPort
		}
		return d.DialContext(ctx, network, netip.AddrPortFrom(netip.AddrFrom4(b), port).String())
	}
}

// An address is asked from a vantage from which a way leads there.
func TestVantageForAnAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.checker(t, func(s *verify.Settings) {
		s.Vantages = []verify.Vantage{{Name: "six", Source: netip.MustParseAddr("2001:db8::25")}, {Name: "four", Source: b.facts.Vantage}}
	})
	found := c.Some(t.Context(), verify.Before, cut(t, "choir.test.", old, gws), func(id string) bool {
		return id == "gw.recipient" || id == "gw.starttls" || id == "probe.arrival"
	})
	judge(t, "the first has no way to IPv4", found, plan.Pass, "")
	for _, f := range found {
		if f.Vantage != "four" {
			t.Errorf("%s is told of vantage %q", f.Check, f.Vantage)
		}
	}
}
