package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
)

// The last octets of a world's addresses.
const (
	octetOld       = 10
	octetGateway1  = 20
	octetGateway2  = 21
	octetElsewhere = 30
	octetParent    = 52
	octetNS1       = 53
	octetNS2       = 54
	octetResolver  = 55
	octetSpammer   = 66
	octetSender    = 77
	octetVantage   = 99
)

// A block is a /24 of the loopback network that no other world uses, and the
// sockets of its servers: all DNS servers on one port, all SMTP servers on one.
type block struct {
	prefix netip.Prefix
	claim  net.Listener // an abstract socket; the kernel gives it back when the process dies
	dns    uint16
	smtp   uint16
	udp    map[byte]net.PacketConn // DNS, by last octet
	tcp    map[byte]net.Listener   // DNS
	mail   map[byte]net.Listener   // SMTP
	imap   net.Listener
}

// attempts bounds how often a block or a port is looked for.
const attempts = 50

// takeBlock finds a free block and opens its sockets.
func takeBlock(ctx context.Context, random *rand.Rand) (*block, error) {
	var last error
	for range attempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x, y := byte(1+random.IntN(254)), byte(1+random.IntN(254))
		b := emptyBlock(netip.PrefixFrom(netip.AddrFrom4([4]byte{127, x, y, 0}), 24))
		if last = b.openAll(ctx); last == nil {
			return b, nil
		}
		b.close()
	}
	return nil, fmt.Errorf("lab: no free block of loopback addresses: %w", last)
}

func emptyBlock(p netip.Prefix) *block {
	return &block{prefix: p, udp: map[byte]net.PacketConn{}, tcp: map[byte]net.Listener{}, mail: map[byte]net.Listener{}}
}

func (b *block) openAll(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if b.claim, err = lc.Listen(ctx, "unix", "@mxcutover-lab-"+b.prefix.Addr().String()); err != nil {
		return err
	}
	if err := b.openDNS(ctx, lc); err != nil {
		return err
	}
	for _, o := range []byte{octetOld, octetGateway1, octetGateway2} {
		if b.mail[o], err = lc.Listen(ctx, "tcp4", hostPort(b.addr(o), b.smtp)); err != nil {
			return err
		}
		b.smtp = port(b.mail[o].Addr())
	}
	b.imap, err = lc.Listen(ctx, "tcp4", hostPort(b.addr(octetOld), 0))
	return err
}

func (b *block) openDNS(ctx context.Context, lc net.ListenConfig) error {
	var err error
	for _, o := range []byte{octetParent, octetNS1, octetNS2, octetResolver} {
		if b.tcp[o], err = lc.Listen(ctx, "tcp4", hostPort(b.addr(o), b.dns)); err != nil {
			return err
		}
		b.dns = port(b.tcp[o].Addr())
		if b.udp[o], err = lc.ListenPacket(ctx, "udp4", hostPort(b.addr(o), b.dns)); err != nil {
			return err
		}
	}
	return nil
}

// addr is the block's address with a last octet.
func (b *block) addr(octet byte) netip.Addr {
	a := b.prefix.Addr().As4()
	a[3] = octet
	return netip.AddrFrom4(a)
}

// close gives back the sockets that servers have not closed already.
func (b *block) close() {
	var errs []error
	shut := func(c interface{ Close() error }) { errs = append(errs, c.Close()) }
	for _, c := range b.udp {
		if c != nil {
			shut(c)
		}
	}
	for _, l := range b.tcp {
		if l != nil {
			shut(l)
		}
	}
	for _, l := range b.mail {
		if l != nil {
			shut(l)
		}
	}
	if b.imap != nil {
		shut(b.imap)
	}
	if b.claim != nil {
		shut(b.claim)
	}
	_ = errors.Join(errs...) // most were closed by their servers
}

func port(a net.Addr) uint16 {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return 0
	}
	return ap.Port()
}
