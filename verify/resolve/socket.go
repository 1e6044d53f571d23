package resolve

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Bounds of the shared sockets. Four with 500 questions on their way each were
// fastest on two cores; four with 1,000 lost what the kernel could not buffer.
const (
	sockets    = 4                // a family
	perSocket  = 500              // questions on their way at once
	perPort    = 1 << 15          // questions before a socket is replaced, and so its port
	batch      = 64               // packets a system call
	maxPacket  = 4096             // octets of a reply by UDP; udpSize is what servers are asked for
	bufferSize = 4 << 20          // octets the kernel may keep
	idle       = 10 * time.Second // until a socket or connection that nobody uses is closed
)

// batchConn reads and writes many packets in one system call.
type batchConn interface {
	ReadBatch([]ipv4.Message, int) (int, error)
	WriteBatch([]ipv4.Message, int) (int, error)
}

// A socket is shared by many questions, told apart by IDs that are random. Its
// port is the system's choice, which is random too, and changes now and then.
type socket struct {
	conn  *net.UDPConn
	many  batchConn
	queue chan *flight
	room  chan struct{} // one for each question on its way
	quit  chan struct{}
	timer *time.Timer // closes it when nobody uses it

	mu     sync.Mutex
	open   map[uint16]*flight
	left   int // questions that it still takes
	used   bool
	closed bool
	random [1024]byte
	unused int // octets of random that were not used yet
}

// openSocket opens a socket of the server's family, with its sender and receiver.
func (c *Client) openSocket(server netip.Addr) (*socket, error) {
	network, at := "udp4", &net.UDPAddr{}
	if server.Is6() {
		network = "udp6"
	}
	if c.Source.IsValid() {
		at.IP = c.Source.AsSlice()
	}
	conn, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(bufferSize) // less loses packets, which are sent again
	_ = conn.SetWriteBuffer(bufferSize)
	s := &socket{
		conn: conn, queue: make(chan *flight, perSocket), room: make(chan struct{}, perSocket), quit: make(chan struct{}),
		open: map[uint16]*flight{}, left: perPort, used: true,
	}
	if s.many = ipv4.NewPacketConn(conn); server.Is6() {
		s.many = ipv6.NewPacketConn(conn)
	}
	s.tellErrors(server.Is6())
	s.timer = time.AfterFunc(idle, s.reap)
	c.running.Go(s.send)
	c.keep(s, s.receive)
	return s, nil
}

// board gives a question its ID and its capitals. It is false when the socket
// takes no more questions.
func (s *socket) board(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.left == 0 {
		return false
	}
	s.left--
	s.used = true
	for {
		f.id = binary.BigEndian.Uint16(s.chance(2))
		if s.open[f.id] == nil {
			break
		}
	}
	binary.BigEndian.PutUint16(f.packet, f.id)
	f.shuffle(s.chance(8))
	s.open[f.id] = f
	return true
}

// chance gives random octets; mu is held.
func (s *socket) chance(n int) []byte {
	if s.unused < n {
		_, _ = rand.Read(s.random[:]) // never fails (crypto/rand)
		s.unused = len(s.random)
	}
	s.unused -= n
	return s.random[s.unused : s.unused+n]
}

// forget takes a question off; what still comes for it is dropped.
func (s *socket) forget(f *flight) {
	s.mu.Lock()
	if s.open[f.id] == f {
		delete(s.open, f.id)
	}
	s.mu.Unlock()
	s.retire()
}

// send writes what is queued, as much as there is at once.
func (s *socket) send() {
	packets := make([]ipv4.Message, batch)
	for i := range packets {
		packets[i].Buffers = make([][]byte, 1)
	}
	flights := make([]*flight, batch)
	for {
		n := 0
		select {
		case flights[0] = <-s.queue:
			n = 1
		case <-s.quit:
			return
		}
	more:
		for n < batch {
			select {
			case flights[n] = <-s.queue:
				n++
			default:
				break more
			}
		}
		for i, f := range flights[:n] {
			packets[i].Buffers[0], packets[i].Addr = f.packet, net.UDPAddrFromAddrPort(f.server)
		}
		s.write(packets[:n], flights[:n])
	}
}

// write sends packets. What cannot be sent is told to who asked.
func (s *socket) write(packets []ipv4.Message, flights []*flight) {
	told := 0
	for len(packets) > 0 {
		n, err := s.many.WriteBatch(packets, 0)
		switch {
		case err == nil:
		case refused(err) && told < batch: // another question's error, which came meanwhile
			told++
			s.errors()
			continue
		default:
			flights[0].land(err)
			n = 1
		}
		packets, flights = packets[n:], flights[n:]
	}
}

// receive gives each packet to its question until the socket is closed.
func (s *socket) receive() {
	packets := make([]ipv4.Message, batch)
	for i := range packets {
		packets[i].Buffers = [][]byte{make([]byte, maxPacket)}
	}
	for {
		n, err := s.many.ReadBatch(packets, 0)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.errors()
			select {
			case <-s.quit:
				return
			default:
			}
			continue
		}
		for _, p := range packets[:n] {
			if from, ok := p.Addr.(*net.UDPAddr); ok {
				s.take(p.Buffers[0][:p.N], from)
			}
		}
	}
}

// take gives a packet to the question that it answers: that with its ID, which
// was asked of its source, and which it repeats. All else is dropped.
func (s *socket) take(p []byte, from *net.UDPAddr) {
	if len(p) < headerSize {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[binary.BigEndian.Uint16(p)]
	if f == nil || !f.from(from) {
		return
	}
	ok, err := f.answers(p)
	if !ok {
		return
	}
	delete(s.open, f.id)
	f.reply = append([]byte(nil), p...)
	f.land(err)
}

func (f *flight) from(a *net.UDPAddr) bool {
	ip, _ := netip.AddrFromSlice(a.IP)
	return a.Port == int(f.server.Port()) && ip.Unmap() == f.server.Addr().WithZone("")
}

// refused tells an error that a packet of before caused.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// reap closes the socket if nobody has used it lately.
func (s *socket) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used || len(s.open) > 0 {
		s.used = false
		s.timer.Reset(idle)
		return
	}
	s.shut(net.ErrClosed)
}

// close ends sender and receiver; questions on their way are told why.
func (s *socket) close(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut(why)
}

// shut is close; mu is held.
func (s *socket) shut(why error) {
	if s.closed {
		return
	}
	s.closed = true
	s.timer.Stop()
	close(s.quit)
	s.conn.Close()
	for _, f := range s.open {
		f.land(why)
	}
}
