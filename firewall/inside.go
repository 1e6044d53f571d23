package firewall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ErrNoWay means that a machine lets nobody look from within.
var ErrNoWay = errors.New("it cannot be looked at from within")

// An Insider is a driver that can tell how things are at the machine itself, which
// rules could cut off and nobody outside would see.
type Insider interface {
	// OwnMail connects to a port of the machine from the machine itself, at a loopback
	// address or one of its own: webmail, cron and lists hand mail over there. It tells
	// where it was let in. Its error is [ErrNoWay] if that could not be tried.
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

// insideTime bounds one connection, firstWord the wait for a greeting: where TLS
// comes first (ports 465 and 993), it is the client that speaks first.
const (
	insideTime = 10 * time.Second
	firstWord  = 2 * time.Second
	loginTime  = 30 * time.Second
)

// OwnMail is of [Insider].
func (n *NFT) OwnMail(ctx context.Context, own []netip.Addr, port uint16) (string, error) {
	d, ok := n.far.(dialler)
	if !ok {
		return "", fmt.Errorf("%s: %w", n.far, ErrNoWay)
	}
	all := append([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, own...)
	var errs []error
	tried := false
	for _, a := range all {
		at := net.JoinHostPort(a.String(), strconv.Itoa(int(port)))
		err := letIn(ctx, d, at)
		if err == nil {
			return at, nil
		}
		errs = append(errs, err)
		tried = tried || turnedAway(err)
	}
	if !tried {
		return "", fmt.Errorf("%s: %w: %w", n.far, ErrNoWay, errors.Join(errs...))
	}
	return "", errors.Join(errs...)
}

// turnedAway tells whether the machine itself refused a connection, or let it wait in
// vain; anything else is of the way there.
func turnedAway(err error) bool {
	var slow net.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
}

func letIn(ctx context.Context, d dialler, at string) error {
	ctx, cancel := context.WithTimeout(ctx, insideTime)
	defer cancel()
	c, err := d.Dial(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.SetReadDeadline(time.Now().Add(firstWord)); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s: let in, and cut off at once: %w", at, err)
	}
	return nil
}

// NewLogin is of [Insider].
func (n *NFT) NewLogin(ctx context.Context) (string, error) {
	o, ok := n.far.(opener)
	if !ok {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	return n.far.String(), o.Fresh(ctx)
}

// Dial connects from this machine.
func (here) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}
