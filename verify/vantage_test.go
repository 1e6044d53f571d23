package verify_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"mxcutover/lab"
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
