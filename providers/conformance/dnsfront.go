package conformance

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A DNSFront stands before a name server, over TCP, and makes it fail. It is a
// [Faults]. DNS has no answer that asks to come later, so it cannot be [Busy].
type DNSFront struct {
	Addr string // "127.0.0.1:20000"

	to       DNS
	listener net.Listener

	mu      sync.Mutex
	conns   map[net.Conn]bool // nil at the end
	faults  []*Fault
	expired bool
	met     int
	group   sync.WaitGroup
}

// NewDNSFront listens before a name server until the test ends.
func NewDNSFront(t testing.TB, to DNS) *DNSFront {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &DNSFront{Addr: l.Addr().String(), to: to, listener: l, conns: map[net.Conn]bool{}}
	f.group.Go(f.accept)
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for c := range f.conns {
			c.Close()
		}
		f.conns = nil
		f.mu.Unlock()
		f.group.Wait()
	})
	return f
}

// Inject arms a fault.
func (f *DNSFront) Inject(x Fault) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch x.Kind {
	case Busy:
		return false
	case Expired:
		f.expired = true
	default:
		f.faults = append(f.faults, &x)
	}
	return true
}

// Met tells how many faults have befallen a message.
func (f *DNSFront) Met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

// Heal takes all faults away.
func (f *DNSFront) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.expired = nil, false
}

// due is the fault that befalls a message, if any.
func (f *DNSFront) due(update bool) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expired {
		f.met++
		return Fault{Kind: Expired}, true
	}
	var hit *Fault
	for _, x := range f.faults {
		if x.Nth <= 0 || !update {
			continue
		}
		if x.Nth--; x.Nth == 0 && hit == nil {
			hit = x
		}
	}
	if hit == nil {
		return Fault{}, false
	}
	f.met++
	return *hit, true
}

// keep notes a connection, to be closed at the end; false at the end.
func (f *DNSFront) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		c.Close()
		return false
	}
	f.conns[c] = true
	return true
}

func (f *DNSFront) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		if f.keep(c) {
			f.group.Go(func() { f.serve(c) })
		}
	}
}

// A relay is one connection through the front.
type relay struct {
	*DNSFront
	client, server net.Conn

	mu     sync.Mutex      // of what follows, and of writing to the client
	silent map[uint16]bool // IDs whose answers are kept back
	cut    map[uint16]bool // IDs whose answers end the connection
}

func (f *DNSFront) serve(client net.Conn) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", f.to.Server) // until the test closes it
	if err != nil || !f.keep(server) {
		return
	}
	r := &relay{DNSFront: f, client: client, server: server, silent: map[uint16]bool{}, cut: map[uint16]bool{}}
	f.group.Go(r.answers)
	defer server.Close()
	for {
		b, err := readMessage(client)
		if err != nil || !r.question(b) {
			return
		}
	}
}

// question passes one message on, or lets it fail.
func (r *relay) question(b []byte) bool {
	m := new(dns.Msg)
	if m.Unpack(b) != nil {
		return false
	}
	x, ok := r.due(m.Opcode == dns.OpcodeUpdate && len(m.Ns) > 0) // of nothing: it writes nothing
	if !ok {
		return writeMessage(r.server, b) == nil
	}
	switch x.Kind {
	case Between:
		x.Do()
	case Lost:
		r.note(r.cut, m.Id)
	case Silent:
		r.note(r.silent, m.Id)
	case Broken:
		return r.signed(m, dns.RcodeServerFailure)
	case Refused:
		return r.signed(m, dns.RcodeRefused)
	case Expired:
		return r.unknownKey(m)
	}
	return writeMessage(r.server, b) == nil
}

func (r *relay) note(in map[uint16]bool, id uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in[id] = true
}

// answers passes the server's messages on.
func (r *relay) answers() {
	defer r.client.Close()
	for {
		b, err := readMessage(r.server)
		if err != nil || len(b) < 2 || !r.answer(binary.BigEndian.Uint16(b), b) {
			return
		}
	}
}

func (r *relay) answer(id uint16, b []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.cut[id]:
		return false
	case r.silent[id]:
		return true
	}
	return writeMessage(r.client, b) == nil
}

// signed answers with a response code, as the server would.
func (r *relay) signed(m *dns.Msg, code int) bool {
	a := new(dns.Msg)
	a.SetRcode(m, code)
	a.SetTsig(dns.Fqdn(r.to.Key), dns.HmacSHA256, 300, time.Now().Unix())
	b, _, err := dns.TsigGenerate(a, r.to.Secret, m.IsTsig().MAC, false)
	r.mu.Lock()
	defer r.mu.Unlock()
	return err == nil && writeMessage(r.client, b) == nil
}

// unknownKey answers as a server does that no longer has the key (RFC 8945
// section 5.2.1).
func (r *relay) unknownKey(m *dns.Msg) bool {
	a := new(dns.Msg)
	a.SetRcode(m, dns.RcodeNotAuth)
	a.Extra = []dns.RR{&dns.TSIG{
		Hdr:       dns.RR_Header{Name: dns.Fqdn(r.to.Key), Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm: dns.HmacSHA256, Error: dns.RcodeBadKey, OrigId: m.Id,
	}}
	b, err := a.Pack()
	r.mu.Lock()
	defer r.mu.Unlock()
	return err == nil && writeMessage(r.client, b) == nil
}

// readMessage reads a message with its length (RFC 1035 section 4.2.2).
func readMessage(c net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

func writeMessage(c net.Conn, b []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}
