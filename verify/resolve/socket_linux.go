package resolve

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// tellErrors lets the kernel keep what ICMP said of our packets: a port where
// nobody listens is known at once, and not after all repeats.
func (s *socket) tellErrors(six bool) {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return // then it is known after the repeats
	}
	_ = raw.Control(func(fd uintptr) {
		if six {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
			return
		}
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	})
}

// errors reads the socket's error queue: each entry has the packet that caused
// it, and where that was sent to.
func (s *socket) errors() {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return
	}
	packet, more := make([]byte, maxPacket), make([]byte, 512)
	_ = raw.Control(func(fd uintptr) {
		for {
			n, oobn, _, to, err := unix.Recvmsg(int(fd), packet, more, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			s.bounced(packet[:n], to, errno(more[:oobn]))
		}
	})
}

// bounced tells a question what became of its packet.
func (s *socket) bounced(packet []byte, to unix.Sockaddr, why syscall.Errno) {
	var server netip.AddrPort
	switch a := to.(type) {
	case *unix.SockaddrInet4:
		server = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		server = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	if len(packet) < headerSize || why == 0 || why == syscall.EMSGSIZE {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[binary.BigEndian.Uint16(packet)]
	if f == nil || netip.AddrPortFrom(f.server.Addr().WithZone(""), f.server.Port()) != server {
		return
	}
	s.remove(f, why)
}

// errno is the error of an extended error message, struct sock_extended_err; 0: none.
func errno(oob []byte) syscall.Errno {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if (v4 || v6) && len(m.Data) >= 4 {
			return syscall.Errno(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}
