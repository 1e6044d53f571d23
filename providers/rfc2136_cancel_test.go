package providers

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A hasty is a connection whose user gives up while a message is sent whole.
type hasty struct {
	net.Conn
	giveUp context.CancelFunc
	closed chan struct{}
	once   sync.Once
}

func (h *hasty) Write(p []byte) (int, error) {
	h.giveUp()
	<-h.closed
	return len(p), nil
}

func (h *hasty) Close() error {
	h.once.Do(func() { close(h.closed) })
	return h.Conn.Close()
}

// Who gives up right after a message was sent is told that it may have had an
// effect.
func TestGivingUpRightAfterSending(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a, b := net.Pipe()
	defer b.Close()
	r := opened(bed{"127.0.0.1:1", testKey, testSecret}.open(t)).(*rfc2136)
	s := &session{rfc2136: r, zone: siteZone, conn: newBuffered(&hasty{Conn: a, giveUp: cancel, closed: make(chan struct{})})}
	m := new(dns.Msg)
	m.SetUpdate(siteZone)
	err := s.update(ctx, m)
	if e := (*unanswered)(nil); !errors.As(err, &e) || !errors.Is(err, context.Canceled) || e.fence <= 0 {
		t.Errorf("update: %v", err)
	}
}
