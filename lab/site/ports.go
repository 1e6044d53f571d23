package site

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
)

// FreeBlock finds a 127.X.Y.0/24 on which a port is free, for UDP and TCP, at
// all of the given last octets.
func FreeBlock(octets ...byte) (prefix [3]byte, port uint16, err error) {
	for range 50 {
		var r [4]byte
		_, _ = rand.Read(r[:]) // never fails (crypto/rand)
		prefix = [3]byte{127, 1 + r[0]%253, r[1]}
		port = randomPort(r[2], r[3])
		if free(prefix, port, octets) {
			return prefix, port, nil
		}
	}
	return prefix, 0, errors.New("no free loopback block was found")
}

// FreePort finds a port that is free on 127.0.0.1, for UDP and TCP.
func FreePort() (uint16, error) {
	for range 50 {
		var r [2]byte
		_, _ = rand.Read(r[:]) // never fails (crypto/rand)
		if port := randomPort(r[0], r[1]); free([3]byte{127, 0, 0}, port, []byte{1}) {
			return port, nil
		}
	}
	return 0, errors.New("no free port was found on 127.0.0.1")
}

// randomPort is one that the system gives to no client.
func randomPort(a, b byte) uint16 { return 20000 + (uint16(a)<<8|uint16(b))%12000 }

func free(prefix [3]byte, port uint16, octets []byte) bool {
	for _, o := range octets {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{prefix[0], prefix[1], prefix[2], o}), port).String()
		l, err := net.Listen("tcp", addr) //nolint:noctx // closed at once
		if err != nil {
			return false
		}
		l.Close()
		p, err := net.ListenPacket("udp", addr) //nolint:noctx // closed at once
		if err != nil {
			return false
		}
		p.Close()
	}
	return true
}
