package sshhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// explain says what it means that no connection came about.
func (h *Host) explain(ctx context.Context, l *line, network, address string, err error) error {
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused):
		return h.judge(network, address, refused)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("by way of %s: %w", h, ctx.Err())
	case ctx.Err() != nil && l.alive(aliveTime):
		// The host is there, and still waits for the far side.
		return fmt.Errorf("by way of %s: %w", h, &net.OpError{Op: "dial", Net: network, Addr: farAddr{network, address}, Err: os.ErrDeadlineExceeded})
	}
	l.close() // the next one to dial makes a new line
	return h.trouble("the SSH connection was lost: %v", err)
}

// words are what SSH servers say of a connection that did not come about: mostly
// strerror's, since a channel's refusal has no codes for these (RFC 4254 section 5.1).
var words = []struct {
	say   string
	errno syscall.Errno
}{
	{"refused", syscall.ECONNREFUSED},
	{"timed out", syscall.ETIMEDOUT},
	{"timeout", syscall.ETIMEDOUT},
	{"no route", syscall.EHOSTUNREACH},
	{"network is unreachable", syscall.ENETUNREACH},
	{"host is unreachable", syscall.EHOSTUNREACH},
	{"reset by peer", syscall.ECONNRESET},
}

// judge says what it means that the host opened no channel.
func (h *Host) judge(network, address string, refused *ssh.OpenChannelError) error {
	switch refused.Reason {
	case ssh.Prohibited:
		return fmt.Errorf("%w by %s (%.200q): its sshd must let this user forward: AllowTcpForwarding yes or local, no DisableForwarding, no PermitOpen that leaves out %s, and in authorized_keys neither restrict nor no-port-forwarding (restrict,port-forwarding is enough)",
			ErrProhibited, h, refused.Message, address)
	case ssh.ResourceShortage:
		return h.trouble("it has no channel left (%.200q); a smaller probe.concurrency needs fewer", refused.Message)
	case ssh.UnknownChannelType:
		return h.trouble("it cannot forward connections (%.200q)", refused.Message)
	}
	said := strings.ToLower(refused.Message)
	for _, w := range words {
		if strings.Contains(said, w.say) {
			return fmt.Errorf("by way of %s: %w", h, &net.OpError{Op: "dial", Net: network, Addr: farAddr{network, address}, Err: os.NewSyscallError("connect", w.errno)})
		}
	}
	return h.trouble("it could not connect to %s, and does not say why (%.200q)", address, refused.Message)
}
