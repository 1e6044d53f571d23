package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"sync"
)

type peerKey struct{}

// withPeer remembers who is at the other end of a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if b, ok := c.(*slot); ok {
		c = b.Conn
	}
	uid, err := peerUID(c)
	if err != nil {
		return context.WithValue(ctx, peerKey{}, err)
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

// peerOf tells the caller's uid, and names it: "uid 1000 (op)".
func peerOf(ctx context.Context) (uid int, name string, err error) {
	switch v := ctx.Value(peerKey{}).(type) {
	case uint32:
		id := strconv.FormatUint(uint64(v), 10)
		if u, err := user.LookupId(id); err == nil {
			return int(v), fmt.Sprintf("uid %s (%s)", id, u.Username), nil
		}
		return int(v), "uid " + id, nil
	case error:
		return 0, "", fmt.Errorf("who decides cannot be told: %w", v)
	}
	return 0, "", errors.New("who decides cannot be told")
}

// bounded limits how many connections are open at once.
type bounded struct {
	net.Listener
	slots chan struct{}
}

// Accept waits for a free slot.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
		default:
			c.Close() // one too many: it may come again
		}
	}
}

type slot struct {
	net.Conn
	free func()
}

// Close frees the slot.
func (s *slot) Close() error {
	defer s.free()
	return s.Conn.Close()
}
