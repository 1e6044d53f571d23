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
	sockets    = 4                     // a family
	perSocket  = 500                   // questions on their way at once
	perPort    = 1 << 15               // questions before a socket is replaced, and so its port
	batch      = 64                    // packets a system call
	maxPacket  = 4096                  // octets of a reply by UDP; udpSize is what servers are asked for
	bufferSize = 4 << 20               // octets the kernel may keep
	look       = 50 * time.Millisecond // between looks at what got no answer
	idle       = 10 * time.Second      // until a socket or connection that nobody uses is closed
)

// batchConn reads and writes many packets in one system call.
type batchConn interface {
	ReadBatch([]ipv4.Message, int) (int, error)
	WriteBatch([]ipv4.Message, int) (int, error)
}

// A socket is shared by many questions, told apart by IDs that are random. Its
// port is the system's choice, which is random too, and changes now and then.
// One goroutine sends, one receives; a timer looks after what got no answer.
type socket struct {
	conn  *net.UDPConn
	many  batchConn
	wake  chan struct{} // something is queued
	quit  chan struct{}
	timer *time.Timer // of look
	tries int         // so often a question is sent

	mu     sync.Mutex
	room   sync.Cond // a question has landed
	open   map[uint16]*flight
	queue  []*flight
	left   int // questions that it still takes
	unused int // looks without a question
	closed bool
	random [1024]byte
	rest   int // octets of random that are left
}

// openSocket opens a socket of the server's family, with its sender and receiver.
func (c *Client) openSocket(server netip.Addr) (*socket, error) {
	network, at := "udp4", &net.UDPAddr{}
	if server.Is6() {
		network = "udp6"
	}
	if c.Source.IsValid() && c.Source.Unmap().Is4() == server.Is4() {
		at.IP = c.Source.AsSlice()
	}
	conn, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(bufferSize) // less loses packets, which are sent again
	_ = conn.SetWriteBuffer(bufferSize)
	s := &socket{
		conn: conn, wake: make(chan struct{}, 1), quit: make(chan struct{}),
		open: map[uint16]*flight{}, left: perPort, tries: max(1, int(c.Timeout/retransmit)),
	}
	s.room.L = &s.mu
	if s.many = ipv4.NewPacketConn(conn); server.Is6() {
		s.many = ipv6.NewPacketConn(conn)
	}
	s.tellErrors(server.Is6())
	s.mu.Lock() // it may go off at once
	s.timer = time.AfterFunc(look, s.look)
	s.mu.Unlock()
	c.running.Go(s.send)
	c.keep(s, s.receive)
	return s, nil
}

// board gives a question its ID and its capitals, and queues it, once there is
// room. It is false when the socket takes no more questions.
func (s *socket) board(f *flight) bool {
	s.mu.Lock()
	for len(s.open) >= perSocket && !s.closed && f.ctx.Err() == nil {
		s.room.Wait()
	}
	if s.closed || s.left == 0 {
		s.mu.Unlock()
		return false
	}
	s.left--
	s.unused = 0
	for {
		f.id = binary.BigEndian.Uint16(s.chance(2))
		if s.open[f.id] == nil {
			break
		}
	}
	binary.BigEndian.PutUint16(f.packet, f.id)
	f.shuffle(s.chance(8))
	s.open[f.id] = f
	first := s.enqueue(f)
	s.mu.Unlock()
	if first {
		s.rouse()
	}
	return true
}

// enqueue queues a question, and tells whether the sender must be told; mu is held.
func (s *socket) enqueue(f *flight) bool {
	f.sent++
	f.looks = 0
	s.queue = append(s.queue, f)
	return len(s.queue) == 1
}

func (s *socket) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// remove takes a question off that has landed; mu is held.
func (s *socket) remove(f *flight, why error) {
	delete(s.open, f.id)
	f.land(why)
	s.room.Signal()
	if s.left == 0 && len(s.open) == 0 {
		s.shut(net.ErrClosed)
	}
}

// chance gives random octets; mu is held.
func (s *socket) chance(n int) []byte {
	if s.rest < n {
		_, _ = rand.Read(s.random[:]) // never fails (crypto/rand)
		s.rest = len(s.random)
	}
	s.rest -= n
	return s.random[s.rest : s.rest+n]
}

// send writes what is queued, as much as there is at once.
func (s *socket) send() {
	packets := make([]ipv4.Message, batch)
	for i := range packets {
		packets[i].Buffers, packets[i].Addr = make([][]byte, 1), &net.UDPAddr{}
	}
	var flights []*flight
	for {
		select {
		case <-s.wake:
		case <-s.quit:
			return
		}
		s.mu.Lock()
		flights, s.queue = s.queue, flights[:0]
		s.mu.Unlock()
		for left := flights; len(left) > 0; {
			n := min(len(left), batch)
			for i, f := range left[:n] {
				packets[i].Buffers[0] = f.packet
				address(packets[i].Addr.(*net.UDPAddr), f.server)
			}
			s.write(packets[:n], left[:n])
			left = left[n:]
		}
		clear(flights)
	}
}

// address puts an address where there was one, without a new allocation.
func address(to *net.UDPAddr, a netip.AddrPort) {
	if a.Addr().Is4() {
		b := a.Addr().As4()
		to.IP = append(to.IP[:0], b[:]...)
	} else {
		b := a.Addr().As16()
		to.IP = append(to.IP[:0], b[:]...)
	}
	to.Port, to.Zone = int(a.Port()), a.Addr().Zone()
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
			s.fail(flights[0], err)
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
	f.reply = append([]byte(nil), p...)
	s.remove(f, err)
}

// fail tells a question that it cannot be sent.
func (s *socket) fail(f *flight, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[f.id] == f {
		s.remove(f, why)
	}
}

func (f *flight) from(a *net.UDPAddr) bool {
	ip, _ := netip.AddrFromSlice(a.IP)
	return a.Port == int(f.server.Port()) && ip.Unmap() == f.server.Addr().WithZone("")
}

// refused tells an error that a packet of before caused.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// look sends again what got no answer, gives up what had all its tries or nobody
// waits for any more, and closes the socket when it was not used for a while.
func (s *socket) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unused++; len(s.open) > 0 {
		s.unused = 0
	}
	if s.unused > int(idle/look) {
		s.shut(net.ErrClosed)
	}
	if s.closed {
		return
	}
	again := false
	for _, f := range s.open {
		f.looks++
		switch err := f.ctx.Err(); {
		case err != nil:
			s.remove(f, err)
		case f.looks <= int(retransmit/look):
		case f.sent >= s.tries:
			f.pace.lost()
			s.remove(f, errSilent)
		default:
			f.pace.lost()
			again = s.enqueue(f) || again
		}
	}
	s.room.Broadcast() // who waits for room may have given up
	if again {
		s.rouse()
	}
	if !s.closed {
		s.timer.Reset(look)
	}
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
	clear(s.open)
	s.room.Broadcast()
}
