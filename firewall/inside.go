package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// ErrNoWay means that a machine lets nobody look from within.
var ErrNoWay = errors.New("it cannot be looked at from within")

// An Insider is a driver that can tell how things are at the machine itself, which
// rules could cut off and nobody outside would see.
type Insider interface {
	// OwnMail wants to be greeted at a port of the machine by the machine itself, at a
	// loopback address or one of its own: webmail, cron and lists hand mail over there.
	OwnMail(ctx context.Context, own []netip.Addr, port uint16) (string, error)
	// NewLogin comes to the machine anew, as an administrator does; "" = it is this one.
	NewLogin(ctx context.Context) (string, error)
}

// A dialler opens connections from a machine, an opener comes to it anew.
type (
	dialler interface {
		Dial(ctx context.Context, network, address string) (net.Conn, error)
	}
	opener interface {
		Fresh(ctx context.Context) error
	}
)

// insideTime bounds one connection.
const insideTime = 10 * time.Second

// OwnMail is of [Insider].
func (n *NFT) OwnMail(ctx context.Context, own []netip.Addr, port uint16) (string, error) {
	d, ok := n.far.(dialler)
	if !ok {
		return "", fmt.Errorf("%s: %w", n.far, ErrNoWay)
	}
	all := append([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, own...)
	var errs []error
	for _, a := range all {
		at := net.JoinHostPort(a.String(), strconv.Itoa(int(port)))
		err := greeted(ctx, d, at)
		if err == nil {
			return at, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func greeted(ctx context.Context, d dialler, at string) error {
	ctx, cancel := context.WithTimeout(ctx, insideTime)
	defer cancel()
	c, err := d.Dial(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("%s: no greeting: %w", at, err)
	}
	return nil
}

// NewLogin is of [Insider].
func (n *NFT) NewLogin(ctx context.Context) (string, error) {
	o, ok := n.far.(opener)
	if !ok {
		return "", nil
	}
	return n.far.String(), o.Fresh(ctx)
}

// Dial connects from this machine.
func (here) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}
